//! Nobody becomes one of the masters by a certificate of the signer for clients.

use api_meta::status::Status;
use async_trait::async_trait;

use super::super::{Operation, Plugin, Request};
use super::certificate_request::{is_for, signer, subject};
use crate::authn::user::MASTERS;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// See the module.
pub struct CertificateSubjectRestriction;

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        if request.operation != Operation::Create || !is_for(request, "") {
            return Ok(());
        }
        let Some(asked) = request.object.as_ref().filter(|one| signer(one) == SIGNER) else {
            return Ok(());
        };
        let subject = subject(asked)
            .map_err(|why| request.forbidden(&format!("failed to parse CSR: {why}")))?;
        if subject.groups.iter().any(|group| group == MASTERS) {
            let why = format!("use of {SIGNER} signer with {MASTERS} group is not allowed");
            return Err(request.forbidden(&why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate_request::testing::{asked, write};
    use super::{CertificateSubjectRestriction, SIGNER};
    use crate::admission::{Operation, Plugin};
    use crate::authz::testing::someone;

    #[tokio::test]
    async fn masters_are_not_made_by_certificates() {
        let user = someone();
        let told = async |signer: &str, groups: &[&str]| {
            let request = asked(signer, "x", groups);
            let request = write(Operation::Create, None, &user, request, None);
            let outcome = CertificateSubjectRestriction.validate(&request).await;
            outcome.err().map(|status| status.message)
        };
        assert_eq!(told(SIGNER, &["people"]).await, None);
        assert_eq!(told("example.com/a", &["system:masters"]).await, None);
        assert_eq!(
            told(SIGNER, &["people", "system:masters"]).await.unwrap(),
            r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"#
        );
    }
}
