//! The server's codec: protobuf, with buffers as large as a frame.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// HTTP/2's frame, unless a client asks for larger ones (RFC 9113, 6.5.2). Left alone, a buffer grows to 64 KiB in steps
/// that each copy what is in it.
const FRAME: usize = 16 * 1024;
/// From here on a buffer is sent: most messages still fit below a frame then.
const FULL: usize = FRAME - 1024;

/// Encodes `T` and decodes `U`.
#[derive(Clone, Copy, Debug)]
pub struct StreamCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StreamCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StreamCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(FRAME, FULL))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::default())
    }
}
