//! The same container by hand: what would have to be typed for Docker's own client to make what
//! the agent asks the engine for. A test makes a container both ways and compares them.

use paasta_common::{app::NetworkMode, container::ContainerSpec};

/// `docker run`, the flags, the image and its arguments, each word by itself: nothing of it is
/// meant for a shell. The container stays in the foreground and is kept when it ends.
pub fn docker_run(spec: &ContainerSpec) -> Vec<String> {
    let mut words = vec!["docker".to_owned(), "run".to_owned()];
    words.extend(flags(spec));
    words.push(spec.image.clone());
    words.extend(arguments(spec));
    words
}

/// The flags alone, for who has more of them to add.
pub fn flags(spec: &ContainerSpec) -> Vec<String> {
    let mut flags = Flags(Vec::new());
    flags.add("name", &spec.name);
    flags.all("hostname", &spec.hostname);
    flags.all("entrypoint", spec.entrypoint.first());
    flags.add("workdir", &spec.working_dir);
    let pairs = |(name, value): (&String, &String)| format!("{name}={value}");
    flags.all("env", spec.env.iter().map(pairs));
    flags.all("label", spec.labels.iter().map(pairs));
    flags.add("restart", "no");
    flags.alone("init");
    flags.add("stop-timeout", spec.stop_grace_ms.div_ceil(1000));
    resources(spec, &mut flags);
    network(spec, &mut flags);
    flags.all("volume", spec.mounts.iter().map(bind));
    rights(spec, &mut flags);
    flags.add("log-driver", "json-file");
    flags.add("log-opt", format!("max-size={}", spec.log_max_bytes));
    flags.add("log-opt", format!("max-file={}", spec.log_max_files));
    flags.0
}

/// What follows the image.
pub fn arguments(spec: &ContainerSpec) -> Vec<String> {
    // The flag takes the first word of an entrypoint only.
    let rest = spec.entrypoint.iter().skip(1);
    rest.chain(&spec.command).cloned().collect()
}

/// `HOST:CONTAINER:ro`, as the engine takes it too.
pub fn bind(volume: &paasta_common::app::Volume) -> String {
    let mode = if volume.read_only { "ro" } else { "rw" };
    format!("{}:{}:{mode}", volume.host_path, volume.container_path)
}

/// What the engine calls the network.
pub fn network_name(mode: &NetworkMode) -> &str {
    match mode {
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
        NetworkMode::Named(name) => name,
    }
}

fn resources(spec: &ContainerSpec, flags: &mut Flags) {
    flags.add("cpu-shares", spec.cpu_shares);
    flags.add("cpu-period", spec.cpu_period_us);
    flags.add("cpu-quota", spec.cpu_quota_us);
    flags.limit("memory", spec.memory_bytes);
    flags.limit("memory-swap", spec.memory_swap_bytes);
    flags.limit("pids-limit", spec.pids_limit);
    flags.limit("shm-size", spec.docker.shm_bytes);
    if spec.disk_limit_mb > 0 {
        flags.add("storage-opt", format!("size={}m", spec.disk_limit_mb));
    }
    flags.limit("gpus", spec.gpus);
    for (name, limit) in &spec.ulimits {
        let hard = limit.hard.unwrap_or(limit.soft);
        flags.add("ulimit", format!("{name}={}:{hard}", limit.soft));
    }
}

fn network(spec: &ContainerSpec, flags: &mut Flags) {
    flags.add("network", network_name(&spec.network));
    let ports = spec.ports.iter();
    let ports = ports.map(|port| format!("{}:{}/tcp", port.host_port, port.container_port));
    flags.all("publish", ports);
    flags.all("add-host", &spec.docker.add_hosts);
    flags.all("dns", &spec.docker.dns);
    flags.all("dns-option", &spec.docker.dns_options);
    flags.all("dns-search", &spec.docker.dns_search);
}

fn rights(spec: &ContainerSpec, flags: &mut Flags) {
    flags.all("cap-add", &spec.cap_add);
    flags.all("cap-drop", &spec.cap_drop);
    if !spec.new_privileges {
        flags.add("security-opt", "no-new-privileges");
    }
    if spec.docker.read_only {
        flags.alone("read-only");
    }
    flags.all("user", &spec.docker.user);
    flags.all("stop-signal", &spec.docker.stop_signal);
}

struct Flags(Vec<String>);

impl Flags {
    /// In one word, so that a value that begins with `-` is no flag.
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push(format!("--{name}={value}"));
    }

    fn alone(&mut self, name: &str) {
        self.0.push(format!("--{name}"));
    }

    fn limit(&mut self, name: &str, value: u64) {
        if value > 0 {
            self.add(name, value);
        }
    }

    fn all<T: std::fmt::Display>(&mut self, name: &str, values: impl IntoIterator<Item = T>) {
        for value in values {
            self.add(name, value);
        }
    }
}

#[cfg(test)]
mod tests;
