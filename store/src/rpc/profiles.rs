//! `/debug/pprof`, as far as a program that is not in Go can have it: `go tool pprof` reads its profiles.
//!
//! Whoever reaches these paths learns what the process does, though no data of its users.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::any;

use super::http::{text, value};
use crate::config;
use crate::limits;
use crate::profile::{ProfileError, take};

/// What there is, for people.
const INDEX: &str = r#"<html>
<head><title>/debug/pprof/</title></head>
<body>
<p>/debug/pprof/</p>
<table>
<tr><td><a href="cmdline">cmdline</a></td><td>The command line of this process, without passwords.</td></tr>
<tr><td><a href="profile?seconds=30">profile</a></td><td>Where processor time goes, for as many seconds as the parameter <code>seconds</code> says, 30 by default. Read it by <code>go tool pprof</code>.</td></tr>
</table>
<p>This server is not in Go: it has none of the profiles of Go's runtime, and no heap profile.</p>
</body>
</html>
"#;

/// Set where an answer is an error and no profile, so that `go tool pprof` shows it.
const GO_PPROF: HeaderName = HeaderName::from_static("x-go-pprof");

/// Everything below `/debug/pprof`.
pub(crate) fn profile_routes() -> Router {
    Router::new()
        .route(
            "/debug/pprof",
            any(|| async { Redirect::permanent("/debug/pprof/") }),
        )
        .route("/debug/pprof/", any(|| async { Html(INDEX) }))
        .route("/debug/pprof/{name}", any(profile))
}

async fn profile(Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    match name.as_str() {
        "cmdline" => {
            let args: Vec<String> = std::env::args().collect();
            text(StatusCode::OK, config::redacted(&args).join("\0"))
        }
        "profile" => cpu(query.as_deref()).await,
        // What Go says where it knows no symbols: there are none to look up, profiles have them.
        "symbol" => text(StatusCode::OK, "num_symbols: 0\n".into()),
        "heap" | "allocs" => refuse(
            StatusCode::NOT_IMPLEMENTED,
            &format!(
                "There is no {name} profile: this server's allocator does not record who asks for memory"
            ),
        ),
        "goroutine" | "threadcreate" | "block" | "mutex" | "trace" => refuse(
            StatusCode::NOT_IMPLEMENTED,
            &format!(
                "There is no {name} profile: this server is not in Go and has nothing of that kind"
            ),
        ),
        _ => refuse(StatusCode::NOT_FOUND, "Unknown profile"),
    }
}

async fn cpu(query: Option<&str>) -> Response {
    let seconds = seconds(query);
    if seconds > limits::PROFILE_SECONDS_MAX {
        let max = limits::PROFILE_SECONDS_MAX;
        let why = format!("profile duration exceeds this server's limit of {max} seconds");
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    // Dropped with this request: whoever goes away needs no profile.
    let (waits, gone) = std::sync::mpsc::channel();
    let taken =
        tokio::task::spawn_blocking(move || take(Duration::from_secs(seconds), &gone)).await;
    drop(waits);
    let taken = taken.unwrap_or_else(|error| Err(ProfileError::Thread(error)));
    match taken {
        Ok(profile) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (
                    header::CONTENT_DISPOSITION,
                    r#"attachment; filename="profile""#,
                ),
            ];
            (headers, profile).into_response()
        }
        Err(error) => {
            let why = format!("Could not enable CPU profiling: {}", base::report(&error));
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &why)
        }
    }
}

/// As Go reads it: what is no positive number is the default.
fn seconds(query: Option<&str>) -> u64 {
    let given = value(query, "seconds").and_then(|text| text.parse().ok());
    given
        .filter(|seconds| *seconds > 0)
        .unwrap_or(limits::PROFILE_SECONDS_DEFAULT)
}

fn refuse(status: StatusCode, why: &str) -> Response {
    let mut response = text(status, format!("{why}\n"));
    let is = HeaderValue::from_static("1");
    response.headers_mut().insert(GO_PPROF, is);
    response
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn seconds_are_read_as_go_reads_them() {
        let cases = [
            (None, 30),
            (Some("seconds=2"), 2),
            (Some("debug=1&seconds=7"), 7),
            (Some("seconds=0"), 30),
            (Some("seconds=-1"), 30),
            (Some("seconds=x"), 30),
            (Some("seconds"), 30),
        ];
        for (query, expected) in cases {
            assert_eq!(seconds(query), expected, "{query:?}");
        }
    }
}
