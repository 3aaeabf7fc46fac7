//! The ledger of version 0.1, which this version reads once and takes over: a sled database in the
//! directory `ledger`, and `ledger.mark` beside it. The only file of the agent that names sled.
//! It goes with version 0.3, and sled with it (docs/decisions/0059).
//!
//! An upgrade that is interrupted at any point begins again from the renamed directory
//! `ledger.sled`: it is removed when an agent starts and finds the new file whole.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use paasta_agent_core::state::{LocalState, Record};
use paasta_common::{
    app::AppSpec,
    assignment::{AssignedReplica, Assignment, Fence, Tried, Want},
    id::{AppId, HostId, InstanceId, ReplicaId},
    spec::RunSettings,
    time::Timestamp,
};
use paasta_process::held;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    choice::newer_fence,
    damage::{Damage, Remains},
    disk::{BEFORE, NEWEST, flush_directory, remove_file},
    error::{LedgerError, io_error},
    format::Contents,
};

/// Where the database is from the beginning of an upgrade to its end.
const DIRECTORY: &str = "ledger.sled";
/// How far the database must reach, and the newest fence ever obeyed.
const MARK: &str = "ledger.mark";

const SEGMENT_BYTES: usize = 512 << 10;
const CACHE_BYTES: u64 = 1 << 20;
const SEQUENCE_KEY: &[u8] = b"sequence";
const VERSION: u8 = 1;
const HEADER: usize = 7;

/// Whether the newest save in the state directory is of version 0.1.
pub(super) fn is_there(root: &Path) -> bool {
    root.join(NEWEST).is_dir() || root.join(DIRECTORY).is_dir()
}

/// Renames a database that has the name of the file.
pub(super) fn step_aside(root: &Path) -> Result<(), LedgerError> {
    let database = root.join(NEWEST);
    if !database.is_dir() {
        return Ok(());
    }
    // What is left of an earlier upgrade is older than the database that was used since.
    remove_directory(&root.join(DIRECTORY))?;
    remove_file(&root.join(BEFORE))?;
    fs::rename(&database, root.join(DIRECTORY)).map_err(io_error("rename", &database))?;
    flush_directory(root)
}

/// Reads the database and the mark. One that is damaged is set aside: the fence of the mark remains.
pub(super) fn read(root: &Path, now: Timestamp) -> Result<(Contents, Option<Damage>), LedgerError> {
    let mark = Mark::read(root);
    let directory = root.join(DIRECTORY);
    let (mut contents, damage) = match directory.is_dir() {
        false => (Contents::default(), None),
        true => match open(&directory, &mark) {
            Ok(contents) => {
                let replicas = contents.state.records.len();
                tracing::info!(replicas, "the ledger of version 0.1 is taken over");
                (contents, None)
            }
            Err(Unusable::Error(error)) => return Err(error),
            Err(Unusable::Damaged(reason)) => {
                let set_aside = root.join(format!("ledger.damaged-{}", now.0));
                fs::rename(&directory, &set_aside).map_err(io_error("set aside", &directory))?;
                let remains = match mark.accepted {
                    Some(_) => Remains::Fence,
                    None => Remains::Nothing,
                };
                let damage = Damage {
                    reason,
                    set_aside,
                    remains,
                };
                (Contents::default(), Some(damage))
            }
        },
    };
    contents.state.accepted = newer_fence(contents.state.accepted, mark.accepted);
    Ok((contents, damage))
}

/// Removes what the new file has taken over.
pub(super) fn remove(root: &Path) -> Result<(), LedgerError> {
    remove_file(&root.join(MARK))?;
    remove_directory(&root.join(DIRECTORY))
}

fn remove_directory(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(io_error("remove", path)),
    }
}

#[derive(Default, Deserialize)]
struct Mark {
    sequence: u64,
    accepted: Option<Fence>,
}

#[derive(Deserialize)]
struct Sealed {
    crc32: u32,
    mark: String,
}

impl Mark {
    /// A mark that cannot be read demands nothing: the database's own checksums still do.
    fn read(root: &Path) -> Self {
        let read = || {
            let bytes = fs::read(root.join(MARK)).ok()?;
            let sealed: Sealed = serde_json::from_slice(&bytes).ok()?;
            let whole = crc32fast::hash(sealed.mark.as_bytes()) == sealed.crc32;
            serde_json::from_str(&sealed.mark).ok().filter(|_| whole)
        };
        read().unwrap_or_default()
    }
}

enum Unusable {
    Damaged(String),
    Error(LedgerError),
}

fn open(path: &Path, mark: &Mark) -> Result<Contents, Unusable> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    // A flipped bit can make sled panic, and then nothing of it is used any more.
    let read = catch_unwind(AssertUnwindSafe(|| {
        // The directory's own lock is held, so a process that has sled's is about to end.
        let db = held::wait_for(|| config.open(), held::is_lock)?;
        Ok::<_, sled::Error>(decode(db.iter()))
    }));
    let contents = match read {
        Err(_) => return Err(Unusable::Damaged("opening it panicked".to_owned())),
        Ok(Err(sled::Error::Io(source))) => {
            return Err(Unusable::Error(io_error("open", path)(source)));
        }
        Ok(Err(error)) => return Err(Unusable::Damaged(error.to_string())),
        Ok(Ok(contents)) => contents.map_err(Unusable::Damaged)?,
    };
    match contents.sequence < mark.sequence {
        false => Ok(contents),
        true => Err(Unusable::Damaged(format!(
            "it ends at save {} and {} were made",
            contents.sequence, mark.sequence
        ))),
    }
}

#[derive(Deserialize)]
struct Head {
    accepted: Option<Fence>,
    assignment: Option<(Fence, HostId)>,
}

#[derive(Deserialize)]
struct Assigned {
    instance: InstanceId,
    app: AppId,
    run: Arc<RunSettings>,
    want: Want,
    #[serde(default)]
    tried: Tried,
}

/// Reads everything back, or says what is wrong.
fn decode(
    entries: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
) -> Result<Contents, String> {
    let mut sequence = 0;
    let mut chunks: BTreeMap<String, Vec<(u16, u16, Vec<u8>)>> = BTreeMap::new();
    for entry in entries {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        let (count, payload) = unseal(&key, &value)?;
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
    for (name, parts) in chunks {
        let whole = parts.iter().enumerate().all(|(at, (index, count, _))| {
            usize::from(*index) == at && usize::from(*count) == parts.len()
        });
        if !whole {
            return Err(format!("{name} is incomplete"));
        }
        let bytes: Vec<u8> = parts.into_iter().flat_map(|(_, _, bytes)| bytes).collect();
        values.insert(name, bytes);
    }
    let state = assemble(&values)?;
    Ok(Contents { sequence, state })
}

fn assemble(values: &BTreeMap<String, Vec<u8>>) -> Result<LocalState, String> {
    let Some(head) = values.get("head") else {
        return match values.is_empty() {
            true => Ok(LocalState::default()),
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
    let assignment = head.assignment.map(|(fence, host)| Assignment {
        fence,
        host,
        replicas,
    });
    Ok(LocalState {
        accepted: head.accepted,
        assignment,
        records,
        ..LocalState::default()
    })
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
    serde_json::from_slice(bytes).map_err(|error| format!("{name} cannot be read: {error}"))
}

fn replica_id(text: &str) -> Result<ReplicaId, String> {
    text.parse()
        .map(ReplicaId)
        .map_err(|_| format!("{text:?} is no replica"))
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

fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<(u16, &'a [u8]), String> {
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

#[cfg(test)]
mod tests;
