//! What HAProxy shows, read over its runtime API: of all namespaces, or of some.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use paasta_agent_core::proxy::{
    seen::{self, Processes, Seen, Unreadable},
    wanted::ServerName,
};
use paasta_common::smartstack::Namespace;

use super::{
    api::{ApiError, ask},
    commands::lines,
    process::{Process, runs},
};

/// Namespaces that are read one by one; more are read all at once.
const SINGLE_MAX: usize = 50;

/// Why the state is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObserveError {
    /// The socket.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The answer.
    #[error(transparent)]
    Answer(#[from] Unreadable),
}

/// Reads everything.
///
/// # Errors
/// [`ObserveError`] when HAProxy does not answer.
pub(super) async fn everything(
    process: &Process,
    processes: &Processes,
) -> Result<Seen, ObserveError> {
    let api = &process.api_socket;
    let info = seen::info(&ask(api, "show info").await?)?;
    let mut found = Seen {
        fingerprint: info.fingerprint,
        frontends: seen::frontends(&ask(api, "show stat -1 1 -1").await?),
        servers: seen::servers(&ask(api, "show servers state").await?)?,
    };
    sessions(process, processes, &mut found).await?;
    Ok(found)
}

/// Reads these namespaces again.
///
/// # Errors
/// [`ObserveError`] when HAProxy does not answer.
pub(super) async fn some(
    process: &Process,
    processes: &Processes,
    namespaces: &BTreeSet<Namespace>,
    known: &mut Seen,
) -> Result<(), ObserveError> {
    let api = &process.api_socket;
    if namespaces.len() > SINGLE_MAX {
        known.servers = seen::servers(&ask(api, "show servers state").await?)?;
    } else {
        for namespace in namespaces {
            let answer = ask(api, &format!("show servers state {namespace}")).await?;
            let found = match answer.trim_start().starts_with('1') {
                true => seen::servers(&answer)?,
                // There is no such backend.
                false => Default::default(),
            };
            known.servers.remove(namespace);
            known.servers.extend(found);
        }
    }
    sessions(process, processes, known).await
}

/// The sessions of servers that are out of service, in all workers: an old one may still have some
/// after a reload. A worker that runs and does not say counts as one that has.
async fn sessions(
    process: &Process,
    processes: &Processes,
    seen: &mut Seen,
) -> Result<(), ObserveError> {
    let wanted: BTreeSet<Namespace> = seen.without_sessions().cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let api = &process.api_socket;
    let mut all = Vec::new();
    for line in questions(&wanted, "") {
        all.push(seen::sessions(&ask(api, &line).await?));
    }
    // While a reload hands the socket over, another worker answers than the one that has them.
    let answered = seen::info(&ask(api, "show info").await?)?.pid;
    let mut known = processes.worker == Some(answered);
    for old in &processes.old {
        match of_old(&process.master(), *old, &wanted).await {
            Some(found) => all.extend(found),
            None => known &= !runs(*old),
        }
    }
    for found in all {
        seen.add_sessions(&found);
    }
    if !known {
        seen.presume_sessions(&wanted);
    }
    Ok(())
}

/// The sessions of an old worker. None where they are not known: it does not answer, or it has
/// clients that are with no server yet. It may send these to any server, as HAProxy changes no
/// server in a worker that ends.
async fn of_old(
    master: &Path,
    old: u32,
    wanted: &BTreeSet<Namespace>,
) -> Option<Vec<BTreeMap<(Namespace, ServerName), u32>>> {
    let prefix = format!("@!{old} ");
    let whole = ask(master, &format!("{prefix}show stat -1 3 -1")).await;
    if seen::undecided(&whole.ok()?)? > 0 {
        return None;
    }
    let mut found = Vec::new();
    for line in questions(wanted, &prefix) {
        let answer = ask(master, &line).await.ok()?;
        if seen::answers(&answer) != line.split("; ").count() {
            return None;
        }
        found.push(seen::sessions(&answer));
    }
    Some(found)
}

fn questions(namespaces: &BTreeSet<Namespace>, prefix: &str) -> Vec<String> {
    if namespaces.len() > SINGLE_MAX {
        return vec![format!("{prefix}show stat -1 4 -1")];
    }
    let each = namespaces.iter();
    lines(each.map(|namespace| format!("{prefix}show stat {namespace} 4 -1")))
}
