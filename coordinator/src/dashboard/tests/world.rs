//! Answers of the view code about made-up clusters.

use std::{collections::BTreeMap, sync::Arc};

use paasta_common::{
    report::{Health, ImageReport, Phase, ReplicaReport},
    spec::BounceMethod,
    time::Timestamp,
};
use paasta_coordinator_core::plan::{
    observed::{HostObserved, Observed, PlanSettings},
    plan,
    report::{Counts, InstanceReport, Report},
};
use paasta_proto::v1::{
    Event, EventsRequest, InstanceFilter, InstanceStatus, MetastatusResponse, SearchRequest,
    SearchResponse, StatusRequest,
};

use crate::{
    dashboard::read::Standing,
    rpc::view::{
        View,
        tests::{
            NOW,
            build::{Cluster, main_instance, spec},
            with_view,
        },
    },
};

/// What the pages are made of.
pub(super) struct Answers {
    pub(super) cluster: MetastatusResponse,
    pub(super) unwell: SearchResponse,
    pub(super) all: SearchResponse,
    pub(super) status: Vec<InstanceStatus>,
    pub(super) events: Vec<Event>,
}

pub(super) fn standing() -> Standing {
    Standing {
        cluster: "demo".to_owned(),
        node: 2,
        leader: Some(1),
        member: true,
        now_ms: NOW.0,
        heard_at_ms: Some(NOW.0),
        applied: 41,
    }
}

fn ask(view: &View<'_>, asked: &SearchRequest) -> SearchResponse {
    let mut found = view.search(asked);
    let doubtful = found.iter().filter(|one| one.unwell);
    let ids: Vec<_> = doubtful.map(|one| one.id.clone()).collect();
    let unwell = view.unwell_of(&ids);
    for one in &mut found {
        one.unwell = unwell.contains(&one.id);
    }
    let (mut page, ids) = view.search_page(asked, &found).expect("a page");
    page.instances = view.instances_of(&ids, false);
    page
}

pub(super) fn search(
    cluster: &Cluster,
    observed: &Observed,
    report: &Report,
    text: &str,
    page: &str,
) -> SearchResponse {
    let asked = SearchRequest {
        text: text.to_owned(),
        page: page.to_owned(),
        ..SearchRequest::default()
    };
    with_view(cluster, observed, report, |view| ask(view, &asked))
}

pub(super) fn filtered(
    cluster: &Cluster,
    observed: &Observed,
    report: &Report,
    filter: InstanceFilter,
) -> SearchResponse {
    let asked = SearchRequest {
        filter: filter.into(),
        ..SearchRequest::default()
    };
    with_view(cluster, observed, report, |view| ask(view, &asked))
}

pub(super) fn answers(cluster: &Cluster, observed: &Observed, report: &Report) -> Answers {
    with_view(cluster, observed, report, |view| {
        let unwell = SearchRequest {
            filter: InstanceFilter::NotAsWanted.into(),
            page_size: 100,
            ..SearchRequest::default()
        };
        let first = StatusRequest {
            page_size: 1,
            ..StatusRequest::default()
        };
        let (_, ids) = view.status_page(&first).expect("an answer");
        let events = EventsRequest {
            limit: 150,
            ..EventsRequest::default()
        };
        Answers {
            cluster: view.metastatus(false),
            unwell: ask(view, &unwell),
            all: ask(view, &SearchRequest::default()),
            status: view.instances_of(&ids, true),
            events: view.events(&events).events,
        }
    })
}

/// So many instances of one replica each, and a hundred hosts. Of more than a thousand instances the
/// report has each as wanted but every hundredth; of fewer it has none so.
pub(super) fn many(count: usize) -> (Cluster, Observed, Report) {
    let mut cluster = Cluster::new(100);
    cluster.now = NOW;
    let id = main_instance();
    let spec = spec(&id, 1, 1, BounceMethod::Crossover);
    let app = spec.app_id.clone();
    cluster.set(&id, spec);
    let mut report = Report::default();
    let mut stored = serde_json::to_value(&cluster.state).expect("a state is JSON");
    for number in 0..count {
        let name = format!("s{number:05}.main");
        for table in ["instances", "apps"] {
            copy(&mut stored[table], &format!("s{number:05}"));
        }
        let new = Counts {
            happy: u32::from(number % 100 > 0 && count > 1_000),
            ..Counts::default()
        };
        let desired = app
            .to_string()
            .replacen("hello", &format!("s{number:05}"), 1);
        let known = InstanceReport {
            declared: true,
            desired: desired.parse().expect("an app"),
            wanted: 1,
            new,
            old: Counts::default(),
            replicas: Vec::new(),
            bounce: None,
            waiting: Vec::new(),
        };
        report
            .instances
            .insert(name.parse().expect("a name"), Arc::new(known));
    }
    for table in ["instances", "apps"] {
        let entries = stored[table].as_object_mut().expect("a table");
        entries.retain(|name, _| !name.starts_with("hello"));
    }
    cluster.state = serde_json::from_value(stored).expect("a state");
    let observed = Observed::new(Timestamp(NOW.0 - 86_400_000), PlanSettings::default());
    (cluster, observed, report)
}

/// Copies the entry of the service `hello` of a stored table, for the service `to`.
fn copy(table: &mut serde_json::Value, to: &str) {
    let entries = table.as_object_mut().expect("a table");
    let mut own = entries.iter().filter(|(name, _)| name.starts_with("hello"));
    let (name, entry) = own.next().expect("there is one");
    let name = name.replacen("hello", to, 1);
    let text = entry
        .to_string()
        .replace("hello.main", &format!("{to}.main"));
    let entry = serde_json::from_str(&text).expect("an entry");
    entries.insert(name, entry);
}

/// One instance with all that is wanted.
pub(super) fn quiet() -> (Cluster, Observed) {
    let mut cluster = Cluster::new(3);
    cluster.now = NOW;
    let id = main_instance();
    cluster.set(&id, spec(&id, 1, 2, BounceMethod::Crossover));
    // The first plan begins and places, the next one ends the bounce.
    for _ in 0..4 {
        let planned = plan(&cluster.state, &well(&cluster), NOW);
        for command in planned.commands {
            cluster.must(command);
        }
    }
    let observed = well(&cluster);
    (cluster, observed)
}

/// Every host reports its replicas healthy for an hour.
fn well(cluster: &Cluster) -> Observed {
    let mut observed = Observed::new(Timestamp(NOW.0 - 86_400_000), PlanSettings::default());
    for (id, host) in cluster.state.hosts() {
        let mut heard = HostObserved::new(NOW, &observed.settings);
        heard.complete_report = true;
        heard.accepted_generation = host.generation;
        let replicas = cluster.state.replicas_on(id);
        heard.replicas = replicas
            .map(|(replica, record)| {
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
                    in_load_balancer: None,
                    message: String::new(),
                    image: ImageReport::default(),
                    last_end: None,
                    troubles: Default::default(),
                    other_troubles: 0,
                };
                (replica, report)
            })
            .collect::<BTreeMap<_, _>>();
        observed.hosts.insert(id.clone(), heard);
    }
    observed
}
