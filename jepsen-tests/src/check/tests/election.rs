//! Elections: two leaders at once, leaders that never were, and observers that go back.

use super::{anomalies, judged};
use crate::check::{Model, Workload};

/// `a` leads from revision 2 to 5, `b` from then on to 7, and each writes once.
const LOG: &str = "9 does :f :log :value [2 9 [[2 :put \"e/a\" \"x\" 2 1 nil 7] \
    [3 :put \"e/b\" \"y\" 3 1 nil 8] [4 :put \"r\" \"1 on 0 by e/a\" 4 1 nil 0] \
    [5 :delete \"e/a\" nil 0 0 2 0] [6 :put \"r\" \"2 on 1 by e/b\" 4 2 4 0] \
    [7 :delete \"e/b\" nil 0 0 3 0]]]\n";

fn found(text: &str) -> String {
    let text = format!("{text}{LOG}");
    anomalies(&judged(&text, Workload::Election, Model::default())).join(", ")
}

const A: &str = "0 does :f :campaign :value [\"e\" \"e/a\" 2]\n";
const B: &str = "1 does :f :campaign :value [\"e\" \"e/b\" 3]\n";
const A_WRITES: &str = "0 does :f :fenced-write :value [\"r\" 1 4]\n";
const B_WRITES: &str = "1 does :f :fenced-write :value [\"r\" 2 6]\n";

#[test]
fn one_leads_after_the_other() {
    assert_eq!(found(&format!("{A}{A_WRITES}{B}{B_WRITES}")), "");
    // The write was under way when the other was told: nobody can tell which came first.
    let open = "0 invoke :f :fenced-write :value [\"r\" 1]\n";
    let closed = "0 ok :f :fenced-write :value [\"r\" 1 4]\n";
    assert_eq!(found(&format!("{A}{open}{B}{closed}{B_WRITES}")), "");
    assert_eq!(found(&format!("{A}{B}{A_WRITES}{B_WRITES}")), "two-leaders");
    let never = "0 does :f :campaign :value [\"e\" \"e/c\" 4]\n";
    assert_eq!(found(never), "lost");
    assert_eq!(
        found(A_WRITES),
        "unknown: nothing was judged: nobody was told to lead"
    );
}

#[test]
fn whoever_is_named_leads() {
    let leader = |key: &str, value: &str, at: i64, header: i64| {
        let told = format!("[\"e\" \"{key}\" \"{value}\" {at} {header}]");
        found(&format!("{A}2 does :f :leader :value {told}\n"))
    };
    assert_eq!(leader("e/a", "x", 2, 2), "");
    assert_eq!(leader("e/a", "x", 2, 4), "");
    assert_eq!(leader("e/b", "y", 3, 5), "");
    assert_eq!(leader("e/b", "y", 3, 4), "not-leader");
    assert_eq!(leader("e/a", "x", 2, 5), "not-leader");
    assert_eq!(leader("e/a", "z", 2, 4), "not-leader");
    let proclaim = "0 does :f :proclaim :value [\"e/a\" \"z\" 8]\n";
    assert_eq!(found(&format!("{A}{proclaim}")), "lost");
}

#[test]
fn observers_see_leaders_in_their_order() {
    let observer = |told: &[&str]| {
        let mut text = A.to_owned();
        for told in told {
            text.push_str(&format!(":observer-1 info {told}\n"));
        }
        found(&text)
    };
    let a = ":f :observed :value [\"e/a\" \"x\" 2 2]";
    let b = ":f :observed :value [\"e/b\" \"y\" 3 3]";
    let open = ":f :open :value \"n2\"";
    assert_eq!(observer(&[open, a, b]), "");
    assert_eq!(observer(&[open, a, open, a, b]), "");
    assert_eq!(observer(&[open, a, a]), "observe-order");
    assert_eq!(observer(&[open, b, a]), "observe-order");
    assert_eq!(observer(&[open, b, open, a]), "observe-order");
    let other = ":f :observed :value [\"e/a\" \"q\" 2 2]";
    assert_eq!(observer(&[open, other]), "observe-unexpected");
}

#[test]
fn who_never_led_is_never_observed() {
    let log = "9 does :f :log :value [2 9 [[2 :put \"e/a\" \"x\" 2 1 nil 7] \
        [3 :put \"e/b\" \"y\" 3 1 nil 8] [4 :delete \"e/b\" nil 0 0 3 0]]]\n";
    let text = format!("{A}:observer-1 info :f :observed :value [\"e/b\" \"y\" 3 3]\n{log}");
    let judgement = judged(&text, Workload::Election, Model::default());
    assert_eq!(anomalies(&judgement), ["observe-not-leader"]);
}
