//! Several hosts on one machine, each with a network address and a dockerd of its own.
//!
//! A thin layer over `deploy/demo/hosts.sh`, which the demo uses too. It needs root and what
//! `deploy/demo/install.sh` installs. Hosts are counted from 1, as in their names.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run::{bounded, text};
use crate::tidy::root;

/// The script waits at most a minute for each daemon.
const SCRIPT_LIMIT: Duration = Duration::from_secs(240);
/// For one docker command.
const DOCKER_LIMIT: Duration = Duration::from_secs(120);
/// `hosts.sh` takes no longer state directory: there are unix sockets below it.
const STATE_MAX: usize = 60;
/// Set to anything, it leaves the hosts up when a test ends, to look at them.
const KEEP: &str = "PAASTA_TESTS_KEEP_HOSTS";

/// One of the hosts.
#[derive(Clone, Debug)]
pub struct Host {
    /// `PREFIX-1` and so on.
    pub name: String,
    /// Its address on the bridge, reachable from this machine and from the other hosts.
    pub ip: Ipv4Addr,
    /// The socket of its dockerd.
    pub socket: PathBuf,
    /// Its network namespace; a new one after each boot, at the same path.
    pub netns: PathBuf,
    /// Its files: `data`, logs, `boot_id`, `dockerd.pid`. They outlive a power loss.
    pub dir: PathBuf,
}

/// Hosts that are up; dropped, they are gone without a trace.
#[derive(Debug)]
pub struct Hosts {
    prefix: String,
    state: PathBuf,
    gateway: Ipv4Addr,
    hosts: Vec<Host>,
    down: bool,
    // Held as long as the hosts live: the same test in another process must not take them over.
    _lock: File,
}

impl Hosts {
    /// Brings up `count` hosts on a free subnet; what an earlier test with this prefix left
    /// behind is removed first. The prefix has 1 to 7 letters and digits and is the test's own.
    pub fn up(prefix: &str, count: usize) -> Result<Self> {
        Self::up_with(prefix, count, &[])
    }

    /// Like [`Hosts::up`], with more options of `hosts.sh up`, for example `--live-restore`.
    pub fn up_with(prefix: &str, count: usize, options: &[&str]) -> Result<Self> {
        let state = state_dir(prefix);
        let lock = lock(&state)?;
        script(&state, &["down"])?;
        let number = count.to_string();
        let mut arguments = vec!["up", prefix, &number, "--subnet", "auto"];
        arguments.extend(options);
        if let Err(error) = script(&state, &arguments) {
            // Half of them may be there.
            let _ = script(&state, &["down"]);
            return Err(error);
        }
        let gateway = read_gateway(&state)?;
        let hosts = (1..=count)
            .map(|index| Host::new(&state, prefix, gateway, index))
            .collect();
        Ok(Self {
            prefix: prefix.to_owned(),
            state,
            gateway,
            hosts,
            down: false,
            _lock: lock,
        })
    }

    /// Host number `index`, from 1; panics when there is no such host.
    pub fn host(&self, index: usize) -> &Host {
        index
            .checked_sub(1)
            .and_then(|at| self.hosts.get(at))
            .expect("hosts are counted from 1")
    }

    /// All of them, the first one first.
    pub fn all(&self) -> &[Host] {
        &self.hosts
    }

    /// What was given to [`Hosts::up`].
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// This machine's own address on the bridge: hosts reach it, and the registry listens there.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Where `hosts.sh` keeps everything.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Runs a docker command against the host's dockerd and returns its stdout.
    pub fn docker(&self, index: usize, arguments: &[&str]) -> Result<String> {
        self.host(index).docker(arguments)
    }

    /// A command that will run in the host's network; the host must be on when it is started.
    pub fn command_in(&self, index: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.host(index).netns.display()));
        command.args(["--", program]);
        command
    }

    /// Power loss: everything that runs on the host dies, without a word to its peers.
    pub fn kill_host(&self, index: usize) -> Result<()> {
        self.on_host("kill-host", index)
    }

    /// Power on; or, on a host that is on, starts the daemons that are not running.
    pub fn start_host(&self, index: usize) -> Result<()> {
        self.on_host("start-host", index)
    }

    /// Power on, with an empty disk of so many MiB for its dockerd instead of the machine's own: it
    /// stays in the host from then on. Only for a host that is off.
    pub fn start_host_with_disk(&self, index: usize, mib: u32) -> Result<()> {
        let (name, mib) = (&self.host(index).name, mib.to_string());
        script(&self.state, &["start-host", name, "--disk", &mib]).map(drop)
    }

    /// Whether dockerds that start from now on leave running containers alone; those that run
    /// already stay as they are.
    pub fn live_restore(&self, on: bool) -> Result<()> {
        let file = self.state.join("network");
        let text = fs::read_to_string(&file)?;
        let (is, was) = (
            format!("live_restore={on}\n"),
            format!("live_restore={}\n", !on),
        );
        ensure!(text.contains(&is) || text.contains(&was), "{text}");
        Ok(fs::write(file, text.replace(&was, &is))?)
    }

    /// Takes the host off the bridge: packets are lost silently in both directions.
    pub fn cut(&self, index: usize) -> Result<()> {
        self.on_host("cut", index)
    }

    /// Puts it back.
    pub fn heal(&self, index: usize) -> Result<()> {
        self.on_host("heal", index)
    }

    /// Pid and start time (in clock ticks after boot) of everything that belongs to the hosts.
    pub fn processes(&self) -> Result<Vec<(u32, u64)>> {
        script(&self.state, &["processes"])?
            .lines()
            .map(parse_process)
            .collect()
    }

    /// Removes them and tells how it went, which a drop cannot.
    pub fn down(mut self) -> Result<()> {
        self.down = true;
        script(&self.state, &["down"]).map(drop)
    }

    fn on_host(&self, verb: &str, index: usize) -> Result<()> {
        script(&self.state, &[verb, &self.host(index).name]).map(drop)
    }
}

