//! HTTP off loopback: TLS, and the callers that each path answers, asked by curl as they would ask.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use paasta_tests::run::{bounded, text};

use crate::{LIMIT, cluster::Secure};

const COMMAND: Duration = Duration::from_secs(60);
const APP: &str = "/v1/services/hello/main/marathon_app";
const STATUS: &str = "/v1/services/hello/main/status";
/// curl: what answers is no HTTP (an alert of TLS), the handshake failed, or the other side hung up
/// after it.
const HANDSHAKE: [i32; 4] = [1, 35, 52, 56];

/// An endpoint and the name by which it is verified.
#[derive(Clone, Copy)]
struct At<'a> {
    secure: &'a Secure,
    name: &'a str,
    port: u16,
}

#[derive(Debug)]
struct Said {
    exit: i32,
    code: u16,
    text: String,
}

/// What a caller brings.
#[derive(Clone, Copy)]
enum With<'a> {
    Nothing,
    /// The certificate in this directory.
    Certificate(&'a Path),
    Token(&'a str),
}

impl At<'_> {
    fn ask(self, with: With<'_>, path: &str) -> Result<Said> {
        self.request(
            with,
            "GET",
            &format!("https://{}:{}{path}", self.name, self.port),
        )
    }

    fn request(self, with: With<'_>, method: &str, url: &str) -> Result<Said> {
        let mut curl = bounded(COMMAND, "curl");
        curl.args([
            "-sS",
            "-i",
            "--max-time",
            "20",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
        ])
        .args([
            "--resolve",
            &format!("{}:{}:127.0.0.1", self.name, self.port),
        ])
        .arg("--cacert")
        .arg(self.secure.ca());
        match with {
            With::Nothing => {}
            With::Certificate(files) => {
                curl.arg("--cert").arg(files.join("certificate.pem"));
                curl.arg("--key").arg(files.join("key.pem"));
            }
            With::Token(token) => {
                curl.args(["-H", &format!("Authorization: Bearer {token}")]);
            }
        }
        let output = curl.arg(url).output().context("cannot run curl")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let code = said.rsplit('\n').next().unwrap_or_default();
        Ok(Said {
            exit: output.status.code().unwrap_or(-1),
            code: code.parse().unwrap_or(0),
            text: format!("{said}{}", String::from_utf8_lossy(&output.stderr)),
        })
    }

    fn gives(self, with: With<'_>, path: &str, code: u16, words: &str) -> Result<()> {
        let said = self.ask(with, path)?;
        ensure!(
            said.code == code && said.text.contains(words),
            "{}:{}{path}: {said:?} instead of {code} {words:?}",
            self.name,
            self.port
        );
        Ok(())
    }

    /// The handshake fails, or the connection ends without an answer.
    fn hangs_up(self, said: &Said) -> Result<()> {
        ensure!(
            HANDSHAKE.contains(&said.exit) && said.code == 0,
            "{}:{}: {said:?}",
            self.name,
            self.port
        );
        Ok(())
    }
}

#[test]
fn http_off_loopback_takes_a_certificate_or_a_token() -> Result<()> {
    // The third coordinator stays on loopback.
    let (mut cluster, agents) = Secure::up_with_http(&[1, 2])?;
    cluster.leader(LIMIT)?;
    cluster.agent("h1", "h1", &[1, 2, 3])?;
    cluster.connected("h1", LIMIT)?;
    super::people::grant_all(&cluster, 1)?;
    let grafana = [
        "auth", "grant", "grafana", "--role", "reader", "--scope", "*",
    ];
    cluster.succeed("admin/alice", 1, &grafana)?;
    let name = "coordinator.demo.paasta.internal";
    for id in [1, 2] {
        let port = cluster.http_port(id);
        let at = At {
            secure: &cluster,
            name,
            port,
        };
        coordinator(at).with_context(|| format!("coordinator {id}"))?;
        tokens(at).with_context(|| format!("coordinator {id}"))?;
        only_tls_1_3(port)?;
    }
    let name = "agent.demo.paasta.internal";
    agent(At {
        secure: &cluster,
        name,
        port: agents,
    })?;
    only_tls_1_3(agents)?;
    loopback(&cluster, 3)
}

