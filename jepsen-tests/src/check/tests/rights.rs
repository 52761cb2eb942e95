//! Rights: what is served or refused against what had been given or taken.

use super::{anomalies, judged};
use crate::check::{Model, Workload};

const LOG: &str = "9 does :f :log :value [2 9 [[2 :put \"auth/u\" \"1\" 2 1 nil 0]]]\n";
const DENIED: &str = ":error \"PermissionDenied: etcdserver: permission denied\"";

/// A user who is hired and served, and another who is refused: without both nothing is judged.
fn found(text: &str) -> String {
    let text = format!(
        "1 does :f :hire :value \"u\"\n1 does :f :hire :value \"v\"\n\
         2 does :f :use :value [\"u\" 1 2]\n1 does :f :forbid :value \"v\"\n\
         2 invoke :f :look :value \"v\"\n2 fail :f :look :value \"v\" {DENIED}\n{text}{LOG}"
    );
    anomalies(&judged(&text, Workload::Auth, Model::default())).join(", ")
}

const LOOK: &str = "3 does :f :look :value \"u\"\n";
const FORBID: &str = "1 does :f :forbid :value \"u\"\n";
const PERMIT: &str = "1 does :f :permit :value \"u\"\n";

#[test]
fn nothing_is_served_after_the_right_is_gone() {
    assert_eq!(found(LOOK), "");
    assert_eq!(found(&format!("{FORBID}{LOOK}")), "served-after-revoke");
    let drop = "1 does :f :drop :value \"u\"\n";
    assert_eq!(found(&format!("{drop}{LOOK}")), "served-after-revoke");
    assert_eq!(found(&format!("{FORBID}{PERMIT}{LOOK}")), "");
    // Asked for before it was gone, or given again before the answer.
    let (begin, end) = (
        "3 invoke :f :look :value \"u\"\n",
        "3 ok :f :look :value \"u\"\n",
    );
    assert_eq!(found(&format!("{begin}{FORBID}{end}")), "");
    assert_eq!(found(&format!("{FORBID}{begin}{PERMIT}{end}")), "");
    let late = "1 invoke :f :permit :value \"u\"\n1 info :f :permit :value \"u\"\n";
    assert_eq!(found(&format!("{late}{FORBID}{LOOK}")), "");
    let refused = "1 invoke :f :permit :value \"u\"\n1 fail :f :permit :value \"u\"\n";
    assert_eq!(
        found(&format!("{FORBID}{refused}{LOOK}")),
        "served-after-revoke"
    );
}

#[test]
fn nothing_is_refused_while_the_right_is_there() {
    let denied = format!("3 invoke :f :look :value \"u\"\n3 fail :f :look :value \"u\" {DENIED}\n");
    assert_eq!(found(&denied), "denied-with-right");
    assert_eq!(found(&format!("{FORBID}{denied}")), "");
    assert_eq!(
        found(&format!("{FORBID}{PERMIT}{denied}")),
        "denied-with-right"
    );
    let late = "1 invoke :f :forbid :value \"u\"\n1 info :f :forbid :value \"u\"\n";
    assert_eq!(found(&format!("{late}{PERMIT}{denied}")), "");
    // A token that is old is no question of rights.
    let old = denied.replace("permission denied", "invalid auth token");
    assert_eq!(found(&old), "");
}

#[test]
fn what_was_served_is_there_and_what_was_refused_is_not() {
    assert_eq!(found("3 does :f :use :value [\"u\" 5 3]\n"), "lost");
    let refused =
        format!("3 invoke :f :use :value [\"v\" 1]\n3 fail :f :use :value [\"v\" 1] {DENIED}\n");
    assert_eq!(found(&refused), "refused-write");
}
