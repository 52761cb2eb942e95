//! What the plugins for certificates share: who may act for a signer, and for whom a certificate is
//! asked.

use api_meta::object;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AttributeTypeAndValue;

use super::super::Request;
use crate::authn::UserInfo;
use crate::authz::{Attributes, Authorizer};

/// The API group of requests for certificates.
pub(super) const GROUP: &str = "certificates.k8s.io";
/// Their resource.
pub(super) const RESOURCE: &str = "certificatesigningrequests";

/// Whom a certificate shall name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The common name, or nothing.
    pub(super) name: String,
    /// The organizations.
    pub(super) groups: Vec<String>,
}

/// The signer that a request names.
pub(super) fn signer(request: &Value) -> &str {
    object::str_at(request, &["spec", "signerName"]).unwrap_or_default()
}

/// Reads the subject of a request. The signature is the signer's to check.
pub(super) fn subject(request: &Value) -> Result<Subject, String> {
    const WRONG: &str = "PEM block type must be CERTIFICATE REQUEST";
    let encoded = object::str_at(request, &["spec", "request"]).unwrap_or_default();
    let pem = STANDARD.decode(encoded).map_err(|_| WRONG.to_owned())?;
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).map_err(|_| WRONG.to_owned())?;
    let (_, request) =
        X509CertificationRequest::from_der(&der).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    let text = |value: &AttributeTypeAndValue<'_>| {
        let text = value.as_str().map(str::to_owned);
        text.map_err(|error| error.to_string())
    };
    // Go keeps the last of several common names.
    let name = subject.iter_common_name().last().map(text).transpose()?;
    Ok(Subject {
        name: name.unwrap_or_default(),
        groups: subject
            .iter_organization()
            .map(text)
            .collect::<Result<_, _>>()?,
    })
}

/// Whether a user may do something for a signer: for itself, or for all signers of its domain.
pub(super) fn may_for_signer(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    verb: &str,
    signer: &str,
) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    let whole_domain = format!("{domain}/*");
    [signer, &whole_domain].iter().any(|name| {
        let attributes = Attributes {
            user,
            verb,
            group: GROUP,
            version: "*",
            resource: "signers",
            subresource: "",
            namespace: "",
            name,
            path: "",
            is_resource: true,
        };
        authorizer.authorize(&attributes).is_allowed()
    })
}

/// Whether the request is for one subresource of requests for certificates.
pub(super) fn is_for(request: &Request<'_>, subresource: &str) -> bool {
    request.is_for_any_of(GROUP, RESOURCE) && request.subresource.unwrap_or_default() == subresource
}

#[cfg(test)]
pub(super) mod testing {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use serde_json::{Value, json};

    use super::{GROUP, RESOURCE};
    use crate::admission::{Operation, Request};
    use crate::authn::UserInfo;
    use crate::authz::builtin_kind;

    /// A request for a certificate.
    pub(crate) fn asked(signer: &str, name: &str, groups: &[&str]) -> Value {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        let request = params
            .serialize_request(&KeyPair::generate().unwrap())
            .unwrap();
        let encoded = STANDARD.encode(request.pem().unwrap());
        json!({"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": encoded}})
    }

    /// A write of such a request.
    pub(crate) fn write<'a>(
        operation: Operation,
        subresource: Option<&'a str>,
        user: &'a UserInfo,
        object: Value,
        old: Option<Value>,
    ) -> Request<'a> {
        Request {
            operation,
            kind: builtin_kind(GROUP, "v1", RESOURCE),
            subresource,
            namespace: "",
            name: "r",
            user,
            object: Some(object),
            old,
            dry_run: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::asked;
    use super::{Subject, subject};

    #[test]
    fn a_request_names_its_subject() {
        assert_eq!(
            subject(&asked("x", "system:node:n", &["system:nodes"])),
            Ok(Subject {
                name: "system:node:n".into(),
                groups: vec!["system:nodes".into()]
            })
        );
        let bad = json!({"spec": {"request": "bm9uc2Vuc2U="}});
        assert!(subject(&bad).unwrap_err().contains("CERTIFICATE REQUEST"));
    }
}
