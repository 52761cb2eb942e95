//! Which form of an answer a client wants: the first of its wishes that we have.
//!
//! Protobuf answers do not exist yet. Clients that prefer them name JSON beside it and get that.

use api_meta::status::Status;

/// What an answer looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// The object, or the list of objects.
    #[default]
    Whole,
    /// A Table of the columns that people read.
    Table,
    /// The metadata alone.
    Partial,
}

/// How it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON on one line.
    #[default]
    Json,
    /// JSON for people.
    Pretty,
    /// YAML.
    Yaml,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// What it looks like.
    pub shape: Shape,
    /// How it is written.
    pub encoding: Encoding,
}

impl Form {
    /// The media type of an answer.
    pub fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json | Encoding::Pretty => "application/json",
            Encoding::Yaml => "application/yaml",
        }
    }
}

const ACCEPTED: &[&str] = &["application/json", "application/yaml"];

/// Chooses a form by the `Accept` header. `has_shapes` says whether there is more than the whole.
pub fn negotiate(accept: Option<&str>, has_shapes: bool) -> Result<Form, Status> {
    let Some(accept) = accept.filter(|text| !text.trim().is_empty()) else {
        return Ok(Form::default());
    };
    let mut wishes: Vec<(f32, &str)> = accept
        .split(',')
        .map(|wish| (quality(wish), wish))
        .filter(|(q, _)| *q > 0.0)
        .collect();
    // Stable: of equal wishes the first one counts.
    wishes.sort_by(|a, b| b.0.total_cmp(&a.0));
    wishes
        .into_iter()
        .find_map(|(_, wish)| grant(wish, has_shapes))
        .ok_or_else(|| Status::not_acceptable(ACCEPTED))
}

fn grant(wish: &str, has_shapes: bool) -> Option<Form> {
    let mut parts = wish.split(';').map(str::trim);
    let encoding = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" | "*/*" | "application/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let mut form = Form {
        shape: Shape::Whole,
        encoding,
    };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match (name.trim(), value.trim()) {
            ("as", "Table") if has_shapes => form.shape = Shape::Table,
            ("as", "PartialObjectMetadata" | "PartialObjectMetadataList") if has_shapes => {
                form.shape = Shape::Partial;
            }
            ("as", _) => return None,
            ("v", version) if version != "v1" => return None,
            ("g", group) if group != "meta.k8s.io" => return None,
            ("pretty", "1" | "true") => form.encoding = Encoding::Pretty,
            _ => {}
        }
    }
    Some(form)
}

fn quality(wish: &str) -> f32 {
    wish.split(';')
        .filter_map(|part| part.trim().strip_prefix("q="))
        .find_map(|text| text.trim().parse().ok())
        .unwrap_or(1.0)
}

/// Whether the client takes a compressed answer.
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    accept_encoding.is_some_and(|text| {
        text.split(',').any(|wish| {
            let name = wish.split(';').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("gzip") && quality(wish) > 0.0
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Form, Shape, accepts_gzip, negotiate};

    fn form(accept: &str) -> Option<(Shape, Encoding)> {
        negotiate(Some(accept), true)
            .ok()
            .map(|Form { shape, encoding }| (shape, encoding))
    }

    #[test]
    fn the_first_wish_that_we_have_wins() {
        use Encoding::{Json, Yaml};
        use Shape::{Partial, Table, Whole};
        let cases = [
            ("", Some((Whole, Json))),
            ("*/*", Some((Whole, Json))),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Some((Table, Json)),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                Some((Partial, Json)),
            ),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Some((Whole, Json)),
            ),
            ("application/vnd.kubernetes.protobuf", None),
            (
                "application/json;q=0.1,application/yaml",
                Some((Whole, Yaml)),
            ),
            ("application/json;as=Table;v=v9;g=meta.k8s.io", None),
            ("text/html", None),
            ("application/json;stream=watch", Some((Whole, Json))),
        ];
        for (accept, expected) in cases {
            assert_eq!(form(accept), expected, "{accept}");
        }
        assert!(negotiate(Some("application/json;as=Table;v=v1;g=meta.k8s.io"), false).is_err());
    }

    #[test]
    fn compression_must_be_asked_for() {
        assert!(accepts_gzip(Some("deflate, gzip;q=0.5")));
        assert!(!accepts_gzip(Some("gzip;q=0")));
        assert!(!accepts_gzip(None));
    }
}
