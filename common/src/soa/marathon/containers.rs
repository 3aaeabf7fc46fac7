//! Fields that shape the container: command, environment, network, mounts, limits.

use std::collections::BTreeMap;

use super::ExtraVolume;
use crate::{
    app::{NetworkMode, Ulimit, Volume},
    container::CAP_DROP,
    soa::{
        decode::{Fields, Range},
        node::{Mark, Value},
    },
    typo,
};

/// `cmd` and `args`, which exclude each other.
pub(super) fn command(fields: &mut Fields<'_, '_>) -> (Option<String>, Vec<String>) {
    let cmd = fields.text("cmd");
    let args = fields.texts("args");
    if let (Some(_), Some(_), Some(node)) = (&cmd, &args, fields.node("args")) {
        let message = "cmd and args exclude each other: keep one of them";
        fields.error("args", &node.mark, message);
    }
    (cmd, args.unwrap_or_default())
}

/// `env`: names by the rule of shells, values always text.
pub(super) fn environment(fields: &mut Fields<'_, '_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(fields) = &mut fields.map("env") else {
        return env;
    };
    for (name, entry) in &fields.raw().entries {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let later = |c: char| first(c) || c.is_ascii_digit();
        if !name.starts_with(first) || !name.chars().all(later) {
            let rule = "use letters, digits and '_' for a variable's name, and begin with no digit";
            fields.error(name, &entry.key, rule);
        }
        match &entry.node.value {
            Value::Text(text) if text.contains('\0') => {
                fields.error(name, &entry.node.mark, "must not hold a zero byte");
            }
            Value::Text(text) => {
                if is_secret(text) {
                    let message = "secrets are not decrypted: the container sees this very text";
                    fields.warn(name, &entry.node.mark, message);
                }
                env.insert(name.clone(), text.clone());
            }
            _ => {
                let found = entry.node.describe();
                let message = format!("expected text, found {found}: put it in quotes");
                fields.error(name, &entry.node.mark, message);
            }
        }
    }
    env
}

fn is_secret(text: &str) -> bool {
    let inner = text
        .strip_prefix("SHARED_")
        .unwrap_or(text)
        .strip_prefix("SECRET(")
        .and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|name| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    })
}

/// `net`, `container_port` and `host_port`.
pub(super) fn network(fields: &mut Fields<'_, '_>) -> (NetworkMode, u16, u16) {
    let container_port = fields.port("container_port", 1).unwrap_or(8888);
    let host_port = fields.port("host_port", 0).unwrap_or(0);
    let net = match fields.text("net").as_deref() {
        None | Some("bridge") => NetworkMode::Bridge,
        Some("host") => NetworkMode::Host,
        Some("none") => NetworkMode::None,
        Some(name) => {
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
            // `container:ID` would share the network of a container that is not the author's.
            if let Some(node) = fields.node("net")
                && !(begins && name.chars().all(fine))
            {
                let message = format!(
                    "expected bridge, host, none or the name of a network, found {}",
                    node.describe()
                );
                fields.error("net", &node.mark, message);
            }
            NetworkMode::Named(name.to_owned())
        }
    };
    (net, container_port, host_port)
}

/// `extra_volumes`. Whether the operator allows them is for the cluster to say, not here.
pub(super) fn extra_volumes(fields: &mut Fields<'_, '_>) -> Vec<ExtraVolume> {
    let items = fields.list("extra_volumes").unwrap_or_default();
    let mut volumes: Vec<ExtraVolume> = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let key = format!("extra_volumes[{n}]");
        let Some(map) = item.as_map() else {
            let message = format!("expected a map, found {}", item.describe());
            fields.error(&key, &item.mark, message);
            continue;
        };
        let mut nested = fields.nested(&key, map);
        if let Some(volume) = volume(&mut nested, &item.mark) {
            let mark = item.mark.clone();
            match volumes.iter().any(|given| given.volume == volume) {
                true => nested.error("", &mark, "the same volume is given twice"),
                false => volumes.push(ExtraVolume { mark, volume }),
            }
        }
    }
    volumes
}

/// `{containerPath, hostPath, mode}`, all three required.
pub(crate) fn volume(fields: &mut Fields<'_, '_>, mark: &Mark) -> Option<Volume> {
    let container_path = path(fields, "containerPath", mark);
    let host_path = path(fields, "hostPath", mark);
    let mode = fields.choice("mode", &["RO", "RW"]);
    if !fields.has("mode") {
        fields.error("mode", mark, "is missing: RO or RW");
    }
    fields.refuse_unknown();
    Some(Volume {
        container_path: container_path?,
        host_path: host_path?,
        read_only: mode? == "RO",
    })
}

/// An absolute path that means what it looks like: `..` and the separators of Docker's mount
/// syntax could smuggle in another one.
fn path(fields: &mut Fields<'_, '_>, key: &'static str, mark: &Mark) -> Option<String> {
    let Some(path) = fields.text(key) else {
        if !fields.has(key) {
            fields.error(key, mark, "is missing");
        }
        return None;
    };
    let plain = |c: char| !c.is_control() && !matches!(c, ':' | ',' | '\\');
    let parts_fine = path.split('/').all(|part| part != ".." && part != ".");
    if path.starts_with('/') && parts_fine && path.chars().all(plain) {
        return Some(path);
    }
    if let Some(node) = fields.node(key) {
        let rule = "must be an absolute path without '.', '..', ':', ',' or '\\'";
        fields.error(key, &node.mark, rule);
    }
    None
}

/// `ulimit: {nofile: {soft: 1024, hard: 2048}}`.
pub(super) fn ulimits(fields: &mut Fields<'_, '_>) -> BTreeMap<String, Ulimit> {
    let mut limits = BTreeMap::new();
    let Some(fields) = &mut fields.map("ulimit") else {
        return limits;
    };
    for (name, entry) in &fields.raw().entries {
        let Some(map) = entry.node.as_map() else {
            let message = format!("expected {{soft, hard}}, found {}", entry.node.describe());
            fields.error(name, &entry.node.mark, message);
            continue;
        };
        let mut nested = fields.nested(name, map);
        let range = Range::within(-1.0, 9.0e15);
        let soft = nested.integer("soft", range);
        let hard = nested.integer("hard", range);
        if !nested.has("soft") {
            nested.error("soft", &entry.node.mark, "is missing");
        }
        nested.refuse_unknown();
        if let Some(soft) = soft {
            limits.insert(name.clone(), Ulimit { soft, hard });
        }
    }
    limits
}

/// `cap_add`, by Docker's names with or without `CAP_`.
pub(super) fn capabilities(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let mut given = Vec::new();
    for name in fields.texts("cap_add").unwrap_or_default() {
        let short = name.strip_prefix("CAP_").unwrap_or(&name);
        if CAP_DROP.contains(&short) {
            given.push(short.to_owned());
        } else if let Some(node) = fields.node("cap_add") {
            let near = typo::did_you_mean(short, CAP_DROP);
            let allowed = CAP_DROP.join(", ");
            let message = format!("{name:?} may not be added; allowed are {allowed}{near}");
            fields.error("cap_add", &node.mark, message);
        }
    }
    given.sort();
    given.dedup();
    given
}
