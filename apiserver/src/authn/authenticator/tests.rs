//! Tokens from issuing to judging, and the order of the methods. Keys are made here; the objects
//! behind the tokens are given.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::{Anonymous, Authenticator, AuthnConfig};
use crate::authn::claims::Reference;
use crate::authn::keys::{PublicKey, SigningKey};
use crate::authn::openid;
use crate::authn::service_account::{Bound, Error, NewToken, Settings, unix_now};
use crate::authz::testing::Objects;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn ecdsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn object(kind: &str, namespace: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name, "uid": uid}})
}

fn world() -> Vec<Value> {
    vec![
        object("ServiceAccount", "ns", "bot", "sa-1"),
        object("Pod", "ns", "web", "pod-1"),
    ]
}

fn authenticator(key: &KeyPair, objects: &Arc<Objects>) -> Authenticator {
    let settings = Settings {
        signing: Some(SigningKey::from_pem(key.serialize_pem().as_bytes()).unwrap()),
        verifying: PublicKey::from_pem(key.public_key_pem().as_bytes()).unwrap(),
        issuers: vec![ISSUER.to_owned()],
        audiences: Vec::new(),
    };
    let config = AuthnConfig {
        client_ca: None,
        service_accounts: settings,
        anonymous: Anonymous::Allowed,
    };
    Authenticator::new(config, objects.clone())
}

fn new_token() -> NewToken {
    NewToken {
        namespace: "ns".to_owned(),
        account: Reference {
            name: "bot".to_owned(),
            uid: "sa-1".to_owned(),
        },
        audiences: vec![ISSUER.to_owned()],
        seconds: 3600,
        bound: Bound::Pod {
            pod: Reference {
                name: "web".to_owned(),
                uid: "pod-1".to_owned(),
            },
            node: Some(Reference {
                name: "n1".to_owned(),
                uid: "node-1".to_owned(),
            }),
        },
    }
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    [(AUTHORIZATION, value)].into_iter().collect()
}

#[tokio::test]
async fn a_pods_token_names_account_pod_and_node() {
    let objects = Objects::shared(&world());
    for key in [
        ecdsa(),
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
    ] {
        let authn = authenticator(&key, &objects);
        let token = authn.tokens().issue(new_token(), unix_now()).unwrap();
        let user = authn.authenticate(None, &bearer(&token)).await.unwrap();
        assert_eq!(
            (user.name.as_str(), user.uid.as_str()),
            ("system:serviceaccount:ns:bot", "sa-1")
        );
        assert_eq!(
            user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated"
            ]
        );
        let extra =
            |key: &str| user.extra[&format!("authentication.kubernetes.io/{key}")][0].clone();
        assert_eq!(
            [
                extra("pod-name"),
                extra("pod-uid"),
                extra("node-name"),
                extra("node-uid")
            ],
            ["web", "pod-1", "n1", "node-1"]
        );
        assert!(extra("credential-id").starts_with("JTI="));
    }
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let objects = Objects::shared(&world());
    let authn = authenticator(&ecdsa(), &objects);
    let token = authn.tokens().issue(new_token(), unix_now()).unwrap();
    authn.review(&token, &[]).await.unwrap();
    objects.replace(&[object("ServiceAccount", "ns", "bot", "sa-1")]);
    assert_eq!(
        authn.review(&token, &[]).await.unwrap_err(),
        Error::Invalidated
    );
    objects.replace(&[
        object("ServiceAccount", "ns", "bot", "sa-1"),
        object("Pod", "ns", "web", "pod-2"),
    ]);
    assert_eq!(
        authn.review(&token, &[]).await.unwrap_err().to_string(),
        "pod UID (pod-2) does not match service account pod ref claim (pod-1)"
    );
    objects.replace(&[
        object("ServiceAccount", "ns", "bot", "sa-2"),
        object("Pod", "ns", "web", "pod-1"),
    ]);
    assert_eq!(
        authn.review(&token, &[]).await.unwrap_err().to_string(),
        "service account UID (sa-2) does not match claim (sa-1)"
    );
    let mut dying = world();
    dying[1]["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    objects.replace(&dying);
    assert_eq!(
        authn.review(&token, &[]).await.unwrap_err(),
        Error::Invalidated
    );
    objects.replace(&world());
    authn.review(&token, &[]).await.unwrap();
}

#[tokio::test]
async fn what_the_cache_does_not_know_yet_is_asked_of_the_store() {
    let objects = Objects::shared_with_store(&[], &world());
    let authn = authenticator(&ecdsa(), &objects);
    let token = authn.tokens().issue(new_token(), unix_now()).unwrap();
    authn.review(&token, &[]).await.unwrap();
}

