//! A container's log: read from the file that the runtime writes, and followed while it grows.
//!
//! A line of the file is `TIME STREAM TAG TEXT`; the tag `P` marks a line that goes on in the next.

use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use proto_cri::v1::ContainerState;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::routes::{Body, Routes, text};
use crate::kubelet::pod_state::PodState;
use crate::kubelet::spec::{PodId, container};

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);
/// Read at once.
const CHUNK: usize = 64 * 1024;
/// A line longer than this is passed on in pieces.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What the client wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail: Option<usize>,
    since: Option<Timestamp>,
    bytes_max: Option<usize>,
    stream: Option<&'static str>,
}

impl Options {
    fn parse(query: &str, now: Timestamp) -> Result<Self, String> {
        let mut out = Self::default();
        let flag = |value: &str| matches!(value, "" | "1" | "t" | "T" | "true" | "TRUE" | "True");
        let number = |name: &str, value: &str| {
            value
                .parse::<usize>()
                .map_err(|_| format!("invalid value {value:?} of {name}\n"))
        };
        for (name, value) in super::stream::pairs(query) {
            match name.as_str() {
                "follow" => out.follow = flag(&value),
                "previous" => out.previous = flag(&value),
                "timestamps" => out.timestamps = flag(&value),
                "tailLines" => out.tail = Some(number("tailLines", &value)?),
                "limitBytes" => out.bytes_max = Some(number("limitBytes", &value)?),
                "sinceSeconds" => {
                    let seconds =
                        i64::try_from(number("sinceSeconds", &value)?).unwrap_or(i64::MAX);
                    out.since =
                        Timestamp::from_second(now.as_second().saturating_sub(seconds)).ok();
                }
                "sinceTime" => {
                    out.since = Some(
                        value
                            .parse()
                            .map_err(|_| format!("invalid value {value:?} of sinceTime\n"))?,
                    );
                }
                "stream" => {
                    out.stream = match value.as_str() {
                        "Stdout" => Some("stdout"),
                        "Stderr" => Some("stderr"),
                        _ => None,
                    };
                }
                _ => {}
            }
        }
        Ok(out)
    }
}

/// Answers a request for a log.
pub(super) async fn answer(
    routes: &Routes,
    namespace: &str,
    pod: &str,
    name: &str,
    query: &str,
) -> Response<Body> {
    let options = match Options::parse(query, Timestamp::now()) {
        Ok(options) => options,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let file = match find(routes, namespace, pod, name, &options).await {
        Ok(file) => file,
        Err((status, message)) => return text(status, message),
    };
    match open(file, options).await {
        Ok(reader) => {
            let lines = stream::unfold(reader, |mut reader| async move {
                let chunk = reader.next().await.transpose()?;
                Some((chunk.map(Frame::data), reader))
            });
            let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
            let kind = http::HeaderValue::from_static("text/plain");
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to open log file: {error}\n"),
        ),
    }
}

struct File {
    path: PathBuf,
    /// To see whether more may come.
    container: String,
    runtime: std::sync::Arc<dyn crate::runtime::Runtime>,
}

async fn find(
    routes: &Routes,
    namespace: &str,
    pod_name: &str,
    name: &str,
    options: &Options,
) -> Result<File, (StatusCode, String)> {
    let bad = |message: String| (StatusCode::BAD_REQUEST, message);
    let Some(inside) = &routes.context.inside else {
        return Err((
            StatusCode::NOT_IMPLEMENTED,
            "a hollow node runs no containers, so there are no logs\n".to_owned(),
        ));
    };
    let pod = routes.workers.pod(namespace, pod_name);
    let pod = pod.ok_or_else(|| {
        (
            StatusCode::NOT_FOUND,
            format!("pod {pod_name:?} does not exist\n"),
        )
    })?;
    let known = pod
        .spec
        .as_ref()
        .is_some_and(|spec| container(spec, name).is_some());
    if !known {
        return Err(bad(format!(
            "container {name:?} in pod {pod_name:?} is not available\n"
        )));
    }
    let id = PodId::of(&pod);
    let state = PodState::read(&*routes.context.runtime, &id.uid).await;
    let state = state.map_err(|error| {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{}\n", base::report(&error)),
        )
    })?;
    let status = match options.previous {
        true => state
            .previous(name)
            .ok_or_else(|| bad(format!("previous terminated container {name:?} in pod {pod_name:?} not found\n")))?,
        false => state.latest(name).filter(|c| c.state() != ContainerState::ContainerCreated).ok_or_else(|| {
            bad(format!("container {name:?} in pod {pod_name:?} is waiting to start: ContainerCreating\n"))
        })?,
    };
    let attempt = status.metadata.as_ref().map_or(0, |m| m.attempt);
    let own = inside
        .log_directory(&id)
        .join(name)
        .join(format!("{attempt}.log"));
    let path = if status.log_path.is_empty() {
        own
    } else {
        PathBuf::from(&status.log_path)
    };
    Ok(File {
        path,
        container: status.id.clone(),
        runtime: routes.context.runtime.clone(),
    })
}

