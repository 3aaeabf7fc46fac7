//! What git says and what operators override, on whole coordinators: a tag becomes replicas though a
//! hundred other repositories hang, what was said outlives leaders and git itself, and the history
//! tells who it was.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use paasta_proto::v1::{
    Asker, Change, DeployStatus, HistoryRequest, MetastatusRequest, OperateResponse,
    OverrideAction, OverrideKind, OverrideRequest, PokeRequest, RemotesRequest, RequestOutcome,
    StatusRequest, WhyRequest, deploys_client::DeploysClient,
};
use tokio::time::Instant;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::{
    PATIENCE,
    cluster::{agent::FakeAgent, coordinators::Coordinators},
};

/// Services whose repository accepts connections and never says a word.
const DEAD: usize = 100;
const MAIN: &str = "hello.main";

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("run git");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository, and a commit in it.
pub(super) struct Repository {
    pub(super) path: std::path::PathBuf,
}

impl Repository {
    pub(super) fn new(cluster: &Coordinators) -> Self {
        Self::named(cluster, "hello", &[])
    }

    /// `NAME.git`, made with these options of `git init`.
    pub(super) fn named(cluster: &Coordinators, name: &str, options: &[&str]) -> Self {
        let path = cluster.scratch().join(format!("{name}.git"));
        fs::create_dir(&path).expect("a directory");
        git(&path, &[&["init", "-q"], options].concat());
        Self { path }
    }

    pub(super) fn commit(&self) -> String {
        git(&self.path, &["commit", "-q", "--allow-empty", "-m", "x"]);
        git(&self.path, &["rev-parse", "HEAD"])
    }

    pub(super) fn tag(&self, name: &str, sha: &str) {
        git(&self.path, &["tag", name, sha]);
    }

    pub(super) fn untag(&self, name: &str) {
        git(&self.path, &["tag", "-d", name]);
    }
}

/// The URL of a repository of this machine.
pub(super) fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

pub(super) fn describe(cluster: &Coordinators, service: &str, url: &str) {
    let yaml = format!("git_url: {url}\n");
    fs::write(cluster.soa().join(service).join("service.yaml"), yaml).expect("written");
}

fn client(cluster: &Coordinators, at: usize) -> DeploysClient<Channel> {
    let address = cluster.addresses()[at].clone();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    DeploysClient::new(endpoint.connect_lazy())
}

fn asker(request_id: &str) -> Option<Asker> {
    Some(Asker {
        request_id: request_id.to_owned(),
        by: "ann@desk".to_owned(),
    })
}

async fn poke(cluster: &Coordinators, at: usize, tags: &[&str]) {
    let ask = PokeRequest {
        asker: asker("poke"),
        service: "hello".to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    let told = client(cluster, at)
        .poke(ask)
        .await
        .expect("it is answered")
        .into_inner();
    assert_eq!(told.outcome(), RequestOutcome::Done, "{}", told.text);
}

/// Answers of a coordinator that has just started.
const NOT_YET: [Code; 2] = [Code::FailedPrecondition, Code::Unavailable];

async fn ask(
    cluster: &Coordinators,
    id: &str,
    action: OverrideAction,
    instances: Option<u32>,
) -> OperateResponse {
    let ask = OverrideRequest {
        asker: asker(id),
        instance: MAIN.to_owned(),
        action: action.into(),
        action_word: String::new(),
        instances,
        delta: None,
    };
    // One that has just started may not listen yet, or not know which cluster it is of.
    let mut tries = tokio::time::interval(Duration::from_millis(100));
    let answered = async {
        loop {
            tries.tick().await;
            match client(cluster, 0).r#override(ask.clone()).await {
                Err(status) if NOT_YET.contains(&status.code()) => {}
                answer => return answer.expect("it is answered").into_inner(),
            }
        }
    };
    let answered = tokio::time::timeout(PATIENCE, answered).await;
    answered.expect("it knows its cluster in time")
}

