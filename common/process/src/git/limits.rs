//! What one git process group may use, so that a server that sends for ever costs one answer and
//! not the machine. Two things hold each other: limits of the kernel, which git and all that it
//! starts inherit (`ulimit` of a shell that then becomes git), and a look at the group every
//! `LOOK_EVERY`, which sums up what each limit of the kernel counts for one process only.

use std::{
    fmt, fs,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nix::sys::signal::Signal;
use paasta_common::url::Url;
use tokio::time::sleep;

use super::OUTPUT_BYTES_MAX;

const MIB: u64 = 1024 * 1024;
/// Between two looks at what the group uses: memory grows by some tens of MiB meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The memory of all git groups that this process started; what is large is ended then.
const ALL_MEMORY_MAX: u64 = 768 * MIB;
/// A group that uses less than this is not ended for what others use.
const SMALL: u64 = 64 * MIB;
/// The processes of one group, ssh and credential helpers included.
const PROCESSES_MAX: usize = 32;

/// The memory of all git groups at their last look.
static ALL_MEMORY: AtomicU64 = AtomicU64::new(0);

/// What one git process group may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of its own, of the whole group, in bytes.
    pub memory: u64,
    /// The memory of one process that the kernel refuses to exceed, in bytes.
    pub process_memory: u64,
    /// One file that it writes, in bytes.
    pub file: u64,
    /// What it may write to standard output, in bytes.
    pub output: u64,
    /// Processor time of one process, in seconds.
    pub cpu_seconds: u64,
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Of its memory, in bytes.
    Memory(u64),
    /// Of the memory of all of them together, in bytes.
    AllMemory(u64),
    /// Of one file that it writes, in bytes.
    File(u64),
    /// Of what it writes to standard output, in bytes.
    Output(u64),
    /// Of its processor time, in seconds.
    Cpu(u64),
    /// Of its processes.
    Processes(usize),
}

impl Limits {
    /// Asking a remote for its refs, or for one commit.
    pub const REMOTE: Self = Self {
        memory: 256 * MIB,
        process_memory: 384 * MIB,
        file: 256 * MIB,
        output: OUTPUT_BYTES_MAX,
        cpu_seconds: 120,
    };
    /// What also reads a repository of this machine, of any size.
    pub const LOCAL: Self = Self {
        memory: 4096 * MIB,
        process_memory: 4096 * MIB,
        file: 1024 * MIB,
        ..Self::REMOTE
    };

    /// For a question to the repository at `url`.
    pub(super) fn of(url: &Url) -> Self {
        match url.is_local() {
            true => Self::LOCAL,
            false => Self::REMOTE,
        }
    }

    /// The program and the arguments that run git within the kernel's limits; git's own arguments
    /// follow. A limit that the process has already, and a lower one, stays.
    pub(super) fn shell(&self) -> (&'static str, Vec<String>) {
        // Data is counted and not addresses: helpers in Go or Java reserve far more than they use.
        // A file that would be too large is an error of git's, with words, and no signal.
        // Of processor time the soft limit comes first: at the hard one the kernel kills without
        // saying why.
        let script = "trap '' XFSZ; { ulimit -c 0; ulimit -S -t \"$1\" && \
                      ulimit -H -t $(($1 + 1)); ulimit -d \"$2\"; ulimit -f \"$3\"; } 2>/dev/null; \
                      shift 3; exec git \"$@\"";
        let (data, blocks) = (self.process_memory / 1024, self.file / 512);
        let numbers = [self.cpu_seconds, data, blocks].map(|number| number.to_string());
        let arguments = ["-c", script, "git"].map(str::to_owned);
        ("/bin/sh", arguments.into_iter().chain(numbers).collect())
    }

    /// Which limit of the kernel ended git, by how it ended and by what it said.
    pub(super) fn reached(&self, signal: Option<i32>, complaint: &str) -> Option<Limit> {
        let words = complaint.to_ascii_lowercase();
        let said = |words_of: &[&str]| words_of.iter().any(|one| words.contains(one));
        if signal == Some(Signal::SIGXCPU as i32) || said(&["died of signal 24"]) {
            return Some(Limit::Cpu(self.cpu_seconds));
        }
        if signal == Some(Signal::SIGXFSZ as i32) || said(&["died of signal 25", "file too large"])
        {
            return Some(Limit::File(self.file));
        }
        let memory = ["out of memory", "cannot allocate memory", "mmap failed"];
        said(&memory).then_some(Limit::Memory(self.process_memory))
    }

