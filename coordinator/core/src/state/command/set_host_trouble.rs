//! Something of a host stops to work, or works again. Proposed only when it changes and has lasted
//! a while: no report of a host is ever a command.

use paasta_common::id::HostId;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EVENT_TEXT_BYTES_MAX, EventKind, Subject},
    outcome::{Outcome, Reason},
};

/// Something of a host stops to work, or works again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetHostTrouble {
    /// The host.
    pub host: HostId,
    /// What does not work, in words; none when all does.
    pub trouble: Option<String>,
}

impl SetHostTrouble {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let Some(host) = state.tables.hosts.get_mut(&self.host) else {
            return Outcome::Refused(Reason::UnknownHost {
                host: self.host.clone(),
            });
        };
        // The words may vary while it lasts.
        if host.trouble.is_some() == self.trouble.is_some() {
            return Outcome::Unchanged;
        }
        let mut trouble = self.trouble.clone();
        if let Some(words) = &mut trouble {
            words.truncate(words.floor_char_boundary(EVENT_TEXT_BYTES_MAX / 2));
        }
        let text = match (&trouble, &host.trouble) {
            (Some(words), _) => format!("degraded, gets no new replicas: {words}"),
            (None, Some(before)) => format!("works again; it was degraded: {before}"),
            (None, None) => "works again".to_owned(),
        };
        host.trouble = trouble;
        let subject = Subject::Host(self.host.clone());
        state.note(context, EventKind::Host, subject, text);
        Outcome::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::Cluster, state::command::Command};

    #[test]
    fn each_change_is_said_once() {
        let mut cluster = Cluster::new(1);
        let host: HostId = cluster
            .state
            .hosts()
            .next()
            .map(|(id, _)| id.clone())
            .unwrap();
        let set = |trouble: Option<&str>| {
            Command::SetHostTrouble(SetHostTrouble {
                host: host.clone(),
                trouble: trouble.map(str::to_owned),
            })
        };
        assert_eq!(cluster.apply(set(None)), Outcome::Unchanged);
        assert_eq!(cluster.apply(set(Some("silent"))), Outcome::Applied);
        assert_eq!(cluster.apply(set(Some("other words"))), Outcome::Unchanged);
        assert_eq!(cluster.apply(set(None)), Outcome::Applied);
        let said: Vec<String> = cluster
            .state
            .events()
            .map(|event| event.text.clone())
            .filter(|text| text.contains("degraded"))
            .collect();
        assert_eq!(
            said,
            [
                "degraded, gets no new replicas: silent",
                "works again; it was degraded: silent"
            ]
        );
    }
}