async fn history(cluster: &Coordinators) -> Vec<Change> {
    let ask = HistoryRequest {
        instance: MAIN.to_owned(),
        limit: 0,
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        for at in 0..cluster.addresses().len() {
            if let Ok(answer) = client(cluster, at).history(ask.clone()).await {
                return answer.into_inner().changes;
            }
        }
        assert!(Instant::now() < deadline, "nobody tells the history");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_becomes_replicas_and_outlives_leaders_and_git() {
    let mut cluster = Coordinators::following_git(3).await;
    let silent = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let silent = silent.local_addr().expect("its address");
    for number in 0..DEAD {
        // Before `hello` by name.
        let service = format!("dead{number}");
        cluster.declare(&service, "main: {cpus: 0.1, mem: 64}");
        describe(&cluster, &service, &format!("git://{silent}/x.git"));
    }
    let repository = Repository::new(&cluster);
    cluster.declare(
        "hello",
        "main: {instances: 3, cpus: 0.1, mem: 64, deploy_group: demo.all}",
    );
    describe(
        &cluster,
        "hello",
        &format!("file://{}", repository.path.display()),
    );
    let _agents = FakeAgent::several(&cluster, 3).await;
    let first = repository.commit();
    let tag = "paasta-demo.all-20250101T000000-deploy";
    repository.tag(tag, &first);
    let began = Instant::now();
    cluster.wait_running(MAIN, 3, PATIENCE).await;
    println!("arrived after {} ms", began.elapsed().as_millis());

    // A new version, with who pushed it, told to one that may not lead.
    let second = repository.commit();
    let tag = "paasta-demo.all-20250102T000000-deploy";
    repository.tag(tag, &second);
    poke(&cluster, 1, &[tag]).await;
    let arrived = |sha: String| {
        move |status: &paasta_proto::v1::InstanceStatus| {
            status.git_sha == sha && status.deploy_status() == DeployStatus::Running
        }
    };
    cluster.wait(MAIN, PATIENCE, arrived(second.clone())).await;
    let changes = history(&cluster).await;
    let last = changes.last().expect("there is one");
    assert_eq!(
        (last.by.as_str(), last.git_sha.as_str()),
        ("\"ann@desk\" (claimed)", second.as_str())
    );
    assert_eq!(
        (&last.kinds[..], &last.tags[..]),
        (&["deploy".to_owned()][..], &[tag.to_owned()][..])
    );
    assert_eq!(
        (changes[0].by.as_str(), changes[0].kinds[0].as_str()),
        ("git", "declared")
    );
    let written = cluster.soa().join("hello/deployments.json");
    assert!(
        fs::read_to_string(&written)
            .expect("it is written")
            .contains(&second)
    );

    let remotes = client(&cluster, 0).remotes(RemotesRequest::default()).await;
    let remotes = remotes.expect("it is answered").into_inner();
    assert_eq!((remotes.total as usize, remotes.follows), (DEAD + 1, true));
    let ours = remotes
        .remotes
        .iter()
        .find(|one| one.service == "hello")
        .expect("it is there");
    assert!(
        ours.answered_at_ms.is_some() && ours.error.is_empty(),
        "{ours:?}"
    );

    // Another leader, on a machine whose soa directory has no deployments, while git is away.
    fs::rename(&repository.path, cluster.scratch().join("away")).expect("moved");
    fs::remove_file(&written).expect("removed");
    let leader = cluster.leader(PATIENCE).await;
    cluster.kill(leader).await;
    cluster.declare(
        "hello",
        "main: {instances: 4, cpus: 0.1, mem: 64, deploy_group: demo.all}",
    );
    let scaled = cluster.wait_running(MAIN, 4, PATIENCE).await;
    assert_eq!(scaled.git_sha, second);
    let changes = history(&cluster).await;
    let last = changes.last().expect("there is one");
    assert_eq!(
        (last.by.as_str(), &last.fields[..]),
        (
            "config",
            // The fewer there are the longer is the first pause of one that fails.
            &["instances", "run.backoff_base_ms"].map(str::to_owned)[..]
        )
    );
    cluster.restart(leader).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_lasts_until_the_next_deploy_over_elections() {
    let mut cluster = Coordinators::start(3).await;
    let _agents = FakeAgent::several(&cluster, 3).await;
    cluster.declare(
        "hello",
        "main: {min_instances: 2, max_instances: 3, cpus: 0.1, mem: 64}",
    );
    cluster.deploy("hello", 'a');
    cluster.wait_running(MAIN, 3, PATIENCE).await;

    let stopped = ask(&cluster, "one", OverrideAction::Stop, None).await;
    assert_eq!(stopped.outcome(), RequestOutcome::Done, "{}", stopped.text);
    let status = cluster
        .wait(MAIN, PATIENCE, |status| {
            status.deploy_status() == DeployStatus::Stopped
        })
        .await;
    let known = status.overridden.expect("it is told");
    assert_eq!(
        (known.kind(), known.by.as_str()),
        (OverrideKind::Stop, "\"ann@desk\" (claimed)")
    );
    // The same request once more is the same request; another one finds nothing to do.
    assert_eq!(
        ask(&cluster, "one", OverrideAction::Stop, None)
            .await
            .outcome(),
        RequestOutcome::Done
    );
    assert_eq!(
        ask(&cluster, "two", OverrideAction::Stop, None)
            .await
            .outcome(),
        RequestOutcome::Unchanged
    );

    let leader = cluster.leader(PATIENCE).await;
    cluster.kill(leader).await;
    let status = cluster
        .wait(MAIN, PATIENCE, |status| status.overridden.is_some())
        .await;
    assert_eq!(status.wanted, 0);
    cluster.restart(leader).await;

    assert_eq!(
        ask(&cluster, "three", OverrideAction::Scale, Some(5))
            .await
            .outcome(),
        RequestOutcome::Done
    );
    let scaled = cluster.wait_running(MAIN, 5, PATIENCE).await;
    let too_many = ask(&cluster, "four", OverrideAction::Scale, Some(31)).await;
    assert_eq!(too_many.outcome(), RequestOutcome::Refused);
    assert!(too_many.text.contains("at most 30"), "{}", too_many.text);

    // A restart replaces every replica.
    assert_eq!(
        ask(&cluster, "five", OverrideAction::Clear, None)
            .await
            .outcome(),
        RequestOutcome::Done
    );
    cluster.wait_running(MAIN, 3, PATIENCE).await;
    let before: Vec<String> = replicas(&cluster).await;
    assert_eq!(
        ask(&cluster, "six", OverrideAction::Restart, None)
            .await
            .outcome(),
        RequestOutcome::Done
    );
    cluster
        .wait(MAIN, PATIENCE, |status| {
            status.overridden.is_none() && status.wanted == 3
        })
        .await;
    let after = cluster.wait_running(MAIN, 3, PATIENCE).await;
    assert_eq!(after.desired_app, scaled.desired_app, "of the same version");
    let after = replicas(&cluster).await;
    assert!(
        before.iter().all(|id| !after.contains(id)),
        "{before:?} became {after:?}"
    );

    assert_eq!(
        ask(&cluster, "seven", OverrideAction::Pin, Some(2))
            .await
            .outcome(),
        RequestOutcome::Done
    );
    let pinned = cluster.wait_running(MAIN, 2, PATIENCE).await;
    let bounds = pinned.autoscaling.expect("it has bounds");
    assert_eq!((bounds.min_instances, bounds.max_instances), (2, 3));
    let known = pinned.overridden.expect("it is told");
    assert_eq!(
        (known.kind(), known.by.as_str(), known.instances),
        (OverrideKind::Pin, "\"ann@desk\" (claimed)", Some(2))
    );
    cluster.deploy("hello", 'b');
    let deployed = cluster.wait_running(MAIN, 3, PATIENCE).await;
    assert!(deployed.git_sha.starts_with('b') && deployed.overridden.is_none());
    let kinds: Vec<String> = history(&cluster)
        .await
        .into_iter()
        .map(|change| change.kinds.join(" "))
        .collect();
    let overrides = ["override"; 6].join(",");
    assert_eq!(kinds.join(","), format!("declared,{overrides},deploy"));

    let mut asking = client(&cluster, 0);
    let unknown = asking.r#override(OverrideRequest {
        asker: asker("nine"),
        instance: "helo.main".to_owned(),
        action: OverrideAction::Stop.into(),
        ..OverrideRequest::default()
    });
    let refused = unknown.await.expect_err("there is no such instance");
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains(MAIN), "{}", refused.message());
    for (action, word) in [(0, "explode"), (17, ""), (OverrideAction::Scale.into(), "")] {
        let nonsense = asking.r#override(OverrideRequest {
            asker: asker("ten"),
            instance: MAIN.to_owned(),
            action,
            action_word: word.to_owned(),
            ..OverrideRequest::default()
        });
        let refused = nonsense.await.expect_err("it means nothing");
        assert_eq!(refused.code(), Code::InvalidArgument, "{action}");
    }
    cluster.stop().await;
}

