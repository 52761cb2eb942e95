//! A connection that is read along. When its client has pinged too often it gets the answer to its last
//! ping and then grpc-go's last word, between two frames, and the connection ends: once the client has gone, or after a moment, because a
//! socket that is closed with something unread takes the last word back.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::frames::{Frames, Head, frame};
use super::strikes::Strikes;

/// HTTP/2's ENHANCE_YOUR_CALM.
const CALM: u32 = 0xb;
/// What clients of gRPC know it by.
const WORDS: &[u8] = b"too_many_pings";

/// How long a client may take to go.
const GOODBYE: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Policed<S> {
    inner: S,
    received: Frames,
    sent: Frames,
    strikes: Strikes,
    end: End,
}

/// How far a connection is on its way out.
#[derive(Debug)]
enum End {
    /// It stays.
    No,
    /// So much is left of the last word.
    Saying(Vec<u8>),
    /// Nothing more is said, and what is heard counts no more.
    Said(Pin<Box<Sleep>>),
}

impl<S> Policed<S> {
    /// Lets a client ping every `min`; without it, as it likes.
    pub(crate) fn new(inner: S, min: Option<Duration>) -> Self {
        Self {
            inner,
            received: min.map_or(Frames::Other, |_| Frames::CLIENT),
            sent: Frames::SERVER,
            strikes: Strikes::new(min.unwrap_or_default()),
            end: End::No,
        }
    }

    fn was_received(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        let mut is_over = false;
        let strikes = &mut self.strikes;
        self.received
            .pass(bytes, |head| is_over |= strikes.received(head, now));
        if is_over && matches!(self.end, End::No) {
            tracing::debug!("a client pings too often and is cut off");
            let mut payload = strikes.last_stream().to_be_bytes().to_vec();
            payload.extend(CALM.to_be_bytes());
            payload.extend(WORDS);
            let head = Head {
                kind: Head::GOAWAY,
                flags: 0,
                stream: 0,
            };
            self.end = End::Saying(frame(head, &payload));
        }
    }

    fn was_sent(&mut self, bytes: &[u8]) {
        // Before the client's preface nobody knows what this is; a server of HTTP/2 says nothing then.
        if self.received.is_http2() {
            let strikes = &mut self.strikes;
            self.sent.pass(bytes, |head| strikes.sent(head));
        }
    }
}

impl<S: AsyncWrite + Unpin> Policed<S> {
    /// Whether the last word may be said: no frame is half sent, and no ping waits for its answer.
    fn has_place(&self) -> bool {
        self.sent.open_bytes() == 0 && self.strikes.has_answered()
    }

    /// Says the last word, where that is due and has a place. True once nothing may follow.
    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        while self.has_place()
            && let End::Saying(rest) = &mut self.end
        {
            match Pin::new(&mut self.inner).poll_write(cx, rest) {
                Poll::Pending => return false,
                Poll::Ready(Ok(count)) if count > 0 && count < rest.len() => {
                    rest.drain(..count);
                }
                // Said, or not to be said.
                Poll::Ready(_) => {
                    self.end = End::Said(Box::pin(tokio::time::sleep(GOODBYE)));
                    // Whoever has gone needs no goodbye.
                    let _ = Pin::new(&mut self.inner).poll_shutdown(cx);
                }
            }
        }
        matches!(self.end, End::Said(_))
    }
}

impl<S: AsyncRead + Unpin> Policed<S> {
    /// Until the client has gone or has had its time.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let End::Said(goodbye) = &mut self.end
            && goodbye.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        loop {
            let mut unheard = [0; 1024];
            let mut unheard = ReadBuf::new(&mut unheard);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut unheard));
            if read.is_err() || unheard.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Policed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended(cx) {
            // In the end it is as if the client had closed.
            return self.poll_gone(cx).map(Ok);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.was_received(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Policed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_ended(cx) {
            return Poll::Ready(Ok(buf.len()));
        }
        let most = match (&self.end, self.sent.open_bytes()) {
            (End::Saying(_), 0) if self.has_place() => return Poll::Pending,
            // No further than to where the last word has its place.
            (End::Saying(_), open) if open > 0 => open.min(buf.len()),
            _ => buf.len(),
        };
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &buf[..most]))?;
        self.was_sent(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !matches!(self.end, End::No) {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write(cx, first.map_or(&[][..], |buf| &buf[..]));
        }
        let count = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        let mut left = count;
        for buf in bufs {
            let part = left.min(buf.len());
            self.was_sent(&buf[..part]);
            left -= part;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_ended(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn head(kind: u8) -> Head {
        Head {
            kind,
            flags: 0,
            stream: 0,
        }
    }

    #[tokio::test]
    async fn the_last_word_stands_between_two_frames() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut server = Policed::new(server, Some(Duration::from_secs(5)));
        client.write_all(PREFACE).await.unwrap();
        for _ in 0..4 {
            let ping = frame(head(Head::PING), &[1; 8]);
            client.write_all(&ping).await.unwrap();
        }
        let mut heard = vec![0; PREFACE.len() + 3 * 17];
        server.read_exact(&mut heard).await.unwrap();
        let answer = Head {
            flags: Head::ACK,
            ..head(Head::PING)
        };
        let answer = frame(answer, &[1; 8]);
        let answers = answer.repeat(3);
        server.write_all(&answers).await.unwrap();
        // Half a frame is out when the fourth ping is seen.
        let other = frame(head(8), b"whole");
        server.write_all(&other[..6]).await.unwrap();
        let mut heard = vec![0; 17];
        server.read_exact(&mut heard).await.unwrap();
        server.write_all(&other[6..]).await.unwrap();
        server.write_all(&answer).await.unwrap();
        // Nothing of this gets out.
        server.write_all(&other).await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        client.write_all(&[7; 100]).await.unwrap();
        drop(client);
        assert_eq!(server.read(&mut heard).await.unwrap(), 0);
        let last = b"\0\0\x16\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_pings";
        assert_eq!(got, [&answers[..], &other, &answer, last].concat());
    }

    #[tokio::test]
    async fn other_protocols_pass_unchanged() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut server = Policed::new(server, Some(Duration::from_secs(5)));
        let text = [&b"GET / HTTP/1.1\r\n\r\n"[..], &[6; 1000]].concat();
        client.write_all(&text).await.unwrap();
        let mut heard = vec![0; text.len()];
        server.read_exact(&mut heard).await.unwrap();
        server.write_all(&text).await.unwrap();
        let mut got = vec![0; text.len()];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!((heard, got), (text.clone(), text));
    }
}
