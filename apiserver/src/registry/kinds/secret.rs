//! Secrets: what is written as plain text is kept encoded, and never read back as plain text.

use api_meta::kinds::Kind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::registry::context::RequestContext;
use crate::registry::strategy::Strategy;
use crate::registry::tree;

pub(crate) struct Secret;

impl Strategy for Secret {
    fn prepare_create(&self, _: &RequestContext, _: &Kind, object: &mut Value) {
        encode(object);
    }

    fn prepare_update(&self, _: &RequestContext, new: &mut Value, _: &Value) {
        encode(new);
    }
}

fn encode(object: &mut Value) {
    let Value::Object(map) = object else { return };
    let Some(Value::Object(plain)) = map.remove("stringData") else {
        return;
    };
    if plain.is_empty() {
        return;
    }
    let data = tree::submap(map, "data");
    for (key, value) in plain {
        if let Some(text) = value.as_str() {
            data.insert(key, STANDARD.encode(text).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::encode;

    #[test]
    fn plain_text_is_encoded_and_wins() {
        let mut secret = json!({"data": {"a": "b2xk", "b": "eA=="}, "stringData": {"a": "new"}});
        encode(&mut secret);
        assert_eq!(secret, json!({"data": {"a": "bmV3", "b": "eA=="}}));
    }
}
