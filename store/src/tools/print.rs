//! etcdutl's output formats.

use std::fmt::Write;

use serde::Serialize;

use super::hashkv::HashKv;
use super::status::Status;

/// `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The values, comma-separated.
    Simple,
    /// A line a value, with its name.
    Fields,
    /// One JSON object.
    Json,
    /// A table with lines.
    Table,
    /// What etcdutl offers and has no message for.
    Protobuf,
}

impl Format {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "simple" => Self::Simple,
            "fields" => Self::Fields,
            "json" => Self::Json,
            "table" => Self::Table,
            "protobuf" => Self::Protobuf,
            _ => return None,
        })
    }
}

/// Something that each format can show.
pub(crate) trait Show: Serialize {
    /// The table's head and row.
    fn cells(&self) -> Vec<(&'static str, String)>;
    /// Names and values as `fields` has them.
    fn fields(&self) -> Vec<(&'static str, String)>;
}

impl Show for Status {
    fn cells(&self) -> Vec<(&'static str, String)> {
        vec![
            ("hash", format!("{:x}", self.hash)),
            ("revision", self.revision.to_string()),
            ("total keys", self.total_key.to_string()),
            ("total size", human_bytes(self.total_size)),
            ("version", self.version.clone()),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Hash", self.hash.to_string()),
            ("Revision", self.revision.to_string()),
            ("Keys", self.total_key.to_string()),
            ("Size", self.total_size.to_string()),
            ("Version", self.version.clone()),
        ]
    }
}

impl Show for HashKv {
    fn cells(&self) -> Vec<(&'static str, String)> {
        vec![
            ("hash", self.hash.to_string()),
            ("hash revision", self.hash_revision.to_string()),
            ("compact revision", self.compact_revision.to_string()),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Hash", self.hash.to_string()),
            ("Hash revision", self.hash_revision.to_string()),
            ("Compact revision", self.compact_revision.to_string()),
        ]
    }
}

/// The text for `shown`; none for a format without one.
pub(crate) fn render(shown: &impl Show, format: Format) -> Option<String> {
    Some(match format {
        Format::Simple => {
            let cells: Vec<String> = shown.cells().into_iter().map(|(_, cell)| cell).collect();
            format!("{}\n", cells.join(", "))
        }
        Format::Fields => {
            shown
                .fields()
                .into_iter()
                .fold(String::new(), |mut text, (name, value)| {
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "\"{name}\" : {value}");
                    text
                })
        }
        Format::Json => format!("{}\n", serde_json::to_string(shown).ok()?),
        Format::Table => table(&shown.cells()),
        Format::Protobuf => return None,
    })
}

/// The head centred in capitals, the row on the right.
fn table(cells: &[(&'static str, String)]) -> String {
    let widths: Vec<usize> = cells
        .iter()
        .map(|(head, cell)| head.chars().count().max(cell.chars().count()))
        .collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let lines: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", lines.join(middle))
    };
    let line = |cells: Vec<String>| format!("│{}│\n", cells.join("│"));
    let heads = cells
        .iter()
        .zip(&widths)
        .map(|((head, _), width)| format!(" {:^width$} ", head.to_uppercase()));
    let row = cells
        .iter()
        .zip(&widths)
        .map(|((_, cell), width)| format!(" {cell:>width$} "));
    [
        rule("┌", "┬", "┐"),
        line(heads.collect()),
        rule("├", "┼", "┤"),
        line(row.collect()),
        rule("└", "┴", "┘"),
    ]
    .concat()
}

/// Bytes in powers of a thousand, with a decimal below ten.
fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut power = 0;
    let mut scale = 1_u128;
    while u128::from(bytes) >= scale * 1000 {
        scale *= 1000;
        power += 1;
    }
    // Rounded half up, in tenths.
    let tenths = (u128::from(bytes) * 10 + scale / 2) / scale;
    let unit = UNITS.get(power).unwrap_or(&"B");
    match tenths < 100 {
        true => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        // Go prints the tenths rounded half to even.
        false => {
            let (whole, rest) = (tenths / 10, tenths % 10);
            let up = rest > 5 || (rest == 5 && whole % 2 == 1);
            format!("{} {unit}", whole + u128::from(up))
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn status() -> Status {
        Status {
            hash: 514_703_696,
            revision: 10,
            total_key: 6,
            total_size: 49_152,
            version: String::new(),
        }
    }

    fn check(shown: &impl Show, format: &str, expected: Expect) {
        let format = Format::parse(format).unwrap();
        expected.assert_eq(&render(shown, format).unwrap());
    }

    // What etcdutl 3.7 printed for the same file.
    #[test]
    fn a_status_looks_like_etcdutls() {
        check(&status(), "simple", expect![["1eadc150, 10, 6, 49 kB, \n"]]);
        check(
            &status(),
            "json",
            expect![[r#"
                {"hash":514703696,"revision":10,"totalKey":6,"totalSize":49152,"version":""}
            "#]],
        );
        check(
            &status(),
            "table",
            expect![[r#"
                ┌──────────┬──────────┬────────────┬────────────┬─────────┐
                │   HASH   │ REVISION │ TOTAL KEYS │ TOTAL SIZE │ VERSION │
                ├──────────┼──────────┼────────────┼────────────┼─────────┤
                │ 1eadc150 │       10 │          6 │      49 kB │         │
                └──────────┴──────────┴────────────┴────────────┴─────────┘
            "#]],
        );
        check(
            &status(),
            "fields",
            expect![[r#"
                "Hash" : 514703696
                "Revision" : 10
                "Keys" : 6
                "Size" : 49152
                "Version" : 
            "#]],
        );
        assert_eq!(render(&status(), Format::Protobuf), None);
    }

    #[test]
    fn a_hash_looks_like_etcdutls() {
        let hash = HashKv {
            hash: 318_028_816,
            hash_revision: 10,
            compact_revision: 6,
        };
        check(&hash, "simple", expect![["318028816, 10, 6\n"]]);
        check(
            &hash,
            "table",
            expect![[r#"
                ┌───────────┬───────────────┬──────────────────┐
                │   HASH    │ HASH REVISION │ COMPACT REVISION │
                ├───────────┼───────────────┼──────────────────┤
                │ 318028816 │            10 │                6 │
                └───────────┴───────────────┴──────────────────┘
            "#]],
        );
    }

    #[test]
    fn sizes_are_rounded_as_gos_humanize_does() {
        for (bytes, text) in [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_550, "1.6 kB"),
            (9_949, "9.9 kB"),
            (20_480, "20 kB"),
            (25_000_000, "25 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(human_bytes(bytes), text, "{bytes}");
        }
    }
}
