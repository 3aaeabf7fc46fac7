//! Real coordinators and the real command line, without Docker: what is said when two of three are
//! dead, what of a repository's URL is said anywhere, and what a leader's wrong clock changes.

#[path = "control/clocks.rs"]
mod clocks;
#[path = "control/clusters.rs"]
mod clusters;
#[path = "control/plans.rs"]
mod plans;
#[path = "control/secrets.rs"]
mod secrets;
#[path = "../../cli/tests/cli/verbs.rs"]
mod verbs;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use paasta_proto::v1::NodeRole;
use paasta_tests::cluster::{
    binaries::binaries,
    operator::{Operator, Said},
};
use paasta_tests::run::{eventually, text};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const MEMBERS: usize = 3;
/// More events than a test makes.
const EVENTS_MAX: usize = 1_000;
const SECRET: &str = "s3cr3tTOKEN";

/// Three coordinators on loopback; dropped, they are killed.
struct Plane {
    dir: TempDir,
    children: Vec<Option<Child>>,
    addresses: Vec<String>,
    http: Vec<String>,
    operator: Operator,
}

/// Free addresses on loopback.
fn free(count: usize) -> Result<Vec<String>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let address = |one: &TcpListener| Ok(one.local_addr()?.to_string());
    listeners.iter().map(address).collect()
}

impl Plane {
    /// A cluster that follows git.
    fn start(more: &str) -> Result<Self> {
        Self::named("demo", more)
    }

    /// The same, of another name.
    fn named(cluster: &str, more: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for name in ["config", "soa"] {
            fs::create_dir(dir.path().join(name))?;
        }
        let (addresses, http) = (free(MEMBERS)?, free(MEMBERS)?);
        let soa = dir.path().join("soa");
        let yaml = format!(
            "cluster: {cluster}\ndocker_registry: localhost:1\nsoa_dir: {}\n\
             deployments: {{every_seconds: 1}}\n{more}",
            soa.display()
        );
        fs::write(dir.path().join("config/paasta.yaml"), yaml)?;
        let program = binaries()?.join("paasta");
        let operator = Operator::new(&program, &dir.path().join("config"), &addresses);
        let mut plane = Self {
            dir,
            children: (0..MEMBERS).map(|_| None).collect(),
            addresses,
            http,
            operator,
        };
        for at in 0..MEMBERS {
            plane.run(at)?;
        }
        let members: Vec<String> = (0..MEMBERS)
            .map(|at| format!("{}={}", at + 1, plane.addresses[at]))
            .collect();
        let mut words = vec!["cluster", "init", "--cluster", cluster];
        for member in &members {
            words.extend(["--member", member]);
        }
        eventually(PATIENCE, "the cluster is made", || {
            plane.operator.succeed(&words)
        })?;
        Ok(plane)
    }