fn files(at: At<'_>, identity: &str) -> PathBuf {
    at.secure.files(identity)
}

fn coordinator(at: At<'_>) -> Result<()> {
    // A stranger learns whether the process is well, and nothing else.
    at.gives(With::Nothing, "/healthz", 200, "")?;
    at.gives(With::Nothing, "/readyz", 200, "leads")?;
    for path in [
        "/metrics",
        "/v1/services",
        "/v1/openapi.json",
        "/",
        "/live?page=/",
        STATUS,
        APP,
        "/nothing",
    ] {
        at.gives(
            With::Nothing,
            path,
            401,
            "takes a client certificate of the cluster",
        )?;
    }
    // Its word is the secret: there is none here.
    let hook = at.request(
        With::Nothing,
        "POST",
        &format!("https://{}:{}/v1/hooks/git", at.name, at.port),
    )?;
    ensure!(
        hook.code == 404 && hook.text.contains("hook_secret_file"),
        "{hook:?}"
    );
    let reader = files(at, "reader/bob");
    let reader = With::Certificate(&reader);
    at.gives(reader, "/v1/services", 200, "{\"services\":[]}")?;
    at.gives(reader, "/", 200, "<h1>Now</h1>")?;
    at.gives(reader, "/cluster", 200, "Certificate of")?;
    at.gives(reader, "/metrics", 200, "paasta_")?;
    at.gives(reader, STATUS, 404, "not found")?;
    at.gives(reader, "/nothing", 404, "there is nothing here")?;
    let words = "reader/bob may not call GET /v1/services/{service}/{instance}/marathon_app: that takes the role admin or deployer";
    at.gives(reader, APP, 403, words)?;
    let metrics = files(at, "metrics/m");
    let metrics = With::Certificate(&metrics);
    at.gives(metrics, "/metrics", 200, "paasta_")?;
    at.gives(metrics, "/v1/services", 403, "metrics/m may not call")?;
    at.gives(metrics, "/", 403, "metrics/m may not call")?;
    let agent = files(at, "agent/h1");
    for path in ["/metrics", "/v1/services", APP] {
        at.gives(
            With::Certificate(&agent),
            path,
            403,
            "agent/h1 may not call",
        )?;
    }
    let deployer = files(at, "deployer/ci");
    at.gives(With::Certificate(&deployer), APP, 404, "not found")?;
    // Of another authority, and plain text.
    let eve = at.secure.other_authority("admin/eve")?;
    at.hangs_up(&at.ask(With::Certificate(&eve), "/healthz")?)?;
    let url = format!("http://{}:{}/healthz", at.name, at.port);
    at.hangs_up(&at.request(With::Nothing, "GET", &url)?)
}

