//! `paasta context show`: one context. Its key is never shown.

use std::time::SystemTime;

use paasta_common::{id::ContextName, time::Timestamp};
use paasta_identity::{
    Credentials,
    context::{Contexts, Pem},
};
use paasta_process::chain::chain;
use serde::Serialize;

use crate::{cmd::Context, exit::Exit, render::time, terminal::note};

/// A context, for `--json`.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    file: String,
    cluster: String,
    coordinators: Vec<String>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    identity: Option<String>,
    expires_ms: Option<u64>,
    error: String,
}

/// Prints it; of a certificate its identity and its end.
///
/// # Errors
/// It does not exist, none is current, or standard output is gone.
pub fn run(
    name: Option<ContextName>,
    contexts: &Contexts,
    context: &Context,
) -> anyhow::Result<Exit> {
    let name = match name.or(context.global.context.clone()) {
        Some(name) => name,
        None => contexts.current()?.ok_or_else(|| {
            anyhow::anyhow!(
                "there is no current context: `paasta context use NAME` chooses one of `paasta \
                 context list`"
            )
        })?,
    };
    let path = contexts.path(&name);
    let loaded = contexts.load(&name)?;
    let found = loaded.credentials(&path);
    let checked = found.as_ref().ok().and_then(Option::as_ref);
    let error = match (&found, checked.map(|own| own.check(SystemTime::now()))) {
        (Err(error), _) => chain(error),
        (Ok(_), Some(Err(error))) => error.to_string(),
        (Ok(_), None | Some(Ok(()))) => String::new(),
    };
    let pem = |pem: &Pem| match pem {
        Pem::Text(_) => "in this file".to_owned(),
        Pem::File(path) => path.display().to_string(),
    };
    let tls = loaded.tls.as_ref();
    let shown = Shown {
        name: name.to_string(),
        file: path.display().to_string(),
        cluster: loaded.cluster.to_string(),
        coordinators: loaded
            .coordinators
            .iter()
            .map(ToString::to_string)
            .collect(),
        ca: tls.map(|tls| pem(&tls.ca)),
        cert: tls.map(|tls| pem(&tls.certificate)),
        key: tls.map(|tls| pem(&tls.key)),
        identity: checked.map(|own| own.identity().to_string()),
        expires_ms: checked.map(expires),
        error,
    };
    match context.global.json {
        true => context.print_json(&shown)?,
        false => context.print(&text(&shown, context))?,
    }
    if shown.error.is_empty() {
        return Ok(Exit::Ok);
    }
    note(&shown.error);
    Ok(Exit::Failed)
}

fn expires(own: &Credentials) -> u64 {
    Timestamp::from(own.validity().not_after).0
}

fn text(shown: &Shown, context: &Context) -> String {
    let expires = shown.expires_ms.map(|at| time::moment(at, &context.view));
    let coordinators = shown.coordinators.join(",");
    let lines = [
        ("name", Some(&shown.name)),
        ("file", Some(&shown.file)),
        ("cluster", Some(&shown.cluster)),
        ("coordinators", Some(&coordinators)),
        ("ca", shown.ca.as_ref()),
        ("cert", shown.cert.as_ref()),
        ("key", shown.key.as_ref()),
        ("identity", shown.identity.as_ref()),
        ("expires", expires.as_ref()),
    ];
    let given = lines
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    let mut text: String = given
        .map(|(name, value)| format!("{name:<13} {value}\n"))
        .collect();
    if shown.cert.is_none() {
        text.push_str("TLS           no: plain text\n");
    }
    text
}
