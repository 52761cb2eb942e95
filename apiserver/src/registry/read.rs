//! Get and list: which state a request must see, and where that state is.

use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;

use super::context::Target;
use super::options::{ListOptions, Version};
use super::selection::Selection;
use super::service::Registry;
use super::{refusals, versions};
use crate::cache::consistent_read::{NotFresh, reach};
use crate::cache::snapshot::Snapshot;
use crate::cache::{KindCache, Object};
use crate::storage::continue_token::ContinueToken;
use crate::storage::range::prefix_end;
use crate::storage::{Error, keys};

/// Keys that one read of the store asks for.
const STORE_PAGE: i64 = 500;
/// What one page may weigh when it comes from the store; the client gets the rest by its token.
const STORE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The answer to a list: shared objects, not yet rendered.
#[derive(Debug)]
pub struct List {
    /// The state's revision.
    pub revision: u64,
    /// The objects in key order, as they are served.
    pub items: Vec<Arc<Object>>,
    /// Where the next page begins.
    pub continue_token: Option<String>,
    /// How many objects the next pages have, where that is known.
    pub remaining: Option<u64>,
}

impl Registry {
    /// One object. `version` is empty, or the resourceVersion it must not be older than.
    pub async fn get(&self, target: &Target, version: Version) -> Result<Arc<Object>, Status> {
        let key = self.key(target)?;
        let cached = self.kind_cache(target.kind)?;
        let found = if cached.is_held() {
            self.wait(cached, version).await?;
            cached.get(&key)
        } else {
            self.wait_store(version).await?;
            self.read_store(target.kind, &key).await?
        };
        let found = found.ok_or_else(|| refusals::not_found(target.kind, &target.name))?;
        if let Some(why) = &found.broken {
            return Err(found.unreadable(why));
        }
        versions::serve(target.kind, &found)
    }

    /// The objects of a kind that are selected.
    pub async fn list(
        &self,
        kind: &'static Kind,
        selection: &Selection,
        options: &ListOptions,
    ) -> Result<List, Status> {
        let cached = self.kind_cache(kind)?.clone();
        let token = options
            .continue_token
            .as_deref()
            .map(decode_token)
            .transpose()?;
        let start = token
            .as_ref()
            .map(|token| token.start.clone())
            .unwrap_or_default();
        let version = match &token {
            None => options.version,
            Some(token) => token.revision.map_or(Version::Newest, Version::Exact),
        };
        let (snapshot, revision) = if cached.is_held() {
            match self.snapshot(&cached, version).await? {
                Some(found) => found,
                None => {
                    return self
                        .list_from_store(kind, selection, options, version, &start)
                        .await;
                }
            }
        } else {
            self.wait_store(version).await?;
            return self
                .list_from_store(kind, selection, options, version, &start)
                .await;
        };
        let prefix = keys::list_prefix(&selection.namespace);
        let start = format!("{prefix}{start}");
        let limit = if options.limit == 0 {
            usize::MAX
        } else {
            options.limit
        };
        let mut items = Vec::new();
        let mut next = None;
        let mut rest = 0_u64;
        for object in snapshot.range(&prefix, &start) {
            if !selection.matches(object) {
                continue;
            }
            if let Some(why) = &object.broken {
                return Err(object.unreadable(why));
            }
            if items.len() < limit {
                items.push(versions::serve(kind, object)?);
                continue;
            }
            if next.is_none() {
                next = Some(token_for(revision, &prefix, &object.key));
            }
            rest += 1;
            // Upstream does not count what selectors would hide.
            if !selection.is_everything() {
                break;
            }
        }
        let remaining = (next.is_some() && selection.is_everything()).then_some(rest);
        Ok(List {
            revision,
            items,
            continue_token: next,
            remaining,
        })
    }

    /// Waits until the cache may answer.
    async fn wait(&self, cached: &KindCache, version: Version) -> Result<(), Status> {
        let reached = match version {
            Version::Any => return Ok(()),
            Version::Newest => self
                .freshness()
                .fresh(self.cache(), cached)
                .await
                .map(|_| ()),
            Version::NotOlderThan(wanted) | Version::Exact(wanted) => {
                reach(self.cache(), cached, wanted).await
            }
        };
        reached.map_err(|error| refusals::of_freshness(&error))
    }