/// The ids of the replicas that are wanted to run.
async fn replicas(cluster: &Coordinators) -> Vec<String> {
    let status = cluster
        .wait(MAIN, PATIENCE, |status| status.replicas.len() == 3)
        .await;
    status
        .replicas
        .into_iter()
        .map(|replica| replica.id)
        .collect()
}

/// What stands in the URLs and must stand nowhere else.
const SECRET: &str = "s3cr3tTOKEN";
/// Services whose repository sends refs without an end.
const FLOODS: usize = 20;
/// All gits together may use this: 768 MiB, and what they allocate between two looks.
const GITS_BYTES_MAX: u64 = 1_280 << 20;

/// Sends refs without an end to everybody; returns its `HOST:PORT`.
fn flood() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || pour(connection));
        }
    });
    address
}

fn pour(mut connection: TcpStream) -> io::Result<()> {
    let mut head = [0; 8192];
    let length = connection.read(&mut head)?;
    assert!(length > 0);
    let packet = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let sha = "a".repeat(40);
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\
                Content-Type: application/x-git-upload-pack-advertisement\r\n\r\n";
    let service = packet("# service=git-upload-pack\n");
    let first = packet(&format!("{sha} refs/heads/x\0 \n"));
    write!(connection, "{head}{service}0000{first}")?;
    let many = packet(&format!("{sha} refs/tags/{}\n", "x".repeat(900))).repeat(1_000);
    loop {
        connection.write_all(many.as_bytes())?;
    }
}

