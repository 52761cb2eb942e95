//! Certificates: who is let in and should not be, and the other way round.

use super::{anomalies, judged};
use crate::check::{Model, Workload};

const GOOD: &str = "0 does :f :dial :value \"good\" :time 1\n";
const BAD: &str =
    "1 invoke :f :dial :value \"nobody\" :time 2\n1 fail :f :dial :value \"nobody\" :time 2\n";

fn found(text: &str) -> String {
    let text = format!("{GOOD}{BAD}{text}");
    anomalies(&judged(&text, Workload::Tls, Model::default())).join(", ")
}

fn fails(who: &str, second: i64) -> String {
    let at = second * 1_000_000_000;
    let event = |kind: &str| format!("2 {kind} :f :dial :value \"{who}\" :time {at}\n");
    format!("{}{}", event("invoke"), event("fail"))
}

fn does(who: &str, second: i64) -> String {
    let at = second * 1_000_000_000;
    format!("2 does :f :dial :value \"{who}\" :time {at}\n")
}

fn nemesis(what: &str, told: &str, second: i64) -> String {
    let at = second * 1_000_000_000;
    format!(":nemesis info :f :{what}-certificates :value \"{told}\" :time {at}\n")
}

#[test]
fn only_a_good_certificate_lets_in() {
    assert_eq!(found(""), "");
    for who in ["expired", "stranger", "nobody"] {
        assert_eq!(found(&does(who, 3)), "let-in", "{who}");
        assert_eq!(found(&fails(who, 3)), "", "{who}");
    }
    assert_eq!(found(&fails("good", 3)), "refused-good");
    assert_eq!(found(&fails("client-3", 3)), "refused-good");
    let old = "3 invoke :f :old :time 3\n3 fail :f :old :time 3\n";
    assert_eq!(found(old), "old-connection-lost");
    let silent = format!(
        "{}{}{}",
        nemesis("start", "silent handshakes", 3),
        fails("good", 4),
        nemesis("stop", "silent handshakes", 5)
    );
    assert_eq!(found(&silent), "refused-good");
}

#[test]
fn a_revoked_certificate_lets_nobody_in() {
    let told = "revocation of client-3";
    let (start, stop) = (nemesis("start", told, 3), nemesis("stop", told, 5));
    assert_eq!(
        found(&format!("{start}{stop}{}", does("client-3", 6))),
        "let-in"
    );
    assert_eq!(found(&format!("{start}{stop}{}", fails("client-3", 6))), "");
    assert_eq!(found(&format!("{start}{}{stop}", does("client-3", 4))), "");
    assert_eq!(found(&format!("{start}{stop}{}", does("client-4", 6))), "");
    assert_eq!(
        found(&format!("{}{start}{stop}", fails("client-3", 2))),
        "refused-good"
    );
}

#[test]
fn a_certificate_that_has_ended_is_trusted_by_nobody() {
    let told = "a certificate that has ended";
    let (start, stop) = (nemesis("start", told, 3), nemesis("stop", told, 8));
    assert_eq!(found(&format!("{start}{}{stop}", fails("good", 5))), "");
    assert_eq!(
        found(&format!("{start}{}{stop}", does("good", 5))),
        "old-certificate"
    );
    assert_eq!(
        found(&format!("{start}{stop}{}", fails("good", 9))),
        "refused-good"
    );
}
