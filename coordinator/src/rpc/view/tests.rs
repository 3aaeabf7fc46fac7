//! An answer that the golden texts of `paasta` are made of (`cli/tests/data/status.json`), as this
//! view gives it. With `UPDATE_GOLDEN=1` in the environment the file is written again.

use std::{collections::BTreeMap, fs, path::Path};

use paasta_common::{
    id::ReplicaId,
    report::{EndCause, Health, ImageProblem, ImageReport, Phase, ReplicaReport, RunEnd},
    spec::BounceMethod,
};
use paasta_coordinator_core::{
    plan::{
        observed::{HostObserved, PlanSettings},
        plan,
    },
    state::command::{Command, DrainHost},
};

use super::*;
use crate::raft::{Peer, Role};

#[path = "../../../core/tests/world/build.rs"]
#[allow(dead_code, reason = "the tests of the core use the rest")]
pub(crate) mod build;

use build::{Cluster, host_id, main_instance, spec};

pub(crate) const NOW: Timestamp = Timestamp(1_763_903_530_000);
const GOLDEN: &str = "../cli/tests/data/status.json";

fn leader() -> RaftStatus {
    RaftStatus {
        epoch: 1,
        role: Role::Leader,
        term: 4,
        leader: Some(Peer {
            id: 1,
            address: "c1:7401".to_owned(),
        }),
        voters: BTreeMap::from([(1, "c1:7401".to_owned())]),
        ..RaftStatus::blank()
    }
}

/// Every host reports each of its replicas as running and healthy for an hour.
fn all_well(cluster: &Cluster) -> Observed {
    let mut observed = Observed::new(Timestamp(NOW.0 - 86_400_000), PlanSettings::default());
    for (id, host) in cluster.state.hosts() {
        let mut heard = HostObserved::new(NOW, &observed.settings);
        heard.complete_report = true;
        heard.accepted_generation = host.generation;
        for (replica, record) in cluster.state.replicas_on(id) {
            let report = ReplicaReport {
                id: replica,
                app: record.app.clone(),
                phase: Phase::Running,
                health: Health::Healthy,
                started_at: Some(Timestamp(NOW.0 - 3_600_000)),
                host_port: Some(31_000),
                container: Some("0123456789ab".to_owned()),
                run: 1,
                failures: 0,
                next_try_at: None,
                drained: false,
                in_load_balancer: Some(true),
                message: String::new(),
                image: ImageReport::default(),
                last_end: None,
                troubles: Default::default(),
                other_troubles: 0,
            };
            heard.replicas.insert(replica, report);
        }
        observed.hosts.insert(id.clone(), heard);
    }
    observed
}

/// Plans once, and applies it.
fn step(cluster: &mut Cluster) {
    let planned = plan(&cluster.state, &all_well(cluster), NOW);
    for command in planned.commands {
        cluster.must(command);
    }
}

/// A bounce on a drained host: what is new is unhealthy, has no image, or has just been placed.
pub(crate) fn bouncing() -> (Cluster, Observed) {
    let mut cluster = Cluster::new(3);
    cluster.now = NOW;
    let id = main_instance();
    cluster.set(&id, spec(&id, 1, 3, BounceMethod::Crossover));
    step(&mut cluster);
    let old = cluster.state.replica_count();
    cluster.must(Command::DrainHost(DrainHost {
        host: host_id(1),
        reason: "a new kernel".to_owned(),
        until: None,
    }));
    cluster.set(&id, spec(&id, 2, 3, BounceMethod::Crossover));
    step(&mut cluster);
    let mut observed = all_well(&cluster);
    let ids: Vec<ReplicaId> = cluster.state.replicas_of(&id).map(|(id, _)| id).collect();
    assert!(ids.len() >= old + 3, "three are new: {ids:?}");
    let mut new = ids.into_iter().skip(old);
    let mut change = |how: fn(&mut ReplicaReport)| {
        let id = new.next().expect("there are three");
        let mut hosts = observed.hosts.values_mut();
        how(hosts
            .find_map(|host| host.replicas.get_mut(&id))
            .expect("it is reported"));
    };
    change(|report| {
        (report.health, report.run, report.failures) = (Health::Unhealthy, 3, 2);
        report.message = "GET /status: 503".to_owned();
        report.last_end = Some(RunEnd {
            run: 2,
            at: Timestamp(NOW.0 - 90_000),
            cause: EndCause::Unhealthy,
            exit_code: Some(137),
            signal: Some("SIGKILL".to_owned()),
            out_of_memory: false,
            memory_kills: 0,
            last_words: "no database".to_owned(),
        });
    });
    change(|report| {
        (report.phase, report.health) = (Phase::Pulling, Health::Unknown);
        (report.started_at, report.host_port, report.container) = (None, None, None);
        report.image.problem = Some(ImageProblem::Missing);
        report.message = "manifest unknown".to_owned();
    });
    change(|report| (report.health, report.started_at) = (Health::Unknown, Some(NOW)));
    (cluster, observed)
}

/// What a leader shows of the cluster.
pub(crate) fn with_view<T>(
    cluster: &Cluster,
    observed: &Observed,
    report: &Report,
    look: impl FnOnce(&View<'_>) -> T,
) -> T {
    look(&View {
        sight: &Sight::Everything,
        state: &cluster.state,
        observed,
        report,
        raft: &leader(),
        read: &LastRead::default(),
        drift: &[],
        repositories: &Troubled::default(),
        now: NOW,
    })
}

#[test]
fn golden_texts_are_made_of_what_the_view_answers() {
    let (cluster, observed) = bouncing();
    let planned = plan(&cluster.state, &observed, NOW);
    let answer = with_view(&cluster, &observed, &planned.report, |view| {
        let (mut answer, ids) = view
            .status_page(&v1::StatusRequest::default())
            .expect("it is answered");
        answer.instances = view.instances_of(&ids, true);
        answer
    });
    let text = serde_json::to_string_pretty(&answer).expect("it is JSON") + "\n";
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &text).expect("the file is written");
    }
    let kept = fs::read_to_string(&golden).expect("the file is there");
    assert_eq!(kept, text, "run this test with UPDATE_GOLDEN=1");
}
