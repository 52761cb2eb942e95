//! The runtime's streaming protocol, SPDY/3.1, as far as a client of exec and attach needs it.
//!
//! Only it can close one stream of several, without which a command never sees the end of its
//! input. Header blocks are sent in stored (uncompressed) deflate blocks, and those that come back
//! are not read: they say nothing that matters here.

use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What the streams carry: outputs, input, and a status at the end.
const PROTOCOL: &str = "v4.channel.k8s.io";
/// The head of the answer to the upgrade.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Data in one frame; the runtime sends 32 KiB.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The flag of a stream's last frame.
const FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const PING: u16 = 6;
const GOAWAY: u16 = 7;

/// The sending side.
pub(super) struct Sender {
    writer: OwnedWriteHalf,
    next_stream: u32,
    has_sent_headers: bool,
}

/// The receiving side.
pub(super) struct Receiver {
    reader: OwnedReadHalf,
    buffer: BytesMut,
}

/// What the runtime sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Data of a stream.
    Data(u32, Bytes),
    /// A question that wants the same answer.
    Ping(Bytes),
    /// Nothing that matters.
    Other,
}

/// Connects to a stream that the runtime has prepared.
pub(super) async fn connect(url: &str) -> Result<(Sender, Receiver)> {
    let invalid = || Error::new(ErrorKind::InvalidInput, format!("unusable address {url:?}"));
    let uri: http::Uri = url.parse().map_err(|_| invalid())?;
    let (host, port) = uri.host().zip(uri.port_u16()).ok_or_else(invalid)?;
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let mut stream = TcpStream::connect((host, port)).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: {PROTOCOL}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = BytesMut::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(&mut buffer).await? == 0 {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the runtime's answer is no HTTP",
            ));
        }
    };
    let head = buffer.split_to(end);
    if !head.starts_with(b"HTTP/1.1 101") {
        let first = head[..].split(|b| *b == b'\r').next().unwrap_or_default();
        return Err(Error::other(format!(
            "the runtime answered {}",
            String::from_utf8_lossy(first)
        )));
    }
    let (reader, writer) = stream.into_split();
    Ok((
        Sender {
            writer,
            next_stream: 1,
            has_sent_headers: false,
        },
        Receiver { reader, buffer },
    ))
}

impl Sender {
    /// Opens a stream of that type; its number.
    pub(super) async fn open(&mut self, kind: &str) -> Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut headers = BytesMut::new();
        headers.put_u32(1);
        for text in ["streamtype", kind] {
            headers.put_u32(u32::try_from(text.len()).unwrap_or(0));
            headers.put_slice(text.as_bytes());
        }
        let mut payload = BytesMut::new();
        payload.put_u32(stream);
        payload.put_u32(0);
        payload.put_u16(0);
        if !std::mem::replace(&mut self.has_sent_headers, true) {
            // The head of a zlib stream; it lasts as long as the connection.
            payload.put_slice(&[0x78, 0x01]);
        }
        payload.put_slice(&stored(&headers));
        self.control(SYN_STREAM, &payload).await?;
        Ok(stream)
    }

    /// Sends data on a stream.
    pub(super) async fn data(&mut self, stream: u32, data: &[u8]) -> Result<()> {
        for part in data.chunks(FRAME_BYTES_MAX) {
            self.frame(stream, 0, part).await?;
        }
        Ok(())
    }

    /// Closes our side of a stream.
    pub(super) async fn finish(&mut self, stream: u32) -> Result<()> {
        self.frame(stream, FIN, &[]).await
    }

    /// Answers a ping.
    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<()> {
        self.control(PING, payload).await
    }

    async fn frame(&mut self, stream: u32, flags: u8, data: &[u8]) -> Result<()> {
        let mut out = BytesMut::with_capacity(8 + data.len());
        out.put_u32(stream);
        out.put_u32(u32::from(flags) << 24 | u32::try_from(data.len()).unwrap_or(0));
        out.put_slice(data);
        self.writer.write_all(&out).await
    }

    async fn control(&mut self, kind: u16, payload: &[u8]) -> Result<()> {
        let mut out = BytesMut::with_capacity(8 + payload.len());
        out.put_u16(0x8003);
        out.put_u16(kind);
        out.put_u32(u32::try_from(payload.len()).unwrap_or(0));
        out.put_slice(payload);
        self.writer.write_all(&out).await
    }
}

/// A stored deflate block (its length, the complement of that, the bytes) and an empty one, which
/// makes the other side look at what it has got.
fn stored(bytes: &[u8]) -> BytesMut {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u16_le(length);
    out.put_u16_le(!length);
    out.put_slice(bytes);
    out.put_slice(&[0, 0, 0, 0xff, 0xff]);
    out
}

impl Receiver {
    /// The next frame; None when the runtime has closed. Cancel-safe: what was read is kept.
    pub(super) async fn next(&mut self) -> Result<Option<Received>> {
        loop {
            if let Some(frame) = parse(&mut self.buffer)? {
                return Ok(frame);
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Takes a whole frame out of the buffer. The inner None is a goodbye.
fn parse(buffer: &mut BytesMut) -> Result<Option<Option<Received>>> {
    let Some(mut head) = buffer.get(..8) else {
        return Ok(None);
    };
    let (first, second) = (head.get_u32(), head.get_u32());
    let length = usize::try_from(second & 0x00ff_ffff).unwrap_or(usize::MAX);
    if length > 2 * FRAME_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "a frame of the runtime is too long",
        ));
    }
    if buffer.len() < 8 + length {
        return Ok(None);
    }
    buffer.advance(8);
    let payload = buffer.split_to(length).freeze();
    if first & 0x8000_0000 == 0 {
        return Ok(Some(Some(Received::Data(first, payload))));
    }
    Ok(Some(match u16::try_from(first & 0xffff).unwrap_or(0) {
        PING => Some(Received::Ping(payload)),
        GOAWAY => None,
        // Replies and resets: what a stream had to say it has said by then.
        _ => Some(Received::Other),
    }))
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::{Received, parse, stored};

    #[test]
    fn frames_are_taken_whole() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 5, 0, 0, 0, 2, b'h'][..]);
        assert!(parse(&mut buffer).expect("no error").is_none());
        buffer.extend_from_slice(&[b'i', 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
        let data = Received::Data(5, Bytes::from_static(b"hi"));
        assert_eq!(parse(&mut buffer).expect("no error"), Some(Some(data)));
        let ping = Received::Ping(Bytes::from_static(&[0, 0, 0, 1]));
        assert_eq!(parse(&mut buffer).expect("no error"), Some(Some(ping)));
        assert!(buffer.is_empty());
        let mut long = BytesMut::from(&[0, 0, 0, 5, 0, 0xff, 0xff, 0xff][..]);
        assert!(parse(&mut long).is_err());
    }

    #[test]
    fn blocks_carry_their_length_twice_and_are_flushed() {
        let want = [0, 2, 0, 0xfd, 0xff, b'a', b'b', 0, 0, 0, 0xff, 0xff];
        assert_eq!(&stored(b"ab")[..], want);
    }
}
