//! The identity of an app: its id says the version of the code and of the configuration, so that
//! any difference that containers could notice is a different app, and nothing else is.
//!
//! The configuration part is PaaSTA's: the MD5 of the Python-style JSON of a Marathon-shaped
//! description, followed by the restart marker. How many replicas there are, how they bounce and
//! how they drain is not in it.

use md5::{Digest, Md5};
use serde_json::{Value as Json, json};

use crate::{
    app::{AppSpec, Constraint, DockerArgs, HealthCheck, NetworkMode, Operator, Probe},
    id::{AppId, IdError, InstanceId},
};

/// Memory a container may swap beyond its limit, in MiB: part of PaaSTA's Docker parameters.
pub const SWAP_ABOVE_LIMIT_MB: u64 = 64;

/// The id of `app` as a version of `instance`, restarted by `force_bounce`.
///
/// # Errors
/// [`IdError`] when the image's tag names no git sha of at least eight lower-case hex digits.
pub fn compute(
    instance: &InstanceId,
    app: &AppSpec,
    force_bounce: Option<&str>,
) -> Result<AppId, IdError> {
    let config = config_hash(&description(app), force_bounce);
    AppId::compose(instance, git_part(&app.image), &config)
}

/// The id under which `app` runs once more, so that every replica is replaced though nothing
/// differs; another `marker` gives another id.
///
/// # Errors
/// [`IdError`] when `app` was not composed of a git sha and a configuration hash.
pub fn once_more(app: &AppId, marker: &str) -> Result<AppId, IdError> {
    let digest = Md5::digest(format!("{app} {marker}"));
    AppId::compose(&app.instance(), app.git(), &first_digits(&digest))
}

/// The first eight characters after the last `-` of the image's last path segment.
pub fn git_part(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let sha = name.rsplit('-').next().unwrap_or(name);
    sha.get(..8).unwrap_or(sha)
}

/// The first eight hex digits of the MD5 of the Python-style JSON with `force_bounce` behind it.
pub fn config_hash(description: &Json, force_bounce: Option<&str>) -> String {
    let mut text = python_json(description);
    text.push_str(force_bounce.unwrap_or_default());
    first_digits(&Md5::digest(text.as_bytes()))
}

/// Of a digest, the first eight hex digits.
fn first_digits(digest: &[u8]) -> String {
    let bytes = digest.iter().take(4);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// JSON as Python's `json.dumps(value, sort_keys=True)` writes it: blanks after `,` and `:`,
/// everything outside of ASCII escaped, floats in Python's notation.
pub fn python_json(value: &Json) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => write_float(value, out),
            _ => out.push_str(&number.to_string()),
        },
        Json::String(text) => write_text(text, out),
        Json::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(map) => {
            // Sorted here: whether the map keeps an order of its own is for other crates to say.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (n, (key, item)) in entries.into_iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                write_text(key, out);
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Python's `repr` of a double: the shortest digits that read back, with an exponent below 1e-4
/// and from 1e16.
fn write_float(value: f64, out: &mut String) {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if value == 0.0 || (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("{digits}e{sign}{:02}", exponent.abs()));
    }
}

/// What a container is made of, in the shape in which Marathon was told it. Every field of the
/// app is in it but the full git sha, which the image names.
fn description(app: &AppSpec) -> Json {
    let mut description = json!({
        "container": {
            "type": "DOCKER",
            "docker": docker(app),
            "volumes": app.volumes.iter().map(|volume| json!({
                "containerPath": volume.container_path,
                "hostPath": volume.host_path,
                "mode": if volume.read_only { "RO" } else { "RW" },
            })).collect::<Vec<_>>(),
        },
        "env": app.env,
        "cpus": thousandths(app.resources.cpus_milli),
        "mem": app.resources.mem_mb,
        "disk": app.resources.disk_mb,
        "constraints": constraints(app),
        "backoff_factor": app.backoff_factor,
        "max_launch_delay_seconds": thousandths(app.backoff_max_ms),
        "health_checks": app.health.iter().map(health).collect::<Vec<_>>(),
        "args": app.args,
    });
    if app.resources.gpus > 0 {
        description["gpus"] = json!(app.resources.gpus);
    }
    if let Some(cmd) = &app.cmd {
        description["cmd"] = json!(cmd);
    }
    description
}

