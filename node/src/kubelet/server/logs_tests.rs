//! Logs from files as the runtime writes them.

use std::sync::Arc;

use jiff::Timestamp;

use super::{File, Options, open};
use crate::runtime::Hollow;

const LOG: &str = "\
2026-01-01T00:00:01.5Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03Z stdout P thr
2026-01-01T00:00:03Z stdout F ee
2026-01-01T00:00:04Z stdout F four
";

async fn read(query: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("0.log");
    std::fs::write(&path, LOG).expect("written");
    let runtime = Arc::new(Hollow::new("10.0.0.0/24".parse().expect("a range")));
    let now: Timestamp = "2026-01-01T00:00:05Z".parse().expect("a time");
    let options = Options::parse(query, now).expect("options");
    let mut reader = open(
        File {
            path,
            container: "gone".to_owned(),
            runtime,
        },
        options,
    )
    .await
    .expect("opened");
    let mut out = Vec::new();
    while let Some(chunk) = reader.next().await.expect("read") {
        out.extend_from_slice(&chunk);
    }
    String::from_utf8(out).expect("text")
}

#[tokio::test]
async fn reads_whole_and_in_part() {
    for (query, want) in [
        ("", "one\ntwo\nthree\nfour\n"),
        ("tailLines=1", "four\n"),
        ("tailLines=0", ""),
        ("tailLines=100", "one\ntwo\nthree\nfour\n"),
        ("sinceSeconds=2", "three\nfour\n"),
        ("sinceTime=2026-01-01T00:00:04Z", "four\n"),
        ("limitBytes=5", "one\nt"),
        ("stream=Stderr", "two\n"),
        (
            "tailLines=2&timestamps=true",
            "2026-01-01T00:00:03Z ee\n2026-01-01T00:00:04Z four\n",
        ),
        // The container is gone, so following ends with the file.
        ("follow=true&tailLines=1", "four\n"),
    ] {
        assert_eq!(read(query).await, want, "{query}");
    }
}

#[test]
fn refuses_what_is_no_number() {
    assert!(Options::parse("tailLines=x", Timestamp::UNIX_EPOCH).is_err());
    assert!(Options::parse("sinceTime=yesterday", Timestamp::UNIX_EPOCH).is_err());
}
