//! Proves that the page holds what it must, and nothing of a history can break out of it.

use super::faults::{Fault, faults};
use super::page;
use crate::check::{Options, judge};
use crate::history::{Event, read};

fn events(text: &str) -> Vec<Event> {
    read(text.as_bytes()).unwrap()
}

const STALE: &str = "{:process 0 :type :invoke :f :txn :value [[:append \"</script><u>\" 1]] :time 1000}\n\
    {:process 0 :type :ok :f :txn :value [[:append \"</script><u>\" 1]] :time 2000}\n\
    {:process :nemesis :type :info :f :kill :value \"n1\" :time 2500}\n\
    {:process 1 :type :invoke :f :txn :value [[:r \"</script><u>\" nil]] :time 3000}\n\
    {:process 1 :type :ok :f :txn :value [[:r \"</script><u>\" []]] :time 4000}";

#[test]
fn the_page_shows_verdict_proof_and_operations() {
    let events = events(STALE);
    let page = page(
        "{{data}} & <run>",
        &events,
        &judge(&events, Options::default()),
    );
    for wanted in [
        "{{data}} &amp; &lt;run&gt;",
        "class=\"verdict violated\"",
        "<h3>G-single-realtime</h3>",
        "<path class=\"edge rw\"",
        "<path class=\"edge realtime\"",
        "\"name\":\"kill n1\"",
        "\"total\":2",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(
        !page.contains("<u>"),
        "text of the history must not become markup"
    );
    assert_eq!(page.matches("</script>").count(), 2);
    for outside in ["http:", "https:", "src=", "url(\"", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_history_that_says_nothing_has_a_page_too() {
    let page = page("empty", &[], &judge(&[], Options::default()));
    assert!(page.contains("could not judge") && page.contains("\"ops\":[]"));
}

#[test]
fn faults_end_where_they_are_undone() {
    let note = |f: &str, value: &str| {
        format!("{{:process :nemesis :type :info :f :{f} :value {value}}}\n")
    };
    let jepsen = [
        note("start-partition", ":majority"),
        note("start-partition", "[:isolated {}]"),
        note("stop-partition", "nil"),
        note("stop-partition", ":network-healed"),
    ];
    let partition = |from, to| Fault {
        name: "partition".into(),
        from,
        to,
    };
    assert_eq!(faults(&events(&jepsen.concat())), [partition(0, Some(2))]);
    let ours = [
        note("kill", "\"store-0\""),
        note("kill", "\"store-1\""),
        note("restart", "\"store-0\""),
    ];
    let found = faults(&events(&ours.concat()));
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].name.as_str(), found[0].to),
        ("kill store-0", Some(2))
    );
}
