//! Coordinators as real processes on loopback, without hosts or Docker; each may have a small disk
//! of its own for its data directory. Dropped, all of it is gone.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;

use crate::cluster::binaries::binaries;
use crate::cluster::daemon::Daemon;
use crate::cluster::operator::Operator;
use crate::pki::Pki;
use crate::run::{bounded, eventually, text};
use crate::tidy::root;

const INSTALL: Duration = Duration::from_secs(600);
const COMMAND: Duration = Duration::from_secs(60);
const INIT: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// Short, but longer than a loaded machine lets a whole process stand still.
const TIMERS: &str = "  heartbeat_ms: 150\n  election_timeout_min_ms: 600\n  election_timeout_max_ms: 1200\n  removal_patience_seconds: 1\n";

/// The timeouts of consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timers {
    /// For a loaded machine: longer than it lets a whole process stand still.
    Loaded,
    /// The product's defaults.
    Product,
}

/// A file system of its own, in a file.
#[derive(Debug)]
pub struct SmallDisk {
    image: PathBuf,
    mount: PathBuf,
}

impl SmallDisk {
    /// Makes one of `mib` MiB and mounts it at `mount`. Root only.
    pub fn make(image: &Path, mount: &Path, mib: u64) -> Result<Self> {
        fs::create_dir_all(mount)?;
        File::create_new(image)?.set_len(mib << 20)?;
        let format = ["-q", "-F", "-m", "0", "-O", "^has_journal"];
        text(bounded(COMMAND, "mkfs.ext4").args(format).arg(image))?;
        text(
            bounded(COMMAND, "mount")
                .args(["-o", "loop"])
                .args([image, mount]),
        )?;
        Ok(Self {
            image: image.to_owned(),
            mount: mount.to_owned(),
        })
    }

    /// How many bytes are free.
    pub fn free(&self) -> Result<u64> {
        let found = statvfs(&self.mount)?;
        Ok(found.blocks_available() * found.fragment_size())
    }

    /// How many bytes there are in all.
    pub fn size(&self) -> Result<u64> {
        let found = statvfs(&self.mount)?;
        Ok(found.blocks() * found.fragment_size())
    }

