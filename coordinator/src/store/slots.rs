//! The high-water file: two preallocated slots of one page each, written in turn, so that a write
//! torn by a power cut never touches the last good copy.
//!
//! One torn slot is an ordinary crash: what it was to hold had not been acknowledged. Two bad
//! slots are damage. A slot that rots later than its write looks like a torn one; the store then
//! notices if the log knows a newer vote than the slot that is left (see `verify`).

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use prost::Message;

use super::{
    durable::sync_dir,
    error::{Damage, StoreError},
    hardstate::HardState,
};

/// Bytes of one slot: what a disk writes at once, and never shared between the two.
pub(super) const SLOT_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"PAASTAHS";
/// The format of the whole store: raise it when a slot, a record or a snapshot changes its form.
const VERSION: u16 = 1;
/// magic 8, version 2, payload length 2, crc 4, generation 8.
const HEADER_BYTES: usize = 24;

/// The open high-water file and what it holds.
#[derive(Debug)]
pub(super) struct Slots {
    file: File,
    generation: u64,
    state: HardState,
}

impl Slots {
    /// Makes the file in `dir`; it must not exist.
    pub(super) fn create(dir: &Path, state: HardState) -> Result<Self, StoreError> {
        let path = dir.join("hardstate");
        let build = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)?;
            file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
            let mut slots = Self {
                file,
                generation: 0,
                state: HardState::default(),
            };
            slots.write(state.clone())?;
            slots.write(state)?;
            slots.file.sync_all()?;
            sync_dir(dir)?;
            Ok(slots)
        };
        build().map_err(StoreError::io("cannot create", &path))
    }

    /// Opens the file of `dir`. `Ok(None)` when there is none; the inner error when neither slot
    /// can be trusted.
    pub(super) fn open(dir: &Path) -> Result<Option<Result<Self, Damage>>, StoreError> {
        let path = dir.join("hardstate");
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("cannot open", &path)(error)),
        };
        let slots = [0, 1].map(|slot| read_slot(&file, slot));
        if let Some(found) = slots.iter().find_map(BadSlot::newer) {
            return Err(StoreError::TooNew {
                dir: dir.to_owned(),
                found,
                known: VERSION,
            });
        }
        let best = slots
            .iter()
            .flatten()
            .max_by_key(|(generation, _)| *generation);
        let Some((generation, state)) = best.cloned() else {
            let [first, second] =
                slots.map(|slot| slot.err().map_or_else(String::new, |e| e.to_string()));
            let what = format!(
                "neither copy of the vote in {} can be read (first: {first}; second: {second})",
                path.display()
            );
            return Ok(Some(Err(Damage(what))));
        };
        Ok(Some(Ok(Self {
            file,
            generation,
            state,
        })))
    }

    /// What was last written.
    pub(super) fn state(&self) -> &HardState {
        &self.state
    }

    /// What was last written, to be corrected in memory; the next write carries the correction.
    pub(super) fn state_mut(&mut self) -> &mut HardState {
        &mut self.state
    }

    /// Writes `state` into the slot not used last and waits for the disk.
    pub(super) fn write(&mut self, state: HardState) -> io::Result<()> {
        let generation = self.generation + 1;
        let page = encode(generation, &state)?;
        let slot = generation % 2;
        self.file.write_all_at(&page, slot * SLOT_BYTES as u64)?;
        self.file.sync_data()?;
        self.generation = generation;
        self.state = state;
        Ok(())
    }
}

fn encode(generation: u64, state: &HardState) -> io::Result<Vec<u8>> {
    let payload = state.encode_to_vec();
    let room = SLOT_BYTES - HEADER_BYTES;
    let length = u16::try_from(payload.len())
        .ok()
        .filter(|length| usize::from(*length) <= room)
        .ok_or_else(|| io::Error::other(format!("a cluster id must be under {room} bytes")))?;
    let mut page = vec![0; SLOT_BYTES];
    page[..8].copy_from_slice(MAGIC);
    page[8..10].copy_from_slice(&VERSION.to_be_bytes());
    page[10..12].copy_from_slice(&length.to_be_bytes());
    page[16..24].copy_from_slice(&generation.to_be_bytes());
    page[24..24 + payload.len()].copy_from_slice(&payload);
    let crc = checksum(&page);
    page[12..16].copy_from_slice(&crc.to_be_bytes());
    Ok(page)
}