fn docker(app: &AppSpec) -> Json {
    let network = match &app.net {
        NetworkMode::Bridge => "BRIDGE",
        NetworkMode::Host => "HOST",
        NetworkMode::None => "NONE",
        NetworkMode::Named(name) => name,
    };
    json!({
        "image": app.image,
        "network": network,
        "portMappings": [{
            "containerPort": app.container_port,
            "hostPort": app.host_port,
            "protocol": "tcp",
        }],
        "parameters": parameters(app),
    })
}

/// The Docker parameters, as `[{key, value}]`. The labels are left out, as in PaaSTA.
fn parameters(app: &AppSpec) -> Vec<Json> {
    let period = u64::from(app.cfs_period_us);
    let cores = app.resources.cpus_milli + u64::from(app.cpu_burst_milli);
    let swap = app.resources.mem_mb.saturating_add(SWAP_ABOVE_LIMIT_MB);
    let mut parameters = vec![
        ("memory-swap", format!("{swap}m")),
        ("cpu-period", period.to_string()),
        (
            "cpu-quota",
            (cores.saturating_mul(period) / 1000).to_string(),
        ),
        // Beside the quota, since the quota rounds.
        ("cpu-burst", app.cpu_burst_milli.to_string()),
    ];
    for (name, limit) in &app.ulimits {
        let hard = limit
            .hard
            .map(|hard| format!(":{hard}"))
            .unwrap_or_default();
        parameters.push(("ulimit", format!("{name}={}{hard}", limit.soft)));
    }
    for capability in &app.cap_add {
        parameters.push(("cap-add", capability.clone()));
    }
    parameters.extend(extra(&app.docker));
    parameters
        .into_iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect()
}

/// `extra_docker_args`, by Docker's names. Without them nothing: ids stay as they were.
fn extra(args: &DockerArgs) -> Vec<(&'static str, String)> {
    let lists = [
        ("add-host", &args.add_hosts),
        ("dns", &args.dns),
        ("dns-option", &args.dns_options),
        ("dns-search", &args.dns_search),
    ];
    let mut parameters = Vec::new();
    for (key, values) in lists {
        parameters.extend(values.iter().map(|value| (key, value.clone())));
    }
    for (name, value) in &args.labels {
        parameters.push(("label", format!("{name}={value}")));
    }
    if args.read_only {
        parameters.push(("read-only", "true".to_owned()));
    }
    if args.shm_bytes > 0 {
        parameters.push(("shm-size", args.shm_bytes.to_string()));
    }
    for (key, value) in [("stop-signal", &args.stop_signal), ("user", &args.user)] {
        parameters.extend(value.iter().map(|value| (key, value.clone())));
    }
    parameters
}

/// The pool stands among the constraints, where PaaSTA puts it.
fn constraints(app: &AppSpec) -> Vec<Json> {
    let own = app.constraints.iter().map(constraint);
    own.chain([json!(["pool", "LIKE", app.pool])]).collect()
}

fn constraint(constraint: &Constraint) -> Json {
    let operator = match constraint.operator {
        Operator::Unique => "UNIQUE",
        Operator::Cluster => "CLUSTER",
        Operator::GroupBy => "GROUP_BY",
        Operator::Like => "LIKE",
        Operator::Unlike => "UNLIKE",
        Operator::MaxPer => "MAX_PER",
    };
    let words = [Some(constraint.attribute.as_str()), Some(operator)];
    let words = words.into_iter().chain([constraint.value.as_deref()]);
    words.flatten().collect()
}

fn health(check: &HealthCheck) -> Json {
    let mut description = match &check.probe {
        Probe::Http { uri } => json!({"protocol": "HTTP", "path": uri}),
        Probe::Https { uri } => json!({"protocol": "HTTPS", "path": uri}),
        Probe::Tcp => json!({"protocol": "TCP"}),
        Probe::Cmd { command } => json!({"protocol": "COMMAND", "command": {"value": command}}),
    };
    description["gracePeriodSeconds"] = thousandths(check.grace_ms);
    description["intervalSeconds"] = thousandths(check.interval_ms);
    description["timeoutSeconds"] = thousandths(check.timeout_ms);
    description["maxConsecutiveFailures"] = json!(check.max_consecutive_failures);
    description
}

/// A number kept in thousandths, as it was written: whole when it is whole.
fn thousandths(value: u64) -> Json {
    match value % 1000 {
        0 => json!(value / 1000),
        _ => json!(value as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests;