fn tokens(at: At<'_>) -> Result<()> {
    let digest = |token: &str| -> Result<String> {
        let line = format!("printf %s {token} | sha256sum | cut -d' ' -f1");
        Ok(text(bounded(COMMAND, "sh").args(["-c", &line]))?
            .trim()
            .to_owned())
    };
    let file = format!(
        "# ROLE NAME SHA256 EXPIRES\nreader grafana {} 2099-01-01T00:00:00Z\nmetrics prometheus {} 2099-01-01T00:00:00Z\nreader old {} 2020-01-01T00:00:00Z\nadmin root {} 2099-01-01T00:00:00Z\n",
        digest("t-reader")?,
        digest("t-metrics")?,
        digest("t-old")?,
        digest("t-admin")?,
    );
    fs::write(at.secure.tokens(), &file)?;
    let (reader, metrics) = (With::Token("t-reader"), With::Token("t-metrics"));
    at.gives(reader, "/v1/services", 200, "{\"services\":[]}")?;
    at.gives(reader, "/v1/metastatus", 200, "coordinators")?;
    at.gives(reader, "/metrics", 200, "paasta_")?;
    at.gives(reader, APP, 403, "reader/grafana may not call")?;
    at.gives(metrics, "/metrics", 200, "paasta_")?;
    at.gives(
        metrics,
        "/v1/services",
        403,
        "metrics/prometheus may not call",
    )?;
    let unknown = "is in no line of http_tokens_file";
    for wrong in ["t-reade", "t-reader2", &digest("t-reader")?, "t-admin"] {
        at.gives(With::Token(wrong), "/v1/services", 401, unknown)?;
        at.gives(With::Token(wrong), "/metrics", 401, "Bearer realm")?;
    }
    let expired = "reader/old expired at 2020-01-01T00:00:00Z";
    at.gives(With::Token("t-old"), "/v1/services", 401, expired)?;
    fs::write(at.secure.tokens(), "# none\n")?;
    at.gives(reader, "/v1/services", 401, unknown)?;
    fs::write(at.secure.tokens(), &file)?;
    Ok(())
}

fn agent(at: At<'_>) -> Result<()> {
    at.gives(With::Nothing, "/healthz", 200, "well")?;
    at.gives(With::Nothing, "/metrics", 401, "takes a client certificate")?;
    at.gives(With::Nothing, "/nothing", 401, "takes a client certificate")?;
    let metrics = files(at, "metrics/m");
    at.gives(
        With::Certificate(&metrics),
        "/metrics",
        200,
        "paasta_agent_",
    )?;
    at.gives(With::Token("t-metrics"), "/metrics", 200, "paasta_agent_")?;
    at.gives(With::Token("t-old"), "/metrics", 401, "expired at")?;
    let other = files(at, "agent/h1");
    at.gives(
        With::Certificate(&other),
        "/metrics",
        403,
        "agent/h1 may not call",
    )?;
    let eve = at.secure.other_authority("metrics/eve")?;
    at.hangs_up(&at.ask(With::Certificate(&eve), "/metrics")?)
}

/// On loopback everything is read but the environment of services.
fn loopback(cluster: &Secure, id: usize) -> Result<()> {
    let port = cluster.http_port(id);
    let at = At {
        secure: cluster,
        name: "localhost",
        port,
    };
    let ask = |with, path: &str| at.request(with, "GET", &format!("http://localhost:{port}{path}"));
    for (with, path, code) in [
        (With::Nothing, "/healthz", 200),
        (With::Nothing, "/metrics", 200),
        (With::Nothing, "/v1/services", 200),
        (With::Nothing, "/v1/metastatus", 200),
        (With::Nothing, "/", 200),
        (With::Nothing, STATUS, 404),
        (With::Nothing, APP, 401),
        (With::Token("t-reader"), APP, 403),
        (With::Token("t-wrong"), "/v1/services", 401),
    ] {
        let said = ask(with, path)?;
        ensure!(said.code == code, "{path}: {said:?} instead of {code}");
    }
    Ok(())
}

/// What `openssl s_client` sees as a stranger.
fn only_tls_1_3(port: u16) -> Result<()> {
    let shake = |version: &str| -> Result<String> {
        let line = format!(
            "openssl s_client -connect 127.0.0.1:{port} {version} -alpn http/1.1 </dev/null 2>&1 || true"
        );
        text(bounded(COMMAND, "sh").args(["-c", &line]))
    };
    let new = shake("-tls1_3")?;
    ensure!(
        new.contains("TLSv1.3") && new.contains("ALPN protocol: http/1.1"),
        "{new}"
    );
    for old in ["-tls1_2", "-tls1_1"] {
        let said = shake(old)?;
        ensure!(
            !said.contains("Server certificate\n-----BEGIN"),
            "{old}: {said}"
        );
        ensure!(
            said.contains("Cipher is (NONE)") || said.contains("alert"),
            "{old}: {said}"
        );
    }
    Ok(())
}