struct Reader {
    file: tokio::fs::File,
    source: File,
    options: Options,
    pending: BytesMut,
    left: usize,
    /// The last piece that was passed on ends in the middle of a line.
    mid_line: bool,
    is_over: bool,
}

async fn open(source: File, options: Options) -> std::io::Result<Reader> {
    let mut file = tokio::fs::File::open(&source.path).await?;
    if let Some(lines) = options.tail {
        let start = tail_start(&mut file, lines).await?;
        file.seek(std::io::SeekFrom::Start(start)).await?;
    }
    let left = options.bytes_max.unwrap_or(usize::MAX);
    Ok(Reader {
        file,
        source,
        options,
        pending: BytesMut::new(),
        left,
        mid_line: false,
        is_over: false,
    })
}

/// Where the last `lines` lines of the file begin.
async fn tail_start(file: &mut tokio::fs::File, lines: usize) -> std::io::Result<u64> {
    let mut end = file.metadata().await?.len();
    if lines == 0 {
        return Ok(end);
    }
    // The newline that ends the last line does not begin another one.
    let mut seen = 0_usize;
    let mut is_last = true;
    while end > 0 {
        let size = end.min(u64::try_from(CHUNK).unwrap_or(u64::MAX));
        let begin = end - size;
        file.seek(std::io::SeekFrom::Start(begin)).await?;
        let mut chunk = vec![0; usize::try_from(size).unwrap_or(CHUNK)];
        file.read_exact(&mut chunk).await?;
        for (at, _) in chunk
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
        {
            if std::mem::take(&mut is_last) && begin + u64::try_from(at).unwrap_or(0) + 1 == end {
                continue;
            }
            seen += 1;
            if seen == lines {
                return Ok(begin + u64::try_from(at).unwrap_or(0) + 1);
            }
        }
        is_last = false;
        end = begin;
    }
    Ok(0)
}

impl Reader {
    /// The next piece; None at the end.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            let mut chunk = vec![0; CHUNK];
            let read = self.file.read(&mut chunk).await?;
            self.pending
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
            let mut out = self.take_lines();
            if !out.is_empty() {
                out.truncate(self.left);
                self.left -= out.len();
                return Ok(Some(out.freeze()));
            }
            if read > 0 {
                continue;
            }
            if !self.options.follow || self.is_over {
                return Ok(None);
            }
            // One more look at the file after the container has ended: its last lines.
            let status = self
                .source
                .runtime
                .container_status(&self.source.container)
                .await;
            self.is_over = !status.is_ok_and(|s| s.state() == ContainerState::ContainerRunning);
            if !self.is_over {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    fn take_lines(&mut self) -> BytesMut {
        let mut out = BytesMut::new();
        while let Some(at) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line = self.pending.split_to(at + 1);
            self.pass_on(&line, &mut out);
        }
        if self.pending.len() > LINE_BYTES_MAX {
            // No runtime writes such a line; do not let it grow without end.
            self.pending.clear();
        }
        out
    }

    fn pass_on(&mut self, line: &[u8], out: &mut BytesMut) {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(stream), Some(tag), Some(content)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        if self
            .options
            .stream
            .is_some_and(|wanted| wanted.as_bytes() != stream)
        {
            return;
        }
        if let Some(since) = self.options.since {
            let at = std::str::from_utf8(time)
                .ok()
                .and_then(|t| t.parse::<Timestamp>().ok());
            if at.is_some_and(|at| at < since) {
                return;
            }
        }
        if self.options.timestamps && !self.mid_line {
            out.extend_from_slice(time);
            out.extend_from_slice(b" ");
        }
        self.mid_line = tag.first() == Some(&b'P');
        let content = if self.mid_line {
            content.strip_suffix(b"\n").unwrap_or(content)
        } else {
            content
        };
        out.extend_from_slice(content);
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
