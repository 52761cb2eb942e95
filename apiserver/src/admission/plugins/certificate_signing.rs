//! Lets only those issue certificates who may sign for the signer.

use std::sync::Arc;

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use super::super::{Operation, Plugin, Request};
use super::certificate_request::{is_for, may_for_signer, signer};
use crate::authz::Authorizer;

/// See the module.
pub struct CertificateSigning {
    authorizer: Arc<dyn Authorizer>,
}

impl CertificateSigning {
    /// `authorizer` knows who may.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        if request.operation != Operation::Update || !is_for(request, "status") {
            return Ok(());
        }
        let (Some(new), Some(old)) = (&request.object, &request.old) else {
            return Ok(());
        };
        if issued(new) == issued(old) {
            return Ok(());
        }
        let signer = signer(old);
        if may_for_signer(&*self.authorizer, request.user, "sign", signer) {
            return Ok(());
        }
        Err(request.forbidden(&format!(
            "user not permitted to sign requests with signerName {signer:?}"
        )))
    }
}

/// What a signer says of a request.
fn issued(request: &Value) -> (Option<&str>, &[Value]) {
    (
        object::str_at(request, &["status", "certificate"]),
        object::list_at(request, &["status", "conditions"]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::certificate_request::testing::{asked, write};
    use super::CertificateSigning;
    use crate::admission::testing::Permits;
    use crate::admission::{Operation, Plugin};
    use crate::authz::testing::someone;

    #[tokio::test]
    async fn who_issues_must_be_allowed_for_the_signer() {
        let user = someone();
        let old = asked("example.com/a", "x", &[]);
        let told = async |permit: &'static str, certificate: &str| {
            let plugin = CertificateSigning::new(Permits::only(permit));
            let mut new = old.clone();
            if !certificate.is_empty() {
                new["status"] = json!({"certificate": certificate});
            }
            let old = Some(old.clone());
            let request = write(Operation::Update, Some("status"), &user, new, old);
            let outcome = plugin.validate(&request).await;
            outcome.err().map(|status| status.message)
        };
        assert_eq!(told("sign signers example.com/a", "x").await, None);
        assert_eq!(told("nothing", "").await, None);
        assert_eq!(
            told("approve signers example.com/a", "x").await.unwrap(),
            r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to sign requests with signerName "example.com/a""#
        );
    }
}
