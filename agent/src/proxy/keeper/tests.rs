//! A keeper beside a program that answers as HAProxy does and has nothing to change.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use paasta_agent_core::proxy::config::rendered;
use paasta_common::{
    disk::DiskLimits,
    endpoints::{Endpoint, EndpointSet, EndpointState, EndpointVersion, NamespaceSet},
    id::{AppId, ReplicaId},
    report::{Health, Phase, ReplicaReport, Runtime},
    smartstack::{Namespace, NamespaceOptions},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixListener,
    sync::watch,
};

use super::*;

const PORT: u16 = 31_001;

fn name() -> Namespace {
    "web.main".parse().unwrap()
}

fn set(number: u64) -> EndpointSet {
    let endpoint = Endpoint {
        instance: "web.main".parse().unwrap(),
        host: "h1".parse().unwrap(),
        address: "10.0.0.1".into(),
        port: PORT,
        state: EndpointState::Up,
        weight: 1,
        backup: false,
    };
    let options = NamespaceOptions {
        proxy_port: Some(20_000),
        ..NamespaceOptions::default()
    };
    let namespace = NamespaceSet {
        options: Arc::new(options),
        endpoints: BTreeMap::from([(ReplicaId(1), endpoint)]),
    };
    EndpointSet {
        version: EndpointVersion {
            epoch: 1,
            term: 1,
            number,
        },
        namespaces: BTreeMap::from([(name(), Arc::new(namespace))]),
    }
}

/// The same with a namespace that HAProxy does not have yet, at this port.
fn with_new(number: u64, port: u16) -> EndpointSet {
    let mut set = set(number);
    let options = NamespaceOptions {
        proxy_port: Some(port),
        ..NamespaceOptions::default()
    };
    let namespace = NamespaceSet {
        options: Arc::new(options),
        endpoints: BTreeMap::new(),
    };
    let name = "new.main".parse().unwrap();
    set.namespaces.insert(name, Arc::new(namespace));
    set
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn own(health: Option<Health>) -> Arc<View> {
    let report = |health| ReplicaReport {
        id: ReplicaId(1),
        app: AppId::new("web.main.git00000000.config00000000").unwrap(),
        phase: Phase::Running,
        health,
        started_at: None,
        host_port: Some(PORT),
        container: None,
        run: 1,
        failures: 0,
        next_try_at: None,
        drained: false,
        in_load_balancer: None,
        message: String::new(),
        last_end: None,
        image: Default::default(),
        troubles: Default::default(),
        other_troubles: 0,
    };
    let reports = health.map(|health| (ReplicaId(1), report(health)));
    Arc::new(View {
        accepted: None,
        reports: reports.into_iter().collect(),
        runtime: Runtime::Ok,
        disk_limits: DiskLimits::default(),
    })
}

/// What the program has: the fingerprint that it loaded, and the admin state of its server.
#[derive(Default)]
struct Shown {
    fingerprint: String,
    is_maint: bool,
}

fn answer(line: &str, shown: &mut Shown) -> String {
    let pid = std::process::id();
    let server = format!("r1_10.0.0.1_{PORT}");
    match line {
        "show proc" => format!("{pid} master 0 [failed: 0] 0d\n{pid} worker 0 0d\n"),
        "help" => "add server\ndel server\nset server\nshow servers state\n".to_owned(),
        "show info" => format!("Pid: {pid}\ndescription: {}\n", shown.fingerprint),
        "show stat -1 1 -1" => "web.main:20000,FRONTEND,,\n".to_owned(),
        line if line.starts_with("show servers state") => {
            let admin = u8::from(shown.is_maint);
            format!("1\n# be_id\n4 web.main 1 {server} 10.0.0.1 2 {admin} 1 1 0\n")
        }
        line if line.starts_with("show stat") => {
            format!("# pxname,svname\nweb.main,{server},0,0,0,0\n")
        }
        line if line.ends_with("state maint") => {
            shown.is_maint = true;
            String::new()
        }
        line => panic!("an unexpected command: {line}"),
    }
}

async fn serve(listener: UnixListener, shown: Arc<Mutex<Shown>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        if let Ok(Some(line)) = lines.next_line().await {
            let answer = answer(&line, &mut shown.lock());
            let _ = write.write_all(answer.as_bytes()).await;
        }
    }
}

struct Scene {
    keeper: Keeper,
    sets: watch::Sender<Option<Arc<EndpointSet>>>,
    own: watch::Sender<Arc<View>>,
    shown: Arc<Mutex<Shown>>,
}

fn parts(dir: &Path) -> ProxyParts {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    ProxyParts {
        settings: ProxySettings {
            addresses: vec!["127.0.0.1".parse().unwrap()],
            stats: None,
            max_connections: 100,
            threads: 1,
            hard_stop_seconds: 60,
            api_socket: path("api.sock"),
            log_socket: path("log.sock"),
            user: None,
            location: BTreeMap::new(),
        },
        directory: dir.to_owned(),
        run_directory: dir.to_owned(),
        program: "/bin/false".into(),
    }
}

