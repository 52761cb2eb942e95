//! `--initial-cluster`: who founds the cluster, by name and peer URLs.

use std::collections::BTreeMap;
use std::fmt;

use super::url::{Url, UrlError};

/// Names and their peer URLs, both sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialCluster(BTreeMap<String, Vec<Url>>);

impl InitialCluster {
    /// Reads `name=url,name=url`; a name may come several times.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let mut members: BTreeMap<String, Vec<Url>> = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (name, url) = pair.split_once('=').unwrap_or((pair, ""));
            members
                .entry(name.to_owned())
                .or_default()
                .push(Url::parse(url)?);
        }
        for urls in members.values_mut() {
            urls.sort();
        }
        Ok(Self(members))
    }

    /// One member alone.
    pub fn single(name: &str, urls: &[Url]) -> Self {
        Self(BTreeMap::from([(name.to_owned(), urls.to_vec())]))
    }

    /// A member's peer URLs.
    pub fn get(&self, name: &str) -> Option<&[Url]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Url])> {
        self.0
            .iter()
            .map(|(name, urls)| (name.as_str(), urls.as_slice()))
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if two entries share a URL.
    pub fn has_duplicate_url(&self) -> bool {
        let mut all: Vec<&str> = self.0.values().flatten().map(Url::as_str).collect();
        let before = all.len();
        all.sort_unstable();
        all.dedup();
        all.len() != before
    }
}

impl fmt::Display for InitialCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs: Vec<String> = self
            .iter()
            .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")))
            .collect();
        pairs.sort();
        f.write_str(&pairs.join(","))
    }
}