/// The memory of every git on this machine that speaks of `address` or runs for this process.
fn gits_bytes() -> u64 {
    let mut open = vec![std::process::id()];
    let mut bytes = 0;
    while let Some(pid) = open.pop() {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            open.extend(
                text.split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        if pid != std::process::id() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("RssAnon:"));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            bytes += kilobytes.unwrap_or(0_u64) * 1024;
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sends_for_ever_costs_no_memory_and_no_deploy_and_tells_no_secret() {
    let cluster = Coordinators::following_git(1).await;
    let address = flood();
    for number in 0..FLOODS {
        let service = format!("flood{number}");
        cluster.declare(&service, "main: {cpus: 0.1, mem: 64}");
        let url = format!("http://bob:{SECRET}@{address}/{number}.git");
        describe(&cluster, &service, &url);
    }
    let (most, ended) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let watch = std::thread::spawn({
        let (most, ended) = (Arc::clone(&most), Arc::clone(&ended));
        move || {
            while !ended.load(Ordering::Relaxed) {
                most.fetch_max(gits_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let repository = Repository::new(&cluster);
    cluster.declare(
        "hello",
        "main: {instances: 1, cpus: 0.1, mem: 64, deploy_group: demo.all}",
    );
    let url = format!("file://{}", repository.path.display());
    describe(&cluster, "hello", &url);
    let _agents = FakeAgent::several(&cluster, 1).await;
    let sha = repository.commit();
    repository.tag("paasta-demo.all-20250101T000000-deploy", &sha);
    // A time that is none never wins.
    let other = repository.commit();
    repository.tag("paasta-demo.all-99999999T999999-deploy", &other);
    let began = Instant::now();
    let status = cluster.wait_running(MAIN, 1, PATIENCE).await;
    println!("arrived after {} ms", began.elapsed().as_millis());
    assert_eq!(status.git_sha, sha);
    let warning = status.repository.expect("it has something to mend").warning;
    assert!(
        warning.contains("paasta-demo.all-99999999T999999-deploy"),
        "{warning}"
    );

    // Every one of them is said to be ended for its memory, with no user part.
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        let ask = RemotesRequest {
            failing: true,
            ..RemotesRequest::default()
        };
        let answer = client(&cluster, 0).remotes(ask).await;
        let answer = answer.expect("it is answered").into_inner();
        let ended = |one: &&paasta_proto::v1::Remote| one.error.contains("MiB of memory");
        if answer.remotes.iter().filter(ended).count() == FLOODS {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    ended.store(true, Ordering::Relaxed);
    watch.join().expect("it watched");
    let most = most.load(Ordering::Relaxed);
    println!("at most {} MiB", most >> 20);
    assert!(most > 100 << 20, "the flood was felt: {most} bytes");
    assert!(most < GITS_BYTES_MAX, "{most} bytes");
    let first = &answer.remotes[0];
    assert!(
        first.url.starts_with(&format!("http://{address}/")),
        "{first:?}"
    );
    assert!(first.error.contains(&first.url), "{first:?}");

    // What people look at says so, and never that nothing is deployed.
    let mut admin = cluster.admin(1);
    let ask = StatusRequest {
        service: "flood1".to_owned(),
        ..StatusRequest::default()
    };
    let status = admin
        .status(ask)
        .await
        .expect("it is answered")
        .into_inner();
    let ask = WhyRequest {
        instance: "flood1.main".to_owned(),
    };
    let why = admin.why(ask).await.expect("it is answered").into_inner();
    for one in [
        &status.instances[0],
        why.status.as_ref().expect("it is there"),
    ] {
        let known = one.repository.as_ref().expect("it is in trouble");
        assert!(
            known.failures > 0 && known.error.contains("MiB of memory"),
            "{known:?}"
        );
        assert!(one.problems.is_empty(), "{:?}", one.problems);
    }
    let ask = MetastatusRequest::default();
    let meta = admin
        .metastatus(ask)
        .await
        .expect("it is answered")
        .into_inner();
    assert_eq!(
        (
            meta.repositories as usize,
            meta.repositories_failing as usize
        ),
        (FLOODS + 1, FLOODS)
    );
    assert!(
        meta.repositories_error.starts_with("flood0: git ls-remote"),
        "{meta:?}"
    );
    for text in [
        format!("{answer:?}"),
        format!("{status:?}"),
        format!("{why:?}"),
        format!("{meta:?}"),
    ] {
        assert!(!text.contains(SECRET) && !text.contains("bob"), "{text}");
    }
    cluster.stop().await;
}
