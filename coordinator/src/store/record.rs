//! One record of the log as bytes: a header with a checksum chained to the record before, and a
//! body cut into pieces that sled can hold safely.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{error::Damage, hardstate::Mark};

/// The largest body of one record, in bytes. Larger commands must be refused before they are
/// proposed.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// The most body bytes in one stored value. With the header it stays under the 64 KiB above which
/// sled may move a page to a file that it never syncs.
const PIECE_BYTES: usize = 60 << 10;

const VERSION: u8 = 1;
/// version 1, kind 1, index 8, term 8, body length 4, chain of the record before 4, own chain 4.
const HEADER_BYTES: usize = 30;
/// The key of a record starts with this; other keys of the tree are single other letters.
pub(super) const RECORD_PREFIX: u8 = b'r';
pub(super) const KEY_BYTES: usize = 11;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The term of the record there.
    pub term: u64,
    /// Index in the log, from 0.
    pub index: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} of term {}", self.index, self.term)
    }
}

impl From<Mark> for Position {
    fn from(mark: Mark) -> Self {
        Self {
            term: mark.term,
            index: mark.index,
        }
    }
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// What the body is; the store does not care.
    pub kind: u8,
    /// At most [`MAX_BODY_BYTES`].
    pub body: Bytes,
}

/// The header of a stored record, and as much of the body as its first piece holds.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) previous: u32,
    pub(super) chain: u32,
}

impl Stored {
    /// The record's place and chain.
    pub(super) fn mark(&self) -> Mark {
        let Position { term, index } = self.record.position;
        Mark {
            index,
            term,
            chain: self.chain,
        }
    }
}

/// The key of piece `piece` of the record at `index`; keys sort as the log does.
pub(super) fn key(index: u64, piece: u16) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[0] = RECORD_PREFIX;
    key[1..9].copy_from_slice(&index.to_be_bytes());
    key[9..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// The index and the piece that a key names.
pub(super) fn parse_key(key: &[u8]) -> Result<(u64, u16), Damage> {
    let key: &[u8; KEY_BYTES] = key
        .try_into()
        .map_err(|_| Damage(format!("the log has a key of {} bytes", key.len())))?;
    let mut index = [0; 8];
    index.copy_from_slice(&key[1..9]);
    Ok((
        u64::from_be_bytes(index),
        u16::from_be_bytes([key[9], key[10]]),
    ))
}

/// The pieces of `record`, in order, and its chain, given the chain of the record before (0 when
/// that record was never on this disk).
pub(super) fn encode(record: &Record, previous: u32) -> (Vec<Vec<u8>>, u32) {
    let Record {
        position,
        kind,
        body,
    } = record;
    let mut head = Vec::with_capacity(HEADER_BYTES + body.len().min(PIECE_BYTES));
    head.push(VERSION);
    head.push(*kind);
    head.extend_from_slice(&position.index.to_be_bytes());
    head.extend_from_slice(&position.term.to_be_bytes());
    head.extend_from_slice(&(body.len() as u32).to_be_bytes());
    head.extend_from_slice(&previous.to_be_bytes());
    let chain = chain_of(&head, body);
    head.extend_from_slice(&chain.to_be_bytes());
    let mut pieces = body.chunks(PIECE_BYTES);
    head.extend_from_slice(pieces.next().unwrap_or_default());
    let mut values = vec![head];
    values.extend(pieces.map(<[u8]>::to_vec));
    (values, chain)
}

/// A number that is never 0, because 0 stands for "no record before".
fn chain_of(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize().max(1)
}

/// Puts records together again from the pieces of a scan.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    header: [u8; HEADER_BYTES],
    index: u64,
    length: usize,
    next_piece: u16,
    body: BytesMut,
}

impl Assembler {
    /// Takes the next piece of the scan; returns the record it completes, if it does.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Stored>, Damage> {
        let (index, piece) = parse_key(key)?;
        let mut partial = match (self.open.take(), piece) {
            (None, 0) => Partial::start(index, value)?,
            (Some(partial), _) if partial.index == index && partial.next_piece == piece => {
                let mut partial = partial;
                partial.body.extend_from_slice(value);
                partial
            }
            _ => return Err(Damage(format!("record {index} is incomplete"))),
        };
        partial.next_piece = partial.next_piece.saturating_add(1);
        if partial.body.len() < partial.length {
            self.open = Some(partial);
            return Ok(None);
        }
        partial.finish().map(Some)
    }

    /// Says that the scan ended; a record must not be half there.
    pub(super) fn finish(self) -> Result<(), Damage> {
        match self.open {
            None => Ok(()),
            Some(partial) => Err(Damage(format!("record {} is incomplete", partial.index))),
        }
    }
}

