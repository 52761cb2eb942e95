//! Deletecollection: a list, and a deletion of each of its objects.

use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use futures::StreamExt as _;
use futures::stream;

use super::context::{RequestContext, Target};
use super::delete::Deleted;
use super::options::{DeleteOptions, ListOptions};
use super::read::List;
use super::selection::Selection;
use super::service::Registry;
use crate::cache::Object;

/// Deletions of one request that run at one time.
const AT_ONCE: usize = 8;

impl Registry {
    /// Deletes what is selected. Answers with the list, each object as its deletion left it.
    pub async fn delete_collection(
        &self,
        ctx: &RequestContext,
        kind: &'static Kind,
        selection: &Selection,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, Status> {
        let mut found = self.list(kind, selection, list).await?;
        let items = std::mem::take(&mut found.items);
        let mut deletions = stream::iter(items)
            .map(|object| self.delete_listed(ctx, kind, object, options))
            .buffered(AT_ONCE);
        let mut items = Vec::new();
        while let Some(deleted) = deletions.next().await {
            items.push(deleted?);
        }
        drop(deletions);
        found.items = items;
        Ok(found)
    }

    async fn delete_listed(
        &self,
        ctx: &RequestContext,
        kind: &'static Kind,
        object: Arc<Object>,
        options: &DeleteOptions,
    ) -> Result<Arc<Object>, Status> {
        let target = Target::new(kind, &object.header.namespace, &object.header.name);
        match self.delete(ctx, &target, options).await {
            Ok(Deleted::Gone(object) | Deleted::Terminating(object)) => Ok(object),
            // Someone else was faster: what was wanted is done.
            Err(status) if status.is("NotFound") => Ok(object),
            Err(status) => Err(status),
        }
    }
}
