//! etcdctl through its commands, on three members of a real etcd and on three of ours: what it prints and
//! what it ends by must be the same, with TLS and users on and off.
//!
//! Not among the usual tests: six members and a client for each command want a quiet machine, on which
//! no real etcd elects another leader in the middle.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(dead_code, reason = "the other tests use more of what they share")]

#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/tls.rs"]
mod tls;

mod normal;
mod steps;
mod trio;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use harness::SOON;
use normal::Names;
use steps::{Kind, Part, Step};
use trio::{Setting, Told, Trio};

/// All settings, and the commands that take a minute, where somebody has the time.
const ALL_VARIABLE: &str = "KEELSON_DIFFERENTIAL_ETCDCTL";
/// A command without an end is over once both have said the same and no more for so long …
const SILENCE: Duration = Duration::from_millis(500);
/// … or nothing at all for so long, …
const NOTHING: Duration = Duration::from_secs(2);
/// … or something else.
const UNLIKE: Duration = Duration::from_secs(10);

/// Commands that a 3.5 answers as 3.7, which is the one to be like, no longer does, and how.
const OLDER: [(&str, &str); 6] = [
    ("auth status", "wants a name, once there are users"),
    ("--user=alice:secret auth status", "only for root"),
    ("--user=alice:secret endpoint status", "only for root"),
    ("--user=alice:secret defrag", "refused in other words"),
    (
        "--user=alice:secret snapshot save",
        "refused in other words",
    ),
    (
        "defrag --cluster",
        "a member may not know a token yet that another one gave out",
    ),
];

/// One side.
struct Side {
    trio: Trio,
    names: Names,
}

impl Side {
    async fn start(program: &Path, ctl: PathBuf, setting: Setting) -> Self {
        let trio = Trio::start(program, ctl, setting).await;
        let names = Names::of(&trio).await;
        Self { trio, names }
    }

    /// Makes a member lead, so that the leader has the same name on both sides: an election may have come
    /// in between.
    async fn lead(&self, number: usize) {
        let led = testkit::poll(SOON, "a certain member leads", async || {
            let leader = self.leader().await.ok_or("nobody leads")?;
            if leader == number {
                return Ok(());
            }
            let at = format!("--endpoints={}", self.trio.addresses()[leader]);
            let to = format!("{:x}", self.ids()[number]);
            let told = self.trio.ask(&["move-leader", &to, &at], "").await;
            Err(format!("member {leader} leads: {}", told.err))
        });
        led.await.unwrap();
    }

    /// The founders' ids.
    fn ids(&self) -> Vec<u64> {
        self.names.members.values().copied().collect()
    }

    /// The number of the member that leads.
    async fn leader(&self) -> Option<usize> {
        let told = self.trio.ask(&["endpoint", "status", "-w=json"], "").await;
        let statuses: Value = serde_json::from_str(&told.out).ok()?;
        let leader = statuses[0]["Status"]["leader"].as_u64()?;
        self.ids().into_iter().position(|id| id == leader)
    }

    /// The arguments with everything put in for what is in braces.
    async fn fill(&self, args: Vec<String>) -> Vec<String> {
        let mut filled = Vec::new();
        for mut arg in args {
            if arg == "{mirror}" {
                filled.extend(self.trio.mirror_flags());
                continue;
            }
            while let Some((before, rest)) = arg.split_once('{') {
                let (name, after) = rest.split_once('}').unwrap();
                arg = format!("{before}{}{after}", self.value(name).await);
            }
            filled.push(arg);
        }
        filled
    }

    async fn value(&self, name: &str) -> String {
        let addresses = self.trio.addresses();
        let member = async |which: &str| match which {
            "leader" | "follower" => {
                self.lead(0).await;
                usize::from(which == "follower")
            }
            number => number.parse().unwrap(),
        };
        match name.split_once(' ') {
            Some(("at", "all")) => addresses.join(","),
            Some(("at", which)) => addresses[member(which).await].clone(),
            Some(("lease", number)) => {
                let number: usize = number.parse().unwrap();
                format!("{:x}", self.names.leases[number])
            }
            Some(_) => panic!("{name} is not known"),
            None => match name {
                "dir" => self.trio.dir().display().to_string(),
                "free" => self.trio.free_peer_url(),
                "new" => format!("{:x}", self.names.new),
                which => format!("{:x}", self.ids()[member(which).await]),
            },
        }
    }
}

