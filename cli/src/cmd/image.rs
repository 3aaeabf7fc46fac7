//! Whether a registry has the image of a commit. Asked with `curl`, which knows the machine's
//! certificates and proxies.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use paasta_common::id::ServiceName;
use tokio::{process::Command, time::timeout};

/// For one answer.
const LIMIT: Duration = Duration::from_secs(30);
/// What manifests may be: without a list a registry says that it has none.
const ACCEPT: &str = "Accept: application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.oci.image.index.v1+json";

/// Fails unless the registry has it. Https is tried first, then plain http, as Docker does with
/// registries that it was told to trust.
///
/// # Errors
/// The image is not there, or the registry cannot be asked.
pub(super) async fn verify(registry: &str, service: &ServiceName, sha: &str) -> anyhow::Result<()> {
    let registry = registry.trim_end_matches('/');
    let path = format!("{registry}/v2/services-{service}/manifests/paasta-{sha}");
    let image = format!("{registry}/services-{service}:paasta-{sha}");
    let mut last = String::new();
    for scheme in ["https", "http"] {
        match head(&format!("{scheme}://{path}")).await? {
            Ok(200) => return Ok(()),
            Ok(404) => bail!("{image} is not in the registry; push it before it is marked"),
            Ok(code) => last = format!("it answered {code}"),
            Err(words) => last = words,
        }
    }
    bail!("cannot ask the registry for {image}: {last}")
}

/// The status of the answer, or why there is none.
async fn head(url: &str) -> anyhow::Result<Result<u16, String>> {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--head",
        "--location",
        "--netrc-optional",
    ])
    .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
    .args(["--header", ACCEPT, "--", url])
    .stdin(Stdio::null())
    .kill_on_drop(true);
    let Ok(output) = timeout(LIMIT, curl.output()).await else {
        return Ok(Err(format!("no answer within {} s", LIMIT.as_secs())));
    };
    let output = output.context("cannot run curl, with which the registry is asked")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Ok(Err(words));
    }
    let code = String::from_utf8_lossy(&output.stdout);
    Ok(code
        .trim()
        .parse()
        .map_err(|_| format!("it answered {code:?}")))
}