impl Drop for Hosts {
    #[expect(
        clippy::print_stderr,
        reason = "the only way to be heard from a drop in a test"
    )]
    fn drop(&mut self) {
        if self.down {
            return;
        }
        if std::env::var_os(KEEP).is_some() {
            eprintln!(
                "hosts {} are left up in {} ({KEEP} is set)",
                self.prefix,
                self.state.display()
            );
        } else if let Err(error) = script(&self.state, &["down"]) {
            eprintln!("hosts {} could not be removed: {error:#}", self.prefix);
        }
    }
}

impl Host {
    fn new(state: &Path, prefix: &str, gateway: Ipv4Addr, index: usize) -> Self {
        let name = format!("{prefix}-{index}");
        let [a, b, c, _] = gateway.octets();
        let last = u8::try_from(10 + index).expect("hosts.sh makes at most 40 hosts");
        let dir = state.join(&name);
        Self {
            ip: Ipv4Addr::new(a, b, c, last),
            socket: dir.join("docker.sock"),
            netns: Path::new("/run/netns").join(&name),
            dir,
            name,
        }
    }

    /// Sends a signal to the host's dockerd.
    pub fn signal_dockerd(&self, signal: Signal) -> Result<()> {
        let pid = fs::read_to_string(self.dir.join("dockerd.pid"))?;
        let pid = Pid::from_raw(pid.trim().parse()?);
        kill(pid, signal)
            .with_context(|| format!("cannot send {signal} to dockerd of {}", self.name))
    }

    /// Runs a docker command against this host's dockerd and returns its stdout.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        let socket = format!("unix://{}", self.socket.display());
        text(
            bounded(DOCKER_LIMIT, "docker")
                .arg("-H")
                .arg(socket)
                .args(arguments),
        )
        .with_context(|| format!("docker on {}", self.name))
    }
}

/// Runs `hosts.sh` and returns its stdout.
fn script(state: &Path, arguments: &[&str]) -> Result<String> {
    let program = root().join("deploy/demo/hosts.sh");
    text(
        bounded(SCRIPT_LIMIT, program)
            .args(arguments)
            .arg("--state")
            .arg(state),
    )
}

fn state_dir(prefix: &str) -> PathBuf {
    let near = root().join(".demo/tests").join(prefix);
    if near.as_os_str().len() <= STATE_MAX {
        near
    } else {
        std::env::temp_dir().join(format!("paasta-tests-{prefix}"))
    }
}

fn lock(state: &Path) -> Result<File> {
    let parent = state
        .parent()
        .context("the state directory has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let file = File::create(state.with_extension("lock"))?;
    if file.try_lock().is_err() {
        bail!(
            "the hosts in {} are in use by another test run: wait for it",
            state.display()
        );
    }
    Ok(file)
}

fn read_gateway(state: &Path) -> Result<Ipv4Addr> {
    let network = fs::read_to_string(state.join("network"))?;
    let gateway = network
        .lines()
        .find_map(|line| line.strip_prefix("gateway="));
    Ok(gateway.context("hosts.sh wrote no gateway")?.parse()?)
}

fn parse_process(line: &str) -> Result<(u32, u64)> {
    let fields: Vec<&str> = line.split('\t').collect();
    ensure!(
        fields.len() == 4,
        "not a line of `hosts.sh processes`: {line}"
    );
    Ok((fields[1].parse()?, fields[2].parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_address_that_the_script_gives_it() {
        let host = Host::new(Path::new("/s"), "demo", Ipv4Addr::new(10, 77, 0, 1), 3);
        assert_eq!(host.ip, Ipv4Addr::new(10, 77, 0, 13));
        assert_eq!(host.socket, Path::new("/s/demo-3/docker.sock"));
        assert_eq!(host.netns, Path::new("/run/netns/demo-3"));
    }

    #[test]
    fn a_process_line_is_read_or_refused() {
        assert_eq!(
            parse_process("demo-1\t12\t345\tdockerd").unwrap(),
            (12, 345)
        );
        assert!(parse_process("demo-1 12 345 dockerd").is_err());
    }
}
