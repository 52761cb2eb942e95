//! Lets only those approve requests for certificates who may approve for the signer.

use std::sync::Arc;

use api_meta::status::Status;
use async_trait::async_trait;

use super::super::{Operation, Plugin, Request};
use super::certificate_request::{is_for, may_for_signer, signer};
use crate::authz::Authorizer;

/// See the module.
pub struct CertificateApproval {
    authorizer: Arc<dyn Authorizer>,
}

impl CertificateApproval {
    /// `authorizer` knows who may.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        if request.operation != Operation::Update || !is_for(request, "approval") {
            return Ok(());
        }
        // The stored signer counts: the one in the request is not to be trusted.
        let signer = request.old.as_ref().map_or("", signer);
        if may_for_signer(&*self.authorizer, request.user, "approve", signer) {
            return Ok(());
        }
        Err(request.forbidden(&format!(
            "user not permitted to approve requests with signerName {signer:?}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::certificate_request::testing::{asked, write};
    use super::CertificateApproval;
    use crate::admission::testing::Permits;
    use crate::admission::{Operation, Plugin};
    use crate::authz::testing::someone;

    #[tokio::test]
    async fn who_approves_must_be_allowed_for_the_signer() {
        let user = someone();
        let old = asked("example.com/a", "x", &[]);
        let told = async |permit: &'static str| {
            let plugin = CertificateApproval::new(Permits::only(permit));
            let new = json!({"spec": {"signerName": "example.com/other"}});
            let old = Some(old.clone());
            let request = write(Operation::Update, Some("approval"), &user, new, old);
            let outcome = plugin.validate(&request).await;
            outcome.err().map(|status| status.message)
        };
        assert_eq!(told("approve signers example.com/a").await, None);
        assert_eq!(told("approve signers example.com/*").await, None);
        assert_eq!(
            told("approve signers example.com/other").await.unwrap(),
            r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to approve requests with signerName "example.com/a""#
        );
    }
}
