//! The bytes of a ledger file, format 1:
//!
//! | bytes | content |
//! |---|---|
//! | 0-7 | `paastalg` |
//! | 8-11 | the format, big-endian as all numbers here |
//! | 12-15, 16-23 | the length of the head, the length of the body |
//! | 24-27, 28-31 | the CRC-32 of the head, the CRC-32 of the body |
//! | 32-35 | the CRC-32 of the bytes before |
//! | then | the head: the number of the save and the newest fence, JSON |
//! | then | the body: the assignment, each app once, the records, JSON |
//!
//! Every later format keeps bytes 0-11 and 32-35, so that a flipped bit is distinguished from a newer
//! format. The head has a checksum of its own, so that the fence outlives a damaged body.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use paasta_agent_core::state::{LocalState, Record};
use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    id::{AppId, HostId, InstanceId, ReplicaId},
    spec::RunSettings,
};
use serde::{Deserialize, Serialize};

/// The format that this agent writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"paastalg";
pub(super) const PREFIX: usize = 36;
const SEALED: usize = 32;

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Contents {
    /// The number of the save.
    pub(super) sequence: u64,
    pub(super) state: LocalState,
}

/// Why a file has no contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is whole as far as this agent can tell, and in a later format.
    Newer { format: u32 },
    /// It is not what was written; the fence of its head where that is whole.
    Damaged {
        reason: String,
        accepted: Option<Fence>,
    },
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    sequence: u64,
    accepted: Cow<'a, Option<Fence>>,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    assignment: Option<StoredAssignment<'a>>,
    apps: BTreeMap<Cow<'a, AppId>, Arc<AppSpec>>,
    records: Cow<'a, BTreeMap<ReplicaId, Record>>,
}

#[derive(Serialize, Deserialize)]
struct StoredAssignment<'a> {
    fence: Cow<'a, Fence>,
    host: Cow<'a, HostId>,
    replicas: BTreeMap<ReplicaId, StoredReplica<'a>>,
}

/// An assigned replica without its app, which is stored once.
#[derive(Serialize, Deserialize)]
struct StoredReplica<'a> {
    instance: Cow<'a, InstanceId>,
    app: Cow<'a, AppId>,
    run: Arc<RunSettings>,
    want: Want,
    #[serde(default, skip_serializing_if = "Tried::is_blank")]
    tried: Tried,
}

/// Encodes a file into `bytes`, whose memory is used again.
pub(super) fn encode(sequence: u64, state: &LocalState, mut bytes: Vec<u8>) -> Vec<u8> {
    let head = Head {
        sequence,
        accepted: Cow::Borrowed(&state.accepted),
    };
    let mut apps = BTreeMap::new();
    let assignment = state.assignment.as_ref().map(|held| StoredAssignment {
        fence: Cow::Borrowed(&held.fence),
        host: Cow::Borrowed(&held.host),
        replicas: held
            .replicas
            .iter()
            .map(|(id, replica)| {
                apps.insert(Cow::Borrowed(&replica.app), Arc::clone(&replica.spec));
                (*id, StoredReplica::of(replica))
            })
            .collect(),
    });
    let body = Body {
        assignment,
        apps,
        records: Cow::Borrowed(&state.records),
    };
    bytes.clear();
    bytes.resize(PREFIX, 0);
    serde_json::to_writer(&mut bytes, &head).expect("numbers and text always encode");
    let body_at = bytes.len();
    serde_json::to_writer(&mut bytes, &body).expect("numbers and text always encode");
    let (head, body) = (&bytes[PREFIX..body_at], &bytes[body_at..]);
    let prefix = prefix(FORMAT, head, body);
    bytes[..PREFIX].copy_from_slice(&prefix);
    bytes
}

