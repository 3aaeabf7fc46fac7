//! `extra_docker_args`: those of Docker's own arguments that an author may set. The rest is
//! refused, as it could make the container privileged or hand it its host.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    app::DockerArgs,
    problem::{Rule, quoted},
    soa::{
        node::{Node, Value},
        table::Record,
    },
    typo,
};

/// All that may be set, by Docker's names.
const ALLOWED: [&str; 9] = [
    "add-host",
    "dns",
    "dns-option",
    "dns-search",
    "label",
    "read-only",
    "shm-size",
    "stop-signal",
    "user",
];
/// What has a field of its own, under Docker's names, long and short.
const FIELDS: [(&[&str], &str); 10] = [
    (&["volume", "v", "mount"], "extra_volumes"),
    (&["env", "e", "env-file"], "env"),
    (&["cpu-shares", "c", "cpus"], "cpus"),
    (&["cpu-quota"], "cpu_burst_add"),
    (&["cpu-period"], "cfs_period_us"),
    (&["memory", "m", "memory-swap"], "mem"),
    (&["publish", "p"], "container_port and host_port"),
    (&["network", "net"], "net"),
    (&["cap-add", "ulimit"], "cap_add and ulimit"),
    (&["entrypoint"], "cmd"),
];
/// Signals by which programs are asked to end.
const SIGNALS: [&str; 7] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH",
];
/// How many values one argument may have.
const VALUES_MAX: usize = 64;
/// The longest value, bytes.
const VALUE_MAX: usize = 1_024;

/// Takes the arguments; each may be one value or a list of them.
pub(super) fn docker_args(fields: &mut Record<'_, '_>) -> DockerArgs {
    let mut args = DockerArgs::default();
    for (name, node) in fields.entries("extra_docker_args") {
        // Marathon's parameters are written without the dashes; who copies a command line may not
        // know.
        let name = name.trim_start_matches('-');
        let taken = match (&node.value, name) {
            (Value::Null, _) => Ok(()),
            (_, name) if !ALLOWED.contains(&name) => Err(refusal(name)),
            (Value::Bool(value), "read-only") => {
                args.read_only = *value;
                Ok(())
            }
            _ => texts(node).and_then(|texts| {
                texts
                    .into_iter()
                    .try_for_each(|text| take(&mut args, name, text))
            }),
        };
        if let Err(message) = taken {
            let key = format!("extra_docker_args.{name}");
            fields.error(&key, &node.mark, Rule::Forbidden, message);
        }
    }
    args
}

fn refusal(name: &str) -> String {
    let own = FIELDS.iter().find(|(names, _)| names.contains(&name));
    if let Some((_, field)) = own {
        return format!("has a field of its own: use {field}");
    }
    let allowed = ALLOWED.join(", ");
    let near = typo::did_you_mean(name, ALLOWED);
    format!("is refused, as it could make the container privileged; allowed are {allowed}{near}")
}

