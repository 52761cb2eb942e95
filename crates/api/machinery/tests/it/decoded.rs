//! Bodies that the real server's decoder refused, with its words.

use api_machinery::schema::{Fault, check};
use api_meta::{Gvk, object};
use serde_json::Value;

const RECORDED: &str = include_str!("golden/decoded.json");

#[test]
fn bodies_are_refused_in_the_real_decoders_words() {
    let pairs: Vec<(Value, String)> = serde_json::from_str(RECORDED).unwrap();
    assert!(pairs.len() > 30);
    let mut differences = Vec::new();
    for (sent, told) in pairs {
        let gvk = Gvk::from_api_version(object::api_version(&sent), object::kind(&sent));
        let (mut wrong, mut unknown) = (None, Vec::new());
        for fault in check(&gvk, &sent) {
            match fault {
                Fault::WrongType(text) => wrong = wrong.or(Some(text)),
                Fault::Unknown(path) => unknown.push(format!("unknown field {path:?}")),
            }
        }
        unknown.sort();
        let found = wrong.unwrap_or_else(|| unknown.join(", "));
        // The real one tells unknown fields in the order of the text, which a tree does not keep.
        let told = match told.strip_prefix("strict decoding error: ") {
            Some(fields) => {
                let mut fields: Vec<&str> = fields.split(", ").collect();
                fields.sort_unstable();
                fields.join(", ")
            }
            None => told,
        };
        if found != told {
            differences.push(format!("{sent}\n  ours {found}\n  real {told}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
