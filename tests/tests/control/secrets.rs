//! What stands in the user part of a repository's URL is in nothing that anybody is shown: no verb,
//! event, log, API, metric or snapshot of a cluster that uses it, with success and without.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_tests::run::eventually;

use super::verbs::{VERBS, words};
use super::{MEMBERS, PATIENCE, Plane, SECRET, all, deployed_repository, get, git, nowhere};

/// For how long `paasta watch` is run.
const WATCHED: Duration = Duration::from_secs(1);

/// Files of a repository for git's simplest protocol over HTTP, for clients that log in; anything
/// else is refused, with the secret in the words. Returns its `HOST:PORT`.
fn server(refs: String, head: String) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut asked = [0; 8192];
            // The client may have closed the connection.
            let length = connection.read(&mut asked).unwrap_or(0);
            let asked = String::from_utf8_lossy(&asked[..length]);
            let path = asked.split(' ').nth(1).unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            let known = asked
                .to_ascii_lowercase()
                .contains("\r\nauthorization: basic");
            let (status, body) = match path {
                _ if !known => ("401 no\r\nWWW-Authenticate: Basic realm=x", SECRET),
                "/good.git/info/refs" => ("200 OK", refs.as_str()),
                "/good.git/HEAD" => ("200 OK", head.as_str()),
                _ => ("403 no", SECRET),
            };
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok(address)
}

/// Two services with a login in their URLs: one repository answers, the other does not. Returns
/// the version of the first, and that URL.
fn declare(plane: &Plane) -> Result<(String, String)> {
    let repository = plane.dir.path().join("repository");
    deployed_repository(&repository, "demo.all")?;
    git(&repository, &["update-server-info"])?;
    let read = |name: &str| fs::read_to_string(repository.join(".git").join(name));
    let address = server(read("info/refs")?, read("HEAD")?)?;
    let url = |name: &str| format!("http://bob:{SECRET}@{address}/{name}.git");
    for service in ["good", "bad"] {
        plane.write(
            &format!("{service}/service.yaml"),
            &format!("git_url: {}\n", url(service)),
        )?;
        plane.write(
            &format!("{service}/marathon-demo.yaml"),
            "main: {cpus: 0.1, mem: 64, deploy_group: demo.all}\n",
        )?;
    }
    Ok((git(&repository, &["rev-parse", "HEAD"])?, url("good")))
}

/// Runs every verb, in each of these forms; returns what all of them said, and how many succeeded.
fn run_verbs(
    plane: &Plane,
    service: &str,
    (sha, url): (&str, &str),
    forms: &[&str],
) -> Result<(Vec<String>, usize)> {
    let path = |name: &str| plane.dir.path().join(name).display().to_string();
    let (soa, made) = (path("soa"), path(&format!("made-{service}")));
    fs::create_dir(&made)?;
    let values = [
        ("SERVICE", service),
        ("SHA", sha),
        ("SOA", &soa),
        ("DIR", &made),
        ("URL", url),
    ];
    let (mut said, mut succeeded) = (Vec::new(), 0);
    for (verb, invocations) in VERBS {
        for options in *invocations {
            for more in forms {
                let words = words(verb, &format!("{options}{more}"), &values);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                // It goes on until it is ended; the first screen is all there is to see.
                let endless = *verb == "watch";
                let ran = match endless {
                    true => plane.operator.paasta_within(WATCHED, &words)?,
                    false => plane.operator.paasta(&words)?,
                };
                ensure!(
                    endless || ran.code.is_some(),
                    "{verb} {options} did not end"
                );
                succeeded += usize::from(ran.code == Some(0));
                said.push(format!("paasta {verb} {options}{more}:\n{}", all(&ran)));
            }
        }
    }
    let saved = fs::read(format!("{made}/snapshot")).context("the snapshot")?;
    said.push(format!("snapshot: {}", String::from_utf8_lossy(&saved)));
    Ok((said, succeeded))
}

/// What a coordinator answers to each GET of its HTTP API, by the list that it publishes.
pub(super) fn api(plane: &Plane, at: usize, service: &str) -> Result<Vec<String>> {
    let listed = get(&plane.http[at], "/v1/openapi.json")?;
    let (_, body) = listed.split_once("\r\n\r\n").context("an answer")?;
    let listed: serde_json::Value = serde_json::from_str(body).context("openapi.json")?;
    let paths = listed["paths"].as_object().context("it lists paths")?;
    let gets = paths
        .iter()
        .filter(|(_, methods)| methods["get"].is_object());
    let mut texts = vec![get(&plane.http[at], "/metrics")?];
    let mut answered = 0;
    for (path, _) in gets {
        let path = path
            .replace("{service}", service)
            .replace("{instance}", "main")
            .replace("{task}", "r1");
        let text = get(&plane.http[at], &format!("/v1{path}"))?;
        answered += usize::from(text.starts_with("HTTP/1.1 200"));
        texts.push(format!("{path}: {text}"));
    }
    ensure!(answered >= 5, "{answered} answers: {texts:?}");
    Ok(texts)
}

#[test]
fn no_verb_event_log_or_api_has_the_user_part_of_a_url() -> Result<()> {
    let plane = Plane::start("")?;
    let (sha, url) = declare(&plane)?;
    eventually(PATIENCE, "one is deployed, the other is not", || {
        let status = plane.operator.status("good.main")?;
        ensure!(status.git_sha == sha, "{status:?}");
        let bad = all(&plane.operator.paasta(&["status", "-s", "bad"])?);
        ensure!(
            bad.contains("Authentication failed") || bad.contains("403"),
            "{bad}"
        );
        Ok(())
    })?;
    let (mut texts, succeeded) = run_verbs(&plane, "good", (&sha, &url), &["", " --json"])?;
    ensure!(succeeded >= 60, "only {succeeded} invocations succeeded");
    texts.extend(run_verbs(&plane, "bad", (&sha, &url), &[""])?.0);
    for at in 0..MEMBERS {
        for service in ["good", "bad"] {
            texts.extend(api(&plane, at, service)?);
        }
        let log = fs::read_to_string(plane.log(at))?;
        ensure!(!log.is_empty(), "it logs");
        texts.push(format!("log {at}: {log}"));
    }
    let written = plane.dir.path().join("soa/good/deployments.json");
    texts.push(fs::read_to_string(written)?);
    nowhere(&texts)
}
