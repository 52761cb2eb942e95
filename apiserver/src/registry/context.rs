//! What a request brings along besides its object: who asks, and how.

use api_meta::kinds::Kind;
use parking_lot::Mutex;

use crate::authn::UserInfo;

/// Warnings of one request at most; the rest is cut, as upstream does.
const WARNINGS_MAX: usize = 64;

/// What happens to fields that the kind does not have, and to fields that come twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped silently.
    Ignore,
    /// They are dropped with a warning.
    #[default]
    Warn,
    /// They are refused.
    Strict,
}

/// Whether a write is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    /// It is.
    #[default]
    Off,
    /// Everything but the write itself happens.
    All,
}

/// Who asks and how.
#[derive(Debug, Default)]
pub struct RequestContext {
    /// The user.
    pub user: UserInfo,
    /// Whether writes are carried out.
    pub dry_run: DryRun,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// The name under which the user manages fields.
    pub field_manager: String,
    warnings: Mutex<Vec<String>>,
}

impl RequestContext {
    /// The context of the server's own writes.
    pub fn internal() -> Self {
        Self {
            user: UserInfo::internal(),
            field_manager: "kube-apiserver".to_owned(),
            ..Self::default()
        }
    }

    /// A context of a user.
    pub fn of(user: UserInfo) -> Self {
        Self {
            user,
            ..Self::default()
        }
    }

    /// Tells the client something that does not stop its request.
    pub fn warn(&self, text: impl Into<String>) {
        let mut warnings = self.warnings.lock();
        let text = text.into();
        if warnings.len() < WARNINGS_MAX && !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// What was told so far.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }

    /// Whether the write is not to be carried out.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run == DryRun::All
    }
}

/// One object by its kind and name.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind as the request names it.
    pub kind: &'static Kind,
    /// Empty for kinds without one.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Target {
    /// An object by its kind and name.
    pub fn new(kind: &'static Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}