pub(super) fn prefix(format: u32, head: &[u8], body: &[u8]) -> [u8; PREFIX] {
    let head_length = u32::try_from(head.len()).expect("a head is a number and a fence");
    let mut prefix = [0; PREFIX];
    prefix[..8].copy_from_slice(&MAGIC);
    prefix[8..12].copy_from_slice(&format.to_be_bytes());
    prefix[12..16].copy_from_slice(&head_length.to_be_bytes());
    prefix[16..24].copy_from_slice(&(body.len() as u64).to_be_bytes());
    prefix[24..28].copy_from_slice(&crc32fast::hash(head).to_be_bytes());
    prefix[28..SEALED].copy_from_slice(&crc32fast::hash(body).to_be_bytes());
    let seal = crc32fast::hash(&prefix[..SEALED]);
    prefix[SEALED..].copy_from_slice(&seal.to_be_bytes());
    prefix
}

/// Reads a file back, or says what is wrong with it.
pub(super) fn decode(bytes: &[u8]) -> Result<Contents, Unreadable> {
    let damaged = |reason: String, accepted| Err(Unreadable::Damaged { reason, accepted });
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        let reason = format!("it has {} bytes, and {PREFIX} at least", bytes.len());
        return damaged(reason, None);
    };
    let number = |at: usize| {
        let field = prefix[at..].first_chunk().copied().unwrap_or_default();
        u32::from_be_bytes(field)
    };
    if prefix[..8] != MAGIC || number(SEALED) != crc32fast::hash(&prefix[..SEALED]) {
        return damaged("its first bytes are not a ledger's".to_owned(), None);
    }
    if number(8) != FORMAT {
        return Err(Unreadable::Newer { format: number(8) });
    }
    let body_length = (u64::from(number(16)) << 32) | u64::from(number(20));
    let Some((head, body)) = rest.split_at_checked(number(12) as usize) else {
        return damaged("its head is cut short".to_owned(), None);
    };
    if number(24) != crc32fast::hash(head) {
        return damaged("its head has a wrong checksum".to_owned(), None);
    }
    let (sequence, accepted) = match serde_json::from_slice::<Head<'_>>(head) {
        Ok(head) => (head.sequence, head.accepted.into_owned()),
        Err(error) => return damaged(format!("its head cannot be read: {error}"), None),
    };
    if body.len() as u64 != body_length {
        let reason = format!("its body has {} bytes of {body_length}", body.len());
        return damaged(reason, accepted);
    }
    if number(28) != crc32fast::hash(body) {
        return damaged("its body has a wrong checksum".to_owned(), accepted);
    }
    let state = serde_json::from_slice::<Body<'_>>(body)
        .map_err(|error| format!("its body cannot be read: {error}"))
        .and_then(|body| body.into_state(accepted.clone()));
    match state {
        Ok(state) => Ok(Contents { sequence, state }),
        Err(reason) => damaged(reason, accepted),
    }
}

impl<'a> StoredReplica<'a> {
    fn of(replica: &'a AssignedReplica) -> Self {
        Self {
            instance: Cow::Borrowed(&replica.instance),
            app: Cow::Borrowed(&replica.app),
            run: Arc::clone(&replica.run),
            want: replica.want,
            tried: replica.tried,
        }
    }
}

impl Body<'_> {
    fn into_state(self, accepted: Option<Fence>) -> Result<LocalState, String> {
        let apps = self.apps;
        let restore = |(id, stored): (ReplicaId, StoredReplica<'_>)| {
            let Some(spec) = apps.get(&stored.app) else {
                return Err(format!("its app {} is missing", stored.app));
            };
            let replica = AssignedReplica {
                instance: stored.instance.into_owned(),
                app: stored.app.into_owned(),
                spec: Arc::clone(spec),
                run: stored.run,
                want: stored.want,
                tried: stored.tried,
            };
            Ok((id, replica))
        };
        let assignment = match self.assignment {
            Some(stored) => Some(Assignment {
                fence: stored.fence.into_owned(),
                host: stored.host.into_owned(),
                replicas: stored
                    .replicas
                    .into_iter()
                    .map(restore)
                    .collect::<Result<_, _>>()?,
            }),
            None => None,
        };
        Ok(LocalState {
            accepted,
            assignment,
            records: self.records.into_owned(),
            ..LocalState::default()
        })
    }
}
