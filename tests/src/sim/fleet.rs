//! What the users of a simulated cluster want: services with their instances, and the soa directory
//! that says so. Files are replaced whole, and their times follow virtual time: a look at the
//! directory must not depend on how fast this machine is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use paasta_common::{id::InstanceId, spec::BounceMethod};
use rand::{RngExt, rngs::StdRng};

/// The cluster's name.
pub(crate) const CLUSTER: &str = "sim";

/// How the containers of a version behave. It is the first digit of the version's git sha.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    /// Well.
    Good,
    /// It runs, and its health check fails.
    Unhealthy,
    /// It ends soon after it began.
    Crashing,
    /// The registry does not have its image.
    NoImage,
}

impl Quality {
    /// What the image's tag says.
    pub(crate) fn of_image(image: &str) -> Self {
        match image.rsplit_once(":paasta-").map(|(_, sha)| sha.as_bytes()) {
            Some([b'b', ..]) => Self::Unhealthy,
            Some([b'c', ..]) => Self::Crashing,
            Some([b'd', ..]) => Self::NoImage,
            _ => Self::Good,
        }
    }

    fn digit(self) -> char {
        match self {
            Self::Good => 'a',
            Self::Unhealthy => 'b',
            Self::Crashing => 'c',
            Self::NoImage => 'd',
        }
    }
}

/// One instance, as wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) method: BounceMethod,
    pub(crate) instances: u32,
    margin_percent: u32,
    drain_ms: u64,
    constraints: &'static str,
    cpus: f64,
    mem_mb: u32,
    host_port: u16,
    uptime_s: u32,
    checked: bool,
    on_deadline: &'static str,
    deadline_s: u32,
    pub(crate) version: (u32, Quality),
    pub(crate) stopped: bool,
    pub(crate) declared: bool,
}

/// Everything that is wanted.
pub(crate) struct Fleet {
    dir: PathBuf,
    pub(crate) instances: BTreeMap<InstanceId, Wanted>,
    /// Services whose file is broken now, and how.
    pub(crate) broken: BTreeMap<String, Broken>,
    /// Services whose files are not what they should be, and are left so.
    away: BTreeSet<String>,
    stamp: u64,
    versions: u32,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It is no YAML at all.
    Syntax,
    /// The first instance of the service asks for something that makes no sense.
    Field,
}

