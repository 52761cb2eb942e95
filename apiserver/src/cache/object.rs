//! An object as it is shared: canonical JSON that carries its resourceVersion, and a parsed header.
//!
//! The bytes are made once, when an object enters the server, and are the same in every answer,
//! list and event. They must never be changed: a later state is another object.

use std::sync::Arc;

use api_meta::{header::Header, status::Status};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::storage::codec;

/// One state of one object.
#[derive(Debug)]
pub struct Object {
    /// Its place within its kind: `namespace/name`, or the name alone.
    pub key: Arc<str>,
    /// The store's revision of this state.
    pub revision: u64,
    /// The canonical JSON, with `metadata.resourceVersion`.
    pub json: Bytes,
    /// The parts that selectors and caches look at.
    pub header: Header,
    /// Why the stored bytes cannot be shown, if they cannot.
    pub broken: Option<String>,
    /// Where the digits of the resourceVersion lie in `json`.
    version_at: (usize, usize),
}

/// Why stored bytes cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are not JSON, or not an object.
    #[error("the stored value is not a JSON object")]
    Json(#[from] serde_json::Error),
    /// They have no metadata to carry a resourceVersion.
    #[error("the stored value has no metadata")]
    NoMetadata,
    /// They are in a form that cannot be decoded.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// The header cannot be read.
    #[error("the stored value's header cannot be read: {0}")]
    Header(String),
}

impl Object {
    /// Makes the shared form of a stored value. A value that cannot be read becomes an object that
    /// says so, because one bad value must not stop the rest.
    pub fn from_stored(key: &str, value: &Bytes, revision: u64) -> Arc<Self> {
        match Self::try_from_stored(key, value, revision) {
            Ok(object) => Arc::new(object),
            Err(error) => {
                tracing::error!(key, revision, error = %base::report(&error), "stored object cannot be read");
                Arc::new(Self {
                    key: key.into(),
                    revision,
                    json: Bytes::new(),
                    header: Header::default(),
                    broken: Some(error.to_string()),
                    version_at: (0, 0),
                })
            }
        }
    }

    fn try_from_stored(key: &str, value: &Bytes, revision: u64) -> Result<Self, ReadError> {
        let json = codec::to_json(value)?;
        let (json, version_at) = splice(&json, revision)?;
        let header = Header::parse(&json).map_err(|error| ReadError::Header(error.to_string()))?;
        Ok(Self {
            key: key.into(),
            revision,
            json,
            header,
            broken: None,
            version_at,
        })
    }

    /// The form of an object that is shown but was not stored: the answer to a dry run. Its
    /// resourceVersion is the one in the tree, if there is one.
    pub fn unstored(key: &str, object: &Value) -> Result<Arc<Self>, Status> {
        let json: Bytes = serde_json::to_vec(object).map_err(Status::internal)?.into();
        let header = Header::parse(&json).map_err(Status::internal)?;
        Ok(Arc::new(Self {
            key: key.into(),
            revision: 0,
            json,
            header,
            broken: None,
            version_at: (0, 0),
        }))
    }

    /// The same state under another resourceVersion: how a deleted object is shown.
    pub fn at_revision(&self, revision: u64) -> Arc<Self> {
        let (start, end) = self.version_at;
        let digits = revision.to_string();
        let mut json = Vec::with_capacity(self.json.len() + 4);
        json.extend_from_slice(&self.json[..start]);
        if self.broken.is_none() {
            json.extend_from_slice(digits.as_bytes());
        }
        json.extend_from_slice(&self.json[end..]);
        Arc::new(Self {
            key: self.key.clone(),
            revision,
            json: json.into(),
            header: self.header.clone(),
            broken: self.broken.clone(),
            version_at: (start, start + digits.len()),
        })
    }

    /// The object as a tree.
    pub fn value(&self) -> Result<Value, Status> {
        if let Some(why) = &self.broken {
            return Err(self.unreadable(why));
        }
        serde_json::from_slice(&self.json).map_err(|error| self.unreadable(&error.to_string()))
    }

