//! A real Prometheus scrapes real coordinators and an agent: the names follow its conventions, the
//! shipped rules and every query of the shipped dashboard speak of metrics that there are.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use paasta_tests::{
    cluster::{binaries::binaries, daemon::Daemon},
    http,
    run::{bounded, eventually, text},
    tidy::root,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
/// The processes of this test, for the end of the test.
const GROUP: &str = "prometheus-test";
const COORDINATORS: usize = 3;
/// Exported with TLS only; the program tls reads it.
const WITH_TLS: &str = "paasta_tls_certificate_expires_timestamp_seconds";

/// Everything that runs. Dropped, it ends.
struct Running {
    prometheus: SocketAddr,
    coordinators: Vec<SocketAddr>,
    agent: SocketAddr,
    daemons: Vec<Daemon>,
}

#[test]
fn what_is_scraped_is_what_rules_and_dashboard_ask_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let running = up(dir.path()).with_context(|| tails(dir.path()))?;
    let seen = eventually(LIMIT, "everything was scraped", || scraped(&running))?;
    for address in running.coordinators.iter().chain([&running.agent]) {
        let page = http::get(*address, "/metrics")?;
        documented(&page)?;
        let file = dir.path().join("page");
        fs::write(&file, page + "\n")?;
        let check = fs::File::open(&file)?;
        text(
            bounded(LIMIT, "promtool")
                .args(["check", "metrics"])
                .stdin(check),
        )?;
    }
    let loaded = ask(&running, "/api/v1/rules", &[])?;
    let rules: Vec<&Value> = loaded["data"]["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
        .collect();
    ensure!(rules.len() > 15, "{loaded:#}");
    let queries = rules
        .iter()
        .map(|rule| rule["query"].as_str().unwrap_or_default().to_owned());
    for query in queries.chain(dashboard()?) {
        let answer = ask(&running, "/api/v1/query", &[("query", &query)])?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        let mut unknown = names(&query);
        unknown.retain(|name| !seen.contains(name) && name != WITH_TLS);
        ensure!(
            unknown.is_empty(),
            "{query} asks for {unknown:?}, which nothing exports"
        );
    }
    answers(&running)?;
    for daemon in running.daemons {
        daemon.stop(LIMIT)?;
    }
    Ok(())
}

/// Every metric of a page is in the reference, with its help.
fn documented(page: &str) -> Result<()> {
    let reference = fs::read_to_string(root().join("docs/reference/metrics.md"))?;
    let helps = page.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let mut count = 0;
    for help in helps {
        let (name, help) = help.split_once(' ').context("a name and its help")?;
        let help = help.replace('|', "\\|");
        let row = reference
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.with_context(|| format!("docs/reference/metrics.md has no {name}"))?;
        ensure!(row.contains(&help), "{row} does not say {help:?}");
        count += 1;
    }
    ensure!(count > 10, "only {count} metrics in {page}");
    Ok(())
}

/// What a Prometheus knows of the cluster by now.
fn answers(running: &Running) -> Result<()> {
    for (query, expected) in [
        ("max(paasta_raft_has_leader)", "1"),
        ("sum(paasta_raft_role{role=\"leader\"})", "1"),
        ("max(paasta_hosts{state=\"up\"})", "1"),
        ("sum(paasta_agent_session_connected)", "1"),
        ("count(paasta_instances{status=\"running\"})", "1"),
        ("count(paasta_raft_peer_lag_records)", "2"),
        ("sum(paasta_agent_runtime_degraded)", "1"),
        ("sum(up)", "4"),
    ] {
        let answer = eventually(LIMIT, query, || {
            let answer = ask(running, "/api/v1/query", &[("query", query)])?;
            let value = &answer["data"]["result"][0]["value"][1];
            ensure!(value == expected, "{query} is {answer}");
            Ok(answer)
        })?;
        ensure!(answer["status"] == "success");
    }
    let counted = "sum(paasta_log_fsync_duration_seconds_count) > 3 and sum(paasta_agent_engine_operation_duration_seconds_count{operation=\"list\"}) > 0";
    eventually(LIMIT, counted, || {
        let answer = ask(running, "/api/v1/query", &[("query", counted)])?;
        let found = answer["data"]["result"].as_array().map_or(0, Vec::len);
        ensure!(found == 1, "{answer}");
        Ok(())
    })
}

#[test]
fn the_rules_fire_when_they_should() -> Result<()> {
    let dir = root().join("deploy/prometheus");
    text(
        bounded(LIMIT, "promtool")
            .args(["check", "config", "prometheus.yml"])
            .current_dir(&dir),
    )?;
    text(
        bounded(LIMIT, "promtool")
            .args(["test", "rules", "rules.test.yml"])
            .current_dir(&dir),
    )?;
    let rules = fs::read_to_string(dir.join("rules.yml"))?;
    let tests = fs::read_to_string(dir.join("rules.test.yml"))?;
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let untested: Vec<&str> = alerts
        .filter(|alert| !tests.contains(&format!("- name: {alert}\n")))
        .collect();
    ensure!(
        untested.is_empty(),
        "no test in rules.test.yml: {untested:?}"
    );
    Ok(())
}

