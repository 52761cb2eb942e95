//! The cloud controllers, over a provider: load balancers for Services, and what only the provider knows about nodes.
//!
//! They know no provider; `local` is the one that exists, for clusters without a cloud.

pub(crate) mod balancer;
mod local;
pub(crate) mod node;
mod provider;

use std::sync::Arc;

use self::local::Local;
use self::provider::Provider;
use crate::options::Options;

/// The provider that the settings ask for.
fn provider(options: &Options) -> Arc<dyn Provider> {
    Arc::new(Local::new(options.load_balancer_pool.clone()))
}
