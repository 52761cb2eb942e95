//! What names, labels and values may look like, in upstream's words.
//!
//! Each check returns why a text is refused; nothing for a text that is right. Mirrors the
//! validation package of apimachinery.

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;
const QUALIFIED_MAX: usize = 63;

const DNS1123_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS1123_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS1035_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";

/// A label of DNS, such as the name of a namespace or a container.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut faults = too_long(text, LABEL_MAX);
    if !is_label(text) {
        let is_dotted = is_subdomain(text);
        faults.push(
            if is_dotted {
                "must not contain dots"
            } else {
                DNS1123_LABEL
            }
            .to_owned(),
        );
    }
    faults
}

/// A domain name, such as the name of most objects.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut faults = too_long(text, SUBDOMAIN_MAX);
    if !is_subdomain(text) {
        faults.push(DNS1123_SUBDOMAIN.to_owned());
    }
    faults
}

/// A label of DNS in the older, stricter form, such as the name of a Service.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut faults = too_long(text, LABEL_MAX);
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        faults.push(DNS1035_LABEL.to_owned());
    }
    faults
}

/// The key of a label or annotation: `name` or `prefix/name`.
pub fn label_key(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(
                    dns1123_subdomain(prefix)
                        .into_iter()
                        .map(|f| format!("prefix part {f}")),
                );
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > QUALIFIED_MAX {
        faults.push(format!("name part {}", at_most_bytes(QUALIFIED_MAX)));
    }
    if !is_qualified(name) {
        faults.push(QUALIFIED_NAME.to_owned());
    }
    faults
}

/// The value of a label; may be empty.
pub fn label_value(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > LABEL_MAX {
        faults.push(at_most_bytes(LABEL_MAX));
    }
    if !text.is_empty() && !is_qualified(text) {
        faults.push(LABEL_VALUE.to_owned());
    }
    faults
}

/// A key in a ConfigMap or Secret.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut faults = too_long(text, SUBDOMAIN_MAX);
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || !text.chars().all(is_known) {
        faults.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." => faults.push("must not be '.'".to_owned()),
        ".." => faults.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => faults.push("must not start with '..'".to_owned()),
        _ => {}
    }
    faults
}

/// The name of an environment variable.
pub fn env_name(text: &str) -> Vec<String> {
    let is_known = |c: char| c.is_ascii_graphic() && c != '=' || c == ' ';
    if text.is_empty() || !text.chars().all(is_known) {
        vec![ENV_NAME.to_owned()]
    } else {
        Vec::new()
    }
}

/// The name of a container's port: an IANA service name.
pub fn port_name(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > 15 {
        faults.push(at_most(15));
    }
    if !text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    {
        faults.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !text.contains(|c: char| c.is_ascii_lowercase()) {
        faults.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        faults.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        faults.push("must not begin or end with a hyphen".to_owned());
    }
    faults
}

/// The number of a port.
pub fn port_number(number: i64) -> Vec<String> {
    if (1..=65535).contains(&number) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// A name that stands as one segment of a path, such as that of a role.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    let forbidden = ['/', '%'].into_iter().filter(|c| text.contains(*c));
    forbidden
        .map(|c| format!("may not contain '{c}'"))
        .collect()
}

/// A length above the allowed one, in upstream's words.
pub fn at_most(bytes_max: usize) -> String {
    format!("must be no more than {bytes_max} characters")
}

/// The same for labels, whose check says it in other words.
fn at_most_bytes(bytes_max: usize) -> String {
    format!("must be no more than {bytes_max} bytes")
}

fn too_long(text: &str, max: usize) -> Vec<String> {
    if text.len() > max {
        vec![at_most(max)]
    } else {
        Vec::new()
    }
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_qualified(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_texts_pass() {
        assert!(dns1123_label("a-1").is_empty());
        assert!(dns1123_subdomain("a.b-c.1").is_empty());
        assert!(dns1035_label("web").is_empty());
        assert!(label_key("app.kubernetes.io/name").is_empty());
        assert!(label_key("App_1").is_empty());
        assert!(label_value("").is_empty());
        assert!(config_map_key("a.B_c").is_empty());
        assert!(port_name("http-2").is_empty());
    }

    #[test]
    fn each_wrong_text_is_told_why() {
        assert_eq!(dns1123_label("A"), [DNS1123_LABEL]);
        assert_eq!(
            dns1123_label(&"a".repeat(64)),
            ["must be no more than 63 characters"]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(dns1123_subdomain("a..b"), [DNS1123_SUBDOMAIN]);
        assert_eq!(dns1035_label("1a"), [DNS1035_LABEL]);
        assert_eq!(label_key("/x"), ["prefix part must be non-empty"]);
        assert_eq!(label_key("-x"), [QUALIFIED_NAME]);
        assert_eq!(label_value("a b"), [LABEL_VALUE]);
        assert_eq!(config_map_key(".."), ["must not be '..'"]);
        assert_eq!(port_name("80"), ["must contain at least one letter (a-z)"]);
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
        assert_eq!(path_segment("a/b"), ["may not contain '/'"]);
    }
}