    /// Makes sure that the store may answer where it answers itself: it always shows its newest
    /// state, so a version beyond that is still to come.
    async fn wait_store(&self, version: Version) -> Result<(), Status> {
        let (Version::NotOlderThan(wanted) | Version::Exact(wanted)) = version else {
            return Ok(());
        };
        let current = self.freshness().revision().await;
        let current = current.map_err(|error| refusals::of_store(&error))?;
        if current < wanted {
            let error = NotFresh::Behind { current, wanted };
            return Err(refusals::of_freshness(&error));
        }
        Ok(())
    }

    /// Waits until the cache shows everything of these kinds that had been written when this was
    /// called, here or at another replica.
    pub async fn catch_up(&self, kinds: &[&'static Kind]) -> Result<(), Status> {
        let wanted = self.freshness().revision().await;
        let wanted = wanted.map_err(|error| refusals::of_store(&error))?;
        for kind in kinds {
            self.wait(self.kind_cache(kind)?, Version::NotOlderThan(wanted))
                .await?;
        }
        Ok(())
    }

    /// The cached state that a version asks for; `None` if only the store may still have it.
    async fn snapshot(
        &self,
        cached: &KindCache,
        version: Version,
    ) -> Result<Option<(Arc<Snapshot>, u64)>, Status> {
        self.wait(cached, version).await?;
        Ok(match version {
            Version::Exact(wanted) => cached.read_at(wanted).map(|snapshot| (snapshot, wanted)),
            _ => Some(cached.read()),
        })
    }

    /// A list that the cache cannot give: events, and states that have left the ring.
    async fn list_from_store(
        &self,
        kind: &'static Kind,
        selection: &Selection,
        options: &ListOptions,
        version: Version,
        start: &str,
    ) -> Result<List, Status> {
        let mut at = match version {
            Version::Exact(revision) => i64::try_from(revision).unwrap_or(i64::MAX),
            _ => 0,
        };
        let prefix = keys::list_prefix(&selection.namespace);
        let absolute = keys::absolute(&kind.storage_prefix, &prefix);
        let strip = absolute.len() - prefix.len();
        let end = prefix_end(&absolute);
        let mut from = [&absolute[..], start.as_bytes()].concat();
        let limit = if options.limit == 0 {
            usize::MAX
        } else {
            options.limit
        };
        let mut list = List {
            revision: 0,
            items: Vec::new(),
            continue_token: None,
            remaining: None,
        };
        let mut bytes = 0;
        loop {
            let page = self.etcd().page(&from, &end, at, STORE_PAGE).await;
            let page = page.map_err(|error| expired_or(&error, start))?;
            if at == 0 {
                at = page.revision;
            }
            let revision = u64::try_from(at).unwrap_or_default();
            list.revision = revision;
            for kv in &page.kvs {
                let Ok(path) = std::str::from_utf8(kv.key.get(strip..).unwrap_or_default()) else {
                    continue;
                };
                if list.items.len() >= limit || bytes > STORE_BYTES_MAX {
                    list.continue_token = Some(token_for(revision, &prefix, path));
                    return Ok(list);
                }
                let changed = u64::try_from(kv.mod_revision).unwrap_or_default();
                let object = Object::from_stored(path, &kv.value, changed);
                if selection.matches(&object) {
                    if let Some(why) = &object.broken {
                        return Err(object.unreadable(why));
                    }
                    bytes += object.json.len();
                    list.items.push(versions::serve(kind, &object)?);
                }
            }
            match page.kvs.last() {
                Some(last) if page.more => from = [&last.key[..], b"\0"].concat(),
                _ => return Ok(list),
            }
        }
    }
}

fn decode_token(text: &str) -> Result<ContinueToken, Status> {
    ContinueToken::decode(text).map_err(|error| Status::bad_request(error.to_string()))
}

fn token_for(revision: u64, prefix: &str, key: &str) -> String {
    let start = key.strip_prefix(prefix).unwrap_or(key).to_owned();
    ContinueToken {
        revision: Some(revision),
        start,
    }
    .encode()
}

/// A compacted revision is told with a token that goes on at the newest state.
fn expired_or(error: &Error, start: &str) -> Status {
    match error {
        Error::Compacted if !start.is_empty() => {
            let token = ContinueToken {
                revision: None,
                start: start.to_owned(),
            }
            .encode();
            Status::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
            )
            .with_continue(token)
        }
        Error::Compacted => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        other => refusals::of_store(other),
    }
}
