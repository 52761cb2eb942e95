//! Selectors against label sets, and the words of refusals.

use serde_json::json;

use super::Selector;

fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
    let labels: Vec<_> = labels
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect();
    Selector::parse(selector).unwrap().matches(&labels)
}

#[test]
fn matching() {
    let labels = [("a", "1"), ("b", ""), ("in", "x")];
    for yes in [
        "",
        "a",
        "a=1",
        "a==1",
        "a!=2",
        "c!=1",
        "!c",
        "b",
        "b=",
        "b=,a=1",
        "a in (1,2)",
        "a in (2, 1)",
        "a notin (2)",
        "c notin (1)",
        "a>0",
        "a<2",
        "in",
        "in=x",
        "in in (x)",
        " a = 1 , b",
        "b in (,x)",
    ] {
        assert!(matches(yes, &labels), "{yes}");
    }
    for no in [
        "c",
        "a=2",
        "a!=1",
        "!a",
        "a in (2)",
        "a notin (1)",
        "a>1",
        "a<1",
        "b>0",
        "c in (1)",
    ] {
        assert!(!matches(no, &labels), "{no}");
    }
}

#[test]
fn refusals() {
    let check =
        |text: &str, why: &str| assert_eq!(Selector::parse(text).unwrap_err().0, why, "{text}");
    check("a,", "found '', expected: identifier after ','");
    check(
        "=a",
        "found '=', expected: !, identifier, or 'end of string'",
    );
    check(
        "a b",
        "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    );
    check(
        "a in b",
        "unable to parse requirement: found 'b' expected: '('",
    );
    check(
        "a in (b",
        "unable to parse requirement: found '', expected: ',' or ')'",
    );
    check(
        "a>x",
        "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
    );
    assert!(Selector::parse("-a=b").unwrap_err().0.starts_with(
        "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"
    ));
    assert!(Selector::parse("a=-b").unwrap_err().0.starts_with(
        "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be"
    ));
}

#[test]
fn printing_reads_back() {
    for text in [
        "a=1",
        "a!=1",
        "a in (1,2)",
        "a notin (1,2)",
        "a",
        "!a",
        "a>1,b<2",
    ] {
        assert_eq!(Selector::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn the_structured_form() {
    let selector = json!({
        "matchLabels": {"a": "1"},
        "matchExpressions": [{"key": "b", "operator": "In", "values": ["x", "y"]}]
    });
    let selector = Selector::from_value(Some(&selector)).unwrap();
    assert_eq!(selector.to_string(), "a=1,b in (x,y)");
    assert!(
        Selector::from_value(Some(&json!({})))
            .unwrap()
            .is_everything()
    );
    assert!(!Selector::from_value(None).unwrap().matches(&[]));
    let odd = json!({"matchExpressions": [{"key": "b", "operator": "Odd"}]});
    assert_eq!(
        Selector::from_value(Some(&odd)).unwrap_err().0,
        "\"Odd\" is not a valid label selector operator"
    );
}
