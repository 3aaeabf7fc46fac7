//! What is in a ledger, as keys and bytes: the fence, each app once, each assigned replica, each
//! record. An entry begins with its version, the number of its chunks and a checksum; what is
//! larger than a chunk is split, as large values would go to files that are never synced.

use std::{collections::BTreeMap, sync::Arc};

use paasta_agent_core::state::{LocalState, Record};
use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    id::{AppId, HostId, InstanceId, ReplicaId},
    spec::RunSettings,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::kept::Kept;

/// The key of the number of the last save.
pub(super) const SEQUENCE_KEY: &[u8] = b"sequence";

const VERSION: u8 = 1;
const HEADER: usize = 7;
const CHUNK_MAX: usize = 6 << 10;
/// Apps larger than this (64 MiB) can not be.
const CHUNKS_MAX: u16 = 11_000;

/// A key and what is under it.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

pub(super) struct Content {
    pub(super) state: LocalState,
    pub(super) sequence: u64,
    pub(super) kept: Kept,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    accepted: Option<Fence>,
    assignment: Option<(Fence, HostId)>,
}

impl Head {
    pub(super) fn of(state: &LocalState) -> Self {
        let assignment = state.assignment.as_ref();
        Self {
            accepted: state.accepted.clone(),
            assignment: assignment.map(|held| (held.fence.clone(), held.host.clone())),
        }
    }
}

/// An assigned replica: its app has an entry of its own.
#[derive(Serialize, Deserialize)]
pub(super) struct Assigned {
    instance: InstanceId,
    app: AppId,
    run: Arc<RunSettings>,
    want: Want,
    #[serde(default, skip_serializing_if = "Tried::is_blank")]
    tried: Tried,
}

impl Assigned {
    pub(super) fn of(replica: &AssignedReplica) -> Self {
        Self {
            instance: replica.instance.clone(),
            app: replica.app.clone(),
            run: Arc::clone(&replica.run),
            want: replica.want,
            tried: replica.tried,
        }
    }
}

pub(super) fn sequence(number: u64) -> Vec<u8> {
    seal(1, &number.to_be_bytes())
}

/// Reads everything back, or says what is wrong.
pub(super) fn decode(
    entries: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
) -> Result<Content, String> {
    let mut sequence = 0;
    let mut chunks: BTreeMap<String, Vec<(u16, u16, Vec<u8>)>> = BTreeMap::new();
    for entry in entries {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        let (count, payload) = open(&key, &value)?;
        if key.as_ref() == SEQUENCE_KEY {
            let bytes = payload
                .try_into()
                .map_err(|_| "the sequence is no number".to_owned())?;
            sequence = u64::from_be_bytes(bytes);
            continue;
        }
        let (name, index) = split_key(&key)?;
        chunks
            .entry(name)
            .or_default()
            .push((index, count, payload.to_vec()));
    }
    let mut values = BTreeMap::new();
    let mut split = BTreeMap::new();
    for (name, parts) in chunks {
        let whole = parts.iter().enumerate().all(|(at, (index, count, _))| {
            usize::from(*index) == at && usize::from(*count) == parts.len()
        });
        if !whole {
            return Err(format!("{name} is incomplete"));
        }
        if let Some((_, count @ 2.., _)) = parts.first() {
            split.insert(name.clone(), *count);
        }
        let bytes: Vec<u8> = parts.into_iter().flat_map(|(_, _, bytes)| bytes).collect();
        values.insert(name, bytes);
    }
    let (state, kept) = assemble(&values, split)?;
    Ok(Content {
        state,
        sequence,
        kept,
    })
}