/// Over the whole page but the checksum's own four bytes.
fn checksum(page: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page[..12]);
    hasher.update(&page[16..]);
    hasher.finalize()
}

/// Why a slot cannot be used.
#[derive(Debug, thiserror::Error)]
enum BadSlot {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("not written, or overwritten by something else")]
    Foreign,
    #[error("its checksum does not match")]
    Checksum,
    #[error("it has format {0}")]
    Newer(u16),
    #[error("{0}")]
    Content(#[from] prost::DecodeError),
}

impl BadSlot {
    /// The format of a sound slot that a newer version of the program wrote.
    fn newer<T>(slot: &Result<T, Self>) -> Option<u16> {
        match slot {
            Err(Self::Newer(version)) => Some(*version),
            _ => None,
        }
    }
}

fn read_slot(file: &File, slot: u64) -> Result<(u64, HardState), BadSlot> {
    let mut page = vec![0; SLOT_BYTES];
    file.read_exact_at(&mut page, slot * SLOT_BYTES as u64)?;
    if &page[..8] != MAGIC {
        return Err(BadSlot::Foreign);
    }
    if page[12..16] != checksum(&page).to_be_bytes() {
        return Err(BadSlot::Checksum);
    }
    let version = u16::from_be_bytes([page[8], page[9]]);
    if version != VERSION {
        return Err(BadSlot::Newer(version));
    }
    let length = usize::from(u16::from_be_bytes([page[10], page[11]]));
    let mut generation = [0; 8];
    generation.copy_from_slice(&page[16..24]);
    let payload = page.get(24..24 + length).ok_or(BadSlot::Checksum)?;
    Ok((u64::from_be_bytes(generation), HardState::decode(payload)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Ballot;

    fn voted(term: u64) -> HardState {
        let vote = Some(Ballot {
            term,
            node: 7,
            committed: false,
        });
        HardState {
            node: 7,
            vote,
            ..HardState::default()
        }
    }

    fn open(dir: &Path) -> Result<Slots, Damage> {
        Slots::open(dir)
            .expect("the file can be opened")
            .expect("the file exists")
    }

    fn spoil(dir: &Path, slot: u64, bytes: &[u8]) {
        let file = OpenOptions::new()
            .write(true)
            .open(dir.join("hardstate"))
            .expect("open");
        file.write_all_at(bytes, slot * SLOT_BYTES as u64 + 30)
            .expect("write");
    }

    #[test]
    fn the_newest_slot_wins() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut slots = Slots::create(dir.path(), voted(1)).expect("create");
        for term in 2..6 {
            slots.write(voted(term)).expect("write");
            assert_eq!(open(dir.path()).expect("sound").state(), &voted(term));
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut slots = Slots::create(dir.path(), voted(1)).expect("create");
        slots.write(voted(2)).expect("write");
        spoil(dir.path(), slots.generation % 2, &[0xff; 100]);
        let mut slots = open(dir.path()).expect("one slot is left");
        assert_eq!(slots.state(), &voted(1));
        slots
            .write(voted(3))
            .expect("the torn slot can be written again");
        assert_eq!(open(dir.path()).expect("sound").state(), &voted(3));
    }

    #[test]
    fn two_torn_slots_are_damage() {
        let dir = tempfile::tempdir().expect("a directory");
        Slots::create(dir.path(), voted(1)).expect("create");
        spoil(dir.path(), 0, &[0xff; 3]);
        spoil(dir.path(), 1, &[0xff; 3]);
        let damage = open(dir.path()).expect_err("nothing is left to trust");
        assert!(damage.0.contains("neither copy"), "{}", damage.0);
    }

    #[test]
    fn no_bit_of_a_slot_can_flip_unseen() {
        let dir = tempfile::tempdir().expect("a directory");
        let slots = Slots::create(dir.path(), voted(1)).expect("create");
        let path = dir.path().join("hardstate");
        let good = std::fs::read(&path).expect("read");
        let newest = (slots.generation % 2) as usize * SLOT_BYTES;
        for byte in (0..HEADER_BYTES + 40).chain([SLOT_BYTES - 1]) {
            let mut bad = good.clone();
            bad[newest + byte] ^= 1 << (byte % 8);
            std::fs::write(&path, &bad).expect("write");
            let slots = open(dir.path()).expect("the other slot is left");
            assert_eq!(slots.generation, 1, "byte {byte} flipped unseen");
        }
    }
}
