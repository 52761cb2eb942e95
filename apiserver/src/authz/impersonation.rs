//! Acting as somebody else: the `Impersonate-*` headers.
//!
//! Every part of the asked identity is authorised on its own against the verb `impersonate`. A
//! request whose headers cannot be honoured is refused, never run as the caller.

use std::collections::BTreeMap;

use api_meta::status::Status;
use http::HeaderMap;

use super::{Attributes, Authorizer, forbidden};
use crate::authn::UserInfo;
use crate::authn::user::{
    ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, split_service_account,
};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// Parts of one impersonation; more is refused, because each costs an authorisation.
const PARTS_MAX: usize = 1000;

/// One thing to impersonate: (group, resource, subresource, namespace, name).
struct Part<'a> {
    group: &'a str,
    resource: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
}

/// The user that the request shall run as: the caller where no header asks for another one.
pub fn apply(
    caller: UserInfo,
    headers: &HeaderMap,
    authorizer: &dyn Authorizer,
) -> Result<UserInfo, Status> {
    let Some(asked) = Asked::read(headers)? else {
        return Ok(caller);
    };
    for part in asked.parts() {
        let attributes = Attributes {
            user: &caller,
            verb: "impersonate",
            group: part.group,
            version: if part.group.is_empty() { "" } else { "v1" },
            resource: part.resource,
            subresource: part.subresource,
            namespace: part.namespace,
            name: part.name,
            path: "",
            is_resource: true,
        };
        let decision = authorizer.authorize(&attributes);
        if !decision.is_allowed() {
            return Err(forbidden(&attributes, decision.reason()));
        }
    }
    Ok(asked.into_user())
}

struct Asked {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: BTreeMap<String, Vec<String>>,
}

impl Asked {
    fn read(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let mut asked = Self {
            user: String::new(),
            groups: Vec::new(),
            uid: String::new(),
            extra: BTreeMap::new(),
        };
        let mut count = 0;
        for (name, value) in headers {
            let name = name.as_str();
            if !name.starts_with("impersonate-") {
                continue;
            }
            count += 1;
            let value = std::str::from_utf8(value.as_bytes())
                .map_err(|_| Status::bad_request("impersonation headers must be UTF-8"))?
                .to_owned();
            match name {
                USER if asked.user.is_empty() => asked.user = value,
                UID if asked.uid.is_empty() => asked.uid = value,
                GROUP => asked.groups.push(value),
                _ => {
                    if let Some(key) = name.strip_prefix(EXTRA) {
                        asked.extra.entry(unescape(key)).or_default().push(value);
                    }
                }
            }
        }
        if count > PARTS_MAX {
            return Err(Status::bad_request("too many impersonation headers"));
        }
        let others = !asked.groups.is_empty() || !asked.extra.is_empty() || !asked.uid.is_empty();
        if asked.user.is_empty() {
            return if others {
                let groups = asked.groups.join(" ");
                Err(Status::bad_request(format!(
                    "requested [{groups}] without impersonating a user"
                )))
            } else {
                Ok(None)
            };
        }
        Ok(Some(asked))
    }

    fn parts(&self) -> Vec<Part<'_>> {
        const AUTHENTICATION: &str = "authentication.k8s.io";
        let plain = |resource, name| Part {
            group: "",
            resource,
            subresource: "",
            namespace: "",
            name,
        };
        let mut parts = vec![match split_service_account(&self.user) {
            Some((namespace, name)) => Part {
                namespace,
                ..plain("serviceaccounts", name)
            },
            None => plain("users", &self.user),
        }];
        parts.extend(self.groups.iter().map(|group| plain("groups", group)));
        for (key, values) in &self.extra {
            parts.extend(values.iter().map(|value| Part {
                group: AUTHENTICATION,
                subresource: key,
                ..plain("userextras", value)
            }));
        }
        if !self.uid.is_empty() {
            parts.push(Part {
                group: AUTHENTICATION,
                ..plain("uids", &self.uid)
            });
        }
        parts
    }

    fn into_user(self) -> UserInfo {
        let mut groups = self.groups;
        if groups.is_empty()
            && let Some((namespace, name)) = split_service_account(&self.user)
        {
            groups = UserInfo::service_account(namespace, name, "").groups;
        }
        let has = |group: &str| groups.iter().any(|one| one == group);
        if self.user == ANONYMOUS {
            if !has(ALL_UNAUTHENTICATED) {
                groups.push(ALL_UNAUTHENTICATED.to_owned());
            }
        } else if !has(ALL_AUTHENTICATED) && !has(ALL_UNAUTHENTICATED) {
            groups.push(ALL_AUTHENTICATED.to_owned());
        }
        UserInfo {
            name: self.user,
            uid: self.uid,
            groups,
            extra: self.extra,
        }
    }
}

/// Decodes `%` escapes; a key with a broken escape is kept as it is, as upstream does.
fn unescape(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let Some(value) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
            return key.to_owned();
        };
        bytes.push(value);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{apply, unescape};
    use crate::authn::UserInfo;
    use crate::authz::{Attributes, Authorizer, Decision, UserRules};

    /// Allows to impersonate the names in the list, each as `resource[/subresource]:name`.
    struct Only(&'static [&'static str]);

    impl Authorizer for Only {
        fn authorize(&self, asked: &Attributes<'_>) -> Decision {
            let found = format!("{}:{}", asked.combined_resource(), asked.name);
            let reason = String::new();
            if asked.verb == "impersonate" && self.0.contains(&found.as_str()) {
                Decision::Allow { reason }
            } else {
                Decision::NoOpinion { reason }
            }
        }

        fn rules_for(&self, _: &UserInfo, _: &str) -> UserRules {
            UserRules::default()
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn caller() -> UserInfo {
        UserInfo {
            name: "boss".to_owned(),
            ..UserInfo::default()
        }
    }

    #[test]
    fn without_headers_the_caller_stays() {
        assert_eq!(
            apply(caller(), &headers(&[]), &Only(&[])).unwrap(),
            caller()
        );
    }

    #[test]
    fn every_part_must_be_allowed() {
        let asked = headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "devs"),
            ("impersonate-extra-scopes%2fx", "view"),
        ]);
        let all = &["users:jane", "groups:devs", "userextras/scopes/x:view"];
        let user = apply(caller(), &asked, &Only(all)).unwrap();
        assert_eq!(user.groups, ["devs", "system:authenticated"]);
        assert_eq!(user.extra["scopes/x"], ["view"]);
        let refused = apply(caller(), &asked, &Only(&["users:jane", "groups:devs"])).unwrap_err();
        assert!(
            refused
                .message
                .contains(r#"cannot impersonate resource "userextras/scopes/x""#),
            "{}",
            refused.message
        );
    }

    #[test]
    fn service_accounts_bring_their_groups() {
        let asked = headers(&[("impersonate-user", "system:serviceaccount:ns:bot")]);
        let user = apply(caller(), &asked, &Only(&["serviceaccounts:bot"])).unwrap();
        assert_eq!(
            user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated"
            ]
        );
    }

    #[test]
    fn groups_without_a_user_are_a_bad_request() {
        let refused = apply(
            caller(),
            &headers(&[("impersonate-group", "devs")]),
            &Only(&[]),
        )
        .unwrap_err();
        assert_eq!(refused.code, 400);
    }

    #[test]
    fn broken_escapes_are_kept() {
        assert_eq!(unescape("a%2Fb%"), "a%2Fb%");
        assert_eq!(unescape("a%2Fb"), "a/b");
    }
}
