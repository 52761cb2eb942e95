//! Bytes at rest. We write canonical JSON; we also read what a real kube-apiserver wrote, which is
//! protobuf in its envelope for the built-in kinds.

use std::borrow::Cow;

use api_meta::Gvk;
use bytes::Bytes;
use serde_json::Value;

/// How upstream's protobuf envelope begins.
const PROTOBUF: &[u8] = b"k8s\0";
/// How upstream's encryption at rest begins.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// Stored bytes that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are encrypted, which is not supported yet.
    #[error("the stored value is encrypted")]
    Encrypted,
    /// They are protobuf that cannot be decoded.
    #[error("the stored value is protobuf that cannot be decoded: {0}")]
    Protobuf(String),
    /// They are not JSON that can be written.
    #[error("the value cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The stored value as JSON. Bytes that are neither form are handed on as they are.
pub fn to_json(stored: &Bytes) -> Result<Cow<'_, Bytes>, Error> {
    if stored.starts_with(ENCRYPTED) {
        return Err(Error::Encrypted);
    }
    if !stored.starts_with(PROTOBUF) {
        return Ok(Cow::Borrowed(stored));
    }
    let (gvk, mut value) = api_machinery::protobuf::decode(stored)
        .map_err(|error| Error::Protobuf(error.to_string()))?;
    // Their defaults may be those of another version, and their zero values are left out.
    canonicalise(&gvk, &mut value);
    Ok(Cow::Owned(serde_json::to_vec(&value)?.into()))
}

/// Brings an object into its one written form: defaults come, unknown fields go.
pub fn canonicalise(gvk: &Gvk, object: &mut Value) {
    api_rules::defaults::apply(gvk, object);
    api_machinery::schema::canonicalise(gvk, object);
}

/// The canonical bytes of an object, without its resourceVersion: the store's revision is that.
pub fn encode(object: &Value) -> Result<Bytes, Error> {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    Ok(serde_json::to_vec(&object)?.into())
}