#[tokio::test]
async fn times_audiences_and_keys_are_judged() {
    let objects = Objects::shared(&world());
    let key = ecdsa();
    let authn = authenticator(&key, &objects);
    let now = unix_now();
    let issue = |new: NewToken, at: i64| authn.tokens().issue(new, at).unwrap();
    let error =
        async |token: &str, audiences: &[String]| authn.review(token, audiences).await.unwrap_err();
    assert_eq!(
        error(&issue(new_token(), now - 4000), &[]).await,
        Error::Expired
    );
    authn
        .review(&issue(new_token(), now - 3630), &[])
        .await
        .unwrap();
    assert_eq!(
        error(&issue(new_token(), now + 300), &[]).await,
        Error::NotYet
    );
    let foreign = NewToken {
        audiences: vec!["vault".to_owned()],
        ..new_token()
    };
    let foreign = issue(foreign, now);
    assert_eq!(
        error(&foreign, &[]).await.to_string(),
        format!("token audiences [\"vault\"] is invalid for the target audiences [\"{ISSUER}\"]")
    );
    let answer = authn
        .review(&foreign, &["vault".to_owned(), "other".to_owned()])
        .await
        .unwrap();
    assert_eq!(answer.audiences, ["vault"]);
    let others = authenticator(&ecdsa(), &objects);
    assert_eq!(
        error(&others.tokens().issue(new_token(), now).unwrap(), &[]).await,
        Error::NoKey
    );
    let good = issue(new_token(), now);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let mut bad = signature.to_owned();
    bad.replace_range(0..1, if signature.starts_with('A') { "B" } else { "A" });
    assert_eq!(error(&format!("{head}.{bad}"), &[]).await, Error::Signature);
    for nonsense in ["", "a", "a.b", "a.b.c", "....", &"x".repeat(70_000)] {
        assert_eq!(error(nonsense, &[]).await, Error::NotOurs, "{nonsense:.20}");
    }
}

#[tokio::test]
async fn a_symmetric_signature_made_with_the_public_key_is_refused() {
    let objects = Objects::shared(&world());
    let key = ecdsa();
    let authn = authenticator(&key, &objects);
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let secret = jsonwebtoken::EncodingKey::from_secret(key.public_key_pem().as_bytes());
    let claims = json!({"iss": ISSUER, "sub": "system:serviceaccount:ns:bot", "aud": [ISSUER], "exp": unix_now() + 600});
    let token = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    assert_eq!(
        authn.review(&token, &[]).await.unwrap_err(),
        Error::Signature
    );
}

#[tokio::test]
async fn pods_tokens_of_kubelets_are_stretched() {
    let authn = authenticator(&ecdsa(), &Objects::shared(&world()));
    let read =
        |token: &str| -> Value { jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap() };
    let now = unix_now();
    let stretched = read(
        &authn
            .tokens()
            .issue(
                NewToken {
                    seconds: 3607,
                    ..new_token()
                },
                now,
            )
            .unwrap(),
    );
    assert_eq!(stretched["exp"], now + 365 * 24 * 3600);
    assert_eq!(stretched["kubernetes.io"]["warnafter"], now + 3607);
    let plain = NewToken {
        seconds: 3607,
        bound: Bound::Nothing,
        ..new_token()
    };
    assert_eq!(
        read(&authn.tokens().issue(plain, now).unwrap())["exp"],
        now + 3607
    );
}

#[tokio::test]
async fn nobody_is_anonymous_and_something_bad_is_not_nobody() {
    let authn = authenticator(&ecdsa(), &Objects::shared(&world()));
    let user = authn.authenticate(None, &HeaderMap::new()).await.unwrap();
    assert_eq!(
        (user.name.as_str(), user.groups.as_slice()),
        (
            "system:anonymous",
            &["system:unauthenticated".to_owned()][..]
        )
    );
    let refused = authn
        .authenticate(None, &bearer("nonsense"))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (401, "Unauthorized")
    );
    let basic: HeaderMap = [(AUTHORIZATION, HeaderValue::from_static("Basic abc"))]
        .into_iter()
        .collect();
    assert!(
        authn
            .authenticate(None, &basic)
            .await
            .unwrap()
            .is_anonymous()
    );
}

#[tokio::test]
async fn a_websocket_carries_its_token_among_the_protocols() {
    use base64::Engine as _;
    let authn = authenticator(&ecdsa(), &Objects::shared(&world()));
    let token = authn.tokens().issue(new_token(), unix_now()).unwrap();
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token);
    let value = format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}");
    let headers: HeaderMap = [(
        http::header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_str(&value).unwrap(),
    )]
    .into_iter()
    .collect();
    assert_eq!(
        authn.authenticate(None, &headers).await.unwrap().name,
        "system:serviceaccount:ns:bot"
    );
}

#[test]
fn the_discovery_documents_name_issuer_and_keys() {
    let key = ecdsa();
    let authn = authenticator(&key, &Objects::shared(&[]));
    let document = openid::configuration(authn.tokens(), "https://1.2.3.4/openid/v1/jwks").unwrap();
    assert_eq!(
        document["id_token_signing_alg_values_supported"],
        json!(["ES256"])
    );
    assert_eq!(document["issuer"], ISSUER);
    let keys = openid::key_set(authn.tokens()).unwrap();
    assert_eq!(keys["keys"][0]["kid"], authn.tokens().verifying()[0].id);
    assert_eq!(
        (
            &keys["keys"][0]["kty"],
            &keys["keys"][0]["use"],
            &keys["keys"][0]["crv"]
        ),
        (&json!("EC"), &json!("sig"), &json!("P-256"))
    );
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}
