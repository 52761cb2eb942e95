//! Lists as streams: shared bytes are copied piece by piece while the socket drains, so memory does
//! not grow with the size or the number of lists.

use std::io::Write as _;
use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};

use super::body::Body;
use super::negotiate::{Encoding, Form, Shape};
use super::render;
use super::table::{self, Include};
use crate::cache::Object;
use crate::registry::List;

/// What one frame of a body holds, about.
const FRAME_BYTES: usize = 64 * 1024;
/// Smaller answers are not compressed, as upstream has it.
pub const GZIP_BYTES_MIN: usize = 128 * 1024;

/// Whether an answer may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gzip {
    /// The client asks for it.
    Wanted,
    /// It does not.
    Refused,
}

/// A list in the form that was negotiated.
pub fn respond(
    kind: &Kind,
    list: List,
    form: Form,
    include: Include,
    gzip: Gzip,
) -> Result<Response<Body>, Status> {
    let metadata = metadata(&list);
    match (form.shape, form.encoding) {
        (Shape::Whole, Encoding::Json) => {
            let head = json!({
                "kind": kind.list_kind(), "apiVersion": kind.api_version(), "metadata": metadata,
            });
            Ok(stream(&head, list.items, gzip))
        }
        (Shape::Table, _) => {
            let objects: Vec<&Object> = list.items.iter().map(AsRef::as_ref).collect();
            let table = table::table(kind, &objects, metadata, include)?;
            Ok(whole(render::encode(&table, form)?, form, gzip))
        }
        (shape, _) => {
            let items = list
                .items
                .iter()
                .map(|object| {
                    let value = object.value()?;
                    Ok(if shape == Shape::Partial {
                        table::partial(&value)
                    } else {
                        value
                    })
                })
                .collect::<Result<Vec<_>, Status>>()?;
            let (list_kind, version) = match shape {
                Shape::Partial => (
                    "PartialObjectMetadataList".to_owned(),
                    "meta.k8s.io/v1".to_owned(),
                ),
                _ => (kind.list_kind(), kind.api_version()),
            };
            let list = json!({
                "kind": list_kind, "apiVersion": version, "metadata": metadata, "items": items,
            });
            Ok(whole(render::encode(&list, form)?, form, gzip))
        }
    }
}

fn metadata(list: &List) -> Value {
    let mut metadata = json!({"resourceVersion": list.revision.to_string()});
    if let (Some(token), Value::Object(map)) = (&list.continue_token, &mut metadata) {
        map.insert("continue".into(), token.clone().into());
        if let Some(remaining) = list.remaining {
            map.insert("remainingItemCount".into(), remaining.into());
        }
    }
    metadata
}

/// A finished body, compressed if that is wanted and worth it.
pub fn whole(bytes: Bytes, form: Form, gzip: Gzip) -> Response<Body> {
    let is_worth = gzip == Gzip::Wanted && bytes.len() > GZIP_BYTES_MIN;
    let packed = is_worth.then(|| {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
        encoder
            .write_all(&bytes)
            .and_then(|()| encoder.finish())
            .ok()
    });
    match packed.flatten() {
        Some(packed) => {
            let mut response = render::bytes_response(packed, form.content_type(), StatusCode::OK);
            mark_gzip(&mut response);
            response
        }
        None => render::bytes_response(bytes, form.content_type(), StatusCode::OK),
    }
}

fn mark_gzip(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// What is left of a list that is being sent.
struct Sending {
    items: std::vec::IntoIter<Arc<Object>>,
    is_first: bool,
    head: Option<Vec<u8>>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    is_done: bool,
}

fn stream(head: &Value, items: Vec<Arc<Object>>, gzip: Gzip) -> Response<Body> {
    // The head without its closing brace, which comes after the items.
    let mut opening = serde_json::to_vec(head).unwrap_or_default();
    opening.pop();
    opening.extend_from_slice(b",\"items\":[");
    let bytes: usize = items.iter().map(|object| object.json.len() + 1).sum();
    let packs = gzip == Gzip::Wanted && bytes > GZIP_BYTES_MIN;
    let sending = Sending {
        items: items.into_iter(),
        is_first: true,
        head: Some(opening),
        gzip: packs.then(|| GzEncoder::new(Vec::with_capacity(FRAME_BYTES), Compression::fast())),
        is_done: false,
    };
    let frames = stream::unfold(sending, |mut sending| async move {
        let frame = sending.next_frame()?;
        Some((frame.map(Frame::data), sending))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if packs {
        mark_gzip(&mut response);
    }
    response
}

impl Sending {
    fn next_frame(&mut self) -> Option<std::io::Result<Bytes>> {
        loop {
            if self.is_done {
                return None;
            }
            let piece = self.piece();
            let Some(gzip) = &mut self.gzip else {
                return Some(Ok(piece.into()));
            };
            if let Err(error) = gzip.write_all(&piece) {
                return Some(Err(error));
            }
            if self.is_done {
                let last = self.gzip.take().map(GzEncoder::finish);
                return last.map(|last| last.map(Bytes::from));
            }
            let ready = std::mem::take(gzip.get_mut());
            // The encoder keeps small amounts to itself; an empty frame would say nothing.
            if !ready.is_empty() {
                return Some(Ok(ready.into()));
            }
        }
    }

    fn piece(&mut self) -> Vec<u8> {
        let mut piece = self.head.take().unwrap_or_default();
        piece.reserve(FRAME_BYTES);
        for object in self.items.by_ref() {
            if !self.is_first {
                piece.push(b',');
            }
            self.is_first = false;
            piece.extend_from_slice(&object.json);
            if piece.len() >= FRAME_BYTES {
                return piece;
            }
        }
        piece.extend_from_slice(b"]}\n");
        self.is_done = true;
        piece
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;

    use api_meta::Kinds;
    use bytes::Bytes;
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::{Form, Gzip, Include, respond};
    use crate::cache::Object;
    use crate::registry::List;

    fn list(count: usize) -> List {
        let object = |n: usize| {
            let json = format!(
                r#"{{"kind":"ConfigMap","metadata":{{"name":"c{n}"}},"data":{{"x":"{}"}}}}"#,
                "y".repeat(1000)
            );
            Object::from_stored(&format!("a/c{n}"), &Bytes::from(json), n as u64 + 1)
        };
        let items: Vec<Arc<Object>> = (0..count).map(object).collect();
        List {
            revision: 99,
            items,
            continue_token: None,
            remaining: None,
        }
    }

    async fn names(count: usize, gzip: Gzip) -> (usize, bool) {
        let kind = Kinds::builtin()
            .by_resource("", "v1", "configmaps")
            .unwrap();
        let response =
            respond(kind, list(count), Form::default(), Include::default(), gzip).unwrap();
        let packed = response.headers().contains_key("content-encoding");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let mut text = Vec::new();
        if packed {
            flate2::read::GzDecoder::new(&bytes[..])
                .read_to_end(&mut text)
                .unwrap();
        } else {
            text.extend_from_slice(&bytes);
        }
        let value: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (
                value["kind"].as_str(),
                value["metadata"]["resourceVersion"].as_str()
            ),
            (Some("ConfigMapList"), Some("99"))
        );
        (value["items"].as_array().unwrap().len(), packed)
    }

    #[tokio::test]
    async fn lists_of_all_sizes_arrive_whole() {
        for count in [0, 1, 2, 500] {
            assert_eq!(names(count, Gzip::Refused).await, (count, false));
        }
        assert_eq!(names(10, Gzip::Wanted).await, (10, false));
        assert_eq!(names(500, Gzip::Wanted).await, (500, true));
    }
}
