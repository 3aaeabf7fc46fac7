//! What a changed host id leaves behind.

use std::{collections::BTreeMap, sync::Arc};

use paasta_agent_core::{labels, observed::ContainerState};
use paasta_common::{
    app::{DockerArgs, NetworkMode},
    container::ContainerSpec,
    time::Timestamp,
};
use paasta_process::clock::SystemClock;

use super::*;
use crate::engine::fake::{FakeContainer, FakeEngine};

fn engine(hosts: &[(&str, &str)]) -> FakeEngine {
    let engine = FakeEngine::new(Arc::new(SystemClock));
    for (name, host) in hosts {
        engine.put(container(name, host));
    }
    engine
}

fn machine(dir: &tempfile::TempDir, hosts: &[&str]) -> Machine {
    let mut last = None;
    for host in hosts {
        last = Some(Machine::open(dir.path(), &host.parse().unwrap()).unwrap());
    }
    last.unwrap()
}

#[tokio::test]
async fn what_is_left_is_named_and_removed_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&dir, &["old", "new"]);
    let engine = engine(&[
        ("one", "old"),
        ("two", "old"),
        ("three", "new"),
        ("four", "other"),
    ]);
    let old: HostId = "old".parse().unwrap();
    let text = describe(&engine, &old).await.unwrap().unwrap();
    for words in ["one", "two", "paasta-agent reap --left-by old"] {
        assert!(text.contains(words), "{text}");
    }
    let would = reap(&engine, &machine, &old, true).await.unwrap();
    assert!(would.contains("would remove one"), "{would}");
    assert_eq!(engine.containers().len(), 4);
    for own in ["new", "other"] {
        let refused = reap(&engine, &machine, &own.parse().unwrap(), false).await;
        let words = refused.unwrap_err().to_string();
        assert!(words.contains("former ids: old"), "{words}");
    }
    reap(&engine, &machine, &old, false).await.unwrap();
    let names: Vec<String> = engine.containers().into_keys().collect();
    assert_eq!(names, ["four", "three"]);
    assert!(describe(&engine, &old).await.unwrap().is_none());
    let nothing = reap(&engine, &machine, &old, false).await.unwrap();
    assert!(nothing.contains("left no containers"), "{nothing}");
}

fn container(name: &str, host: &str) -> FakeContainer {
    let labels = BTreeMap::from([(labels::HOST.to_owned(), host.to_owned())]);
    FakeContainer {
        id: format!("id-{name}"),
        spec: spec(name, labels),
        state: ContainerState::Running,
        created_at: Timestamp(1),
        exit_code: None,
        ended_at: None,
        memory_kills: 0,
        layer_bytes: 0,
    }
}

fn spec(name: &str, labels: BTreeMap<String, String>) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: "services-a:1".to_owned(),
        hostname: None,
        entrypoint: Vec::new(),
        command: Vec::new(),
        env: BTreeMap::new(),
        labels,
        working_dir: String::new(),
        cpu_shares: 0,
        cpu_period_us: 0,
        cpu_quota_us: 0,
        memory_bytes: 0,
        memory_swap_bytes: 0,
        disk_limit_mb: 0,
        gpus: 0,
        network: NetworkMode::None,
        ports: Vec::new(),
        mounts: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        ulimits: BTreeMap::new(),
        pids_limit: 0,
        new_privileges: false,
        docker: DockerArgs::default(),
        stop_grace_ms: 0,
        log_max_bytes: 0,
        log_max_files: 0,
    }
}
