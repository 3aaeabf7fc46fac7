//! Log entries as records of the store, and positions as openraft has them.
//!
//! A command is stored as it came, so that what is on disk depends on no library's idea of an
//! entry; only a change of members is encoded.

use std::io;

use bytes::Bytes;
use openraft::EntryPayload;

use super::{
    codec,
    types::{Command, CommittedLeader, Entry, LogId, Vote},
};
use crate::store::{Ballot, Position, Record};

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERS: u8 = 2;

pub(super) fn to_record(entry: Entry) -> io::Result<Record> {
    let position = to_position(entry.log_id);
    let (kind, body) = match entry.payload {
        EntryPayload::Blank => (BLANK, Bytes::new()),
        EntryPayload::Normal(Command(bytes)) => (COMMAND, bytes),
        EntryPayload::Membership(members) => (MEMBERS, codec::encode(&members)?.into()),
    };
    Ok(Record {
        position,
        kind,
        body,
    })
}

pub(super) fn from_record(record: Record) -> io::Result<Entry> {
    let payload = match record.kind {
        BLANK => EntryPayload::Blank,
        COMMAND => EntryPayload::Normal(Command(record.body)),
        MEMBERS => EntryPayload::Membership(codec::decode(&record.body)?),
        other => {
            let why = format!(
                "{} is of kind {other}, unknown to this version",
                record.position
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    };
    Ok(Entry {
        log_id: to_log_id(record.position),
        payload,
    })
}

pub(super) fn to_position(log_id: LogId) -> Position {
    Position {
        term: log_id.committed_leader_id().term,
        index: log_id.index(),
    }
}

pub(super) fn to_log_id(position: Position) -> LogId {
    LogId::new(CommittedLeader::new(position.term), position.index)
}

pub(super) fn to_ballot(vote: &Vote) -> Ballot {
    Ballot {
        term: vote.leader_id.term,
        node: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub(super) fn from_ballot(ballot: Ballot) -> Vote {
    match ballot.committed {
        true => Vote::new_committed(ballot.term, ballot.node),
        false => Vote::new(ballot.term, ballot.node),
    }
}
