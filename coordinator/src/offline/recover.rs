//! `paasta-coordinator recover`: a new cluster of one coordinator from what a survivor of a lost
//! majority has in its own store. First it says what is there and what may be lost; only when told
//! to does it change anything.

use std::path::{Path, PathBuf};

use paasta_common::time::Timestamp;
use paasta_coordinator_core::state::{ClusterState, event::Event};

use super::{OfflineError, is_free, prepare, put, set_aside};
use crate::{
    machine::ClusterMachine,
    raft::{Seed, Survey, survey},
};

/// What a survivor has.
#[derive(Debug, Clone)]
pub struct Findings {
    /// Its place in the cluster and its log.
    pub survey: Survey,
    /// Everything in its log, applied.
    pub state: ClusterState,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The new epoch.
    pub epoch: u64,
    /// Where the store of before is kept.
    pub aside: PathBuf,
}

/// Reads a survivor's store; changes nothing in it.
///
/// # Errors
/// [`OfflineError`]: there is none, it is damaged, or its coordinator runs.
pub async fn look(data_dir: &Path) -> Result<Findings, OfflineError> {
    if is_free(data_dir)? {
        let dir = data_dir.to_owned();
        return Err(OfflineError::Empty { dir });
    }
    let machine = ClusterMachine::default();
    let survey = survey(data_dir, &machine).await?;
    let state = machine.read().clone();
    Ok(Findings { survey, state })
}

/// Makes a cluster of this survivor alone, in the next epoch, under its old id. The store of before
/// is set aside.
///
/// # Errors
/// [`OfflineError`]; the data directory is then as it was, or its store is where the error says.
pub async fn recover(
    findings: Findings,
    data_dir: &Path,
    address: &str,
    at: Timestamp,
) -> Result<Recovered, OfflineError> {
    let Findings { survey, mut state } = findings;
    let last = survey.last.map_or(0, |last| last.index);
    let by = "paasta-coordinator recover";
    let how = format!(
        "from what coordinator {} had, up to record {last}",
        survey.node
    );
    state.recover(at, by, &how)?;
    let plan = Seed {
        dir: data_dir.to_owned(),
        node: survey.node,
        address: address.to_owned(),
        cluster_id: survey.cluster_id.clone(),
        epoch: state.cluster().map_or(0, |cluster| cluster.epoch),
        term: survey.term,
        index: state.last_index(),
    };
    let beside = prepare(&plan, state).await?;
    let aside = set_aside(data_dir, &format!("epoch-{}", survey.epoch))?;
    put(&beside, data_dir)?;
    Ok(Recovered {
        epoch: plan.epoch,
        aside,
    })
}

impl Findings {
    /// The last thing that is known to have happened.
    pub fn last_event(&self) -> Option<&Event> {
        self.state.events().next_back()
    }

    /// Where this member was reached, by its own configuration of the cluster.
    pub fn address(&self) -> Option<&str> {
        self.survey
            .voters
            .get(&self.survey.node)
            .map(String::as_str)
    }
}
