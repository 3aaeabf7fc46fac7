//! What a join token lets in, on the wire.

use paasta_common::joining::Joiner;

use super::{WireError, words::ordered};
use crate::v1;

/// What a token lets in, for the wire.
pub fn joiner_to_wire(joiner: Joiner) -> v1::Joiner {
    match joiner {
        Joiner::Coordinator => v1::Joiner::Coordinator,
        Joiner::Agent => v1::Joiner::Agent,
        Joiner::Person => v1::Joiner::Person,
    }
}

/// What a token lets in, as a request has it.
///
/// # Errors
/// [`WireError`] when it is not given, or a word of a newer program.
pub fn joiner_from_wire(value: i32) -> Result<Joiner, WireError> {
    match ordered::<v1::Joiner>("joiner", value, "")? {
        v1::Joiner::Coordinator => Ok(Joiner::Coordinator),
        v1::Joiner::Agent => Ok(Joiner::Agent),
        v1::Joiner::Person => Ok(Joiner::Person),
        v1::Joiner::Unspecified => Err(WireError::not_given::<v1::Joiner>("joiner")),
    }
}