    /// The refusal to show an object that cannot be read.
    pub fn unreadable(&self, why: &str) -> Status {
        Status::internal(format!(
            "unable to read the stored object {:?}: {why}",
            self.key
        ))
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct VersionOnly<'a> {
    #[serde(borrow, rename = "resourceVersion")]
    version: Option<&'a RawValue>,
}

/// Puts the resourceVersion in front of the other metadata. Returns where its digits lie.
fn splice(json: &Bytes, revision: u64) -> Result<(Bytes, (usize, usize)), ReadError> {
    const FIELD: &str = "\"resourceVersion\":\"";
    let envelope: Envelope<'_> = serde_json::from_slice(json)?;
    let metadata = envelope.metadata.ok_or(ReadError::NoMetadata)?.get();
    let inner = metadata.strip_prefix('{').ok_or(ReadError::NoMetadata)?;
    let found: VersionOnly<'_> = serde_json::from_str(metadata)?;
    if found.version.is_some() {
        // Another writer stored it; the store's own revision is the truth.
        let mut value: Value = serde_json::from_slice(json)?;
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        return splice(&Bytes::from(serde_json::to_vec(&value)?), revision);
    }
    // `metadata` borrows from `json`, so its distance from the beginning is its place.
    let open = (metadata.as_ptr() as usize - json.as_ptr() as usize) + 1;
    let digits = revision.to_string();
    let mut spliced = Vec::with_capacity(json.len() + FIELD.len() + digits.len() + 2);
    spliced.extend_from_slice(&json[..open]);
    spliced.extend_from_slice(FIELD.as_bytes());
    let start = spliced.len();
    spliced.extend_from_slice(digits.as_bytes());
    let end = spliced.len();
    spliced.push(b'"');
    if !inner.trim_start().starts_with('}') {
        spliced.push(b',');
    }
    spliced.extend_from_slice(&json[open..]);
    Ok((spliced.into(), (start, end)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Object, splice};

    fn spliced(json: &str) -> String {
        let (bytes, (start, end)) = splice(&Bytes::from(json.to_owned()), 42).unwrap();
        assert_eq!(&bytes[start..end], b"42");
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_version_goes_into_the_metadata() {
        assert_eq!(
            spliced(r#"{"kind":"A","metadata":{"name":"x"}}"#),
            r#"{"kind":"A","metadata":{"resourceVersion":"42","name":"x"}}"#
        );
        assert_eq!(
            spliced(r#"{"metadata":{}}"#),
            r#"{"metadata":{"resourceVersion":"42"}}"#
        );
    }

    #[test]
    fn only_the_outer_metadata_counts() {
        assert_eq!(
            spliced(r#"{"a":{"metadata":{"x":1}},"metadata" : { "name":"x"}}"#),
            r#"{"a":{"metadata":{"x":1}},"metadata" : {"resourceVersion":"42", "name":"x"}}"#
        );
    }

    #[test]
    fn a_stored_version_is_replaced() {
        assert_eq!(
            spliced(r#"{"metadata":{"name":"x","resourceVersion":"7"}}"#),
            r#"{"metadata":{"resourceVersion":"42","name":"x"}}"#
        );
    }

    #[test]
    fn bad_bytes_make_a_broken_object() {
        for bytes in [&b"nonsense"[..], b"[]", b"{}", b"{\"metadata\":3}", b""] {
            let object = Object::from_stored("a", &Bytes::from_static(bytes), 1);
            assert!(object.broken.is_some());
            assert!(object.value().is_err());
            assert!(object.at_revision(2).broken.is_some());
        }
    }

    #[test]
    fn a_deleted_object_shows_the_revision_of_its_deletion() {
        let json = Bytes::from_static(b"{\"metadata\":{\"name\":\"x\"}}");
        let object = Object::from_stored("x", &json, 9);
        let gone = object.at_revision(1000);
        assert_eq!(
            &gone.json[..],
            b"{\"metadata\":{\"resourceVersion\":\"1000\",\"name\":\"x\"}}"
        );
        assert_eq!(
            &gone.at_revision(7).json[..],
            b"{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"x\"}}"
        );
    }
}
