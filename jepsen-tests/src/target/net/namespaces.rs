//! The members' namespaces, their addresses, and the bridge between them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

use super::super::link::Rules;
use super::filter;
use super::space::{Space, Tool};

/// Networks at once on one machine: each has a /24 of the range that is set aside for tests of
/// networks (RFC 2544).
const NUMBERS: u8 = u8::MAX;
const RANGE: [u8; 2] = [198, 18];
/// This process's end. Members follow, from the first one on.
const OUTSIDE: u8 = 1;
const FIRST_MEMBER: u8 = 11;

/// A network. Dropping it ends it, once no member runs in it.
pub(crate) struct Namespaces {
    addresses: Vec<Ipv4Addr>,
    spaces: Vec<Space>,
    /// What each member's rules are now.
    scripts: Mutex<Vec<String>>,
    // The bridge is in it, so that no rule of this machine meets what members say to each other.
    _hub: Space,
}

impl Namespaces {
    /// Makes one for `count` members.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let hub = Space::new()?;
        let number = plug_in(&hub)?;
        let [a, b] = RANGE;
        let address = |last| Ipv4Addr::new(a, b, number, last);
        let link = name(number);
        let outside = [
            format!("addr add {}/24 dev {link}", address(OUTSIDE)),
            format!("link set {link} up"),
        ];
        let words = ["ip", "-batch", "-"].map(str::to_owned);
        Tool::start(&words, &outside.join("\n"))?.end()?;
        let bridge = [
            "link add name bridge0 type bridge",
            "link set bridge0 up",
            "link set outside master bridge0 up",
        ];
        hub.ip(&bridge.map(str::to_owned))?;
        let (mut spaces, mut addresses) = (Vec::new(), Vec::new());
        for (last, member) in (FIRST_MEMBER..).zip(1..=count) {
            let space = Space::new()?;
            let pid = space.pid();
            hub.ip(&[
                format!("link add name n{member} type veth peer name eth0 netns {pid}"),
                format!("link set n{member} master bridge0 up"),
            ])?;
            space.ip(&[
                "link set lo up".to_owned(),
                format!("addr add {}/24 dev eth0", address(last)),
                "link set eth0 up".to_owned(),
            ])?;
            spaces.push(space);
            addresses.push(address(last));
        }
        Ok(Self {
            addresses,
            spaces,
            scripts: Mutex::new(vec![String::new(); count]),
            _hub: hub,
        })
    }

    /// The members' addresses.
    pub(crate) fn addresses(&self) -> &[Ipv4Addr] {
        &self.addresses
    }

    /// Words before a program that make it run in a member's namespace.
    pub(crate) fn enter(&self, member: usize) -> Vec<String> {
        self.spaces[member].enter()
    }

    /// Makes links do what `newest` says when it is their turn. It blocks.
    pub(crate) fn apply(&self, newest: impl FnOnce() -> Rules) -> Result<()> {
        // Held until the rules are there: whoever comes later has rules at least as new.
        let mut scripts = self.scripts.lock();
        let rules = newest();
        let mut running = Vec::new();
        for (member, space) in self.spaces.iter().enumerate() {
            let script = filter::script(&rules, member, &self.addresses);
            if script != scripts[member] {
                running.push((member, space.nft(&script)?, script));
            }
        }
        for (member, tool, script) in running {
            tool.end().context("change the rules of a member's links")?;
            scripts[member] = script;
        }
        Ok(())
    }
}

/// The interface of this machine that leads into a network.
fn name(number: u8) -> String {
    format!("jepsen{number}")
}

/// Connects this machine with a network, by the first number that is free. The name of the interface
/// is what makes it ours.
fn plug_in(hub: &Space) -> Result<u8> {
    let pid = hub.pid().to_string();
    let [a, b] = RANGE;
    for number in 0..NUMBERS {
        let link = name(number);
        let is_taken = Path::new("/sys/class/net").join(&link).exists();
        if is_taken || is_routed(&format!("{a}.{b}.{number}.0/24"))? {
            continue;
        }
        let words = format!("ip link add name {link} type veth peer name outside netns {pid}");
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        match Tool::start(&words, "")?.end() {
            Ok(()) => return Ok(number),
            // Somebody else was first.
            Err(error) if format!("{error:#}").contains("File exists") => {}
            Err(error) => return Err(error),
        }
    }
    bail!("every network of {a}.{b}.0.0/16 is in use");
}

/// Whether the machine has a way of its own to addresses of this range.
fn is_routed(range: &str) -> Result<bool> {
    let shown = Command::new("ip")
        .args(["-4", "route", "show", "root", range])
        .output()
        .context("start ip")?;
    Ok(!shown.stdout.is_empty())
}