impl Partial {
    fn start(index: u64, value: &[u8]) -> Result<Self, Damage> {
        let bad = |why: &str| Damage(format!("record {index} {why}"));
        let (header, body) = value
            .split_at_checked(HEADER_BYTES)
            .ok_or_else(|| bad("is cut short"))?;
        let header: [u8; HEADER_BYTES] = header.try_into().map_err(|_| bad("is cut short"))?;
        if header[0] != VERSION {
            return Err(bad(&format!(
                "has format {}, this version reads {VERSION}",
                header[0]
            )));
        }
        let length = u32_at(&header, 18) as usize;
        if u64_at(&header, 2) != index || length > MAX_BODY_BYTES {
            return Err(bad("has a header that cannot be true"));
        }
        Ok(Self {
            header,
            index,
            length,
            next_piece: 0,
            body: BytesMut::from(body),
        })
    }

    fn finish(self) -> Result<Stored, Damage> {
        let chain = u32_at(&self.header, 26);
        if self.body.len() != self.length
            || chain_of(&self.header[..HEADER_BYTES - 4], &self.body) != chain
        {
            return Err(Damage(format!(
                "the checksum of record {} does not match",
                self.index
            )));
        }
        let position = Position {
            term: u64_at(&self.header, 10),
            index: self.index,
        };
        let record = Record {
            position,
            kind: self.header[1],
            body: self.body.freeze(),
        };
        Ok(Stored {
            record,
            previous: u32_at(&self.header, 22),
            chain,
        })
    }
}

fn u64_at(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_be_bytes(bytes)
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    u32::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64, body: Vec<u8>) -> Record {
        Record {
            position: Position { term: 3, index },
            kind: 1,
            body: body.into(),
        }
    }

    fn decode(index: u64, pieces: &[Vec<u8>]) -> Result<Option<Stored>, Damage> {
        let mut assembler = Assembler::default();
        let mut last = None;
        for (piece, value) in pieces.iter().enumerate() {
            last = assembler.push(&key(index, piece as u16), value)?;
        }
        assembler.finish()?;
        Ok(last)
    }

    #[test]
    fn bodies_of_every_size_come_back_and_no_value_exceeds_what_sled_can_hold() {
        for size in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 300_000] {
            let original = record(9, (0..size).map(|byte| byte as u8).collect());
            let (pieces, chain) = encode(&original, 77);
            assert!(
                pieces.iter().all(|piece| piece.len() <= 64 << 10),
                "size {size}"
            );
            let stored = decode(9, &pieces).expect("sound").expect("complete");
            assert_eq!(stored.record, original);
            assert_eq!((stored.previous, stored.chain), (77, chain));
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_seen() {
        let (pieces, _) = encode(&record(4, vec![5; 40]), 0);
        for bit in 0..pieces[0].len() * 8 {
            let mut bad = pieces[0].clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(decode(4, &[bad]), Ok(Some(_))),
                "bit {bit} flipped unseen"
            );
        }
    }

    #[test]
    fn a_missing_or_foreign_piece_is_seen() {
        let (pieces, _) = encode(&record(4, vec![5; 150_000]), 0);
        assert!(
            decode(4, &pieces[..2]).is_err(),
            "the last piece is missing"
        );
        assert!(
            decode(4, &pieces[1..]).is_err(),
            "the first piece is missing"
        );
        let mut assembler = Assembler::default();
        assembler
            .push(&key(4, 0), &pieces[0])
            .expect("the first piece is sound");
        assert!(
            assembler.push(&key(5, 0), &pieces[0]).is_err(),
            "another record came between"
        );
    }

    #[test]
    fn the_chain_depends_on_what_came_before() {
        let same = record(4, vec![1, 2, 3]);
        assert_ne!(encode(&same, 1).1, encode(&same, 2).1);
    }
}
