//! How messages are read and written: as prost does, but for requests, which are checked against
//! their bounds first, and whose bytes are the client's fault when they mean nothing; and for large
//! messages, during which the runtime's other tasks go on.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{Message, Name};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{bounds, worker::off_worker};

/// Messages of more bytes are read and written off the threads of the runtime.
const LARGE_BYTES: usize = 32 << 10;

/// The codec of every service of `paasta.v1`.
#[derive(Debug, Clone)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder {
            name: U::full_name(),
            message: PhantomData,
        }
    }
}

/// Writes messages of one type.
#[derive(Debug, Clone)]
pub struct MessageEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let large = message.encoded_len() > LARGE_BYTES;
        // What is written is freed there too: it takes as long.
        let mut write = move || message.encode(buffer);
        let written = match large {
            true => off_worker(write),
            false => write(),
        };
        written.map_err(|error| Status::internal(format!("a message cannot be written: {error}")))
    }
}

/// Reads messages of one type.
#[derive(Debug, Clone)]
pub struct BoundedDecoder<U> {
    name: String,
    message: PhantomData<U>,
}

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        bounds::check(&self.name, &bytes)
            .map_err(|refusal| Status::invalid_argument(refusal.to_string()))?;
        let large = bytes.len() > LARGE_BYTES;
        let read = || U::decode(bytes);
        let message = match large {
            true => off_worker(read),
            false => read(),
        };
        message.map(Some).map_err(|error| {
            let text = format!("the bytes are no {}: {error}", self.name);
            match bounds::is_request(&self.name) {
                true => Status::invalid_argument(format!("{text}; use a client of this version")),
                false => Status::internal(text),
            }
        })
    }
}