    /// Looks at the group of `pid` until it uses too much; then says of what.
    pub(super) async fn watch(&self, pid: u32) -> Limit {
        let mut share = Share(0);
        loop {
            sleep(LOOK_EVERY).await;
            let used = usage(pid);
            if used.processes > PROCESSES_MAX {
                return Limit::Processes(PROCESSES_MAX);
            }
            if used.memory > self.memory {
                return Limit::Memory(self.memory);
            }
            let all = share.set(used.memory);
            if all > ALL_MEMORY_MAX && used.memory > SMALL {
                return Limit::AllMemory(ALL_MEMORY_MAX);
            }
        }
    }
}

/// What one group adds to [`ALL_MEMORY`], for as long as it is looked at.
struct Share(u64);

impl Share {
    /// The memory of all groups, with `bytes` of this one.
    fn set(&mut self, bytes: u64) -> u64 {
        let before = std::mem::replace(&mut self.0, bytes);
        ALL_MEMORY.fetch_add(bytes, Ordering::Relaxed);
        ALL_MEMORY.fetch_sub(before, Ordering::Relaxed) - before
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        ALL_MEMORY.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Usage {
    processes: usize,
    memory: u64,
}

/// What a process and its descendants use now. One that ends meanwhile uses nothing.
fn usage(root: u32) -> Usage {
    let mut used = Usage::default();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        used.processes += 1;
        used.memory += own_memory(pid);
        if used.processes > PROCESSES_MAX {
            break;
        }
        open.extend(children(pid));
    }
    used
}

/// The memory that is a process's own and not a file's, in bytes.
fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let pids: Vec<u32> = text
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
        pids
    };
    threads.flatten().flat_map(of_thread).collect()
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: &u64| bytes / MIB;
        match self {
            Self::Memory(bytes) => write!(f, "{} MiB of memory", mib(bytes)),
            Self::AllMemory(bytes) => {
                write!(f, "its part of {} MiB of memory for all gits", mib(bytes))
            }
            Self::File(bytes) => write!(f, "{} MiB in one file", mib(bytes)),
            Self::Output(bytes) => write!(f, "{bytes} bytes of output"),
            Self::Cpu(seconds) => write!(f, "{seconds} s of processor time"),
            Self::Processes(count) => write!(f, "{count} processes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shares_sum_is_that_of_the_living() {
        let before = ALL_MEMORY.load(Ordering::Relaxed);
        let (mut one, mut other) = (Share(0), Share(0));
        // Other tests run gits, too: at least what these two use is in it.
        assert!(one.set(1 << 50) >= 1 << 50);
        assert!(other.set(1 << 51) >= (1 << 50) + (1 << 51));
        assert!(one.set(5) >= 1 << 51);
        drop((one, other));
        assert!(ALL_MEMORY.load(Ordering::Relaxed) < before + (1 << 50));
    }

    #[test]
    fn a_process_and_what_it_started_are_seen() {
        let mut shell = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 60 & sleep 60 & echo; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let used = usage(shell.id());
        for pid in children(shell.id()) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!(used.processes, 3);
        assert!(used.memory > 0, "{used:?}");
    }

    #[test]
    fn a_limit_of_the_kernel_is_known_by_the_end() {
        let limits = Limits::REMOTE;
        let reached = |signal, words| limits.reached(signal, words);
        assert_eq!(reached(Some(24), ""), Some(Limit::Cpu(120)));
        assert_eq!(
            reached(None, "fatal: index-pack died of signal 25"),
            Some(Limit::File(256 * MIB))
        );
        assert_eq!(
            reached(
                None,
                "fatal: Out of memory, malloc failed (tried to allocate 9 bytes)"
            ),
            Some(Limit::Memory(384 * MIB))
        );
        assert_eq!(reached(Some(9), "fatal: no such repository"), None);
    }
}
