//! Users who read and write a key of their own, and an administrator who gives them that right and
//! takes it away, by the role's permission or by the user's role, and drops users for good.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::administer::{Admin, Way, login, with_token};
use super::clients::{Asked, Job};
use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Failure, Kv, put, range, revision};

/// Users at one time.
const USERS: usize = 4;
/// Of so many steps of the administrator one drops a user.
const DROP_ONE_IN: u32 = 8;
/// Of so many turns of the administrator one changes something: each change makes tokens old.
const CHANGE_ONE_IN: u32 = 6;
/// Of so many requests one is of whoever has logged in, also if the user is dropped.
const OLD_ONE_IN: u32 = 4;

/// The users that are there, as far as the administrator knows; shared by all clients.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<Vec<User>>>);

#[derive(Clone)]
struct User {
    name: String,
    /// How the right was taken away, if it was.
    taken: Option<Way>,
}

impl Users {
    fn set(&self, name: &str, taken: Option<Way>) {
        let mut users = self.0.lock();
        match users.iter_mut().find(|user| user.name == name) {
            Some(user) => user.taken = taken,
            None => users.push(User {
                name: name.to_owned(),
                taken,
            }),
        }
    }

    fn forget(&self, name: &str) {
        self.0.lock().retain(|user| user.name != name);
    }

    fn any(&self, chance: &mut StdRng) -> Option<User> {
        let users = self.0.lock();
        let at = chance.random_range(0..users.len().max(1));
        users.get(at).cloned()
    }

    fn count(&self) -> usize {
        self.0.lock().len()
    }
}

/// The key that is a user's own.
fn key_of(prefix: &str, user: &str) -> String {
    format!("{prefix}auth/{user}")
}

/// A client of several users.
pub(crate) struct Worker {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
    pub(crate) users: Users,
    /// Of users who have logged in.
    pub(crate) tokens: BTreeMap<String, String>,
}

pub(crate) enum Use {
    Login(String),
    Write(String, i64),
    Read(String),
}

impl Worker {
    /// A user who is there, or one who has logged in and may have been dropped since.
    fn someone(&self, chance: &mut StdRng) -> Option<String> {
        if chance.random_range(0..OLD_ONE_IN) == 0 && !self.tokens.is_empty() {
            let at = chance.random_range(0..self.tokens.len());
            return self.tokens.keys().nth(at).cloned();
        }
        Some(self.users.any(chance)?.name)
    }

    fn token(&self, user: &str) -> Result<&str, Failure> {
        let token = self.tokens.get(user).map(String::as_str);
        token.ok_or_else(|| Failure::Refused("not logged in".to_owned()))
    }
}

impl Job for Worker {
    type Plan = Use;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Use>> {
        let user = self.someone(chance)?;
        if !self.tokens.contains_key(&user) {
            return Some(Asked::read("login", Value::text(&user), Use::Login(user)));
        }
        if chance.random() {
            return Some(Asked::read("look", Value::text(&user), Use::Read(user)));
        }
        let value = self.values.value();
        let asked = Value::Vector(vec![Value::text(&user), value.into()]);
        Some(Asked::write("use", asked, Use::Write(user, value)))
    }

    async fn act(&mut self, channel: Channel, plan: &Use) -> Result<Value, Failure> {
        match plan {
            Use::Login(user) => {
                let token = login(channel, user).await?;
                self.tokens.insert(user.clone(), token);
                Ok(Value::text(user))
            }
            Use::Write(user, value) => {
                let request = put(&key_of(&self.prefix, user), &value.to_string());
                let request = with_token(request, self.token(user)?)?;
                let answer = KvClient::new(channel).put(request).await?.into_inner();
                let at = revision(answer.header.as_ref());
                Ok(Value::Vector(vec![
                    Value::text(user),
                    (*value).into(),
                    at.into(),
                ]))
            }
            Use::Read(user) => {
                let request = range(&key_of(&self.prefix, user));
                let request = with_token(request, self.token(user)?)?;
                let answer = KvClient::new(channel).range(request).await?.into_inner();
                let seen = answer.kvs.seen().pop().map_or(0, |seen| seen.revision);
                Ok(Value::Vector(vec![Value::text(user), seen.into()]))
            }
        }
    }

    /// A token may be old; whoever is refused shows a new one next time.
    fn failed(&mut self, plan: &Use) {
        let (Use::Login(user) | Use::Write(user, _) | Use::Read(user)) = plan;
        self.tokens.remove(user);
    }
}

/// The administrator.
pub(crate) struct Administrator {
    pub(crate) prefix: String,
    /// Gives unique names.
    pub(crate) names: Rotation,
    pub(crate) users: Users,
    pub(crate) token: Option<String>,
}

pub(crate) enum Change {
    Login,
    Hire(String),
    Permit(String, Way),
    Forbid(String, Way),
    Drop(String),
}

impl Job for Administrator {
    type Plan = Change;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Change>> {
        if self.token.is_none() {
            return Some(Asked::read("login", Value::text("root"), Change::Login));
        }
        if self.users.count() < USERS {
            let name = format!("u{}", self.names.value());
            return Some(Asked::write("hire", Value::text(&name), Change::Hire(name)));
        }
        if chance.random_range(0..CHANGE_ONE_IN) > 0 {
            return None;
        }
        let User { name, taken } = self.users.any(chance)?;
        let asked = Value::text(&name);
        if chance.random_range(0..DROP_ONE_IN) == 0 {
            return Some(Asked::write("drop", asked, Change::Drop(name)));
        }
        Some(match taken {
            Some(way) => Asked::write("permit", asked, Change::Permit(name, way)),
            None => {
                let way = if chance.random() {
                    Way::Permission
                } else {
                    Way::Role
                };
                Asked::write("forbid", asked, Change::Forbid(name, way))
            }
        })
    }

    async fn act(&mut self, channel: Channel, plan: &Change) -> Result<Value, Failure> {
        if let Change::Login = plan {
            self.token = Some(login(channel, "root").await?);
            return Ok(Value::text("root"));
        }
        let token = self.token.clone().unwrap_or_default();
        let mut admin = Admin::new(channel, &token);
        match plan {
            Change::Login => {}
            Change::Hire(user) => {
                admin.hire(user, &key_of(&self.prefix, user)).await?;
                self.users.set(user, None);
            }
            Change::Permit(user, way) => {
                let key = key_of(&self.prefix, user);
                admin.give(*way, user, &key).await?;
                self.users.set(user, None);
            }
            Change::Forbid(user, way) => {
                let key = key_of(&self.prefix, user);
                admin.take(*way, user, &key).await?;
                self.users.set(user, Some(*way));
            }
            Change::Drop(user) => {
                admin.drop_user(user).await?;
                self.users.forget(user);
            }
        }
        let (Change::Hire(user)
        | Change::Permit(user, _)
        | Change::Forbid(user, _)
        | Change::Drop(user)) = plan
        else {
            return Ok(Value::Nil);
        };
        Ok(Value::text(user))
    }

    /// What is not known of a user is never known again: another takes the place.
    fn failed(&mut self, plan: &Change) {
        self.token = None;
        match plan {
            Change::Login => {}
            Change::Hire(user)
            | Change::Permit(user, _)
            | Change::Forbid(user, _)
            | Change::Drop(user) => self.users.forget(user),
        }
    }
}
