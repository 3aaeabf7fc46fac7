//! Keeps this coordinator's own certificate new, by any coordinator that answers: what does not lead,
//! this one included, passes the request on.

use paasta_identity::{Files, Tls, renewal::Overdue, renewing};
use paasta_process::metrics::Meters;
use tokio::task::JoinHandle;

use crate::raft::Consensus;

/// Renews the certificate in these files until the task is aborted.
pub fn start((tls, files): (Tls, Files), meters: &Meters, consensus: Consensus) -> JoinHandle<()> {
    let overdue = Overdue::new(meters);
    tokio::spawn(async move {
        let ask = |request: String| {
            let status = consensus.status();
            let (tls, files) = (&tls, &files);
            async move {
                let members = status.voters.into_values();
                let addresses: Vec<String> = members.chain(status.learners.into_values()).collect();
                renewing::ask(tls, files, &addresses, &request).await
            }
        };
        tls.keep_renewing(files.clone(), overdue, ask).await;
    })
}
