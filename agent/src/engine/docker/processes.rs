//! The processes of a container as the host sees them. dockerd leaves behind what a command inside
//! started and nobody waited for, and counts no kills for memory: both are in /proc and in the
//! control groups. Everything here blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Looks for processes that began while others were killed, at most.
const PASSES_MAX: usize = 50;
/// Between two of them.
const PASS_EVERY: Duration = Duration::from_millis(20);

/// How many processes the kernel has killed for memory in the control group of this process; none
/// where it cannot be read.
pub(super) fn memory_kills(pid: u32) -> Option<u32> {
    let groups = groups(pid).ok()?;
    let (file, of) = match groups.get("memory") {
        Some(path) => ("memory.oom_control", Path::new("memory").join(path)),
        None => ("memory.events", PathBuf::from(groups.get("")?)),
    };
    let text = fs::read_to_string(Path::new(ROOT).join(of).join(file)).ok()?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count?.trim().parse().ok()
}

/// Kills every process of the container whose environment has `name=value`, and what they started
/// themselves. Returns whether none is left.
///
/// Nothing but the container's own processes is ever killed, whatever they put into their
/// environment.
pub(super) fn kill_marked(container: &str, name: &str, value: &str) -> io::Result<bool> {
    let wanted = format!("{name}={value}");
    let mut family = BTreeSet::new();
    for _ in 0..PASSES_MAX {
        let found = processes(container)?;
        let marked = found
            .keys()
            .filter(|pid| has(**pid, wanted.as_bytes()))
            .copied();
        let mut doomed: BTreeSet<u32> = marked.collect();
        // A process may clean its environment: whose parent was killed goes, too.
        loop {
            let more: Vec<u32> = found
                .iter()
                .filter(|(pid, parent)| {
                    !doomed.contains(pid) && (doomed.contains(parent) || family.contains(*parent))
                })
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                break;
            }
            doomed.extend(more);
        }
        if doomed.is_empty() {
            return Ok(true);
        }
        for pid in &doomed {
            if let Ok(raw) = i32::try_from(*pid) {
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(raw), Signal::SIGKILL);
            }
        }
        family.extend(doomed);
        sleep(PASS_EVERY);
    }
    Ok(false)
}

/// The value of a variable in the environment of a process.
pub(super) fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{name}=");
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(prefix.as_bytes()))?;
    String::from_utf8(value.to_vec()).ok()
}

fn has(pid: u32, variable: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|one| one == variable)
}

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// The control groups of a process, by controller; the unified one has an empty name.
fn groups(pid: u32) -> io::Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let lines = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some((controllers, path.trim_start_matches('/').to_owned()))
    });
    let mut groups = BTreeMap::new();
    for (controllers, path) in lines {
        for controller in controllers.split(',') {
            groups.insert(controller.to_owned(), path.clone());
        }
    }
    Ok(groups)
}

/// The processes of a container with their parents, zombies left out. All of the host's are looked
/// at: where the control group is mounted differs from host to host.
fn processes(container: &str) -> io::Result<BTreeMap<u32, u32>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ended meanwhile has no files.
        let Ok(groups) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else {
            continue;
        };
        if groups.contains(container)
            && let Some(parent) = parent(pid)
        {
            found.insert(pid, parent);
        }
    }
    Ok(found)
}

/// The parent of a process that is no zombie.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z" && state != "X").then_some(parent)
}
