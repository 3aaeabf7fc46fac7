//! How messages are read and written: as prost does, with the texts of programs of the version before
//! ([`crate::texts`]). Requests are checked against their bounds first, and their bytes are the
//! client's fault when they mean nothing.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{Message, Name};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_prost::ProstEncoder;

use crate::{bounds, texts::Texts};

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
    type Encoder = TextsEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        TextsEncoder(ProstEncoder::new(BufferSettings::default()))
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
pub struct TextsEncoder<T>(ProstEncoder<T>);

impl<T: Message + Texts> Encoder for TextsEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, mut item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.write_texts();
        self.0.encode(item, buffer)
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
        let mut message = U::decode(bytes).map_err(|error| {
            let text = format!("the bytes are no {}: {error}", self.name);
            match bounds::is_request(&self.name) {
                true => Status::invalid_argument(format!("{text}; use a client of this version")),
                false => Status::internal(text),
            }
        })?;
        message.read_texts();
        Ok(Some(message))
    }
}
