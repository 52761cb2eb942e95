//! What etcdctl prints, without what must differ between two clusters: ids, addresses, times, raft's numbers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::trio::{Told, Trio};

/// What is known of one cluster: its ids and addresses, by the names that both get.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the number.
    ids: BTreeMap<u64, String>,
    /// Ports and folders.
    texts: Vec<(String, String)>,
    pub(super) leases: Vec<u64>,
    pub(super) members: BTreeMap<String, u64>,
    /// The member that was added last.
    pub(super) new: u64,
}

static HEX_ID: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[0-9a-f]{12,16}\b").unwrap());
static DECIMAL_ID: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[0-9]{12,20}\b").unwrap());
static GRANTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^lease ([0-9a-f]+) granted|^ID[^0-9]*([0-9]+)").unwrap());
static ADDED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Member +([0-9a-f]+) added").unwrap());
static TIMES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[0-9.]+(ns|µs|ms|s|m[0-9.]+s)\b").unwrap());
static NUMBERS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[0-9][0-9.]*( ?[kMG]?B\b)?").unwrap());
static RAFT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"("(?:RaftTerm|RaftIndex|RaftAppliedIndex|TTL|DBSize|DBSizeInUse|DBSizeQuota|Version|StorageVersion)" : ).*"#)
        .unwrap()
});
static BLANKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" {2,}|-{2,}|─{2,}").unwrap());

/// Keys of JSON whose values are nobody's business.
const MASKED: [&str; 14] = [
    "raft_term",
    "raftTerm",
    "raftIndex",
    "raftAppliedIndex",
    "dbSize",
    "dbSizeInUse",
    "dbSizeQuota",
    "version",
    "storageVersion",
    "took",
    "ttl",
    "TTL",
    "raft_index",
    "error_took",
];

impl Names {
    /// What a new cluster's are.
    pub(super) async fn of(trio: &Trio) -> Self {
        let mut names = Self::default();
        names
            .texts
            .push((trio.dir().display().to_string(), "DIR".to_owned()));
        for (name, peer, client) in trio.seats() {
            names
                .texts
                .push((format!("127.0.0.1:{peer}"), format!("PEER-{name}")));
            names
                .texts
                .push((format!("127.0.0.1:{client}"), format!("CLIENT-{name}")));
        }
        let told = trio.ask(&["member", "list", "-w=json"], "").await;
        let list: Value = serde_json::from_str(&told.out).unwrap();
        for member in list["members"].as_array().unwrap() {
            let name = member["name"].as_str().unwrap().to_owned();
            let id = member["ID"].as_u64().unwrap();
            names.ids.insert(id, format!("ID-{name}"));
            names.members.insert(name, id);
        }
        let cluster = list["header"]["cluster_id"].as_u64().unwrap();
        names.ids.insert(cluster, "CLUSTER".to_owned());
        names
    }

    /// Learns the ids that a command made.
    pub(super) fn learn(&mut self, told: &Told) {
        if let Ok(value) = serde_json::from_str::<Value>(&told.out) {
            if let Some(id) = value["member"]["ID"].as_u64() {
                self.learn_member(id);
            }
            // The answer to a grant, or to a question about a lease.
            if let (Some(id), true) = (value["ID"].as_u64(), value.get("TTL").is_some()) {
                self.learn_lease(id);
            }
        }
        let text = strip_table(&told.out);
        for line in text.lines() {
            let number = |text: &str, radix| u64::from_str_radix(text, radix).unwrap_or_default();
            if let Some(found) = ADDED.captures(line) {
                self.learn_member(number(&found[1], 16));
            }
            if let Some(found) = GRANTED.captures(line) {
                let id = match (found.get(1), found.get(2)) {
                    (Some(hex), _) => number(hex.as_str(), 16),
                    (_, Some(decimal)) => number(decimal.as_str(), 10),
                    _ => 0,
                };
                self.learn_lease(id);
            }
        }
    }

    fn learn_member(&mut self, id: u64) {
        self.new = id;
        self.ids.insert(id, "ID-new".to_owned());
    }

    fn learn_lease(&mut self, id: u64) {
        if !self.ids.contains_key(&id) {
            self.ids.insert(id, format!("LEASE-{}", self.leases.len()));
            self.leases.push(id);
        }
    }

