//! The wire of paasta: the gRPC services of `paasta/v1/*.proto` and, in [`convert`], the only
//! passage between what is on the wire and the words of `paasta-common`. [`words`] are the enums as text.

pub mod bounds;
pub mod codec;
pub mod convert;
pub mod texts;
pub mod verdict;
pub mod words;
pub mod worker;

/// The generated messages, clients and servers of package `paasta.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("paasta.v1");
}

/// The encoded `FileDescriptorSet` of `paasta.v1`, for the gRPC reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/paasta.v1.bin"));
