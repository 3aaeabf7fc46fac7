//! Output is captured through a restart of dockerd: one of its own, whose containers outlive it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use paasta_agent::{
    engine::docker::DockerEngine,
    logs::{RunKey, capture::Captures, store::LogStore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    output::{captured, gaps, last},
    truth::{pack, until},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A containerd and a dockerd in a directory of their own; ended, with their containers, when
/// dropped.
pub(crate) struct Daemons {
    dir: PathBuf,
    containerd: Child,
    dockerd: Option<Child>,
}

impl Daemons {
    pub(crate) fn start(dir: &Path, driver: &str) -> Self {
        let at = dir.display();
        let toml = format!(
            "version = 2\nroot = \"{at}/ctr\"\nstate = \"{at}/run\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"{at}/ctr.sock\"\n[ttrpc]\naddress = \"{at}/ctr.sock.ttrpc\"\n"
        );
        fs::write(dir.join("containerd.toml"), toml).unwrap();
        let json = format!(
            "{{\"data-root\": \"{at}/data\", \"exec-root\": \"{at}/exec\", \
             \"pidfile\": \"{at}/docker.pid\", \"hosts\": [\"unix://{at}/docker.sock\"], \
             \"containerd\": \"{at}/ctr.sock\", \"storage-driver\": \"{driver}\", \
             \"bridge\": \"none\", \"iptables\": false, \"live-restore\": true, \
             \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"]}}"
        );
        fs::write(dir.join("daemon.json"), json).unwrap();
        let config = dir.join("containerd.toml");
        let containerd = start(dir, "containerd", &["--config", &config.to_string_lossy()]);
        let mut daemons = Self {
            dir: dir.to_owned(),
            containerd,
            dockerd: None,
        };
        daemons.boot();
        daemons
    }

    fn boot(&mut self) {
        let config = self.dir.join("daemon.json");
        // In a network of its own: a dockerd without a bridge removes the machine's docker0.
        let config = config.to_string_lossy();
        let words = ["--net", "dockerd", "--config-file", &config];
        self.dockerd = Some(start(&self.dir, "unshare", &words));
        let begun = Instant::now();
        while !self.docker(&["version"]).0 {
            let log = fs::read_to_string(self.dir.join("unshare.log")).unwrap_or_default();
            assert!(begun.elapsed() < LIMIT, "dockerd did not start: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn end_dockerd(&mut self) {
        if let Some(dockerd) = self.dockerd.take() {
            end(dockerd);
        }
    }

    /// Whether docker succeeded, and what it said.
    pub(crate) fn docker(&self, words: &[&str]) -> (bool, String) {
        let socket = format!("unix://{}/docker.sock", self.dir.display());
        let output = Command::new("docker")
            .args(["-H", &socket])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        (output.status.success(), said)
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        let (_, ids) = self.docker(&["ps", "-aq"]);
        for id in ids.lines() {
            self.docker(&["rm", "-f", "-v", id]);
        }
        self.end_dockerd();
        let id = i32::try_from(self.containerd.id()).unwrap();
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        let _ = self.containerd.wait();
        // A dockerd that its containers outlive leaves its directory mounted.
        let data = self.dir.join("data");
        let _ = Command::new("umount").arg(data).output();
    }
}

fn start(dir: &Path, program: &str, words: &[&str]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join(format!("{program}.log")))
        .unwrap();
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program}: {error}"))
}

fn end(mut child: Child) {
    let id = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_dockerd_loses_and_doubles_nothing() {
    // Short, as the paths of sockets are bounded.
    let dir = tempfile::Builder::new()
        .prefix("pa-")
        .tempdir_in("/tmp")
        .unwrap();
    let mut daemons = Daemons::start(dir.path(), "vfs");
    let tar = pack(dir.path(), &[]);
    let (imported, said) = daemons.docker(&["import", &tar.to_string_lossy(), "restarted:1"]);
    assert!(imported, "{said}");
    let script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i; sleep 0.005; done; \
                  exec sleep 1000";
    let (ran, id) = daemons.docker(&[
        "run",
        "-d",
        "--init",
        "--net=none",
        "--log-driver=json-file",
        "--log-opt=max-size=10k",
        "--log-opt=max-file=6",
        "restarted:1",
        "/bin/sh",
        "-c",
        script,
    ]);
    assert!(ran, "{id}");
    let engine = DockerEngine::new(dir.path().join("docker.sock"), "/nonexistent/config.json");
    let store = LogStore::new(dir.path().join("logs"), 1 << 20, 5, 10 << 20);
    let captures = Captures::new(Arc::new(engine), store, CancellationToken::new());
    let run = RunKey {
        instance: "hello.main".parse().unwrap(),
        replica: "r7".parse().unwrap(),
        run: 1,
    };
    let kept = captures.store().dir(&run);
    captures.keep(&BTreeMap::from([(run, id)]), &BTreeSet::new());
    for wanted in [200, 900] {
        until("some is captured", || last(&kept) >= Some(wanted)).await;
        daemons.end_dockerd();
        tokio::time::sleep(Duration::from_secs(1)).await;
        daemons.boot();
    }
    until("all is captured", || last(&kept) == Some(2_000)).await;
    let lines = captured(&kept, "stdout");
    assert_eq!((lines.len(), gaps(&lines)), (2_000, 0));
}
