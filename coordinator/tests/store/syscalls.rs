//! What reaches the kernel before anything is acknowledged: sled's own flush is no fsync on Linux,
//! so the test looks at the system calls themselves.

use std::{env, fs, io::Write, path::Path, process::Command};

use paasta_coordinator::store::{IoMode, Store, StoreOptions};

use super::reopen::{append, ballot, options, record};

/// Tells the re-executed test binary to be the one that is watched, and where.
const CHILD: &str = "PAASTA_SYSCALLS_TEST_CHILD";

const APPENDS: u64 = 20;
const VOTES: u64 = 5;

/// The one that is watched: appends and votes, and says when each is durable. Does nothing in an
/// ordinary run.
#[tokio::test]
async fn watched() {
    let Ok(dir) = env::var(CHILD) else { return };
    let quiet = StoreOptions {
        // No thread of sled's own writes in between.
        io: IoMode::Inline,
        ..options(Path::new(&dir))
    };
    let log = Store::open(&quiet).expect("empty").log;
    let say = |what: &str, number: u64| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {what} {number}").expect("somebody reads");
        out.flush().expect("somebody reads");
    };
    for index in 0..APPENDS {
        append(&log, vec![record(1, index, 1000)]).await;
        say("append", index);
    }
    for term in 2..2 + VOTES {
        log.save_vote(ballot(term)).await.expect("voted");
        say("vote", term);
    }
}

#[test]
fn nothing_is_acknowledged_before_it_is_on_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace");
    let data = dir.path().join("data");
    let status = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-s",
            "40",
            "-e",
            "trace=pwrite64,write,fsync,fdatasync",
            "-o",
        ])
        .arg(&trace)
        .arg(env::current_exe().expect("this binary"))
        .args([
            "store::syscalls::watched",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, &data)
        .output()
        .expect("strace runs: deploy/demo/install.sh installs it");
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stderr)
    );
    let trace = fs::read_to_string(&trace).expect("a trace");
    assert_eq!(early(&trace, "append", "/log/db"), Ok(APPENDS));
    assert_eq!(early(&trace, "append", "/hardstate"), Ok(APPENDS));
    assert_eq!(early(&trace, "vote", "/hardstate"), Ok(VOTES));

    // The same run without our own syncs: what sled's flush alone would be.
    let only_sled: Vec<&str> = trace
        .lines()
        .filter(|line| !line.contains("sync"))
        .collect();
    let only_sled = only_sled.join("\n");
    assert!(
        early(&only_sled, "append", "/log/db").is_err(),
        "the test cannot fail"
    );
}

/// Counts the acknowledgements of `what`, all of which came after a sync that followed the last
/// write to `file`; or the first line that came too early.
fn early(trace: &str, what: &str, file: &str) -> Result<u64, String> {
    let (mut written, mut syncing, mut synced, mut count) = (0_u64, 0, 0, 0);
    let said = format!("\"acknowledged {what} ");
    for line in trace.lines() {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let of_file = call.contains(file) || line.contains(&format!("{file}>"));
        if call.starts_with("pwrite64(") && of_file {
            written += 1;
        } else if (call.starts_with("fdatasync(") || call.starts_with("fsync(")) && of_file {
            syncing = written;
            if line.trim_end().ends_with("= 0") {
                synced = syncing;
            }
        } else if line.contains("sync resumed>") && line.trim_end().ends_with("= 0") {
            synced = syncing;
        } else if line.contains(&said) {
            if synced < written {
                return Err(format!(
                    "{written} writes, {synced} of them synced, at: {line}"
                ));
            }
            count += 1;
        }
    }
    match written {
        0 => Err(format!("{file} was never written")),
        _ => Ok(count),
    }
}
