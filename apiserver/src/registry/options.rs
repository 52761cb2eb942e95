//! The options of lists, watches and deletions: read from the query or a body, checked once.

use api_meta::kinds::Kind;
use api_meta::{Cause, Status};
use serde_json::Value;

use super::query::Query;
use super::tree;

/// Objects that one page may ask for at most. A larger limit is taken as this.
const LIMIT_MAX: i64 = 1_000_000;
/// Seconds that a watch may ask for at most, a year. A longer time is taken as this: nobody sees
/// its end, and points in time much further on do not exist for every clock.
pub const WATCH_SECONDS_MAX: u64 = 365 * 24 * 60 * 60;

/// How a resourceVersion is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The newest state.
    Newest,
    /// Any state.
    Any,
    /// A state that is not older.
    NotOlderThan(u64),
    /// Exactly this state.
    Exact(u64),
}

/// What a list or a watch asks for.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// Label selector.
    pub labels: String,
    /// Field selector.
    pub fields: String,
    /// How fresh it must be.
    pub version: Version,
    /// Objects at most; 0: all.
    pub limit: usize,
    /// Where an earlier page ended.
    pub continue_token: Option<String>,
    /// How long a watch lasts, at most [`WATCH_SECONDS_MAX`].
    pub timeout_seconds: Option<u64>,
    /// Whether a watch gets bookmarks.
    pub bookmarks: bool,
    /// Whether a watch begins with the state; unset: it depends on the version.
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Everything, as it is now.
    pub fn everything() -> Self {
        Self {
            labels: String::new(),
            fields: String::new(),
            version: Version::Newest,
            limit: 0,
            continue_token: None,
            timeout_seconds: None,
            bookmarks: false,
            send_initial_events: None,
        }
    }

    /// Reads the query of a list.
    pub fn for_list(query: &Query) -> Result<Self, Status> {
        let mut options = Self::common(query)?;
        let matching = query.str("resourceVersionMatch");
        let version = query.str("resourceVersion");
        if query.has("sendInitialEvents") {
            return Err(invalid(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        if options.continue_token.is_some() {
            if matching.is_some() {
                return Err(invalid(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if version.is_some_and(|version| version != "0") {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            return Ok(options);
        }
        let number = version.map(parse_version).transpose()?;
        options.version = match (number, matching) {
            (None, None) => Version::Newest,
            (None, Some(_)) => {
                return Err(invalid(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            (Some(0), Some("Exact")) => {
                return Err(invalid(
                    "resourceVersionMatch",
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
            (Some(0), None | Some("NotOlderThan")) => Version::Any,
            (Some(number), Some("Exact")) => Version::Exact(number),
            // The old meaning of a version together with a limit.
            (Some(number), None) if options.limit > 0 => Version::Exact(number),
            (Some(number), None | Some("NotOlderThan")) => Version::NotOlderThan(number),
            (Some(_), Some(other)) => return Err(unknown_match(other)),
        };
        Ok(options)
    }

    /// Reads the query of a watch.
    pub fn for_watch(query: &Query) -> Result<Self, Status> {
        let mut options = Self::common(query)?;
        let matching = query.str("resourceVersionMatch");
        let version = query
            .str("resourceVersion")
            .map(parse_version)
            .transpose()?;
        options.send_initial_events = query
            .has("sendInitialEvents")
            .then(|| query.is_true("sendInitialEvents"));
        match (options.send_initial_events, matching) {
            (Some(_), None) => {
                return Err(invalid(
                    "resourceVersionMatch",
                    "resourceVersionMatch is required when sendInitialEvents is set, because sendInitialEvents is requested",
                ));
            }
            (Some(_), Some("NotOlderThan")) | (None, None) => {}
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            (None, Some(_)) => {
                return Err(invalid(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
        }
        options.version = match version {
            None => Version::Newest,
            Some(0) => Version::Any,
            Some(number) => Version::NotOlderThan(number),
        };
        Ok(options)
    }

    fn common(query: &Query) -> Result<Self, Status> {
        let number = |name: &'static str| -> Result<Option<i64>, Status> {
            let Some(text) = query.str(name) else {
                return Ok(None);
            };
            text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!(
                    "strconv.ParseInt: parsing {text:?}: invalid syntax"
                ))
            })
        };
        let limit = number("limit")?.unwrap_or(0);
        Ok(Self {
            labels: query.get("labelSelector").unwrap_or_default(),
            fields: query.get("fieldSelector").unwrap_or_default(),
            limit: usize::try_from(limit.clamp(0, LIMIT_MAX)).unwrap_or(0),
            continue_token: query.get("continue"),
            timeout_seconds: number("timeoutSeconds")?
                .and_then(|n| u64::try_from(n).ok())
                .filter(|seconds| *seconds > 0)
                .map(|seconds| seconds.min(WATCH_SECONDS_MAX)),
            bookmarks: query.is_true("allowWatchBookmarks"),
            ..Self::everything()
        })
    }
}

fn parse_version(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "invalid resource version {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

fn unknown_match(other: &str) -> Status {
    let detail = format!("supported values: \"Exact\", \"NotOlderThan\", \"\" (given {other:?})");
    invalid("resourceVersionMatch", &detail)
}

fn invalid(field: &str, detail: &str) -> Status {
    Status::invalid("", "ListOptions", "", vec![Cause::forbidden(field, detail)])
}

/// How dependents are treated when their owner is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The owner goes at once, its dependents after it.
    Background,
    /// The owner goes after its dependents.
    Foreground,
    /// The dependents stay.
    Orphan,
}

/// What a deletion asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds until a pod is killed.
    pub grace_seconds: Option<i64>,
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must have this resourceVersion.
    pub version: Option<String>,
    /// What happens to dependents; unset: what is the kind's default.
    pub propagation: Option<Propagation>,
    /// Whether the deletion is carried out.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads a body, or the query where there is no body.
    pub fn parse(body: Option<&Value>, query: &Query) -> Result<Self, Status> {
        let mut options = Self::default();
        let (orphan, policy) = match body {
            Some(body) => {
                options.grace_seconds = tree::number(body, "/gracePeriodSeconds");
                let text =
                    |pointer| Some(tree::text(body, pointer).to_owned()).filter(|t| !t.is_empty());
                options.uid = text("/preconditions/uid");
                options.version = text("/preconditions/resourceVersion");
                options.dry_run =
                    check_dry_run(tree::strings(body, "/dryRun").iter().map(String::as_str))?;
                (
                    body.get("orphanDependents").and_then(Value::as_bool),
                    text("/propagationPolicy"),
                )
            }
            None => {
                options.grace_seconds = query
                    .str("gracePeriodSeconds")
                    .map(|text| {
                        text.parse().map_err(|_| {
                            Status::bad_request(format!(
                                "strconv.ParseInt: parsing {text:?}: invalid syntax"
                            ))
                        })
                    })
                    .transpose()?;
                let orphan = query
                    .has("orphanDependents")
                    .then(|| query.is_true("orphanDependents"));
                (orphan, query.get("propagationPolicy"))
            }
        };
        options.dry_run |= check_dry_run(query.all("dryRun"))?;
        options.propagation = propagation(orphan, policy.as_deref())?;
        if options.grace_seconds.is_some_and(|seconds| seconds < 0) {
            // Upstream reads a negative period as "at once".
            options.grace_seconds = Some(1);
        }
        Ok(options)
    }
}

fn propagation(orphan: Option<bool>, policy: Option<&str>) -> Result<Option<Propagation>, Status> {
    let fault = |cause| {
        Err(Status::invalid(
            "meta.k8s.io",
            "DeleteOptions",
            "",
            vec![cause],
        ))
    };
    match (orphan, policy) {
        (Some(_), Some(policy)) => fault(Cause::invalid(
            "propagationPolicy",
            policy,
            "orphanDependents and deletionPropagation cannot be both set",
        )),
        (Some(true), None) => Ok(Some(Propagation::Orphan)),
        (Some(false), None) | (None, Some("Background")) => Ok(Some(Propagation::Background)),
        (None, Some("Foreground")) => Ok(Some(Propagation::Foreground)),
        (None, Some("Orphan")) => Ok(Some(Propagation::Orphan)),
        (None, Some(other)) => fault(Cause::not_supported(
            "propagationPolicy",
            other,
            &["Foreground", "Background", "Orphan"],
        )),
        (None, None) => Ok(None),
    }
}

/// Reads `dryRun`: `All` is the only value there is.
pub fn check_dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, Status> {
    let mut dry = false;
    for value in values.filter(|value| !value.is_empty()) {
        if value != "All" {
            let cause = Cause::not_supported("dryRun", value, &["All"]);
            return Err(Status::invalid(
                "meta.k8s.io",
                "CreateOptions",
                "",
                vec![cause],
            ));
        }
        dry = true;
    }
    Ok(dry)
}

/// What happens to a kind's dependents when a deletion does not say.
pub fn default_propagation(kind: &Kind) -> Propagation {
    match (&kind.group[..], &kind.resource[..]) {
        // Kept from the time before garbage collection.
        ("batch", "jobs") | ("", "replicationcontrollers") => Propagation::Orphan,
        _ => Propagation::Background,
    }
}

#[cfg(test)]
mod tests;