fn assemble(
    values: &BTreeMap<String, Vec<u8>>,
    split: BTreeMap<String, u16>,
) -> Result<(LocalState, Kept), String> {
    let Some(head) = values.get("head") else {
        return match values.is_empty() {
            true => Ok((LocalState::default(), Kept::default())),
            false => Err("head is missing".to_owned()),
        };
    };
    let head: Head = parse("head", head)?;
    let apps: BTreeMap<String, Arc<AppSpec>> = of_kind(values, "app/")?;
    let mut replicas = BTreeMap::new();
    for (id, assigned) in of_kind::<Assigned>(values, "assigned/")? {
        let spec = apps.get(assigned.app.as_str());
        let spec = spec.ok_or_else(|| format!("app {} is missing", assigned.app))?;
        let replica = AssignedReplica {
            instance: assigned.instance,
            app: assigned.app,
            spec: Arc::clone(spec),
            run: assigned.run,
            want: assigned.want,
            tried: assigned.tried,
        };
        replicas.insert(replica_id(&id)?, replica);
    }
    let mut records = BTreeMap::new();
    for (id, record) in of_kind::<Record>(values, "record/")? {
        records.insert(replica_id(&id)?, record);
    }
    let apps = apps.into_iter().map(|(id, spec)| match id.parse() {
        Ok(id) => Ok((id, spec)),
        Err(_) => Err(format!("{id:?} is no app")),
    });
    let kept = Kept {
        head: Some(head.clone()),
        apps: apps.collect::<Result<_, _>>()?,
        assigned: replicas.clone(),
        records: records.clone(),
        split,
    };
    let assignment = head.assignment.map(|(fence, host)| Assignment {
        fence,
        host,
        replicas,
    });
    let state = LocalState {
        accepted: head.accepted,
        assignment,
        records,
        ..LocalState::default()
    };
    Ok((state, kept))
}

fn of_kind<T: DeserializeOwned>(
    values: &BTreeMap<String, Vec<u8>>,
    kind: &str,
) -> Result<BTreeMap<String, T>, String> {
    let of_kind = values
        .iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix(kind)?, bytes)));
    of_kind
        .map(|(name, bytes)| Ok((name.to_owned(), parse(name, bytes)?)))
        .collect()
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{name} can not be read: {error}"))
}

fn replica_id(text: &str) -> Result<ReplicaId, String> {
    text.parse()
        .map(ReplicaId)
        .map_err(|_| format!("{text:?} is no replica"))
}

/// The chunks of an entry, and how many they are.
pub(super) fn chunks<T: Serialize>(name: &str, value: &T) -> (u16, Vec<Entry>) {
    let bytes = serde_json::to_vec(value).expect("words always encode");
    let count = u16::try_from(bytes.len().div_ceil(CHUNK_MAX)).unwrap_or(CHUNKS_MAX);
    let chunks = (0..CHUNKS_MAX).zip(bytes.chunks(CHUNK_MAX));
    let sealed = chunks.map(|(index, chunk)| (chunk_key(name, index), seal(count, chunk)));
    (count, sealed.collect())
}

pub(super) fn chunk_key(name: &str, index: u16) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn split_key(key: &[u8]) -> Result<(String, u16), String> {
    let refuse = || format!("key {:?} is not one of ours", String::from_utf8_lossy(key));
    let at = key.len().checked_sub(3).ok_or_else(refuse)?;
    let name = std::str::from_utf8(&key[..at]).map_err(|_| refuse())?;
    match &key[at..] {
        [0, high, low] => Ok((name.to_owned(), u16::from_be_bytes([*high, *low]))),
        _ => Err(refuse()),
    }
}

pub(super) fn seal(count: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn open<'a>(key: &[u8], value: &'a [u8]) -> Result<(u16, &'a [u8]), String> {
    let name = || String::from_utf8_lossy(key).into_owned();
    let (header, payload) = value
        .split_at_checked(HEADER)
        .ok_or_else(|| format!("{} is too short", name()))?;
    let [version, high, low, crc @ ..] = header else {
        return Err(format!("{} has no header", name()));
    };
    if *version != VERSION {
        return Err(format!("{} is of version {version}, not {VERSION}", name()));
    }
    if crc != crc32fast::hash(payload).to_be_bytes() {
        return Err(format!("{} has a wrong checksum", name()));
    }
    Ok((u16::from_be_bytes([*high, *low]), payload))
}