fn borrowed(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// What both answer to a command, made comparable.
async fn ask(real: &mut Side, ours: &mut Side, step: &Step) -> (String, String) {
    let real_args = real.fill(step.args()).await;
    let ours_args = ours.fill(step.args()).await;
    let (real_args, ours_args) = (borrowed(&real_args), borrowed(&ours_args));
    if step.kind == Kind::Endless {
        let (one, other) = tokio::join!(
            real.trio.begin(&real_args, &step.input),
            ours.trio.begin(&ours_args, &step.input)
        );
        let begun = Instant::now();
        let (mut said, mut since) = (String::new(), begun);
        let both = loop {
            tokio::time::sleep(SILENCE / 5).await;
            let one = real.names.normal(&real_args, &one.so_far());
            let other = ours.names.normal(&ours_args, &other.so_far());
            if said != other {
                (said, since) = (other.clone(), Instant::now());
            }
            let has_spoken = since > begun + SILENCE / 4;
            let patience = match (one == other, has_spoken) {
                (true, true) => SILENCE,
                (true, false) => NOTHING,
                (false, _) => UNLIKE,
            };
            if since.elapsed() >= patience || begun.elapsed() >= UNLIKE * 2 {
                break (one, other);
            }
        };
        tokio::join!(one.stop(), other.stop());
        return both;
    }
    let (one, other) = tokio::join!(
        real.trio.ask(&real_args, &step.input),
        ours.trio.ask(&ours_args, &step.input)
    );
    real.names.learn(&one);
    ours.names.learn(&other);
    if step.kind == Kind::Code {
        let code = |told: &Told| format!("{:?}", told.code);
        return (code(&one), code(&other));
    }
    (
        real.names.normal(&real_args, &one),
        ours.names.normal(&ours_args, &other),
    )
}

/// All that apply in a setting; how many commands were compared, and the differences.
async fn compare(name: &str, setting: Setting, is_long: bool) -> (usize, Vec<String>) {
    let ctl = testkit::peer(&name.replace("etcd", "etcdctl")).unwrap();
    let etcd = testkit::peer(name).unwrap();
    let keelson = testkit::keelson().unwrap();
    let (mut real, mut ours) = tokio::join!(
        Side::start(&etcd, ctl.clone(), setting),
        Side::start(&keelson, ctl, setting)
    );
    let (mut compared, mut unlike, mut is_alone) = (0, Vec::new(), false);
    for step in steps::all() {
        let applies = match step.part {
            Part::All | Part::NoQuorum => true,
            Part::Users => setting.users,
            Part::NoUsers => !setting.users,
            Part::Long => is_long,
        };
        if !applies {
            continue;
        }
        if step.part == Part::NoQuorum && !std::mem::replace(&mut is_alone, true) {
            // The one that is left followed.
            tokio::join!(real.lead(1), ours.lead(1));
            tokio::join!(real.trio.kill_two(), ours.trio.kill_two());
        }
        if step.text.starts_with("endpoint status") && !is_alone {
            tokio::join!(real.lead(0), ours.lead(0));
        }
        let (one, other) = ask(&mut real, &mut ours, &step).await;
        compared += 1;
        let mut older = OLDER.iter().map(|(command, _)| command);
        let is_older = name == "etcd" && older.any(|command| step.text.starts_with(command));
        if one != other && !is_older {
            unlike.push(format!(
                "{setting:?} {}\n  {name}: {one}\n  ours: {other}",
                step.text
            ));
        }
    }
    (compared, unlike)
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_the_same_on_both() {
    let is_long = std::env::var_os(ALL_VARIABLE).is_some();
    let settings = [(false, false), (true, true), (true, false), (false, true)];
    let count = if is_long { settings.len() } else { 2 };
    let mut unlike = Vec::new();
    for name in ["etcd", "etcd-3.7"] {
        if name != "etcd" && testkit::peer(name).is_err() {
            continue;
        }
        for (tls, users) in settings.into_iter().take(count) {
            let setting = Setting { tls, users };
            let begun = Instant::now();
            let (compared, found) = compare(name, setting, is_long).await;
            let took = begun.elapsed().as_secs();
            eprintln!(
                "{name}, {setting:?}: {compared} commands compared, {} differ, {took} s",
                found.len()
            );
            unlike.extend(found);
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}