/// One value or a list of them; numbers count as text, as on a command line.
fn texts(node: &Node) -> Result<Vec<String>, String> {
    let items = match &node.value {
        Value::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    if items.len() > VALUES_MAX {
        return Err(format!("has {} values; at most {VALUES_MAX}", items.len()));
    }
    let text = |node: &&Node| match &node.value {
        Value::Text(text) if text.len() <= VALUE_MAX && !text.chars().any(char::is_control) => {
            Ok(text.clone())
        }
        Value::Int(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(format!(
            "expected text of at most {VALUE_MAX} bytes in one line, or a list of them, found {}",
            node.describe()
        )),
    };
    items.iter().map(text).collect()
}

fn take(args: &mut DockerArgs, name: &str, text: String) -> Result<(), String> {
    let shown = text.clone();
    let expected = |what: &str| Err(format!("expected {what}, found {}", quoted(&shown)));
    match name {
        "add-host" => match text.split_once(':') {
            Some((host, address)) if is_name(host) && address.parse::<IpAddr>().is_ok() => {
                args.add_hosts.push(text);
            }
            _ => return expected("NAME:ADDRESS, a host name and an IP address"),
        },
        "dns" if text.parse::<IpAddr>().is_ok() => args.dns.push(text),
        "dns" => return expected("the IP address of a name server"),
        "dns-option" if text.chars().all(|c| c.is_ascii_graphic()) && !text.is_empty() => {
            args.dns_options.push(text);
        }
        "dns-option" => return expected("an option of resolv.conf such as ndots:2"),
        "dns-search" if is_name(&text) || text == "." => args.dns_search.push(text),
        "dns-search" => return expected("a domain"),
        "label" => label(&mut args.labels, &text)?,
        "read-only" => match text.as_str() {
            "true" => args.read_only = true,
            "false" => args.read_only = false,
            _ => return expected("true or false"),
        },
        "shm-size" => match bytes(&text) {
            Some(bytes) => args.shm_bytes = bytes,
            None => return expected("a size such as 128m (b, k, m or g)"),
        },
        "stop-signal" if SIGNALS.contains(&text.as_str()) => args.stop_signal = Some(text),
        "stop-signal" => return expected(&format!("one of {}", SIGNALS.join(", "))),
        _ if is_user(&text) => args.user = Some(text),
        _ => return expected("USER or USER:GROUP, names or numbers"),
    }
    Ok(())
}

fn label(labels: &mut BTreeMap<String, String>, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let graphic = name.chars().all(|c| c.is_ascii_graphic());
    match name {
        "" => Err(format!("expected NAME=VALUE, found {}", quoted(text))),
        name if !graphic => Err(format!("{} is no name of a label", quoted(name))),
        name if name.starts_with("paasta_") => Err(format!(
            "{}: labels that begin with paasta_ are paasta's",
            quoted(name)
        )),
        name => {
            labels.insert(name.to_owned(), value.to_owned());
            Ok(())
        }
    }
}

fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && !text.starts_with('-') && text.chars().all(fine)
}

fn is_user(text: &str) -> bool {
    match text.split_once(':') {
        Some((user, group)) => is_name(user) && is_name(group),
        None => is_name(text),
    }
}

/// As Docker reads a size; nothing is no size.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, unit) = match lower.chars().last()? {
        'k' => (&lower[..lower.len() - 1], 1 << 10),
        'm' => (&lower[..lower.len() - 1], 1 << 20),
        'g' => (&lower[..lower.len() - 1], 1 << 30),
        _ => (lower, 1),
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        problem::Problem,
        soa::{marathon::INSTANCE, yaml},
    };

    fn decoded(text: &str) -> (DockerArgs, Vec<String>) {
        let text = format!("extra_docker_args: {text}\n");
        let node = yaml::parse("f", &text).unwrap();
        let mut problems: Vec<Problem> = Vec::new();
        let map = node.as_map().unwrap();
        let mut record = Record::open(map, &INSTANCE, "main", &node.mark, &mut problems);
        let args = docker_args(&mut record);
        (args, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_gives_no_rights_is_taken() {
        let (args, problems) = decoded(
            "{dns: [10.0.0.2, '::1'], dns-search: example.com, dns-option: 'ndots:1', \
             add-host: 'db:10.0.0.9', label: [team=a, plain], read-only: true, shm-size: 128m, \
             stop-signal: SIGQUIT, --user: 'nobody:1000'}",
        );
        assert_eq!(problems, Vec::<String>::new());
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let expected = DockerArgs {
            add_hosts: words(&["db:10.0.0.9"]),
            dns: words(&["10.0.0.2", "::1"]),
            dns_options: words(&["ndots:1"]),
            dns_search: words(&["example.com"]),
            labels: BTreeMap::from([
                ("team".to_owned(), "a".to_owned()),
                ("plain".to_owned(), String::new()),
            ]),
            read_only: true,
            shm_bytes: 128 << 20,
            stop_signal: Some("SIGQUIT".to_owned()),
            user: Some("nobody:1000".to_owned()),
        };
        assert_eq!(args, expected);
        assert!(decoded("{}").0.is_empty() && decoded("null").0.is_empty());
    }

    #[test]
    fn what_gives_rights_or_is_nonsense_is_refused_and_named() {
        for (text, field, words) in [
            (
                "{privileged: true}",
                "privileged",
                "could make the container privileged",
            ),
            (
                "{security-opt: apparmor=unconfined}",
                "security-opt",
                "allowed are add-host",
            ),
            ("{pid: host}", "pid", "is refused"),
            ("{device: /dev/sda}", "device", "is refused"),
            ("{cgroup-parent: /}", "cgroup-parent", "is refused"),
            ("{runtime: x}", "runtime", "is refused"),
            ("{v: '/:/host'}", "v", "use extra_volumes"),
            ("{cap-add: ALL}", "cap-add", "use cap_add"),
            ("{net: host}", "net", "use net"),
            ("{dsn: 10.0.0.1}", "dsn", "did you mean"),
            ("{dns: example.com}", "dns", "IP address"),
            ("{add-host: db}", "add-host", "NAME:ADDRESS"),
            ("{label: paasta_host=x}", "label", "paasta's"),
            ("{read-only: maybe}", "read-only", "true or false"),
            ("{shm-size: 0}", "shm-size", "128m"),
            ("{stop-signal: SIGKILL}", "stop-signal", "SIGTERM"),
            ("{user: '-x'}", "user", "USER:GROUP"),
            ("{user: {a: b}}", "user", "expected text"),
            ("[--privileged]", "extra_docker_args", "expected a map"),
        ] {
            let (args, problems) = decoded(text);
            assert!(args.is_empty(), "{text}");
            let one = problems.first().map(String::as_str).unwrap_or_default();
            assert!(
                problems.len() == 1 && one.contains(field) && one.contains(words),
                "{text}: {problems:?}"
            );
        }
    }
}
