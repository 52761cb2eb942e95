//! Which of several classes is the default one: the newest that is marked so.

use api_meta::object;
use api_meta::status::Status;
use serde_json::Value;

use crate::cache::ObjectReader;

/// The name of the default class of a kind. `marks` are the annotations that make a class one.
pub(super) fn newest(
    reader: &dyn ObjectReader,
    kind: &api_meta::Kind,
    marks: &[&str],
) -> Result<Option<String>, Status> {
    let mut best: Option<Value> = None;
    for found in reader.list(kind, None) {
        let class = found.value()?;
        let is_marked = marks
            .iter()
            .any(|mark| object::annotation(&class, mark) == Some("true"));
        // Of two of one age the first by its name; the list is in that order.
        let is_newer = best.as_ref().is_none_or(|best| made(&class) > made(best));
        if is_marked && is_newer {
            best = Some(class);
        }
    }
    Ok(best.map(|class| object::name(&class).to_owned()))
}

/// The form sorts as the times do.
fn made(class: &Value) -> &str {
    object::metadata(class, "creationTimestamp")
}