impl Fleet {
    /// Draws the services and writes them; `room` is about how many replicas the hosts hold.
    pub(crate) fn draw(dir: PathBuf, chance: &mut StdRng, room: u32) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut fleet = Self {
            dir,
            instances: BTreeMap::new(),
            broken: BTreeMap::new(),
            away: BTreeSet::new(),
            stamp: 0,
            versions: 0,
        };
        let services = chance.random_range(2..=4);
        for service in 0..services {
            for instance in 0..chance.random_range(1..=3) {
                let id = format!("svc{service}.{}", ["main", "web", "batch"][instance]);
                let id: InstanceId = id.parse().map_err(io::Error::other)?;
                let wanted = Wanted::draw(chance, room / (services * 2));
                fleet.instances.insert(id.clone(), wanted);
                fleet.deploy(&id, Quality::Good);
            }
        }
        fleet.write()?;
        Ok(fleet)
    }

    /// Wants another version of the instance; [`Self::write`] says so to the cluster.
    pub(crate) fn deploy(&mut self, id: &InstanceId, quality: Quality) {
        self.versions += 1;
        if let Some(wanted) = self.instances.get_mut(id) {
            wanted.version = (self.versions, quality);
        }
    }

    /// Whether the instance's own last good version must stay: its file cannot be understood. A bad
    /// field goes away together with the declaration that it is in.
    pub(crate) fn is_hurt(&self, id: &InstanceId) -> bool {
        let mut of_service = self.instances.iter();
        let first = of_service.find(|(one, _)| one.service == id.service);
        match self.broken.get(id.service.as_str()) {
            None => false,
            Some(Broken::Syntax) => true,
            Some(Broken::Field) => first.is_some_and(|(one, wanted)| one == id && wanted.declared),
        }
    }

    /// Writes everything that is wanted into the soa directory.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let mut services: BTreeMap<&str, Vec<(&InstanceId, &Wanted)>> = BTreeMap::new();
        for (id, wanted) in &self.instances {
            services
                .entry(id.service.as_str())
                .or_default()
                .push((id, wanted));
        }
        let mut files = Vec::new();
        for (service, instances) in services {
            if self.away.contains(service) {
                continue;
            }
            let dir = self.dir.join(service);
            let broken = self.broken.get(service).copied();
            files.push((
                dir.join(format!("marathon-{CLUSTER}.yaml")),
                declared(&instances, broken),
            ));
            files.push((dir.join("deployments.json"), deployed(service, &instances)));
            let namespaces = namespaces(&instances);
            if !namespaces.is_empty() {
                files.push((dir.join("smartstack.yaml"), namespaces));
            }
        }
        for (path, text) in files {
            self.replace(&path, &text)?;
        }
        Ok(())
    }

    /// The services, by name.
    pub(crate) fn services(&self) -> Vec<String> {
        let names = self.instances.keys().map(|id| id.service.to_string());
        let names: BTreeSet<String> = names.collect();
        names.into_iter().collect()
    }

    /// Cuts the file of a service off in place, at so many percent, until it is restored. False
    /// when something is wrong with it already.
    pub(crate) fn tear(&mut self, service: &str, percent: usize) -> io::Result<bool> {
        if self.broken.contains_key(service) || self.away.contains(service) {
            return Ok(false);
        }
        let path = self
            .dir
            .join(service)
            .join(format!("marathon-{CLUSTER}.yaml"));
        let text = fs::read_to_string(&path)?;
        fs::write(&path, &text[..text.len() * percent / 100])?;
        self.stamp(&path)?;
        self.away.insert(service.to_owned());
        Ok(true)
    }

    /// Takes the directory of a service away until it is restored.
    pub(crate) fn take_away(&mut self, service: &str) -> io::Result<()> {
        self.away.insert(service.to_owned());
        let gone = fs::remove_dir_all(self.dir.join(service));
        gone.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }

    /// Writes what the files of a service should say.
    pub(crate) fn restore(&mut self, service: &str) -> io::Result<()> {
        self.away.remove(service);
        self.write()
    }

    /// Gives a file a time that no other file has.
    fn stamp(&mut self, path: &Path) -> io::Result<()> {
        self.stamp += 1;
        let file = File::options().write(true).open(path)?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(self.stamp))
    }

    fn replace(&mut self, path: &Path, text: &str) -> io::Result<()> {
        if fs::read_to_string(path).is_ok_and(|held| held == text) {
            return Ok(());
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let new = self.dir.with_extension("new");
        fs::write(&new, text)?;
        self.stamp(&new)?;
        fs::rename(&new, path)
    }
}

impl Wanted {
    fn draw(chance: &mut StdRng, most: u32) -> Self {
        use BounceMethod::{Brutal, Crossover, DownThenUp, UpThenDown};
        let methods = [Crossover, Crossover, UpThenDown, DownThenUp, Brutal];
        let constraints = [
            "[]",
            "[]",
            "[[hostname, UNIQUE]]",
            "[[region, LIKE, east]]",
            "[[region, UNLIKE, east]]",
            "[[region, GROUP_BY]]",
            "[[hostname, MAX_PER, 2]]",
        ];
        Self {
            method: methods[chance.random_range(0..methods.len())],
            instances: chance.random_range(1..=most.clamp(1, 8)),
            margin_percent: [100, 100, 50][chance.random_range(0..3)],
            drain_ms: [0, 0, 500, 3_000][chance.random_range(0..4)],
            constraints: constraints[chance.random_range(0..constraints.len())],
            cpus: [0.1, 0.25, 0.5][chance.random_range(0..3)],
            mem_mb: [64, 128, 256][chance.random_range(0..3)],
            host_port: if chance.random_ratio(1, 8) {
                chance.random_range(9_000..9_004)
            } else {
                0
            },
            uptime_s: [0, 0, 1, 3][chance.random_range(0..4)],
            checked: chance.random_ratio(3, 4),
            on_deadline: ["go_on", "hold", "rollback"][chance.random_range(0..3)],
            deadline_s: chance.random_range(8..=20),
            version: (0, Quality::Good),
            stopped: false,
            declared: true,
        }
    }

