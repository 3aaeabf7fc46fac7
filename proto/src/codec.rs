//! How messages are read and written: as prost does, with the texts of programs of the version before
//! ([`crate::texts`]). Requests are checked against their bounds first, and their bytes are the
//! client's fault when they mean nothing. During large messages the runtime's other tasks go on.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{DecodeError, Message, Name};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{bounds, texts::Texts, worker::off_worker};

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
    T: Message + Texts + Send + 'static,
    U: Message + Texts + Name + Default + Send + 'static,
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

impl<T: Message + Texts> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, mut message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let large = message.encoded_len() > LARGE_BYTES;
        // What is written is freed there too: it takes as long.
        let mut write = move || {
            message.write_texts();
            message.encode(buffer)
        };
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

impl<U: Message + Texts + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        bounds::check(&self.name, &bytes)
            .map_err(|refusal| Status::invalid_argument(refusal.to_string()))?;
        let large = bytes.len() > LARGE_BYTES;
        let read = || {
            let mut message = U::decode(bytes)?;
            message.read_texts();
            Ok(message)
        };
        let message: Result<U, DecodeError> = match large {
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
