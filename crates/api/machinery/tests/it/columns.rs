//! Every kind has as many cells in a row as it has columns.

use api_machinery::table::rows;
use api_meta::Kinds;
use serde_json::json;

#[test]
fn each_column_has_its_cell() {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let object = json!({"metadata": {"name": "x", "creationTimestamp": "2026-11-24T11:00:00Z"}});
    let mut faults = Vec::new();
    for kind in Kinds::builtin()
        .iter()
        .filter(|kind| !kind.columns.is_empty())
    {
        let cells = rows::cells(&kind.group, &kind.resource, &object, now).len();
        if cells != kind.columns.len() {
            faults.push(format!(
                "{}: {cells} cells, {} columns",
                kind.gvk(),
                kind.columns.len()
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