    fn log(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("log-{at}"))
    }

    fn run(&mut self, at: usize) -> Result<()> {
        self.run_under(at, &["env".to_owned()])
    }

    /// Runs a coordinator by a program that becomes it.
    fn run_under(&mut self, at: usize, under: &[String]) -> Result<()> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.log(at))?;
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let child = Command::new(&under[0])
            .args(&under[1..])
            .arg(binaries()?.join("paasta-coordinator"))
            .arg("run")
            .arg(format!("--config-dir={}", path("config")))
            .arg(format!("--node-id={}", at + 1))
            .arg(format!("--listen={}", self.addresses[at]))
            .arg(format!("--http-listen={}", self.http[at]))
            .arg(format!("--data-dir={}", path(&format!("data-{at}"))))
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        self.children[at] = Some(child);
        Ok(())
    }

    fn kill(&mut self, at: usize) -> Result<()> {
        let mut child = self.children[at].take().context("it runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Where the leader is in the list.
    fn leader(&self) -> Result<usize> {
        eventually(PATIENCE, "there is a leader", || {
            let nodes = self.operator.nodes()?;
            let leads = nodes.iter().find(|node| node.role() == NodeRole::Leader);
            let id = leads.context("nobody leads")?.id;
            Ok(usize::try_from(id)? - 1)
        })
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.dir.path().join("soa").join(file);
        fs::create_dir_all(path.parent().context("it has a parent")?)?;
        Ok(fs::write(path, text)?)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn all(said: &Said) -> String {
    format!("{}{}", said.stdout, said.stderr)
}

fn git(at: &Path, arguments: &[&str]) -> Result<String> {
    text(
        Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(at)
            .env("GIT_CONFIG_GLOBAL", "/dev/null"),
    )
}

/// The answer to a GET.
fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Makes a repository with one commit that is deployed for this deploy group.
fn deployed_repository(repository: &Path, group: &str) -> Result<()> {
    fs::create_dir(repository)?;
    git(repository, &["init", "-q"])?;
    git(repository, &["commit", "-q", "--allow-empty", "-m", "x"])?;
    let tag = format!("paasta-{group}-20250101T000000-deploy");
    git(repository, &["tag", &tag])?;
    Ok(())
}

#[test]
fn one_of_three_says_who_is_away_and_what_goes_on() -> Result<()> {
    let mut plane = Plane::start("")?;
    let repository = plane.dir.path().join("hello.git");
    deployed_repository(&repository, "demo.main")?;
    plane.write(
        "hello/service.yaml",
        &format!("git_url: file://{}\n", repository.display()),
    )?;
    plane.write("hello/marathon-demo.yaml", "main: {cpus: 0.1, mem: 64}\n")?;
    eventually(PATIENCE, "the instance is known", || {
        let status = plane.operator.status("hello.main")?;
        ensure!(!status.git_sha.is_empty(), "not deployed yet");
        Ok(())
    })?;
    let leader = plane.leader()?;
    let left = (leader + 1) % MEMBERS;
    for at in (0..MEMBERS).filter(|at| *at != left) {
        plane.kill(at)?;
    }
    let verbs: [&[&str]; 9] = [
        &["status", "-s", "hello"],
        &["metastatus"],
        &["why", "hello.main"],
        &["list"],
        &["events"],
        &["history", "hello.main"],
        &["emergency-stop", "-s", "hello", "-i", "main"],
        &["coordinator", "list"],
        &["generate-deployments", "--status"],
    ];
    let one = plane.operator.asking(&plane.addresses[left]);
    // Impatient: what is said does not depend on how long the question was repeated.
    for operator in [&plane.operator.impatient(), &one.impatient()] {
        for verb in verbs {
            let said = operator.paasta(verb)?;
            let text = all(&said);
            ensure!(said.code == Some(2), "{verb:?}: {:?}: {text}", said.code);
            for words in [
                "no leader: 1 of 3 coordinators answers, and 2 must run",
                "does not answer",
                "What runs on the hosts goes on",
            ] {
                ensure!(text.contains(words), "{verb:?}: no {words:?} in {text}");
            }
            ensure!(
                !text.contains("no coordinator answered"),
                "{verb:?}: {text}"
            );
        }
    }
    let said = plane.operator.paasta(&["metastatus"])?;
    let text = all(&said);
    ensure!(
        said.code == Some(2) && text.contains("no leader: 1 of 3"),
        "{text}"
    );
    let stale = one.paasta(&["status", "-s", "hello", "--stale"])?;
    let words = format!("Stale: coordinator {} answers as of", left + 1);
    ensure!(stale.stdout.contains(&words), "{}", all(&stale));
    ensure!(!stale.stdout.contains("unhealthy"), "{}", all(&stale));
    let stale = one.paasta(&["metastatus", "--stale"])?;
    ensure!(
        stale.code == Some(2) && stale.stdout.contains(&words),
        "{}",
        all(&stale)
    );
    ensure!(stale.stdout.contains("no leader"), "{}", all(&stale));
    // No coordinator at all is another exit code.
    plane.kill(left)?;
    let said = one.paasta(&["status"])?;
    ensure!(said.code == Some(3), "{:?}: {}", said.code, all(&said));
    for at in 0..MEMBERS {
        plane.run(at)?;
    }
    eventually(PATIENCE, "it goes on", || {
        let said = plane.operator.paasta(&["list"])?;
        match said.code {
            Some(0) => Ok(()),
            _ => bail!("{}", all(&said)),
        }
    })
}

/// Answers every request by 401, with the secret in the words; returns its `HOST:PORT`.
fn refuser() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            // The client may have closed the connection.
            let _ = connection.read(&mut [0; 4096]);
            let _ = write!(
                connection,
                "HTTP/1.1 401 no\r\nWWW-Authenticate: Basic realm=x\r\nConnection: close\r\n\
                 Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{SECRET}",
                SECRET.len()
            );
        }
    });
    Ok(address)
}