/// A keeper whose load balancer has the configuration of the set already.
fn scene(dir: &Path) -> Scene {
    let parts = parts(dir);
    let wanted = standing::servers_of(&set(1)).0;
    let config = rendered(&parts.settings, &wanted, &Problems::new());
    Files::new(dir).write_config(&config.text).unwrap();
    let shown = Arc::new(Mutex::new(Shown {
        fingerprint: config.fingerprint,
        is_maint: false,
    }));
    for socket in [&parts.settings.api_socket, &path(dir)] {
        let listener = UnixListener::bind(socket).unwrap();
        tokio::spawn(serve(listener, Arc::clone(&shown)));
    }
    let (sets, received) = watch::channel(Some(Arc::new(set(1))));
    let (answers, _) = watch::channel(Arc::default());
    let (own_sender, own_view) = watch::channel(own(None));
    let link = ProxyLink {
        sets: received,
        answers,
    };
    let (published, _) = watch::channel(Arc::default());
    Scene {
        keeper: Keeper::new(parts, link, own_view, published),
        sets,
        own: own_sender,
        shown,
    }
}

fn path(dir: &Path) -> String {
    let path = dir.join(super::super::MASTER_SOCKET);
    path.to_string_lossy().into_owned()
}

impl Scene {
    /// Rounds, of which each looks at everything anew. Returns how often the configuration was
    /// rendered until now.
    async fn rounds(&mut self, rounds: usize) -> u32 {
        for _ in 0..rounds {
            self.keeper.round().await;
            self.keeper.publish();
            assert_eq!(self.keeper.failure, None);
            self.keeper.looked_at = None;
        }
        self.keeper.rendered.count
    }

    fn state(&self) -> (Option<u64>, u64) {
        let view = self.keeper.published.borrow();
        let number = view.version.map(|version| version.number);
        (number, view.counts.maint)
    }
}

#[tokio::test]
async fn an_idle_keeper_renders_once() {
    let dir = tempfile::Builder::new().prefix("kp").tempdir().unwrap();
    let mut scene = scene(dir.path());
    // One that was adopted waits for a set of a coordinator.
    assert_eq!(scene.rounds(3).await, 0);
    scene.sets.send_replace(Some(Arc::new(set(2))));
    assert_eq!(scene.rounds(1).await, 1);
    assert_eq!((scene.rounds(20).await, scene.state()), (1, (Some(2), 0)));
    // The same servers in a newer set, and reports that change nothing.
    scene.sets.send_replace(Some(Arc::new(set(3))));
    scene.own.send_replace(own(Some(Health::Healthy)));
    assert_eq!((scene.rounds(20).await, scene.state()), (1, (Some(3), 0)));
    // A failed check of an own replica takes it out and has the file written.
    scene.own.send_replace(own(Some(Health::Unhealthy)));
    assert_eq!(scene.rounds(1).await, 2);
    assert!(scene.shown.lock().is_maint);
    assert!(scene.keeper.job.is_some(), "the file is written");
    // While that is under way, and after it, nothing is rendered again.
    assert_eq!((scene.rounds(20).await, scene.state()), (2, (Some(3), 1)));
}

#[tokio::test]
async fn a_namespace_that_haproxy_refuses_is_left_out_until_it_is_another_one() {
    let dir = tempfile::Builder::new().prefix("kp").tempdir().unwrap();
    let mut scene = scene(dir.path());
    let (name, port): (Namespace, u16) = ("new.main".parse().unwrap(), free_port());
    scene.sets.send_replace(Some(Arc::new(with_new(2, port))));
    scene.rounds(1).await;
    let rendered = |scene: &mut Scene| {
        let keeper = &mut scene.keeper;
        let config = keeper
            .rendered
            .of(&keeper.settings, &keeper.wanted, &keeper.refused);
        config.text.contains("frontend new.main")
    };
    assert!(scene.keeper.job.is_some() && rendered(&mut scene));
    let refused = |blamed| JobEnd {
        written: None,
        reload: true,
        processes: None,
        failure: Some("parsing [haproxy.cfg.new:40]".to_owned()),
        blamed,
    };
    scene.keeper.job = None;
    scene.keeper.job_ended(refused(Some(name.clone())));
    // Looks at ports and newer sets that have it as it is change nothing.
    for number in 3..6 {
        scene
            .sets
            .send_replace(Some(Arc::new(with_new(number, port))));
        scene.rounds(2).await;
        scene.keeper.ports_at = None;
        let kind = scene.keeper.problems.get(&name).map(|problem| problem.kind);
        assert_eq!(kind, Some(ProxyProblemKind::Refused));
        assert!(!rendered(&mut scene));
    }
    scene
        .sets
        .send_replace(Some(Arc::new(with_new(6, free_port()))));
    scene.rounds(1).await;
    assert!(!scene.keeper.problems.contains_key(&name) && rendered(&mut scene));
}
