//! Protobuf bodies of built-in kinds into JSON trees: kubectl and client-go send them.
//!
//! Driven by a table of field numbers and names; answers are JSON, which such clients accept, so
//! nothing is ever encoded here. Input: bytes of any client; nothing in them can make it panic.

mod table;
mod wire;

use api_meta::Gvk;
use serde_json::{Map, Value};

use table::{Field, Message, Shape, TABLE, Type};
use wire::{Reader, Token};

/// The first bytes of every such body: then comes a `runtime.Unknown`.
pub const MAGIC: &[u8] = b"k8s\0";
/// Messages inside messages. The deepest built-in kind has far fewer; JSON schemas nest deeper.
const DEPTH_MAX: usize = 256;

/// Why bytes are no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are missing.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Magic,
    /// The bytes break off or contradict the wire format.
    #[error("proto: {0}")]
    Wire(&'static str),
    /// The kind is none of the built-in ones.
    #[error("no kind {:?} is registered for version {:?}", .0.kind, .0.api_version())]
    Kind(Gvk),
    /// Messages lie too deep inside each other.
    #[error("proto: exceeded the nesting limit")]
    Depth,
}

/// Decodes a body that begins with [`MAGIC`].
pub fn decode(body: &[u8]) -> Result<(Gvk, Value), Error> {
    let unknown = body.strip_prefix(MAGIC).ok_or(Error::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader::new(unknown);
    while let Some((number, token)) = reader.next()? {
        match (number, token) {
            (1, Token::Bytes(type_meta)) => {
                let mut reader = Reader::new(type_meta);
                while let Some((number, token)) = reader.next()? {
                    match (number, token) {
                        (1, Token::Bytes(text)) => api_version = string(text)?,
                        (2, Token::Bytes(text)) => kind = string(text)?,
                        _ => {}
                    }
                }
            }
            (2, Token::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let gvk = Gvk::from_api_version(&api_version, &kind);
    let message = TABLE
        .of_kind(&gvk)
        .ok_or_else(|| Error::Kind(gvk.clone()))?;
    let mut object = fields(message, raw, 0)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok((gvk, Value::Object(object)))
}

fn fields(message: &Message, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::Depth);
    }
    let mut object = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = reader.next()? {
        // A field of a later version is passed over, as upstream's decoder does.
        if let Some(field) = message.field(number) {
            add(&mut object, field, &token, depth)?;
        }
    }
    Ok(object)
}

fn add(
    object: &mut Map<String, Value>,
    field: &Field,
    token: &Token<'_>,
    depth: usize,
) -> Result<(), Error> {
    match field.shape {
        Shape::One => {
            if let Some(value) = value(&field.kind, token, depth)?
                && (field.keeps_zero || !is_zero(&value))
            {
                object.insert(field.name.clone(), value);
            }
        }
        Shape::Inline => {
            if let (Type::Message(name), Token::Bytes(bytes)) = (&field.kind, token)
                && let Some(message) = TABLE.message(name)
            {
                object.append(&mut fields(message, bytes, depth + 1)?);
            }
        }
        Shape::List => {
            let entry = object
                .entry(field.name.clone())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let (Some(list), Some(value)) =
                (entry.as_array_mut(), value(&field.kind, token, depth)?)
            {
                list.push(value);
            }
        }
        Shape::Map => {
            let Token::Bytes(bytes) = token else {
                return Err(Error::Wire("wrong wire type"));
            };
            let (key, value) = map_entry(&field.kind, bytes, depth)?;
            let entry = object
                .entry(field.name.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(map) = entry.as_object_mut() {
                map.insert(key, value);
            }
        }
    }
    Ok(())
}

fn map_entry(kind: &Type, bytes: &[u8], depth: usize) -> Result<(String, Value), Error> {
    let (mut key, mut found) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = reader.next()? {
        match (number, &token) {
            (1, Token::Bytes(text)) => key = string(text)?,
            (2, token) => found = value(kind, token, depth)?,
            _ => {}
        }
    }
    // An entry without a value has the zero of its type.
    let value = match (found, kind) {
        (Some(value), _) => value,
        (None, Type::Bool) => false.into(),
        (None, Type::Integer) => 0.into(),
        (None, Type::Message(_)) => Value::Object(Map::new()),
        (None, _) => "".into(),
    };
    Ok((key, value))
}

/// A field's value; none for a time that was never set.
fn value(kind: &Type, token: &Token<'_>, depth: usize) -> Result<Option<Value>, Error> {
    let value = match (kind, token) {
        (Type::String, Token::Bytes(text)) => string(text)?.into(),
        (Type::Bytes, Token::Bytes(bytes)) => base64(bytes).into(),
        (Type::Bool, Token::Number(number)) => (*number != 0).into(),
        // Negative numbers of either width are ten bytes long on the wire.
        (Type::Integer, Token::Number(number)) => number.cast_signed().into(),
        (Type::Double, Token::Number(bits)) => f64::from_bits(*bits).into(),
        (Type::Time { digits }, Token::Bytes(bytes)) => return time(bytes, *digits),
        (Type::Quantity, Token::Bytes(bytes)) => only_string(bytes)?.into(),
        (Type::Duration, Token::Bytes(bytes)) => duration(bytes)?.into(),
        (Type::IntOrString, Token::Bytes(bytes)) => int_or_string(bytes)?,
        (Type::Raw, Token::Bytes(bytes)) => raw_json(bytes)?,
        (Type::Items, Token::Bytes(bytes)) => items(bytes)?,
        (Type::Message(name), Token::Bytes(bytes)) => match TABLE.message(name) {
            Some(message) => Value::Object(fields(message, bytes, depth + 1)?),
            None => return Ok(None),
        },
        _ => return Err(Error::Wire("wrong wire type")),
    };
    Ok(Some(value))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(value) => !value,
        _ => false,
    }
}

fn string(bytes: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| Error::Wire("invalid UTF-8"))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The first string field of a message.
fn only_string(bytes: &[u8]) -> Result<String, Error> {
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = reader.next()? {
        if let (1, Token::Bytes(text)) = (number, token) {
            return string(text);
        }
    }
    Ok(String::new())
}

/// The two number fields of a message.
fn numbers(bytes: &[u8]) -> Result<(i64, i64), Error> {
    let mut found = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = reader.next()? {
        match (number, token) {
            (1, Token::Number(value)) => found.0 = value.cast_signed(),
            (2, Token::Number(value)) => found.1 = value.cast_signed(),
            _ => {}
        }
    }
    Ok(found)
}

fn time(bytes: &[u8], digits: u8) -> Result<Option<Value>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (seconds, nanos) = numbers(bytes)?;
    // Only a micro time keeps a fraction.
    let nanos = if digits == 0 {
        0
    } else {
        i32::try_from(nanos).unwrap_or(0)
    };
    let at = jiff::Timestamp::new(seconds, nanos).map_err(|_| Error::Wire("time out of range"))?;
    let text = if digits == 0 {
        api_meta::time::format(at)
    } else {
        api_meta::time::format_micro(at)
    };
    Ok(Some(text.into()))
}

/// As Go prints a duration of whole milliseconds or more, in seconds with their fraction.
fn duration(bytes: &[u8]) -> Result<String, Error> {
    let (nanos, _) = numbers(bytes)?;
    let (seconds, rest) = (nanos / 1_000_000_000, (nanos % 1_000_000_000).abs());
    if rest == 0 {
        return Ok(format!("{seconds}s"));
    }
    Ok(format!(
        "{seconds}.{}s",
        format!("{rest:09}").trim_end_matches('0')
    ))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let (mut is_string, mut number, mut text) = (false, 0, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((field, token)) = reader.next()? {
        match (field, token) {
            (1, Token::Number(kind)) => is_string = kind == 1,
            (2, Token::Number(value)) => number = value.cast_signed(),
            (3, Token::Bytes(value)) => text = string(value)?,
            _ => {}
        }
    }
    Ok(if is_string {
        text.into()
    } else {
        number.into()
    })
}

/// JSON inside a message.
fn raw_json(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = reader.next()? {
        if let (1, Token::Bytes(raw)) = (number, token) {
            return serde_json::from_slice(raw)
                .map_err(|_| Error::Wire("the raw field is not JSON"));
        }
    }
    Ok(Value::Null)
}

/// A list that is wrapped in a message.
fn items(bytes: &[u8]) -> Result<Value, Error> {
    let mut list = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, token)) = reader.next()? {
        if let (1, Token::Bytes(text)) = (number, token) {
            list.push(Value::from(string(text)?));
        }
    }
    Ok(list.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Error, MAGIC, decode};

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend(bytes);
        out
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &type_meta), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_as_kubectl_sends_it() {
        let metadata = [field(1, b"c"), field(2, b""), field(8, b"")].concat();
        let entry = [field(1, b"a"), field(2, b"1")].concat();
        let raw = [field(1, &metadata), field(2, &entry)].concat();
        let (gvk, object) = decode(&body("v1", "ConfigMap", &raw)).unwrap();
        assert_eq!(gvk.kind, "ConfigMap");
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}});
        assert_eq!(object, expected);
    }

    #[test]
    fn a_pointer_to_zero_is_kept_and_a_plain_zero_is_not() {
        // spec { replicas: 0, minReadySeconds: 0 }
        let raw = field(2, &[0x08, 0, 0x28, 0]);
        let (_, object) = decode(&body("apps/v1", "Deployment", &raw)).unwrap();
        assert_eq!(object["spec"], json!({"replicas": 0}));
    }

    #[test]
    fn times_quantities_and_ports_have_their_json_forms() {
        let port = [
            vec![0x18, 80],
            field(4, &[vec![0x08, 1], field(3, b"web")].concat()),
        ]
        .concat();
        let raw = [field(1, &field(8, &[0x08, 0])), field(2, &field(1, &port))].concat();
        let (_, object) = decode(&body("v1", "Service", &raw)).unwrap();
        assert_eq!(
            object["spec"]["ports"],
            json!([{"port": 80, "targetPort": "web"}])
        );
        assert_eq!(
            object["metadata"]["creationTimestamp"],
            "1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn broken_bytes_are_refused() {
        assert_eq!(decode(b"{}"), Err(Error::Magic));
        assert!(matches!(
            decode(&body("v1", "Nonsense", b"")),
            Err(Error::Kind(_))
        ));
        let whole = body("v1", "ConfigMap", &field(1, &field(1, b"name")));
        for cut in MAGIC.len()..whole.len() {
            // Any outcome but a panic.
            let _ = decode(&whole[..cut]);
        }
    }
}