    /// What was told, as both should. `args` tell which lines have no order and which numbers say nothing.
    pub(super) fn normal(&self, args: &[&str], told: &Told) -> String {
        let said: Vec<&str> = args
            .iter()
            .copied()
            .filter(|arg| !arg.starts_with('-'))
            .collect();
        // Their order is that of ids, or of who answered first.
        let is_unordered = matches!(
            said.first(),
            Some(&("member" | "endpoint" | "lease" | "defrag"))
        );
        // Tables name nothing beside their numbers.
        let is_status = said.starts_with(&["endpoint", "status"])
            || (said.starts_with(&["lease", "timetolive"]) && args.contains(&"-w=table"));
        let out = match serde_json::from_str::<Value>(&told.out) {
            Ok(value) => self.json(value, is_unordered).to_string(),
            Err(_) => self.text(&told.out, is_unordered, is_status),
        };
        // The client's own log tells of its tries.
        let err: Vec<&str> = told
            .err
            .lines()
            .filter(|line| !line.starts_with("{\"level\""))
            // Where in the client a panic of its own was.
            .take_while(|line| !line.starts_with("goroutine "))
            .collect();
        let err = self.text(&err.join("\n"), is_unordered, is_status);
        format!("{:?} out: {out} err: {err}", told.code)
    }

    fn json(&self, value: Value, is_unordered: bool) -> Value {
        match value {
            Value::Number(number) => match number.as_u64().and_then(|id| self.ids.get(&id)) {
                Some(name) => name.as_str().into(),
                // A lease of its own.
                None if number.as_u64() > Some(1 << 50) => "HEX".into(),
                None => Value::Number(number),
            },
            Value::String(text) => self.text(&text, false, false).into(),
            Value::Array(values) => {
                let values = values.into_iter();
                let mut values: Vec<_> =
                    values.map(|value| self.json(value, is_unordered)).collect();
                if is_unordered {
                    values.sort_by_cached_key(Value::to_string);
                }
                values.into()
            }
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| {
                    let value = match MASKED.contains(&name.as_str()) {
                        true => "N".into(),
                        false => self.json(value, is_unordered),
                    };
                    (name, value)
                });
                Value::Object(fields.collect())
            }
            other => other,
        }
    }

    fn text(&self, text: &str, is_unordered: bool, is_status: bool) -> String {
        let mut text = strip_table(text);
        for (theirs, name) in &self.texts {
            text = text.replace(theirs, name);
        }
        let named = |text: &str, radix| {
            let id = u64::from_str_radix(text, radix).ok();
            id.and_then(|id| self.ids.get(&id)).cloned()
        };
        let text = HEX_ID.replace_all(&text, |found: &regex::Captures<'_>| {
            let is_decimal = found[0].bytes().all(|byte| byte.is_ascii_digit());
            named(&found[0], 16).unwrap_or_else(|| match is_decimal {
                true => found[0].to_owned(),
                false => "HEX".to_owned(),
            })
        });
        let text = DECIMAL_ID.replace_all(&text, |found: &regex::Captures<'_>| {
            named(&found[0], 10).unwrap_or_else(|| "HEX".to_owned())
        });
        let text = RAFT.replace_all(&text, "${1}N");
        let mut text = TIMES.replace_all(&text, "TIME").into_owned();
        if is_status {
            text = NUMBERS.replace_all(&text, "N").into_owned();
        }
        // The list for a new member's flags is in the order of ids.
        let lines = text
            .lines()
            .map(|line| match line.starts_with("ETCD_INITIAL_CLUSTER=") {
                true => {
                    let mut parts: Vec<&str> = line.split([',', '"']).collect();
                    parts.sort_unstable();
                    parts.join(",")
                }
                false => line.to_owned(),
            });
        let mut lines: Vec<String> = lines.collect();
        if is_unordered {
            lines.sort_unstable();
        }
        lines.join("\n")
    }
}

/// A table's columns are as wide as ids, sizes and times are long.
fn strip_table(text: &str) -> String {
    BLANKS
        .replace_all(text, |found: &regex::Captures<'_>| {
            found[0].chars().take(1).collect::<String>()
        })
        .into_owned()
}
