//! Warnings as headers. Input: texts that may repeat what a user sent, in any script.
//!
//! Mirrors NewWarningHeader of apimachinery and the recorder of upstream's filter: the text is UTF-8
//! as it is, in quotation marks, as RFC 7234 has it, and not encoded as RFC 2616 had it.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// What a warning of ours is marked with: a miscellaneous persistent warning.
const CODE: &str = "299";
/// Characters of all texts together; if they have more, each is cut.
const CHARS_MAX: usize = 4096;
/// What a text is cut to.
const CUT_CHARS: usize = 256;

/// Adds a header for each text.
pub(super) fn add(headers: &mut HeaderMap, texts: Vec<String>) {
    let all: usize = texts.iter().map(|text| text.chars().count()).sum();
    let is_cut = all > CHARS_MAX;
    let mut written = 0;
    for text in texts.iter().filter(|text| !text.is_empty()) {
        if is_cut && written >= CHARS_MAX {
            return;
        }
        let chars_max = if is_cut { CUT_CHARS } else { CHARS_MAX };
        written += text.chars().count().min(chars_max);
        if let Some(value) = header(text.chars().take(chars_max)) {
            headers.append(HeaderName::from_static("warning"), value);
        }
    }
}

fn header(text: impl Iterator<Item = char>) -> Option<HeaderValue> {
    let mut value = format!("{CODE} - \"");
    for c in text {
        match c {
            '"' | '\\' => value.extend(['\\', c]),
            // Upstream drops a text with one; its clients refuse to read it.
            c if c.is_control() => value.push(' '),
            c => value.push(c),
        }
    }
    value.push('"');
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use http::header::HeaderMap;

    use super::add;

    fn shown(texts: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        add(
            &mut headers,
            texts.iter().map(|text| (*text).to_owned()).collect(),
        );
        let values = headers.get_all("warning").iter();
        values
            .map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_warning_is_told_in_any_script() {
        assert_eq!(
            shown(&["unknown field \"späc\\\"", "", "世界", "a\nb\u{85}c"]),
            [
                "299 - \"unknown field \\\"späc\\\\\\\"\"",
                "299 - \"世界\"",
                "299 - \"a b c\"",
            ]
        );
    }

    #[test]
    fn many_words_are_cut() {
        let long = "ä".repeat(300);
        assert_eq!(shown(&[&long])[0].chars().count(), 300 + 8);
        let other = "b".repeat(4000);
        let cut = shown(&[&long, &other]);
        let lengths: Vec<_> = cut.iter().map(|text| text.chars().count()).collect();
        assert_eq!(lengths, [256 + 8, 256 + 8]);
        let many: Vec<String> = (100..140).map(|n| n.to_string().repeat(100)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(shown(&many).len(), 16);
    }
}