    /// Takes room until `leave` bytes are free, or as near to that as blocks allow.
    pub fn fill(&self, leave: u64) -> Result<()> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.mount.join("filler"))?;
        let mut step = 16 << 20;
        while step >= 4096 {
            let (free, size) = (self.free()?, file.metadata()?.len());
            let fits = free >= leave + step;
            let taken = fits
                && fallocate(
                    &file,
                    FallocateFlags::empty(),
                    i64::try_from(size)?,
                    i64::try_from(step)?,
                )
                .is_ok();
            if !taken {
                step /= 2;
            }
        }
        Ok(())
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn give_back(&self) -> Result<()> {
        Ok(fs::remove_file(self.mount.join("filler"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that was just killed may still hold a file.
        let _ = text(bounded(COMMAND, "umount").arg("-l").arg(&self.mount));
        let _ = fs::remove_file(&self.image);
    }
}

/// One coordinator's place.
#[derive(Debug)]
struct Seat {
    daemon: Option<Daemon>,
    listen: SocketAddr,
    http: SocketAddr,
}

/// Coordinators that are one cluster.
#[derive(Debug)]
pub struct Loopback {
    /// The user of commands.
    pub operator: Operator,
    /// The disk of each coordinator, where it has one of its own.
    pub disks: Vec<Option<SmallDisk>>,
    name: &'static str,
    seats: Vec<Seat>,
    binaries: &'static Path,
    dir: tempfile::TempDir,
    /// More of `paasta-coordinator run`'s environment: the file limit, in `ulimit`'s words.
    files: Option<u64>,
    /// And how many threads its runtime has.
    workers: Option<usize>,
    pki: Option<Pki>,
    plain_http: bool,
}

/// What a test wants.
#[derive(Clone, Copy, Debug)]
pub struct LoopbackOptions<'a> {
    /// The test's own name.
    pub name: &'static str,
    /// How large the disk of each coordinator is, in MiB; 0 for none of its own.
    pub disks_mib: &'a [u64],
    /// Lines of the section `coordinator`.
    pub settings: &'a str,
    /// How many files each may have open; the limit of the test's own process if absent.
    pub files: Option<u64>,
    /// Whether they ask git what runs, every second.
    pub git: bool,
    /// How many repositories they ask at once.
    pub git_at_once: u32,
    /// How many threads the runtime of each has; as many as there are cores if absent.
    pub workers: Option<usize>,
    /// Whether everything speaks TLS: then gRPC is on every address of the machine, and so is HTTP
    /// but that of the last coordinator.
    pub tls: bool,
    /// Whether HTTP is on loopback only and in plain text, also with TLS.
    pub plain_http: bool,
    /// The timeouts of consensus.
    pub timers: Timers,
}

impl<'a> LoopbackOptions<'a> {
    /// As many coordinators as there are disks, by default.
    pub fn new(name: &'static str, disks_mib: &'a [u64]) -> Self {
        Self {
            name,
            disks_mib,
            settings: "",
            files: None,
            git: false,
            git_at_once: 16,
            workers: None,
            tls: false,
            plain_http: false,
            timers: Timers::Loaded,
        }
    }
}

impl Loopback {
    /// Starts them and makes the cluster.
    pub fn up(options: LoopbackOptions<'_>) -> Result<Self> {
        text(&mut bounded(INSTALL, root().join("deploy/demo/install.sh")))?;
        let binaries = binaries()?;
        let dir = tempfile::Builder::new()
            .prefix("paasta-loopback-")
            .tempdir()?;
        for name in ["config", "soa", "logs", "data", "images"] {
            fs::create_dir_all(dir.path().join(name))?;
        }
        let mut config = format!(
            "cluster: demo\ndocker_registry: registry.invalid:5000\nsoa_dir: {}\n\
             deployments: {{generate: {}, every_seconds: 1, at_once: {}}}\ncoordinator:\n  resync_seconds: 2\n",
            dir.path().join("soa").display(),
            options.git,
            options.git_at_once
        );
        if options.timers == Timers::Loaded {
            config.push_str(TIMERS);
        }
        for line in options.settings.lines() {
            config.push_str(&format!("  {}\n", line.trim()));
        }
        fs::write(dir.path().join("config/paasta.yaml"), config)?;
        let pki = match options.tls {
            true => Some(Pki::create(&dir.path().join("tls"), "demo")?),
            false => None,
        };
        let mut disks = Vec::new();
        let mut seats = Vec::new();
        for (at, mib) in options.disks_mib.iter().enumerate() {
            let id = at + 1;
            disks.push(match mib {
                0 => None,
                mib => Some(SmallDisk::make(
                    &dir.path().join(format!("images/{id}")),
                    &dir.path().join(format!("data/{id}")),
                    *mib,
                )?),
            });
            seats.push(Seat {
                daemon: None,
                listen: free_address()?,
                http: free_address()?,
            });
        }
        let addresses: Vec<String> = seats.iter().map(|seat| seat.listen.to_string()).collect();
        let program = binaries.join("paasta");
        let operator = Operator::new(&program, &dir.path().join("config"), &addresses);
        let mut cluster = Self {
            operator: match &pki {
                Some(pki) => operator.with(pki.files("admin/alice")?),
                None => operator,
            },
            pki,
            plain_http: options.plain_http,
            disks,
            name: options.name,
            seats,
            binaries,
            dir,
            files: options.files,
            workers: options.workers,
        };
        for id in 1..=cluster.seats.len() {
            cluster.start(id)?;
        }
        eventually(INIT, "the cluster is made", || cluster.init())?;
        Ok(cluster)
    }

    fn init(&self) -> Result<()> {
        let mut words = vec!["cluster", "init", "--cluster", "demo"];
        let seats = self.seats.iter().enumerate();
        let members: Vec<String> = seats
            .map(|(at, seat)| format!("{}={}", at + 1, seat.listen))
            .collect();
        for member in &members {
            words.extend(["--member", member]);
        }
        self.operator.succeed(&words).map(drop)
    }

    /// Starts a coordinator that does not run.
    pub fn start(&mut self, id: usize) -> Result<()> {
        let program = self.binaries.join("paasta-coordinator");
        let seat = &self.seats[id - 1];
        let mut words = vec![program.display().to_string(), "run".to_owned()];
        let data = self.dir.path().join(format!("data/{id}/store"));
        let config = match &self.pki {
            Some(pki) => self.secure(id, pki)?,
            None => self.dir.path().join("config"),
        };
        for (flag, value) in [
            ("--config-dir", config.display().to_string()),
            ("--node-id", id.to_string()),
            ("--listen", self.everywhere(seat.listen, true)),
            ("--advertise", seat.listen.to_string()),
            (
                "--http-listen",
                self.everywhere(seat.http, id < self.seats.len() && !self.plain_http),
            ),
            ("--data-dir", data.display().to_string()),
        ] {
            words.extend([flag.to_owned(), value]);
        }
        if let Some(workers) = self.workers {
            let threads = format!("TOKIO_WORKER_THREADS={workers}");
            words.splice(0..0, ["env".to_owned(), threads]);
        }
        if let Some(files) = self.files {
            let line = format!("ulimit -n {files} && exec \"$@\"");
            words.splice(
                0..0,
                ["sh".to_owned(), "-c".to_owned(), line, "sh".to_owned()],
            );
        }
        let group = format!("loopback-{}-{id}", self.name);
        let daemon = Daemon::start(&format!("coordinator {id}"), &group, &words, &self.log(id))?;
        self.seats[id - 1].daemon = Some(daemon);
        Ok(())
    }

    /// A configuration directory of its own, with its certificate.
    fn secure(&self, id: usize, pki: &Pki) -> Result<PathBuf> {
        let config = self.dir.path().join(format!("config-{id}"));
        fs::create_dir_all(&config)?;
        let common = self.dir.path().join("config/paasta.yaml");
        fs::copy(common, config.join("paasta.yaml"))?;
        let section = pki.section(&format!("coordinator/{id}"))?;
        fs::write(
            config.join("tls.yaml"),
            format!("coordinator: {{{section}}}\n"),
        )?;
        Ok(config)
    }

    /// The same port on every address, where TLS allows that.
    fn everywhere(&self, address: SocketAddr, open: bool) -> String {
        match open && self.pki.is_some() {
            true => format!("0.0.0.0:{}", address.port()),
            false => address.to_string(),
        }
    }

    /// The certificates, with TLS.
    pub fn pki(&self) -> Option<&Pki> {
        self.pki.as_ref()
    }

    /// SIGTERM, and waits.
    pub fn stop(&mut self, id: usize) -> Result<()> {
        let daemon = self.seats[id - 1].daemon.take();
        daemon.context("it does not run")?.stop(STOP).map(drop)
    }

    /// SIGKILL; returns when it is dead.
    pub fn kill(&mut self, id: usize) -> Result<()> {
        let daemon = self.seats[id - 1].daemon.take();
        daemon.context("it does not run")?.kill()
    }

    /// Waits until a coordinator ends by itself.
    pub fn ended(&mut self, id: usize, limit: Duration) -> Result<ExitStatus> {
        let mut daemon = self.seats[id - 1]
            .daemon
            .take()
            .context("it does not run")?;
        daemon.wait(limit)
    }

    /// Whether it runs.
    pub fn runs(&mut self, id: usize) -> bool {
        let daemon = self.seats[id - 1].daemon.as_mut();
        daemon.is_some_and(Daemon::is_running)
    }

    /// The process id of a coordinator that runs.
    pub fn pid(&self, id: usize) -> Result<u32> {
        let daemon = self.seats[id - 1].daemon.as_ref();
        Ok(daemon.context("it does not run")?.pid())
    }

    /// Where it listens.
    pub fn address(&self, id: usize) -> SocketAddr {
        self.seats[id - 1].listen
    }

    /// Where its HTTP API is.
    pub fn http(&self, id: usize) -> SocketAddr {
        self.seats[id - 1].http
    }

    /// The file of its log.
    pub fn log(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("logs/coordinator-{id}.log"))
    }

    /// What it has logged.
    pub fn logged(&self, id: usize) -> Result<String> {
        Ok(fs::read_to_string(self.log(id))?)
    }

    /// An operator who asks this coordinator only.
    pub fn asking(&self, id: usize) -> Operator {
        self.operator.asking(&self.address(id).to_string())
    }

    /// The leader, as the first coordinator that knows one tells.
    pub fn leader(&self, limit: Duration) -> Result<usize> {
        eventually(limit, "there is a leader", || {
            let leader = self.operator.metastatus()?.coordinators;
            let leader = leader.into_iter().find(|one| one.leader);
            Ok(usize::try_from(leader.context("none")?.id)?)
        })
    }

    /// One figure of a coordinator's metrics.
    pub fn metric(&self, id: usize, name: &str) -> Result<f64> {
        let page = crate::http::get(self.http(id), "/metrics")?;
        let line = page.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.strip_prefix(' ')
        });
        Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
    }

    /// Declares `count` instances of a service and deploys the sha of forty times `digit`.
    pub fn declare(&self, service: &str, count: usize, digit: char) -> Result<()> {
        let fields = "instances: 1, cpus: 0.1, mem: 64";
        self.declare_with(service, count, fields, digit)
    }

    /// The same, each instance with these fields.
    pub fn declare_with(
        &self,
        service: &str,
        count: usize,
        fields: &str,
        digit: char,
    ) -> Result<()> {
        let dir = self.dir.path().join("soa").join(service);
        fs::create_dir_all(&dir)?;
        let (mut yaml, mut v1) = (String::from("---\n"), serde_json::Map::new());
        let sha: String = std::iter::repeat_n(digit, 40).collect();
        for number in 0..count {
            yaml.push_str(&format!("i{number}: {{{fields}}}\n"));
            let entry = serde_json::json!({
                "docker_image": format!("services-{service}:paasta-{sha}"),
                "desired_state": "start", "force_bounce": null,
            });
            v1.insert(format!("{service}:paasta-demo.i{number}"), entry);
        }
        replace(&dir.join("marathon-demo.yaml"), &yaml)?;
        let text = serde_json::json!({ "v1": v1 }).to_string();
        replace(&dir.join("deployments.json"), &text)
    }

    /// Declares the instance `main` of a service whose versions are in this repository.
    pub fn follow(&self, service: &str, repository: &Path) -> Result<()> {
        self.follow_url(service, &repository.display().to_string())
    }

    /// The same, of a repository with this URL.
    pub fn follow_url(&self, service: &str, url: &str) -> Result<()> {
        let dir = self.dir.path().join("soa").join(service);
        fs::create_dir_all(&dir)?;
        let url = format!("git_url: {url}\n");
        replace(&dir.join("service.yaml"), &url)?;
        let yaml = "main: {instances: 1, cpus: 0.1, mem: 64, deploy_group: demo.everything}\n";
        replace(&dir.join("marathon-demo.yaml"), yaml)
    }
}

fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

impl Drop for Loopback {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for id in 1..=self.seats.len() {
                let log = crate::cluster::daemon::tail(&self.log(id));
                // There is nowhere left to say that standard error is gone.
                let _ = std::io::Write::write_all(&mut std::io::stderr(), log.as_bytes());
            }
        }
        // Processes before the disks they are on.
        for seat in &mut self.seats {
            seat.daemon = None;
        }
    }
}
