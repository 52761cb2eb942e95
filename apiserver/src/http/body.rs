//! Bodies: what is read whole within a limit, and what is sent.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited, combinators::UnsyncBoxBody};

/// What a handler answers with.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The largest body of a request, as upstream's.
pub const REQUEST_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Why a body cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is larger than [`REQUEST_BYTES_MAX`].
    #[error("Request entity too large: limit is {REQUEST_BYTES_MAX}")]
    TooLarge,
    /// The client broke off.
    #[error("the body of the request could not be read: {0}")]
    Broken(String),
}

/// A whole body.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// Reads a request's body within the limit.
pub async fn read<B>(body: B) -> Result<Bytes, ReadError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ReadError::TooLarge),
        Err(error) => Err(ReadError::Broken(error.to_string())),
    }
}