#[test]
fn a_repository_that_cannot_be_read_is_said_everywhere_and_its_login_nowhere() -> Result<()> {
    let sensu = TcpListener::bind("127.0.0.1:0")?;
    let more = format!(
        "sensu_host: 127.0.0.1\nsensu_port: {}\nalerts: {{check_seconds: 1, after_seconds: 1}}\n",
        sensu.local_addr()?.port()
    );
    let (send, events) = sync_channel(EVENTS_MAX);
    std::thread::spawn(move || {
        for mut client in sensu.incoming().flatten() {
            let mut event = String::new();
            // Without a reader of the channel the test has ended.
            if client.read_to_string(&mut event).is_err() || send.send(event).is_err() {
                return;
            }
        }
    });
    let mut told: Vec<String> = Vec::new();
    let mut next = |status: &str| -> Result<()> {
        loop {
            let event = events.recv_timeout(PATIENCE);
            let event = event.with_context(|| format!("no event with {status}: {told:?}"))?;
            let found = event.contains("setup_marathon_job.broken.main");
            let found = found && event.contains(status);
            told.push(event);
            if found {
                return Ok(());
            }
        }
    };
    let plane = Plane::start(&more)?;
    let refuser = refuser()?;
    let urls = [
        ("web", format!("http://bob:{SECRET}@{refuser}/x.git")),
        ("dead", format!("http://bob:{SECRET}@127.0.0.1:9/x.git")),
        ("odd", format!("https://bob:{SECRET}/y@127.0.0.1:9/x.git")),
        ("broken", format!("git://bob:{SECRET}@127.0.0.1:9/x.git")),
    ];
    plane.write("broken/monitoring.yaml", "team: makers\n")?;
    for (service, url) in &urls {
        plane.write(
            &format!("{service}/service.yaml"),
            &format!("git_url: {url}\n"),
        )?;
        // The broken one is never read as a good one first.
        let memory = if *service == "broken" { "much" } else { "64" };
        plane.write(
            &format!("{service}/marathon-demo.yaml"),
            &format!("main: {{cpus: 0.1, mem: {memory}}}\n"),
        )?;
    }
    let mut texts = Vec::new();
    let shown: [(&[&str], &str); 4] = [
        (&["status", "-s", "web"], "Authentication failed"),
        (&["why", "dead.main"], "Failed to connect"),
        (&["metastatus"], "do not answer"),
        (
            &["generate-deployments", "--status"],
            "Authentication failed",
        ),
    ];
    for (verb, words) in shown {
        let said = eventually(PATIENCE, words, || {
            let said = plane.operator.paasta(verb)?;
            let text = all(&said).replace("\n", " ");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(text.contains(words), "{verb:?}: {text}");
            Ok(text)
        })?;
        ensure!(!said.contains("mark a commit"), "{verb:?}: {said}");
        texts.push(said);
    }
    let leader = plane.leader()?;
    let metrics = eventually(PATIENCE, "all four fail", || {
        let text = get(&plane.http[leader], "/metrics")?;
        ensure!(text.contains("\npaasta_repositories_failing 4\n"), "{text}");
        Ok(text)
    })?;
    texts.push(metrics);
    texts.extend(secrets::api(&plane, leader, "web")?);
    let verbs: [&[&str]; 8] = [
        &["status", "-v"],
        &["why", "web.main"],
        &["why", "odd.main"],
        &["metastatus", "-vvv"],
        &["events", "-n", "1000"],
        &["list", "-i"],
        &["generate-deployments", "--status"],
        &["info", "-s", "web"],
    ];
    for verb in verbs {
        for json in [&[][..], &["--json"][..]] {
            texts.push(all(&plane.operator.paasta(&[verb, json].concat())?));
        }
    }
    // It is mended only when its team was notified.
    next("\"status\":2")?;
    plane.write("broken/marathon-demo.yaml", "main: {cpus: 0.1, mem: 64}\n")?;
    next("\"status\":0")?;
    let statuses: Vec<bool> = told
        .iter()
        .filter(|text| text.contains("setup_marathon_job.broken.main"))
        .map(|text| text.contains("\"status\":2") && text.contains("\"team\":\"makers\""))
        .collect();
    ensure!(
        statuses == [true, false],
        "once, and once when it is mended: {told:?}"
    );
    texts.extend(told);
    for at in 0..MEMBERS {
        let log = fs::read_to_string(plane.log(at))?;
        ensure!(!log.is_empty(), "it logs");
        texts.push(log);
    }
    nowhere(&texts)
}

/// Fails if the user part of a URL is in one of the texts.
fn nowhere(texts: &[String]) -> Result<()> {
    for text in texts {
        for secret in [SECRET, "bob:"] {
            if let Some(at) = text.find(secret) {
                let from = text.floor_char_boundary(at.saturating_sub(300));
                bail!("{secret} is in: {}", &text[from..at]);
            }
        }
    }
    Ok(())
}