    fn yaml(&self, id: &InstanceId, hurt: bool) -> String {
        let mut text = format!("{}:\n", id.instance);
        let mut line = |text_of: std::fmt::Arguments<'_>| {
            writeln!(text, "  {text_of}").expect("text takes any text");
        };
        line(format_args!("instances: {}", self.instances));
        let cpus = if hurt { -1.0 } else { self.cpus };
        line(format_args!("cpus: {cpus}"));
        line(format_args!("mem: {}", self.mem_mb));
        line(format_args!("disk: 10"));
        line(format_args!("bounce_method: {}", self.method));
        line(format_args!(
            "bounce_margin_factor: {}",
            f64::from(self.margin_percent) / 100.0
        ));
        line(format_args!("bounce_on_deadline: {}", self.on_deadline));
        line(format_args!(
            "bounce_progress_deadline: {}",
            self.deadline_s
        ));
        line(format_args!(
            "bounce_health_params: {{min_task_uptime: {}, check_haproxy: {}}}",
            self.uptime_s,
            self.is_proxied(id)
        ));
        line(format_args!("constraints: {}", self.constraints));
        line(format_args!("host_port: {}", self.host_port));
        line(format_args!("max_launch_delay_seconds: 4"));
        if self.drain_ms > 0 {
            line(format_args!("drain_method: test"));
            let delay = self.drain_ms as f64 / 1_000.0;
            line(format_args!("drain_method_params: {{delay: {delay}}}"));
            line(format_args!("drain_timeout: 8"));
        } else if self.is_proxied(id) {
            line(format_args!("drain_method: noop"));
            line(format_args!("drain_timeout: 8"));
        }
        if self.checked {
            line(format_args!("healthcheck_mode: cmd"));
            line(format_args!("healthcheck_cmd: 'true'"));
            line(format_args!("healthcheck_grace_period_seconds: 1"));
            line(format_args!("healthcheck_interval_seconds: 1"));
            line(format_args!("healthcheck_timeout_seconds: 1"));
            line(format_args!("healthcheck_max_consecutive_failures: 5"));
        }
        text
    }

    /// Whether it is load balanced: half of the services, where a command checks their health.
    fn is_proxied(&self, id: &InstanceId) -> bool {
        self.checked && id.service.as_str().ends_with(['0', '2'])
    }

    /// The git sha of the version that is wanted.
    pub(crate) fn sha(&self) -> String {
        let (number, quality) = self.version;
        format!("{}{number:07x}{}", quality.digit(), "0".repeat(32))
    }
}

fn declared(instances: &[(&InstanceId, &Wanted)], broken: Option<Broken>) -> String {
    if broken == Some(Broken::Syntax) {
        return "main: {instances: [\n".to_owned();
    }
    let mut text = String::from("---\n");
    for (at, (id, wanted)) in instances.iter().enumerate() {
        if wanted.declared {
            text.push_str(&wanted.yaml(id, at == 0 && broken == Some(Broken::Field)));
        }
    }
    if text.len() == 4 {
        text.push_str("{}\n");
    }
    text
}

/// The smartstack.yaml of a service; empty when none of it is load balanced.
fn namespaces(instances: &[(&InstanceId, &Wanted)]) -> String {
    let proxied = instances
        .iter()
        .filter(|(id, wanted)| wanted.is_proxied(id));
    let ports = proxied.zip(20_001..);
    ports
        .map(|((id, _), port)| format!("{}: {{proxy_port: {port}, mode: tcp}}\n", id.instance))
        .collect()
}

fn deployed(service: &str, instances: &[(&InstanceId, &Wanted)]) -> String {
    let entries = instances.iter().map(|(id, wanted)| {
        let key = format!("{service}:paasta-{CLUSTER}.{}", id.instance);
        let entry = serde_json::json!({
            "docker_image": format!("services-{service}:paasta-{}", wanted.sha()),
            "desired_state": if wanted.stopped { "stop" } else { "start" },
            "force_bounce": null,
        });
        (key, entry)
    });
    let v1: serde_json::Map<String, serde_json::Value> = entries.collect();
    serde_json::json!({ "v1": v1 }).to_string()
}
