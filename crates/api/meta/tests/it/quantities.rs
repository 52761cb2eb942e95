//! Quantities as the real server wrote them back, and the laws that hold for all of them.

use api_meta::quantity::{self, Quantity};
use proptest::prelude::*;

const RECORDED: &str = include_str!("golden/quantities.json");

#[test]
fn each_has_the_one_form_of_the_real_server() {
    let pairs: Vec<(String, Option<String>)> = serde_json::from_str(RECORDED).unwrap();
    assert!(pairs.len() > 60);
    let mut differences = Vec::new();
    for (text, expected) in pairs {
        let found = quantity::written(text.trim(), true).ok();
        if found != expected {
            differences.push(format!("{text:?}: ours {found:?}, real {expected:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

proptest! {
    #[test]
    fn the_written_form_reads_back_as_the_same_amount(
        number in -1_000_000_000i64..1_000_000_000,
        decimals in 0u32..1000,
        suffix in prop::sample::select(vec!["", "m", "u", "n", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3"]),
    ) {
        let text = format!("{number}.{decimals:03}{suffix}");
        let once: Quantity = text.parse().unwrap();
        let again: Quantity = once.to_string().parse().unwrap();
        prop_assert_eq!(&once, &again);
        prop_assert_eq!(once.to_string(), again.to_string());
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}") {
        let _ = quantity::written(&text, false);
    }
}
