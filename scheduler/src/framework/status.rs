//! What a plugin answers: a code and, where it refuses, the reasons a user will read.

use std::borrow::Cow;

/// The outcome of an extension point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The plugin agrees.
    Success,
    /// Something broke; the pod is tried again after its backoff.
    Error,
    /// The pod does not fit; removing other pods could help.
    Unschedulable,
    /// The pod does not fit, and removing other pods cannot help.
    UnschedulableAndUnresolvable,
    /// The plugin has nothing to say about this pod.
    Skip,
}

/// The answer of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The outcome.
    pub code: Code,
    /// Texts for the user, each counted over the nodes in the FailedScheduling message.
    pub reasons: Vec<Cow<'static, str>>,
    /// Who answered; empty until the framework fills it in.
    pub plugin: &'static str,
}

impl Status {
    /// Agreement.
    pub const SUCCESS: Self = Self {
        code: Code::Success,
        reasons: Vec::new(),
        plugin: "",
    };
    /// Nothing to say.
    pub const SKIP: Self = Self {
        code: Code::Skip,
        reasons: Vec::new(),
        plugin: "",
    };

    /// A refusal that removing pods may undo.
    pub fn unschedulable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Code::Unschedulable,
            reasons: vec![reason.into()],
            plugin: "",
        }
    }

    /// A refusal that removing pods cannot undo.
    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Code::UnschedulableAndUnresolvable,
            reasons: vec![reason.into()],
            plugin: "",
        }
    }

    /// A failure of the plugin itself or of a call it made.
    pub fn error(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Code::Error,
            reasons: vec![reason.into()],
            plugin: "",
        }
    }

    /// The same answer, signed.
    pub fn from_plugin(mut self, plugin: &'static str) -> Self {
        self.plugin = plugin;
        self
    }

    /// Whether the plugin agrees or has nothing to say.
    pub fn is_success(&self) -> bool {
        matches!(self.code, Code::Success | Code::Skip)
    }

    /// Whether the plugin refuses the pod, as opposed to having failed.
    pub fn is_rejected(&self) -> bool {
        matches!(
            self.code,
            Code::Unschedulable | Code::UnschedulableAndUnresolvable
        )
    }

    /// The reasons in one line.
    pub fn message(&self) -> String {
        self.reasons.join(", ")
    }
}