fn up(dir: &Path) -> Result<Running> {
    text(&mut bounded(
        Duration::from_secs(600),
        root().join("deploy/demo/install.sh"),
    ))?;
    let binaries = binaries()?;
    // Held together, so that none is given twice; free again when this returns.
    let held: Vec<TcpListener> = (0..2 * COORDINATORS + 2)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()?;
    let free: Vec<SocketAddr> = held
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    drop(held);
    let (grpc, rest) = free.split_at(COORDINATORS);
    let (coordinators, rest) = rest.split_at(COORDINATORS);
    let (agent, prometheus) = (rest[0], rest[1]);
    let members: Vec<String> = grpc.iter().map(ToString::to_string).collect();
    configure(dir, &members, coordinators, agent)?;
    let config = format!("--config-dir={}", dir.join("config").display());
    let mut daemons = Vec::new();
    for (at, (listen, http)) in grpc.iter().zip(coordinators).enumerate() {
        let id = at + 1;
        daemons.push(start(
            dir,
            &format!("coordinator-{id}"),
            vec![
                binaries.join("paasta-coordinator").display().to_string(),
                "run".to_owned(),
                config.clone(),
                format!("--node-id={id}"),
                format!("--listen={listen}"),
                format!("--http-listen={http}"),
                format!("--data-dir={}", dir.join(format!("data-{id}")).display()),
            ],
        )?);
    }
    eventually(LIMIT, "the cluster is made", || {
        let mut init = Command::new("timeout");
        init.arg("20")
            .arg(binaries.join("paasta"))
            .args(["cluster", "init", "--cluster", "demo"]);
        for (at, address) in members.iter().enumerate() {
            init.arg(format!("--member={}={address}", at + 1));
        }
        text(&mut init)
    })?;
    daemons.push(start(
        dir,
        "agent",
        vec![
            binaries.join("paasta-agent").display().to_string(),
            "run".to_owned(),
            config,
            "--host-id=prometheus-test".to_owned(),
            "--address=127.0.0.1".to_owned(),
            // None is there: nothing of this machine is touched.
            format!("--docker-socket={}", dir.join("docker.sock").display()),
            format!("--http-listen={agent}"),
            format!("--state-dir={}", dir.join("agent").display()),
        ],
    )?);
    daemons.push(start(
        dir,
        "prometheus",
        vec![
            "prometheus".to_owned(),
            format!("--config.file={}", dir.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", dir.join("tsdb").display()),
            format!("--web.listen-address={prometheus}"),
        ],
    )?);
    Ok(Running {
        prometheus,
        coordinators: coordinators.to_vec(),
        agent,
        daemons,
    })
}

/// The shipped configuration of Prometheus, with the addresses of this test and less patience.
fn configure(
    dir: &Path,
    members: &[String],
    coordinators: &[SocketAddr],
    agent: SocketAddr,
) -> Result<()> {
    for name in ["config", "soa/hello"] {
        fs::create_dir_all(dir.join(name))?;
    }
    let members = members.join(", ");
    let soa = dir.join("soa");
    let system = format!(
        "cluster: demo\ndocker_registry: localhost:1\nsoa_dir: {}\nagent: {{coordinators: [{members}]}}\n",
        soa.display()
    );
    fs::write(dir.join("config/paasta.yaml"), system)?;
    fs::write(
        soa.join("hello/marathon-demo.yaml"),
        "main: {cpus: 0.1, mem: 32}\n",
    )?;
    let shipped = root().join("deploy/prometheus");
    let quoted: Vec<String> = coordinators
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    let config = fs::read_to_string(shipped.join("prometheus.yml"))?
        .replace("\"127.0.0.1:7402\"", &quoted.join(", "))
        .replace("127.0.0.1:7403", &agent.to_string())
        .replace("15s", "1s");
    fs::write(dir.join("prometheus.yml"), config)?;
    fs::copy(shipped.join("rules.yml"), dir.join("rules.yml"))?;
    Ok(())
}

fn start(dir: &Path, name: &str, words: Vec<String>) -> Result<Daemon> {
    Daemon::start(name, GROUP, &words, &dir.join(format!("{name}.log")))
}

fn tails(dir: &Path) -> String {
    let names = ["coordinator-1", "agent", "prometheus"];
    names
        .map(|name| paasta_tests::cluster::daemon::tail(&dir.join(format!("{name}.log"))))
        .concat()
}

/// The names that Prometheus has, once every target was scraped and leads somewhere.
fn scraped(running: &Running) -> Result<BTreeSet<String>> {
    let up = ask(running, "/api/v1/query", &[("query", "sum(up)")])?;
    let count = &up["data"]["result"][0]["value"][1];
    ensure!(count == "4", "{up}");
    let names = ask(running, "/api/v1/label/__name__/values", &[])?;
    let names = names["data"].as_array().context("a list of names")?;
    let names: BTreeSet<String> = names
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    for late in [
        "paasta_raft_peer_lag_records",
        "paasta_pool_capacity_cpus",
        "paasta_agent_silence_seconds",
        "paasta_http_requests_total",
    ] {
        ensure!(names.contains(late), "{late} is not there yet");
    }
    Ok(names)
}

/// The queries of the dashboard.
fn dashboard() -> Result<Vec<String>> {
    let text = fs::read_to_string(root().join("deploy/grafana/paasta.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<String> = targets
        .filter_map(|target| target["expr"].as_str())
        .map(str::to_owned)
        .collect();
    ensure!(
        queries.len() > 30,
        "only {} queries were found",
        queries.len()
    );
    Ok(queries)
}

/// The metrics that a query names.
fn names(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("paasta_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

fn ask(running: &Running, path: &str, fields: &[(&str, &str)]) -> Result<Value> {
    let mut curl = bounded(LIMIT, "curl");
    curl.args(["-sS", "-G", &format!("http://{}{path}", running.prometheus)]);
    for (name, value) in fields {
        curl.args(["--data-urlencode", &format!("{name}={value}")]);
    }
    serde_json::from_str(&text(&mut curl)?).context("Prometheus answers with JSON")
}
