//! The query of a request, decoded. Knows no option's meaning.

use std::borrow::Cow;

/// A parsed query string. A name may come several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what follows the `?`.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| percent_decode(text, true).into_owned();
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The first value of a name, unless it is empty.
    pub fn get(&self, name: &str) -> Option<String> {
        self.str(name).map(str::to_owned)
    }

    /// The first value of a name, unless it is empty.
    pub fn str(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Every value of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a name is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// Whether a switch is on. A name without a value is on, as upstream reads it.
    pub fn is_true(&self, name: &str) -> bool {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .is_some_and(|(_, value)| {
                !matches!(
                    value.as_str(),
                    "0" | "f" | "F" | "false" | "FALSE" | "False"
                )
            })
    }
}

/// Decodes `%XX`; what is not such a form stays as it is. Bytes that are not UTF-8 are replaced.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(first),
        }
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("a=1&b=x%20y+z&c&a=2&bad=%zz%2");
        assert_eq!(query.str("a"), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.str("b"), Some("x y z"));
        assert_eq!(query.str("bad"), Some("%zz%2"));
        assert!(query.is_true("c") && !query.is_true("d"));
        assert_eq!(query.str("c"), None);
    }
}
