//! Consensus messages as bytes: one format byte, then MessagePack with field names, so that a node
//! of the next version may add fields while its peers are still of this one.

use serde::{Serialize, de::DeserializeOwned};

const FORMAT: u8 = 1;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("the message is empty")]
    Empty,
    #[error("the message has format {0}, this version reads {FORMAT}: upgrade this node")]
    Format(u8),
    #[error("the message cannot be read: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    #[error("the message cannot be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

pub(super) fn encode(message: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![FORMAT];
    rmp_serde::encode::write_named(&mut bytes, message)?;
    Ok(bytes)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&FORMAT, message)) => Ok(rmp_serde::from_slice(message)?),
        Some((&other, _)) => Err(CodecError::Format(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Command, CommittedLeader, Entry, LogId, Node, TypeConfig, Vote};
    use crate::store::StoreId;
    use openraft::{EntryPayload, Membership, raft::AppendEntriesRequest};

    #[test]
    fn an_append_request_survives_the_wire() {
        let nodes = [
            (
                1,
                Node {
                    address: "a:1".into(),
                    store: None,
                },
            ),
            (
                4,
                Node {
                    address: "b:2".into(),
                    store: Some(StoreId::from_bits(7)),
                },
            ),
        ];
        let voters = vec![[1].into()];
        let members = Membership::new(voters, std::collections::BTreeMap::from(nodes));
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Command(vec![0, 255, 7].into())),
            EntryPayload::Membership(members.expect("voter 1 has an address")),
        ];
        let at = |index| LogId::new(CommittedLeader::new(3), index);
        let entries = (5..).zip(payloads);
        let request = AppendEntriesRequest::<TypeConfig> {
            vote: Vote::new_committed(3, 1),
            prev_log_id: Some(at(4)),
            entries: entries
                .map(|(i, payload)| Entry {
                    log_id: at(i),
                    payload,
                })
                .collect(),
            leader_commit: None,
        };
        let bytes = encode(&request).expect("it can be written");
        let back: AppendEntriesRequest<TypeConfig> = decode(&bytes).expect("it can be read");
        assert_eq!(
            (back.vote, back.prev_log_id),
            (request.vote, request.prev_log_id)
        );
        assert_eq!(back.entries, request.entries);
    }

    #[test]
    fn other_formats_and_no_bytes_are_refused() {
        assert!(matches!(decode::<u64>(&[]), Err(CodecError::Empty)));
        assert!(matches!(decode::<u64>(&[9, 1]), Err(CodecError::Format(9))));
        assert!(matches!(
            decode::<String>(&[FORMAT, 1]),
            Err(CodecError::Decode(_))
        ));
    }
}
