//! `paasta status` at a glance, its filters, and the live views, on a terminal and in a pipe.

use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use paasta_proto::v1::{
    BounceMethod, BounceStatus, LogComponent, LogLine, ReplicaClass, ReplicaPhase,
};
use tonic::Status;

use crate::{
    fake::{Fake, NOW_MS, Script},
    paasta::paasta_with,
    show::{ask, instance, world},
};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pieces of output that wait to be looked at, at most.
const PARTS: usize = 64;

/// A front team's bouncing web, a data team's db, and a webapp.
fn teams() -> Script {
    let mut web = instance("web", "main", 3, 2);
    web.team = "front".to_owned();
    web.registrations = vec!["web.main".to_owned()];
    web.bounce = Some(BounceStatus {
        method: BounceMethod::Crossover.into(),
        started_at_ms: NOW_MS - 60_000,
        new_happy: 1,
        new_wanted: 3,
        ..BounceStatus::default()
    });
    let mut db = instance("db", "main", 1, 1);
    db.team = "data".to_owned();
    Script {
        instances: vec![db, web, instance("webapp", "main", 1, 1)],
        page: 2,
        ..Script::default()
    }
}

/// The first words of the rows.
fn rows(text: &str) -> Vec<&str> {
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("INSTANCE"));
    let rows = rows.skip(1).take_while(|line| !line.is_empty());
    rows.filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn a_line_per_instance_and_what_is_not_as_wanted_first() {
    let fake = Fake::start(teams());
    let all = ask(&fake, &["status"]).exits(2);
    assert_eq!(rows(&all.stdout), ["web.main", "db.main", "webapp.main"]);
    let first = all.stdout.lines().next();
    assert_eq!(
        first,
        Some("demo: 3 instances, 1 not as wanted, 1 bouncing")
    );
    assert!(all.stdout.contains("1/3 new"), "{all:?}");
    let limited = ask(&fake, &["status", "--limit", "1"]).exits(2);
    assert_eq!(rows(&limited.stdout), ["web.main"]);
    assert!(
        limited
            .stdout
            .ends_with("and 2 more, all as wanted: --limit 0 shows all\n"),
        "{limited:?}"
    );
    let long = ask(&fake, &["status", "-v"]).exits(2);
    assert!(long.stdout.contains("Desired state:"), "{long:?}");
}

#[test]
fn filters_choose_instances_and_the_exit_code_is_of_those() {
    let fake = Fake::start(teams());
    for (args, names, code) in [
        (&["--not-ok"][..], &["web.main"][..], 2),
        (&["--bouncing"], &["web.main"], 2),
        (&["--team", "data"], &["db.main"], 0),
        (&["-o", "data"], &["db.main"], 0),
        (&["--owner", "front", "--not-ok"], &["web.main"], 2),
        (&["-s", "web*"], &["web.main", "webapp.main"], 2),
        (&["-s", "web?"], &[], 1),
        (&["-r", "web.main"], &["web.main"], 2),
        (&["--team", "data", "--not-ok"], &[], 0),
        (&["-c", "demo", "-o", "data"], &["db.main"], 0),
    ] {
        let ran = ask(&fake, &[&["status"], args].concat()).exits(code);
        assert_eq!(rows(&ran.stdout), names, "{args:?}: {ran:?}");
    }
    let json = ask(&fake, &["status", "-s", "web*", "--json"])
        .exits(2)
        .json();
    assert_eq!(json["instances"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["instances"][0]["team"], "front");
    let other = ask(&fake, &["status", "-c", "prod"]).exits(1);
    assert!(
        other.stderr.contains("cluster demo, not of prod"),
        "{other:?}"
    );
    let typo = ask(&fake, &["status", "db.main", "web.typo"]).exits(1);
    assert!(typo.stdout.contains("main"), "{typo:?}");
    assert_eq!(typo.stderr, "paasta: instance web.typo is not known\n");
    let two = ask(&fake, &["status", "db.main", "web.main"]).exits(2);
    assert!(two.stdout.contains("service: db"), "{two:?}");
    assert!(!two.stdout.contains("webapp"), "{two:?}");
}

#[test]
fn deploy_groups_come_from_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    for (service, group) in [("db", "prod.slow"), ("web", "prod.fast")] {
        let of_it = dir.path().join("soa").join(service);
        std::fs::create_dir_all(&of_it).expect("make it");
        std::fs::write(of_it.join("service.yaml"), "{}\n").expect("write it");
        let text = format!("main: {{instances: 1, deploy_group: {group}}}\n");
        std::fs::write(of_it.join("marathon-demo.yaml"), text).expect("write it");
    }
    let fake = Fake::start(teams());
    let soa = dir.path().join("soa").display().to_string();
    let etc = dir.path().join("etc").display().to_string();
    std::fs::create_dir(&etc).expect("make it");
    let env = [
        ("PAASTA_COORDINATORS", fake.address.as_str()),
        ("PAASTA_SYSTEM_CONFIG_DIR", &etc),
    ];
    let of = |group: &str| paasta_with(&["status", "-l", group, "-d", &soa], &env, "");
    let slow = of("prod.slow").exits(0);
    assert_eq!(rows(&slow.stdout), ["db.main"]);
    let none = of("prod.none").exits(1);
    assert!(
        none.stderr.contains("has deploy group prod.none"),
        "{none:?}"
    );
}

