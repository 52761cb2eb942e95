//! The content of a service account token, field for field as upstream writes it.
//! Holds no judgement: `service_account` decides what is valid.

use serde::{Deserialize, Serialize};

/// All claims of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom the token is meant for. Empty in tokens of the oldest kind.
    #[serde(
        default,
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub aud: Vec<String>,
    /// End of validity, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was issued, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Who issued it.
    #[serde(default)]
    pub iss: String,
    /// The token's own id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// What the token speaks for.
    #[serde(rename = "kubernetes.io", default)]
    pub kubernetes: Kubernetes,
    /// Start of validity, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The user name.
    #[serde(default)]
    pub sub: String,
}

/// The claims that only Kubernetes knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kubernetes {
    /// Namespace of the service account and of a bound pod or secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The node that the token, or the pod that it is bound to, runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// The pod with which the token ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret with which the token ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The service account.
    pub serviceaccount: Reference,
    /// From then on a use of the token is worth a warning, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// A name at one point of its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// The name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The UID; another object of the same name has another one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// An audience may be written as one text or as a list of texts.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(Vec::new()),
        serde_json::Value::String(one) => Ok(vec![one]),
        many @ serde_json::Value::Array(_) => {
            serde_json::from_value(many).map_err(serde::de::Error::custom)
        }
        _ => Err(serde::de::Error::custom(
            "aud is neither a string nor a list of strings",
        )),
    }
}
