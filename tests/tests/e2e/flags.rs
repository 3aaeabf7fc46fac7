//! What a replica's container is started with, against the table of flags: what `docker inspect`
//! says of instance `main` of the example.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::InstanceStatus;
use paasta_tests::cluster::Cluster;
use paasta_tests::cluster::containers::Container;
use serde_json::{Value, json};

const SANDBOX: &str = "/mnt/mesos/sandbox";
const MIB: u64 = 1024 * 1024;
const DROPPED: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Fails at the first difference. The example has 0.1 cpus and 64 MB.
pub(crate) fn check(
    cluster: &Cluster,
    status: &InstanceStatus,
    container: &Container,
) -> Result<()> {
    let host = cluster
        .hosts
        .all()
        .iter()
        .find(|host| host.name == container.host)
        .context("a host of ours")?;
    let inspected: Value = serde_json::from_str(&host.docker(&["inspect", &container.id])?)?;
    let inspected = &inspected[0];
    let port = container.address.context("a published port")?.port();
    ensure!((31_000..=32_000).contains(&port), "port {port}");
    for (path, wanted) in table(port) {
        let found = inspected.pointer(path).unwrap_or(&Value::Null);
        ensure!(
            *found == wanted,
            "{path} of {}: {found}, not {wanted}",
            container.id
        );
    }
    capabilities(inspected)?;
    restart_policy(inspected)?;
    labels(inspected, status)?;
    environment(inspected, status, port)?;
    sandbox(inspected)
}

/// What has one right value, by its place in the answer.
fn table(port: u16) -> Vec<(&'static str, Value)> {
    vec![
        ("/HostConfig/CpuShares", json!(102)),
        ("/HostConfig/CpuPeriod", json!(100_000)),
        ("/HostConfig/CpuQuota", json!(110_000)),
        ("/HostConfig/Memory", json!(64 * MIB)),
        ("/HostConfig/MemorySwap", json!(128 * MIB)),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/Privileged", json!(false)),
        ("/HostConfig/Init", json!(true)),
        ("/HostConfig/AutoRemove", json!(false)),
        ("/Config/Tty", json!(false)),
        ("/Config/WorkingDir", json!(SANDBOX)),
        (
            "/HostConfig/PortBindings/8888~1tcp/0/HostPort",
            json!(port.to_string()),
        ),
    ]
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

fn capabilities(inspected: &Value) -> Result<()> {
    let mut dropped: Vec<&str> = texts(&inspected["HostConfig"]["CapDrop"])
        .into_iter()
        .map(|name| name.trim_start_matches("CAP_"))
        .collect();
    dropped.sort_unstable();
    ensure!(dropped == DROPPED, "dropped capabilities: {dropped:?}");
    let added = &inspected["HostConfig"]["CapAdd"];
    ensure!(texts(added).is_empty(), "added capabilities: {added}");
    Ok(())
}

/// Docker has two words for none.
fn restart_policy(inspected: &Value) -> Result<()> {
    let name = &inspected["HostConfig"]["RestartPolicy"]["Name"];
    ensure!(*name == "no" || *name == "", "restart policy {name}");
    Ok(())
}

fn labels(inspected: &Value, status: &InstanceStatus) -> Result<()> {
    let labels = &inspected["Config"]["Labels"];
    for (name, wanted) in [
        ("paasta_service", "hello"),
        ("paasta_instance", "main"),
        ("paasta_app", &status.desired_app),
    ] {
        ensure!(labels[name] == wanted, "label {name}: {}", labels[name]);
    }
    Ok(())
}

fn environment(inspected: &Value, status: &InstanceStatus, port: u16) -> Result<()> {
    let env: BTreeMap<&str, &str> = texts(&inspected["Config"]["Env"])
        .into_iter()
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let port = port.to_string();
    for (name, wanted) in [
        ("PAASTA_SERVICE", "hello"),
        ("PAASTA_INSTANCE", "main"),
        ("PAASTA_CLUSTER", "demo"),
        ("PAASTA_DEPLOY_GROUP", "demo.everything"),
        ("PAASTA_MONITORING_TEAM", "demo"),
        ("PAASTA_PORT", "8888"),
        ("GREETING", "hello"),
        ("MARATHON_PORT", &port),
        ("MARATHON_PORT0", &port),
        ("MARATHON_PORTS", &port),
        ("MARATHON_PORT_8888", &port),
        ("MESOS_SANDBOX", SANDBOX),
    ] {
        let found = env.get(name).copied();
        ensure!(found == Some(wanted), "{name} is {found:?}, not {wanted:?}");
    }
    let image = env.get("PAASTA_DOCKER_IMAGE").copied().unwrap_or_default();
    ensure!(
        image.ends_with(&format!("services-hello:paasta-{}", status.git_sha)),
        "PAASTA_DOCKER_IMAGE is {image}"
    );
    Ok(())
}

/// The sandbox is the only mount: the operator's list of volumes is empty here.
fn sandbox(inspected: &Value) -> Result<()> {
    let mounts = inspected["Mounts"].as_array().context("mounts")?;
    let destinations: Vec<&Value> = mounts.iter().map(|mount| &mount["Destination"]).collect();
    ensure!(
        destinations == [&json!(SANDBOX)] && mounts[0]["RW"] == true,
        "mounts: {mounts:?}"
    );
    Ok(())
}
