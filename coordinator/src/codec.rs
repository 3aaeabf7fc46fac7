//! The bytes of commands, outcomes and snapshots: a format byte, then MessagePack with field
//! names, so that a newer coordinator can add fields and an older one passes over them.

use std::io::{Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// The one format there is.
const FORMAT: u8 = 1;

/// Why bytes could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The first byte names a format that this version does not know.
    #[error("format {found} is not known to this version, which reads format {FORMAT}")]
    Format {
        /// The byte found.
        found: u8,
    },
    /// There are no bytes.
    #[error("there is nothing to read")]
    Empty,
    /// Encoding failed.
    #[error("it cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
    /// Decoding failed.
    #[error("it cannot be decoded")]
    Decode(#[source] rmp_serde::decode::Error),
}

/// Encodes one value.
///
/// # Errors
/// [`CodecError::Encode`], which no type of ours causes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![FORMAT];
    write(&mut bytes, value)?;
    Ok(bytes)
}

/// Decodes one value.
///
/// # Errors
/// [`CodecError`] names what is wrong with the bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes {
        [] => Err(CodecError::Empty),
        [FORMAT, rest @ ..] => rmp_serde::from_slice(rest).map_err(CodecError::Decode),
        [found, ..] => Err(CodecError::Format { found: *found }),
    }
}

/// Encodes to a stream, with the format byte first.
///
/// # Errors
/// The stream's, or the encoder's as `InvalidData`.
pub fn encode_to<T: Serialize>(mut to: &mut dyn Write, value: &T) -> std::io::Result<()> {
    to.write_all(&[FORMAT])?;
    write(&mut to, value).map_err(std::io::Error::other)
}

/// Decodes from a stream.
///
/// # Errors
/// The stream's, or the decoder's as `InvalidData`.
pub fn decode_from<T: DeserializeOwned>(from: &mut dyn Read) -> std::io::Result<T> {
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    let mut format = [0];
    from.read_exact(&mut format)?;
    match format {
        [FORMAT] => rmp_serde::from_read(from).map_err(|e| invalid(CodecError::Decode(e))),
        [found] => Err(invalid(CodecError::Format { found })),
    }
}

fn write<T: Serialize>(to: &mut impl Write, value: &T) -> Result<(), CodecError> {
    let mut serializer = rmp_serde::Serializer::new(to).with_struct_map();
    value.serialize(&mut serializer).map_err(CodecError::Encode)
}
