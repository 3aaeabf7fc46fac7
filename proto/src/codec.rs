//! How messages are read and written: as prost does, but for requests, which are checked against
//! their bounds first, and whose bytes are the client's fault when they mean nothing.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{Message, Name};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use crate::bounds;

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
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder {
            name: U::full_name(),
            message: PhantomData,
        }
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
        U::decode(bytes).map(Some).map_err(|error| {
            let text = format!("the bytes are no {}: {error}", self.name);
            match bounds::is_request(&self.name) {
                true => Status::invalid_argument(format!("{text}; use a client of this version")),
                false => Status::internal(text),
            }
        })
    }
}
