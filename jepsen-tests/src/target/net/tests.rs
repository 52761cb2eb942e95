//! Proves what the rules of links become, that networks do not meet, and that nothing of them stays.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use super::super::link::Rules;
use super::{Namespaces, filter, why_not};

#[test]
fn each_direction_has_a_rule_where_it_arrives() {
    let addresses = [11, 12, 13].map(|last| Ipv4Addr::new(198, 18, 0, last));
    let mut rules = Rules::default();
    let of = |rules: &Rules, to| {
        let script = filter::script(rules, to, &addresses);
        let added = script.lines().filter(|line| line.starts_with("add rule"));
        added.map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(of(&rules, 0), [""; 0]);
    rules.hold(0, 2);
    rules.lose(1, 2, 30);
    rules.lose(0, 2, 30);
    assert_eq!(of(&rules, 0), [""; 0]);
    assert_eq!(
        of(&rules, 2),
        [
            "add rule ip jepsen input ip saddr 198.18.0.11 drop",
            "add rule ip jepsen input ip saddr 198.18.0.12 numgen random mod 100 < 30 drop",
        ]
    );
    rules.heal();
    assert_eq!(of(&rules, 2).len(), 2, "what is lost is another fault");
    rules.keep();
    assert_eq!(of(&rules, 2), [""; 0]);
}

#[tokio::test]
async fn networks_do_not_meet_and_leave_nothing() {
    // Where a machine gives none, that is refused, and runs have proxies.
    let one = match (Namespaces::new(3), why_not()) {
        (Ok(one), None) => one,
        (Err(_), Some(_)) => return,
        (one, why) => panic!("{:?}, and yet {why:?}", one.err()),
    };
    let other = Namespaces::new(1).unwrap();
    assert_ne!(one.addresses()[0], other.addresses()[0]);
    let mut cut = Rules::default();
    cut.cut(&[0], &[1]);
    one.apply(|| cut).unwrap();
    let rules = |member| {
        let words = one.enter(member);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["nft", "list", "ruleset"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(rules(0).contains(&format!("ip saddr {} drop", one.addresses()[1])));
    assert!(!rules(2).contains("drop"));
    one.apply(Rules::default).unwrap();
    assert!(!rules(0).contains("drop"));
    let links = [&one, &other].map(|network| {
        let [_, _, number, _] = network.addresses()[0].octets();
        let index = PathBuf::from(format!("/sys/class/net/jepsen{number}/ifindex"));
        (fs::read_to_string(&index).unwrap(), index)
    });
    drop((one, other));
    // The kernel takes a namespace down in its own time, and another network may have the number then.
    testkit::poll(20, "the interfaces' end", async || {
        let is_there = |(was, index): &&(String, PathBuf)| {
            fs::read_to_string(index).is_ok_and(|now| now == *was)
        };
        match links.iter().find(is_there) {
            Some((_, index)) => Err(format!("{} is there", index.display())),
            None => Ok(()),
        }
    })
    .await
    .unwrap();
}
