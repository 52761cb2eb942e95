//! Cuts a body into the JSON values that it holds one after another, as they come in.

use axum::body::BodyDataStream;
use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use tonic::Status;

/// See the module. Keeps at most one value and what came with it.
pub(super) struct Values {
    chunks: BodyDataStream,
    buffer: BytesMut,
    scan: Scan,
    bytes_max: usize,
    is_done: bool,
}

impl Values {
    /// The values of a body, each of at most `bytes_max`.
    pub(super) fn new(chunks: BodyDataStream, bytes_max: usize) -> Self {
        Self {
            chunks,
            buffer: BytesMut::new(),
            scan: Scan::default(),
            bytes_max,
            is_done: false,
        }
    }

    /// The next value, as it is written; none at the end. A value that breaks off is given as far as
    /// it goes.
    ///
    /// Cancel-safe: what has been read stays.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            self.skip_space();
            if let Some(end) = self.scan.end(&self.buffer) {
                self.scan = Scan::default();
                return Some(Ok(self.buffer.split_to(end).freeze()));
            }
            if self.buffer.len() > self.bytes_max {
                self.is_done = true;
                let (length, max) = (self.buffer.len(), self.bytes_max);
                self.buffer.clear();
                self.scan = Scan::default();
                let words = format!(
                    "a JSON value of {length} bytes or more is too large, at most {max} are taken"
                );
                return Some(Err(Status::resource_exhausted(words)));
            }
            if self.is_done {
                let rest = self.buffer.split().freeze();
                return (!rest.is_empty()).then_some(Ok(rest));
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => {
                    self.is_done = true;
                    self.buffer.clear();
                    let words = format!("the body cannot be read: {error}");
                    return Some(Err(Status::invalid_argument(words)));
                }
                None => self.is_done = true,
            }
        }
    }

    /// Only between two values.
    fn skip_space(&mut self) {
        if self.scan.at == 0 {
            let space = self.buffer.iter().take_while(|byte| is_space(**byte));
            self.buffer.advance(space.count());
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Looks for the end of the first value in a buffer that grows. What is no JSON has some end too:
/// whoever reads the value finds the fault.
#[derive(Debug, Default)]
struct Scan {
    /// Everything before has been looked at.
    at: usize,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Scan {
    fn end(&mut self, buffer: &[u8]) -> Option<usize> {
        let starts_scalar = !matches!(buffer.first()?, b'{' | b'[' | b'"');
        while let Some(&byte) = buffer.get(self.at) {
            let is_first = self.at == 0;
            if starts_scalar {
                if !is_first && (is_space(byte) || b"{}[]\",:".contains(&byte)) {
                    return Some(self.at);
                }
                self.at += 1;
                continue;
            }
            self.at += 1;
            if self.step(byte) {
                return Some(self.at);
            }
        }
        None
    }

    /// True at the last byte of the value.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            if self.is_escaped {
                self.is_escaped = false;
            } else if byte == b'\\' {
                self.is_escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.depth == 0 && !self.in_string
    }
}
