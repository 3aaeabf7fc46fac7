//! Fields that shape the container: command, environment, network, mounts, limits.

use std::collections::BTreeMap;

use super::{
    ExtraVolume,
    forms::{ULIMIT, VOLUME},
};
use crate::{
    app::{NetworkMode, Ulimit, Volume},
    container::{CAP_DROP, CAPABILITIES},
    problem::{Rule, quoted},
    soa::{node::Node, secrets, table::Record},
    typo,
};

/// `cmd` and `args`, which exclude each other.
pub(super) fn command(fields: &mut Record<'_, '_>) -> (Option<String>, Vec<String>) {
    let cmd = fields.text("cmd");
    let args = fields.texts("args");
    if let (Some(_), Some(_), Some(node)) = (&cmd, &args, fields.node("args")) {
        let message = "cmd and args exclude each other: keep one of them";
        fields.error("args", &node.mark, Rule::CmdAndArgs, message);
    }
    (cmd, args.unwrap_or_default())
}

/// `env`: names by the rule of shells, values always text.
pub(super) fn environment(fields: &mut Record<'_, '_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, node) in fields.entries("env") {
        let Some(text) = node.as_text() else { continue };
        if secrets::reference(text).is_some() {
            let message = "secrets are not decrypted: the container sees this very text";
            let key = format!("env.{name}");
            fields.warn(&key, &node.mark, Rule::Unsupported, message);
        }
        env.insert(name.to_owned(), text.to_owned());
    }
    env
}

/// `net`, `container_port` and `host_port`.
pub(super) fn network(fields: &mut Record<'_, '_>) -> (NetworkMode, u16, u16) {
    let container_port = fields.port("container_port").unwrap_or_default();
    let host_port = fields.port("host_port").unwrap_or_default();
    let net = match fields.text("net").as_deref() {
        None | Some("bridge") => NetworkMode::Bridge,
        Some("host") => NetworkMode::Host,
        Some("none") => NetworkMode::None,
        Some(name) => NetworkMode::Named(name.to_owned()),
    };
    (net, container_port, host_port)
}

/// `extra_volumes`. Whether the operator allows them is for the cluster to say, not here.
pub(super) fn extra_volumes(fields: &mut Record<'_, '_>) -> Vec<ExtraVolume> {
    let mut volumes = Vec::new();
    for (n, node, map) in fields.maps("extra_volumes") {
        let key = format!("extra_volumes[{n}]");
        if let Some(volume) = volume(&mut fields.below(&key, map, &VOLUME)) {
            let mark = node.mark.clone();
            volumes.push(ExtraVolume { mark, volume });
        }
    }
    volumes
}

/// `{containerPath, hostPath, mode}`, all three required.
fn volume(fields: &mut Record<'_, '_>) -> Option<Volume> {
    Some(Volume {
        container_path: fields.text("containerPath")?,
        host_path: fields.text("hostPath")?,
        read_only: fields.text("mode")? == "RO",
    })
}

/// The operator's volumes, which have the same form.
pub(crate) fn volumes(fields: &mut Record<'_, '_>) -> Vec<Volume> {
    let mut volumes = Vec::new();
    for (_, _, map) in fields.maps("volumes") {
        volumes.extend(volume(&mut fields.below("volumes", map, &VOLUME)));
    }
    volumes
}

/// `ulimit: {nofile: {soft: 1024, hard: 2048}}`.
pub(super) fn ulimits(fields: &mut Record<'_, '_>) -> BTreeMap<String, Ulimit> {
    let mut limits = BTreeMap::new();
    for (name, node) in fields.entries("ulimit") {
        let Some(map) = Node::as_map(node) else {
            continue;
        };
        let mut nested = fields.below("ulimit", map, &ULIMIT);
        if let Some(soft) = nested.integer("soft") {
            let hard = nested.integer("hard");
            limits.insert(name.to_owned(), Ulimit { soft, hard });
        }
    }
    limits
}

/// `cap_add`, by Docker's names with or without `CAP_`. Whether the operator allows those beyond
/// Docker's default is for the cluster to say, not here.
pub(super) fn capabilities(fields: &mut Record<'_, '_>) -> Vec<String> {
    let mut given = Vec::new();
    for name in fields.texts("cap_add").unwrap_or_default() {
        let short = name.strip_prefix("CAP_").unwrap_or(&name);
        if CAPABILITIES.contains(&short) {
            given.push(short.to_owned());
        } else if let Some(node) = fields.node("cap_add") {
            let near = typo::did_you_mean(short, CAPABILITIES);
            let (name, allowed) = (quoted(&name), CAP_DROP.join(", "));
            let message = format!("{name} is no capability; allowed to all are {allowed}{near}");
            fields.error("cap_add", &node.mark, Rule::Forbidden, message);
        }
    }
    given.sort();
    given.dedup();
    given
}
