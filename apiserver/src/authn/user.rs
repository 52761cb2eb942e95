//! The user that a request speaks for, and the names that have a meaning of their own.
//! Never changes after authentication.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The user of requests that present no credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of everyone who proved who they are.
pub const ALL_AUTHENTICATED: &str = "system:authenticated";
/// The group of everyone who did not.
pub const ALL_UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that may do everything, whatever RBAC says.
pub const MASTERS: &str = "system:masters";
/// The group of kubelets.
pub const NODES: &str = "system:nodes";
/// How the user name of a kubelet begins.
pub const NODE_PREFIX: &str = "system:node:";
/// The group of all service accounts.
pub const ALL_SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// How the user name of a service account begins.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The user that the api-server itself acts as inside its own process.
pub const APISERVER: &str = "system:apiserver";
/// The key of `extra` that names the credential used.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Who a request speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// The user name, unique among all users.
    #[serde(rename = "username", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Tells two users of one name apart in time; empty where the method knows none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The groups, in the order in which the method gave them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What else the method knows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// The user of a request without credentials.
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![ALL_UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// The user that the api-server acts as for its own writes. Never derived from a request.
    pub fn internal() -> Self {
        Self {
            name: APISERVER.to_owned(),
            groups: vec![MASTERS.to_owned(), ALL_AUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// The user of a service account, without the group that authentication adds.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                ALL_SERVICE_ACCOUNTS.to_owned(),
                format!("{ALL_SERVICE_ACCOUNTS}:{namespace}"),
            ],
            ..Self::default()
        }
    }

    /// True for a member of `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|of| of == group)
    }

    /// True for the user of requests without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS || self.is_in(ALL_UNAUTHENTICATED)
    }

    /// Adds the group that proves an authentication, as upstream does: once, last, and never for the
    /// anonymous user.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if self.name != ANONYMOUS
            && !self.is_in(ALL_AUTHENTICATED)
            && !self.is_in(ALL_UNAUTHENTICATED)
        {
            self.groups.push(ALL_AUTHENTICATED.to_owned());
        }
        self
    }

    /// Sets one key of `extra` to one value.
    #[must_use]
    pub fn with_extra(mut self, key: &str, value: &str) -> Self {
        self.extra.insert(key.to_owned(), vec![value.to_owned()]);
        self
    }
}

/// Splits the user name of a service account into namespace and name.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::{ALL_AUTHENTICATED, UserInfo, split_service_account};

    #[test]
    fn the_group_of_the_authenticated_is_added_once_and_never_to_the_anonymous() {
        let user = UserInfo::service_account("ns", "robot", "u")
            .authenticated()
            .authenticated();
        assert_eq!(
            user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated"
            ]
        );
        assert!(
            !UserInfo::anonymous()
                .authenticated()
                .is_in(ALL_AUTHENTICATED)
        );
    }

    #[test]
    fn service_account_names_are_split_only_when_whole() {
        assert_eq!(
            split_service_account("system:serviceaccount:a:b"),
            Some(("a", "b"))
        );
        for bad in [
            "system:serviceaccount:a",
            "system:serviceaccount::b",
            "a:b",
            "system:serviceaccount:a:b:c",
        ] {
            assert_eq!(split_service_account(bad), None, "{bad}");
        }
    }
}
