//! Proves that a history is read back as written, from every form, and that a damaged one is
//! refused with its place.

use super::{Event, History, Kind, Process, pair, read, write_edn, write_json};
use crate::edn::Value;

fn recorded() -> Vec<Event> {
    let history = History::default();
    let process = history.new_process();
    let op = history.invoke(process, "put", Value::text("k1"));
    history.nemesis("kill", "store-0");
    let next = history.complete(op, Kind::Info, Value::text("k1"), Some("timed out".into()));
    assert_ne!(next, process);
    let op = history.invoke(next, "txn", Value::Vector(vec![1.into(), Value::Nil]));
    history.complete(op, Kind::Ok, Value::Vector(vec![1.into(), 2.into()]), None);
    history.events()
}

fn edn(events: &[Event]) -> String {
    let mut bytes = Vec::new();
    write_edn(events, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn json(events: &[Event]) -> String {
    let mut bytes = Vec::new();
    write_json(events, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The same events whatever lines they stand in.
fn without_lines(mut events: Vec<Event>) -> Vec<Event> {
    events.iter_mut().for_each(|event| event.line = 0);
    events
}

#[test]
fn a_history_is_read_back_as_written() {
    let events = recorded();
    for text in [edn(&events), json(&events)] {
        let back = read(text.as_bytes()).unwrap();
        assert_eq!(without_lines(back), without_lines(events.clone()), "{text}");
    }
}

/// The formats, so that a change of them is seen.
#[test]
fn the_forms_are_these() {
    let event = Event {
        index: Some(0),
        line: 1,
        time_ns: Some(12),
        process: Process::Client(3),
        kind: Kind::Ok,
        f: "put".into(),
        value: Value::Vector(vec![Value::text("k"), 7.into()]),
        error: None,
    };
    let events = [event];
    assert_eq!(
        edn(&events),
        "; keelson history, version 1\n{:index 0, :time 12, :type :ok, :process 3, :f :put, :value [\"k\" 7]}\n; end, 1 events\n"
    );
    assert_eq!(
        json(&events),
        "{\"history\":\"keelson\",\"version\":1}\n{\"f\":\"put\",\"index\":0,\"process\":3,\"time\":12,\"type\":\"ok\",\"value\":[\"k\",7]}\n{\"end\":1}\n"
    );
}

#[test]
fn reads_what_others_write() {
    let one = "{:type :ok, :f :read, :value nil, :process 0, :time 3, :index 0}";
    let forms = [
        one.to_owned(),
        format!("[{one}]"),
        format!("#jepsen.history.Op{one}"),
        "({:jepsen/type :jepsen/ok, :f :read :process 0 :time 3 :index 0 :node \"n1\"})".to_owned(),
        "[{\"type\":\"ok\",\"f\":\"read\",\"value\":null,\"process\":0,\"time\":3,\"index\":0}]"
            .to_owned(),
        "{\"type\":\"ok\",\"f\":\"read\",\"value\":null,\"process\":0,\"time\":3,\"index\":0}\n"
            .to_owned(),
    ];
    for text in forms {
        let events = read(text.as_bytes()).unwrap();
        let [event] = events.as_slice() else {
            panic!("{text}");
        };
        assert_eq!(
            (event.kind, event.f.as_str(), event.time_ns),
            (Kind::Ok, "read", Some(3)),
            "{text}"
        );
        assert_eq!(event.process, Process::Client(0));
    }
    let nemesis = read(b"{:type :info :f :kill :process :nemesis :value {:n1 :killed}}").unwrap();
    assert_eq!(nemesis[0].process, Process::Named("nemesis".into()));
}

#[test]
fn damage_is_named() {
    let events = recorded();
    let cut = |text: &str, lines: usize| {
        let all: Vec<&str> = text.lines().collect();
        all[..all.len() - lines].join("\n")
    };
    let cases = [
        (cut(&edn(&events), 1), "cut short"),
        (cut(&edn(&events), 2), "cut short"),
        (cut(&json(&events), 1), "cut short"),
        (cut(&json(&events), 3), "cut short"),
        (
            edn(&events).replace("version 1", "version 2"),
            "version 2, and this build reads version 1",
        ),
        (
            json(&events).replace("\"version\":1", "\"version\":9"),
            "version 9, and this build reads version 1",
        ),
        (
            json(&events).replace("{\"end\":5}", "{\"end\":6}"),
            "it has 5 of 6 events",
        ),
        (
            "{:type :ok :f :read".into(),
            "line 1, column 20: the text ends where a '}' is missing",
        ),
        (
            "[{:type :ok :process 1}\n".into(),
            "line 2, column 1: the text ends where a ']' is missing",
        ),
        (
            "\n\n{:type :ok :f :read}".into(),
            "line 3: an event without :process",
        ),
        ("{:process 0}".into(), "line 1: an event without :type"),
        (
            "{:process 0 :type :maybe}".into(),
            ":type must be :invoke, :ok, :fail or :info, and not :maybe",
        ),
        ("{:process [] :type :ok}".into(), ":process cannot be []"),
        ("7".into(), "line 1: an event must be a map"),
        (
            "{\"op\":\"write\"}".into(),
            "line 1: an event without :process",
        ),
        (
            "{:process 0 :type :invoke :index 5}\n{:process 0 :type :ok :index 3}".into(),
            "line 2: index 3 comes after index 5",
        ),
    ];
    for (text, why) in cases {
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert_eq!(
        read(b"{:a \xff}").unwrap_err().to_string(),
        "byte 4 is no UTF-8"
    );
}

#[test]
fn an_operation_that_never_ended_is_of_unknown_outcome() {
    let text = "{:type :invoke :f :write :process 0 :value 1}\n{:type :info :f :kill :process :nemesis}\n\
                {:type :invoke :f :write :process 1 :value 2}\n{:type :info :f :write :process 1 :value 2}";
    let events = read(text.as_bytes()).unwrap();
    let ops = pair(&events).unwrap();
    assert_eq!(ops.len(), 2);
    assert!(
        ops.iter()
            .all(|op| op.kind == Kind::Info && op.completed_at == super::NEVER)
    );
}

#[test]
fn numbers_that_repeat_are_dropped() {
    let text = "{:type :invoke :process 0 :index 5}\n{:type :invoke :process 1 :index 4}\n\
                {:type :ok :process 0 :index 5}";
    let events = read(text.as_bytes()).unwrap();
    assert!(events.iter().all(|event| event.index.is_none()));
}

#[test]
fn a_long_value_is_shown_by_its_ends() {
    let list: Vec<String> = (1000..1500).map(|number| number.to_string()).collect();
    let value = format!("[{}]", list.join(" "));
    let text = format!(
        "{{:type :invoke :f :read :process 0}}\n{{:type :ok :f :read :process 0 :value {value}}}"
    );
    let events = read(text.as_bytes()).unwrap();
    let shown = pair(&events).unwrap()[0].show();
    assert!(
        shown.starts_with("line 1: process 0 :read [1000 1001 "),
        "{shown}"
    );
    assert!(
        shown.ends_with(" 1498 1499] ok") && shown.contains(" … "),
        "{shown}"
    );
    assert!(shown.chars().count() < 300, "{shown}");
}