#[test]
fn failing_replicas_show_what_they_wrote_last() {
    let mut script = world();
    let main = &mut script.instances[0];
    let mut failing = main.replicas[0].clone();
    failing.id = "r8".to_owned();
    failing.failures = 3;
    failing.phase = ReplicaPhase::BackingOff.into();
    failing.class = ReplicaClass::Unhappy.into();
    main.replicas.push(failing);
    let line = |number: u64, replica: &str| LogLine {
        at_ns: (NOW_MS + number) * 1_000_000,
        component: LogComponent::Stderr.into(),
        replica: replica.to_owned(),
        message: format!("{replica} line {number}\u{1b}[2J").into_bytes(),
        ..LogLine::default()
    };
    script.logs = (0..20)
        .flat_map(|n| [line(n, "r7"), line(n, "r8")])
        .collect();
    let fake = Fake::start(script);
    let one = ask(&fake, &["status", "-s", "hello", "-i", "main", "-v"]);
    assert!(!one.stdout.contains("wrote last"), "{one:?}");
    let two = ask(&fake, &["status", "-s", "hello", "-i", "main", "-vv"]);
    assert!(
        two.stdout.contains("hello.main r8 on host1 wrote last:\n"),
        "{two:?}"
    );
    assert_eq!(
        two.stdout.matches("[stderr] r8 line").count(),
        10,
        "{two:?}"
    );
    assert!(two.stdout.contains("r8 line 19\u{fffd}[2J"), "{two:?}");
    assert!(!two.stdout.contains("r7 line"), "{two:?}");
    let three = ask(&fake, &["status", "-s", "hello", "-i", "main", "-vvv"]);
    assert_eq!(
        three.stdout.matches("[stderr] r8 line").count(),
        20,
        "{three:?}"
    );
}

/// A live view that runs, and its output line by line.
struct Live {
    child: Child,
    lines: Receiver<String>,
    seen: String,
}

impl Live {
    fn start(mut command: Command) -> Self {
        command
            .env("PAASTA_SYSTEM_CONFIG_DIR", "/nonexistent/paasta")
            .env("TZ", "UTC")
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("start it");
        let out = child.stdout.take().expect("its output is a pipe");
        let (send, lines) = sync_channel(PARTS);
        thread::spawn(move || {
            let (mut out, mut part) = (out, [0; 4_096]);
            while let Ok(read @ 1..) = out.read(&mut part) {
                let text = String::from_utf8_lossy(&part[..read]).into_owned();
                if send.send(text).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            seen: String::new(),
        }
    }

    /// Waits until all that was written since the last wait has the text; returns it.
    fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(part) => self.seen.push_str(&part),
                Err(_) => panic!("{text:?} is not in {:?}", self.seen),
            }
        }
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_is_drawn_over_in_place_also_while_there_is_no_leader() {
    let fake = Fake::start(teams());
    let run = format!(
        "stty cols 80 rows 24; exec {} status -w --interval 100ms --coordinators {}",
        env!("CARGO_BIN_EXE_paasta"),
        fake.address
    );
    let mut command = Command::new("script");
    command
        .args(["-q", "-e", "-c", &run, "/dev/null"])
        .env("TERM", "xterm");
    let mut live = Live::start(command);
    let first = live.until("webapp.main");
    assert!(
        first.contains("\u{1b}[?1049h"),
        "the alternate screen: {first:?}"
    );
    assert!(first.contains("1 not as wanted"), "{first:?}");
    fake.change(|script| script.always = Some(Status::unavailable("there is no leader")));
    let away = live.until("no leader, as of 2025-11-23 13:12:10");
    let held = live.until("webapp.main");
    fake.change(|script| {
        script.always = None;
        script.instances.remove(0);
    });
    let back = live.until("2 instances, ");
    for frames in [&first, &away, &held, &back] {
        assert!(
            !frames.contains("\u{1b}[2J"),
            "no frame clears the screen: {frames:?}"
        );
    }
}

#[test]
fn a_pipe_gets_each_change_once_and_no_escapes() {
    let fake = Fake::start(teams());
    let mut command = Command::new(env!("CARGO_BIN_EXE_paasta"));
    command.args([
        "watch",
        "--interval",
        "100ms",
        "--coordinators",
        &fake.address,
    ]);
    let mut live = Live::start(command);
    let first = live.until("webapp.main");
    let calls = fake.calls();
    // Some looks find nothing new.
    let end = Instant::now() + DEADLINE;
    while fake.calls() < calls + 8 && Instant::now() < end {
        thread::yield_now();
    }
    fake.change(|script| script.instances.truncate(2));
    let second = live.until("2 instances, ");
    let text = first + &second;
    assert_eq!(text.matches("3 instances, ").count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn one_instance_is_watched_in_full_and_json_is_a_line_per_change() {
    let fake = Fake::start(teams());
    let mut command = Command::new(env!("CARGO_BIN_EXE_paasta"));
    command.args(["watch", "db.main", "--coordinators", &fake.address]);
    let mut live = Live::start(command);
    let text = live.until("Health:");
    assert!(!text.contains("web.main"), "{text}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_paasta"));
    command.args(["watch", "--json", "--coordinators", &fake.address]);
    let mut live = Live::start(command);
    let text = live.until("\"webapp\"");
    assert!(text.starts_with("{\"cluster\":\"demo\""), "{text}");
}

#[test]
fn a_narrow_terminal_has_the_problem_below_its_instance() {
    let fake = Fake::start(world());
    let env = [
        ("PAASTA_COORDINATORS", fake.address.as_str()),
        ("COLUMNS", "40"),
    ];
    let ran = paasta_with(&["status"], &env, "").exits(2);
    assert!(
        ran.stdout
            .contains("\n  0 of 3 hosts: 3 lack 512 MB memory\n"),
        "{ran:?}"
    );
    let long = ran.stdout.lines().filter(|line| line.chars().count() > 40);
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new());
}
