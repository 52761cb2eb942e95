//! The read side that authentication, authorization and admission see. Never writes.

use std::sync::Arc;

use api_meta::{kinds::Kind, status::Status};
use async_trait::async_trait;

use super::Object;

/// Reads of cached objects by kind. `namespace` is empty for kinds that have none.
#[async_trait]
pub trait ObjectReader: Send + Sync {
    /// The cached object, as old as the cache is.
    fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Object>>;

    /// All cached objects of a kind in key order; `None` means every namespace.
    fn list(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Object>>;

    /// The revision of the last change of any object of the kind: equal revisions, equal contents.
    fn revision_of(&self, kind: &Kind) -> u64;

    /// The object as it is in the store now, not older than this call.
    async fn get_consistent(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>, Status>;
}
