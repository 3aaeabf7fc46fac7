//! Two real clusters and an address that does not answer, asked side by side by the contexts of one
//! user.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use paasta_tests::cluster::{binaries::binaries, operator::Said};
use paasta_tests::run::{bounded, eventually};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, Plane, all, deployed_repository};

const COMMAND: Duration = Duration::from_secs(60);

/// A user with contexts.
struct User {
    home: TempDir,
    program: PathBuf,
}

impl User {
    fn new() -> Result<Self> {
        let home = tempfile::tempdir()?;
        // A configuration that says nothing.
        fs::create_dir(home.path().join("etc"))?;
        Ok(Self {
            home,
            program: binaries()?.join("paasta"),
        })
    }

    fn run(&self, words: &[&str]) -> Result<Said> {
        let output = bounded(COMMAND, &self.program)
            .args(words)
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("PAASTA_SYSTEM_CONFIG_DIR", self.home.path().join("etc"))
            .env_remove("PAASTA_COORDINATORS")
            .env_remove("PAASTA_CONTEXT")
            .env("NO_COLOR", "1")
            .output()?;
        Ok(Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn exits(&self, code: i32, words: &[&str]) -> Result<Said> {
        let said = self.run(words)?;
        ensure!(said.code == Some(code), "{words:?}: {said:?}");
        Ok(said)
    }

    fn add(&self, name: &str, addresses: &str) -> Result<()> {
        let words = ["context", "add", name, "--coordinators", addresses];
        self.exits(0, &words).map(drop)
    }
}

/// Declares and deploys one instance of a service.
fn declare(plane: &Plane, cluster: &str, service: &str) -> Result<()> {
    let repository = plane.dir.path().join(format!("{service}.git"));
    deployed_repository(&repository, "all")?;
    let url = format!("git_url: file://{}\n", repository.display());
    plane.write(&format!("{service}/service.yaml"), &url)?;
    let text = "main: {cpus: 0.1, mem: 64, deploy_group: all}\n";
    plane.write(&format!("{service}/marathon-{cluster}.yaml"), text)?;
    eventually(PATIENCE, "the instance is known", || {
        let status = plane.operator.status(&format!("{service}.main"))?;
        ensure!(!status.git_sha.is_empty(), "not deployed yet");
        Ok(())
    })
}

/// In which order these stand in the text.
fn in_order(text: &str, words: &[&str]) -> Result<()> {
    let places: Vec<_> = words.iter().map(|word| text.find(word)).collect();
    ensure!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{words:?} at {places:?} in {text}"
    );
    Ok(())
}

#[test]
fn clusters_are_asked_side_by_side_and_one_that_is_away_is_named() -> Result<()> {
    let (east, west) = (Plane::named("east", "")?, Plane::named("west", "")?);
    declare(&east, "east", "hello")?;
    declare(&west, "west", "hello")?;
    declare(&west, "west", "db")?;
    let user = User::new()?;
    user.add("west", &west.addresses.join(","))?;
    user.add("east", &east.addresses.join(","))?;

    // Without agents nothing is healthy.
    let two = user.exits(2, &["status"])?;
    in_order(
        &two.stdout,
        &[
            "east: 1 instance",
            "hello.main",
            "west: 2 instances",
            "db.main",
        ],
    )?;
    let full = user.exits(2, &["status", "-s", "hello", "-v"])?;
    ensure!(full.stdout.matches("cluster: ").count() == 2, "{full:?}");
    // It is no fault of east that only west has it.
    let db = user.exits(2, &["status", "-s", "db"])?;
    ensure!(
        db.stdout.contains("west") && !all(&db).contains("east"),
        "{db:?}"
    );
    let none = user.exits(1, &["status", "-s", "hallo"])?;
    in_order(
        &none.stderr,
        &[
            "east: no service hallo",
            "did you mean hello",
            "west: no service",
        ],
    )?;
    let typo = user.exits(1, &["status", "-c", "wset"])?;
    ensure!(typo.stderr.contains("did you mean west?"), "{typo:?}");
    let one = user.exits(2, &["status", "-c", "west"])?;
    ensure!(!one.stdout.contains("east"), "{one:?}");
    let list = user.exits(0, &["list", "-i"])?;
    ensure!(list.stdout == "db.main\nhello.main\n", "{list:?}");

    // One that accepts connections and is silent.
    let mute = TcpListener::bind("127.0.0.1:0")?;
    user.add("away", &mute.local_addr()?.to_string())?;
    for words in [&["status"] as &[&str], &["metastatus"], &["list"]] {
        let three = user.exits(3, words)?;
        ensure!(
            three
                .stderr
                .contains("away: no coordinator answered within 3s"),
            "{words:?}: {three:?}"
        );
        ensure!(
            all(&three).contains("hello") || all(&three).contains("west"),
            "{words:?}: {three:?}"
        );
    }
    let three = user.exits(3, &["status"])?;
    in_order(
        &three.stdout,
        &[
            "away: no coordinator",
            "east: 1 instance",
            "west: 2 instances",
        ],
    )?;
    let metastatus = user.run(&["metastatus", "-c", "east,west"])?;
    in_order(&metastatus.stdout, &["east (id", "west (id"])?;
    let json = user.exits(3, &["status", "--json"])?;
    let json: Value = serde_json::from_str(&json.stdout)?;
    let names: Vec<_> = (0..3).map(|at| &json["clusters"][at]["cluster"]).collect();
    ensure!(names == ["away", "east", "west"], "{json}");
    ensure!(
        json["clusters"][0]["answer"].is_null()
            && json["clusters"][1]["answer"]["instances"][0]["service"] == "hello",
        "{json}"
    );

    // A deploy to all three waits for all, and says which are late and why.
    let soa = user.home.path().join("soa");
    fs::create_dir_all(soa.join("hello"))?;
    let repository = east.dir.path().join("hello.git");
    let url = format!("git_url: file://{}\n", repository.display());
    fs::write(soa.join("hello/service.yaml"), url)?;
    for cluster in ["away", "east", "west"] {
        let file = soa.join(format!("hello/marathon-{cluster}.yaml"));
        fs::write(file, "main: {deploy_group: all}\n")?;
    }
    let sha = super::git(&repository, &["rev-parse", "HEAD"])?;
    let soa = soa.display().to_string();
    let mut words = vec!["wait-for-deployment", "-s", "hello", "-l", "all", "-t", "5"];
    words.extend(["-k", sha.trim(), "-d", &soa]);
    let late = user.exits(1, &words)?;
    in_order(
        &late.stdout,
        &["away.main: no coordinator", "east.main:", "west.main:"],
    )
}
