//! Speaks to a server as a client does: HTTP/2 over TLS.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as HyperClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::SOON;

/// An HTTP client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    server: String,
}

/// What a request is answered with.
pub(crate) type Answer = (StatusCode, Value);

impl Client {
    pub(crate) fn new(server: &str, dir: &Path, user: Option<&str>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(dir.join("ca.crt")).unwrap())
            .unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let tls = match user {
            Some(user) => {
                let cert = CertificateDer::from_pem_file(dir.join(format!("{user}.crt"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(dir.join(format!("{user}.key"))).unwrap();
                tls.with_client_auth_cert(vec![cert], key).unwrap()
            }
            None => tls.with_no_client_auth(),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http2()
            .build();
        let http = HyperClient::builder(TokioExecutor::new())
            .http2_only(true)
            .build(connector);
        Self {
            http,
            server: server.to_owned(),
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Answer {
        let request = self
            .request(method, path)
            .header("content-type", content_type)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        self.exchange(request).await.1
    }

    /// The beginning of a request.
    pub(crate) fn request(&self, method: Method, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
    }

    /// Sends a request as it is: the answer's headers, and the answer.
    pub(crate) async fn exchange(&self, request: Request<Full<Bytes>>) -> (HeaderMap, Answer) {
        let response = timeout(SOON, self.http.request(request))
            .await
            .expect("no answer")
            .unwrap();
        let (code, headers) = (response.status(), response.headers().clone());
        let bytes = timeout(SOON, response.into_body().collect())
            .await
            .unwrap()
            .unwrap()
            .to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        (headers, (code, value))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "application/json", Vec::new())
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            Method::POST,
            path,
            "application/json",
            body.to_string().into_bytes(),
        )
        .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(
            Method::PUT,
            path,
            "application/json",
            body.to_string().into_bytes(),
        )
        .await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.send(Method::PATCH, path, "application/merge-patch+json", body)
            .await
    }

    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.send(
            Method::DELETE,
            path,
            "application/json",
            body.to_string().into_bytes(),
        )
        .await
    }

    /// Opens a watch.
    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let request = Request::builder()
            .uri(format!("{}{path}", self.server))
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = timeout(SOON, self.http.request(request))
            .await
            .expect("no answer")
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Watch {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }
}

/// A watch under way.
pub(crate) struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event; `None` when the stream ends.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = timeout(SOON, self.body.frame())
                .await
                .expect("the watch is silent")?;
            if let Ok(data) = frame.unwrap().into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// The next event as `TYPE name`.
    pub(crate) async fn next_short(&mut self) -> String {
        let event = self.next().await.expect("the watch ended");
        let name = event
            .pointer("/object/metadata/name")
            .and_then(Value::as_str);
        format!(
            "{} {}",
            event["type"].as_str().unwrap(),
            name.unwrap_or_default()
        )
    }
}

/// The resourceVersion of an object or a list.
pub(crate) fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}
