//! A watch as a body: what is ready is sent in one frame, lines shared by all watchers.
//!
//! The stream ends at its timeout, and spread over a few seconds when the server ends, each time with
//! a bookmark of what was told, so that the client goes on elsewhere without a list.

use std::sync::Arc;
use std::time::Duration;

use api_meta::status::Status;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::body::Body;
use super::negotiate::{Form, Shape};
use super::render;
use super::table::{self, Include};
use crate::cache::Object;
use crate::cache::ring::frame;
use crate::registry::options::WATCH_SECONDS_MAX;
use crate::registry::watch::{Item, Session};

/// How often a quiet watch hears how far it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long before its timeout a watch gets its last bookmark.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// What one frame holds, about: enough to be worth a wake-up, not enough to hold others up.
const FRAME_BYTES: usize = 64 * 1024;
/// How long a watch lasts at most, whatever was asked for or configured.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(WATCH_SECONDS_MAX);
/// Over this time watches end when the server does, so that they do not all come back at once.
const SPREAD: Duration = Duration::from_secs(2);

/// How a watch is sent.
#[derive(Debug)]
pub struct Settings {
    /// The form of the objects.
    pub form: Form,
    /// What rows of Tables carry.
    pub include: Include,
    /// Whether the client asked for bookmarks.
    pub bookmarks: bool,
    /// How long it lasts, at most [`TIMEOUT_MAX`].
    pub timeout: Duration,
    /// Ends it early.
    pub stop: CancellationToken,
}

struct Sending {
    session: Session,
    settings: Settings,
    ticks: Interval,
    end: Instant,
    last_bookmark: bool,
    is_over: bool,
}

/// The answer to a watch.
pub fn respond(session: Session, mut settings: Settings) -> Response<Body> {
    let now = Instant::now();
    settings.timeout = settings.timeout.min(TIMEOUT_MAX);
    let mut ticks = interval_at(now + BOOKMARK_EVERY, BOOKMARK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = now + settings.timeout;
    let sending = Sending {
        session,
        settings,
        ticks,
        end,
        last_bookmark: false,
        is_over: false,
    };
    let frames = stream::unfold(sending, |mut sending| async move {
        let bytes = sending.next_frame().await?;
        Some((Ok(Frame::data(bytes)), sending))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to a watch that cannot begin where it was asked to: the refusal is its only event,
/// because clients look for it there.
pub fn refused(status: &Status) -> Response<Body> {
    let line = line("ERROR", &serde_json::to_value(status).unwrap_or_default());
    render::bytes_response(line, "application/json", StatusCode::OK)
}

impl Sending {
    async fn next_frame(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over {
                return None;
            }
            if let Some(bytes) = self.collect().filter(|bytes| !bytes.is_empty()) {
                return Some(bytes);
            }
            if self.is_over {
                return None;
            }
            let warn_at = self.end - LAST_BOOKMARK.min(self.settings.timeout / 2);
            let wake = if self.last_bookmark {
                self.end
            } else {
                warn_at
            };
            // Events first: a bookmark or an end that waits a little longer harms nobody.
            tokio::select! { biased;
                () = self.session.ready() => {}
                () = self.settings.stop.cancelled() => {
                    let spread = SPREAD.mul_f64(rand::random_range(0.0..1.0));
                    tokio::time::sleep(spread).await;
                    self.is_over = true;
                    return self.bookmark();
                }
                _ = self.ticks.tick() => {
                    if let Some(bytes) = self.bookmark() {
                        return Some(bytes);
                    }
                }
                () = sleep_until(wake) => {
                    if self.last_bookmark {
                        return None;
                    }
                    self.last_bookmark = true;
                    if let Some(bytes) = self.bookmark() {
                        return Some(bytes);
                    }
                }
            }
        }
    }

    /// Everything that is ready, up to the size of a frame.
    fn collect(&mut self) -> Option<Bytes> {
        let first = self.next_line()?;
        if first.len() >= FRAME_BYTES || self.is_over {
            return Some(first);
        }
        let Some(second) = self.next_line() else {
            return Some(first);
        };
        let mut frame = BytesMut::with_capacity(FRAME_BYTES);
        frame.put(first);
        frame.put(second);
        while frame.len() < FRAME_BYTES && !self.is_over {
            let Some(line) = self.next_line() else { break };
            frame.put(line);
        }
        Some(frame.freeze())
    }

    fn next_line(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let item = self.session.poll()?;
        Some(self.line(item))
    }

    fn bookmark(&mut self) -> Option<Bytes> {
        if !self.settings.bookmarks {
            return None;
        }
        match self.session.bookmark() {
            Ok(revision) => Some(self.line(Item::Bookmark {
                revision,
                ends_initial: false,
            })),
            Err(items) => {
                let lines: Vec<Bytes> = items.into_iter().map(|item| self.line(item)).collect();
                (!lines.is_empty()).then(|| lines.concat().into())
            }
        }
    }

    fn line(&mut self, item: Item) -> Bytes {
        match item {
            Item::Object {
                event_type,
                object,
                shared,
            } => {
                // Rows of a Table differ with the time at which they are made.
                let made = match (self.settings.form.shape, shared) {
                    (Shape::Whole, Some(event)) => event.frame(event_type).map(Ok),
                    (Shape::Partial, Some(event)) => {
                        event.metadata_frame(event_type, |object| self.shaped(object))
                    }
                    _ => None,
                };
                let made = made.unwrap_or_else(|| Ok(frame(event_type, &self.shaped(&object)?)));
                made.unwrap_or_else(|status| self.error(&status))
            }
            Item::Bookmark {
                revision,
                ends_initial,
            } => self.bookmark_line(revision, ends_initial),
            Item::Error(status) => self.error(&status),
            Item::Closed => {
                self.is_over = true;
                Bytes::new()
            }
        }
    }

    fn shaped(&self, object: &Arc<Object>) -> Result<Bytes, Status> {
        let value = match self.settings.form.shape {
            Shape::Whole => return Ok(object.json.clone()),
            Shape::Partial => table::partial(&object.value()?),
            Shape::Table => {
                let metadata = json!({"resourceVersion": object.revision.to_string()});
                table::table(
                    self.session.kind(),
                    &[object],
                    metadata,
                    self.settings.include,
                )?
            }
        };
        Ok(serde_json::to_vec(&value).map_err(Status::internal)?.into())
    }

    fn bookmark_line(&self, revision: u64, ends_initial: bool) -> Bytes {
        let kind = self.session.kind();
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.settings.form.shape {
            Shape::Whole => {
                json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata})
            }
            Shape::Partial => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            // The row carries what tells the end of the first answer.
            Shape::Table => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": revision.to_string()},
                "columnDefinitions": null,
                "rows": [{"cells": [], "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}}],
            }),
        };
        line("BOOKMARK", &object)
    }

    fn error(&mut self, status: &Status) -> Bytes {
        self.is_over = true;
        line("ERROR", &serde_json::to_value(status).unwrap_or_default())
    }
}

fn line(event_type: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": event_type, "object": object}).to_string();
    text.push('\n');
    text.into()
}
