//! `serviceaccounts/token`: what a request for a token must pass before it is answered, which is done
//! elsewhere: tokens are not stored.

use api_meta::status::Status;
use serde_json::Value;

use crate::admission::Operation;
use crate::registry::context::{RequestContext, Target};
use crate::registry::pipeline::Admitted;
use crate::registry::service::Registry;

impl Registry {
    /// Lets admission judge a request for a token. Gives it back as admission leaves it.
    pub async fn admit_token(
        &self,
        ctx: &RequestContext,
        target: &Target,
        request: Value,
    ) -> Result<Value, Status> {
        let admission = Admitted {
            ctx,
            target,
            subresource: Some("token"),
            operation: Operation::Create,
        };
        let request = admission.mutate(self, request, None).await?;
        let request = admission.validate(self, Some(request), None).await?;
        request.ok_or_else(|| Status::internal("admission took the object away"))
    }
}
