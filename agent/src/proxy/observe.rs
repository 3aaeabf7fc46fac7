//! What HAProxy shows, read over its runtime API: of all namespaces, or of some.

use std::{collections::BTreeSet, path::Path};

use paasta_agent_core::proxy::seen::{self, Processes, Seen, Unreadable};
use paasta_common::smartstack::Namespace;

use super::{
    api::{ApiError, ask},
    commands::lines,
    process::Process,
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
/// after a reload.
async fn sessions(
    process: &Process,
    processes: &Processes,
    seen: &mut Seen,
) -> Result<(), ObserveError> {
    let wanted: BTreeSet<Namespace> = seen.without_sessions().cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut all = Vec::new();
    for line in questions(&wanted, "") {
        all.push(seen::sessions(&ask(&process.api_socket, &line).await?));
    }
    for old in &processes.old {
        let of_old = old_sessions(&process.master(), *old, &wanted, seen).await;
        all.extend(of_old);
    }
    for found in all {
        seen.add_sessions(&found);
    }
    Ok(())
}

/// The sessions of an old worker; none when it has ended. Its servers are taken out of service,
/// too: clients that it still has may send more requests over their connections.
async fn old_sessions(
    master: &Path,
    old: u32,
    wanted: &BTreeSet<Namespace>,
    seen: &Seen,
) -> Vec<std::collections::BTreeMap<(Namespace, super::ServerName), u32>> {
    let prefix = format!("@!{old} ");
    let mut commands = Vec::new();
    for namespace in wanted {
        let servers = seen.servers.get(namespace).into_iter().flatten();
        for (name, _) in servers.filter(|(_, server)| server.maint) {
            commands.push(format!("{prefix}set server {namespace}/{name} state maint"));
        }
    }
    for line in lines(commands.into_iter()) {
        let _ = ask(master, &line).await;
    }
    let mut found = Vec::new();
    for line in questions(wanted, &prefix) {
        if let Ok(answer) = ask(master, &line).await {
            found.push(seen::sessions(&answer));
        }
    }
    found
}

fn questions(namespaces: &BTreeSet<Namespace>, prefix: &str) -> Vec<String> {
    if namespaces.len() > SINGLE_MAX {
        return vec![format!("{prefix}show stat -1 4 -1")];
    }
    let each = namespaces.iter();
    lines(each.map(|namespace| format!("{prefix}show stat {namespace} 4 -1")))
}
