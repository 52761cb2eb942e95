//! The requests of the transcript.

use super::client::b64;

/// Whose token goes along, or the token itself; the path, behind its method if that is not POST; the
/// body.
pub(super) type Line = (&'static str, &'static str, String);

/// Puts base64 in the place of each word between backticks.
fn body(text: &str) -> String {
    let mut out = String::new();
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 0 {
            out.push_str(part);
        } else {
            out.push_str(&b64(part));
        }
    }
    out
}

/// Before anybody has to say who they are.
const OPEN: &[(&str, &str)] = &[
    ("/v3/kv/put", r#"{"key":"`a`","value":"`1`"}"#),
    (
        "/v3/kv/put",
        r#"{"key":"`a`","value":"`2`","prev_kv":true}"#,
    ),
    (
        "/v3/kv/put",
        r#"{"key":"`a`","prevKv":true,"ignoreValue":true}"#,
    ),
    (
        "/v3/kv/put",
        r#"{"key":"`a`","value":"`x`","ignore_value":true}"#,
    ),
    ("/v3/kv/put", r#"{"key":"`b`","lease":"99"}"#),
    ("/v3/kv/put", r#"{"value":"`x`"}"#),
    ("/v3/kv/put", r#"{"key":"+/8=","value":"-_8"}"#),
    ("/v3/kv/put", r#"{"key":"`d1`"}"#),
    ("/v3/kv/put", r#"{"key":"`d2`","value":""}"#),
    ("/v3/kv/range", r#"{"key":"`a`"}"#),
    ("/v3/kv/range", r#"{"key":"`none`"}"#),
    ("/v3/kv/range", r#"{"key":"`d`","range_end":"`e`"}"#),
    (
        "/v3/kv/range",
        r#"{"key":"`d`","rangeEnd":"`e`","limit":1}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"`d`","range_end":"`e`","limit":"1","keys_only":true}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","range_end":"AA==","count_only":true}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA","range_end":"AA","sort_order":"DESCEND","sort_target":"MOD"}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","range_end":"AA==","sort_order":2,"sortTarget":1}"#,
    ),
    ("/v3/kv/range", r#"{"key":"`a`","sort_order":"SIDEWAYS"}"#),
    ("/v3/kv/range", r#"{"key":"`a`","sort_order":77}"#),
    ("/v3/kv/range", r#"{"key":"`a`","revision":"2"}"#),
    ("/v3/kv/range", r#"{"key":"`a`","revision":2e0}"#),
    ("/v3/kv/range", r#"{"key":"`a`","revision":9999}"#),
    (
        "/v3/kv/range",
        r#"{"key":"`a`","unknown":{"x":[1,null,"y"]}}"#,
    ),
    ("/v3/kv/range", r#"{"key":null,"limit":null}"#),
    (
        "/v3/kv/range",
        r#"{"key":"`a`","limit":"100000000000000000000"}"#,
    ),
    ("/v3/kv/range", r#"{"key":"`a`","limit":1.5}"#),
    ("/v3/kv/range", r#"{"key":"`a`","limit":"x"}"#),
    ("/v3/kv/range", r#"{"key":"`a`","limit":true}"#),
    ("/v3/kv/range", r#"{"key":"`a`","serializable":"true"}"#),
    ("/v3/kv/range", r#"{"key":"`a`","key":"`a`"}"#),
    ("/v3/kv/range", r#"{"key":7}"#),
    ("/v3/kv/range", r#"{"key":"*"}"#),
    ("/v3/kv/range", ""),
    ("/v3/kv/range", "  \n "),
    ("/v3/kv/range", "{"),
    ("/v3/kv/range", r#"{"key":"`a`"#),
    ("/v3/kv/range", "nonsense"),
    ("/v3/kv/range", "null"),
    ("/v3/kv/range", "[]"),
    ("/v3/kv/range", r#""text""#),
    ("/v3/kv/range", r#"{"key":"`a`"} and more"#),
    ("/v3/kv/range", r#" {"key":"`a`"}{"key":"`b`"}"#),
    ("/v3/kv/txn", "{}"),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"`a`","target":"VERSION","version":"0","result":"GREATER"}],
            "success":[{"request_range":{"key":"`a`"}},{"requestPut":{"key":"`t`","value":"`1`"}}],
            "failure":[{"request_delete_range":{"key":"`a`"}}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"`a`","target":"VALUE","value":"`nope`"}],
            "failure":[{"request_txn":{"success":[{"request_range":{"key":"`t`"}}]}},
                {"request_delete_range":{"key":"`t`","prev_kv":true}}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"`none`","target":"CREATE","create_revision":0}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"`a`","target":"MOD","mod_revision":1,"version":2}]}"#,
    ),
    ("/v3/kv/txn", r#"{"success":[{}]}"#),
    (
        "/v3/kv/txn",
        r#"{"success":{"request_range":{"key":"`a`"}}}"#,
    ),
    (
        "/v3/kv/deleterange",
        r#"{"key":"`d`","range_end":"`e`","prev_kv":true}"#,
    ),
    ("/v3/kv/deleterange", r#"{"key":"`none`"}"#),
    ("/v3/kv/deleterange", "{}"),
    ("/v3/kv/compaction", r#"{"revision":"4","physical":true}"#),
    ("/v3/kv/compaction", r#"{"revision":"4"}"#),
    ("/v3/kv/compaction", r#"{"revision":"9999"}"#),
    ("/v3/kv/range", r#"{"key":"`a`","revision":"2"}"#),
    ("/v3beta/kv/range", r#"{"key":"`a`"}"#),
    ("/v3alpha/kv/range", r#"{"key":"`a`"}"#),
    ("/v3/kv/rangestream", r#"{"key":"`a`"}"#),
    ("/v3/kv/range/", "{}"),
    ("/v3/kv", "{}"),
    ("/v3/", "{}"),
    ("/v3/nothing", "{}"),
    ("GET /v3/kv/range", ""),
    ("PUT /v3/kv/range", "{}"),
    ("DELETE /v3/watch", ""),
    ("GET /v3/nothing", ""),
    ("OPTIONS /v3/kv/range", ""),
    ("OPTIONS /nothing", ""),
    ("GET /health", ""),
    ("GET /version", ""),
    ("GET /nothing", ""),
    ("/v3/lease/grant", r#"{"TTL":"100","ID":"777"}"#),
    ("/v3/lease/grant", r#"{"TTL":"100","ID":"777"}"#),
    ("/v3/lease/grant", r#"{"TTL":"99999999999"}"#),
    ("/v3/kv/put", r#"{"key":"`l`","lease":"777"}"#),
    ("/v3/lease/timetolive", r#"{"ID":"778","keys":true}"#),
    ("/v3/kv/lease/timetolive", r#"{"ID":778}"#),
    ("/v3/lease/leases", "{}"),
    ("/v3/kv/lease/leases", ""),
    ("/v3/lease/revoke", r#"{"ID":"777"}"#),
    ("/v3/kv/lease/revoke", r#"{"ID":"777"}"#),
    ("/v3/maintenance/status", "{}"),
    ("/v3/maintenance/alarm", r#"{"action":"GET"}"#),
    (
        "/v3/maintenance/alarm",
        r#"{"action":"ACTIVATE","memberID":"1","alarm":"NOSPACE"}"#,
    ),
    ("/v3/kv/put", r#"{"key":"`full`"}"#),
    (
        "/v3/maintenance/alarm",
        r#"{"action":2,"memberID":"1","alarm":1}"#,
    ),
    ("/v3/maintenance/defragment", ""),
    ("/v3/maintenance/hashkv", "{}"),
    ("/v3/maintenance/hashkv", r#"{"revision":"9999"}"#),
    ("/v3/maintenance/transfer-leadership", r#"{"targetID":"5"}"#),
    ("/v3/cluster/member/remove", r#"{"ID":"5"}"#),
    ("/v3/cluster/member/promote", r#"{"ID":"5"}"#),
    (
        "/v3/cluster/member/update",
        r#"{"ID":"5","peerURLs":["http://127.0.0.1:1"]}"#,
    ),
    ("/v3/cluster/member/add", r#"{"peerURLs":["x"]}"#),
    ("/v3/lock/lock", r#"{"name":"`L`","lease":"12345"}"#),
    ("/v3/lock/unlock", "{}"),
    ("/v3/lock/unlock", r#"{"key":"`none`"}"#),
    ("/v3/lease/grant", r#"{"TTL":"100","ID":"4660"}"#),
    ("/v3/lock/lock", r#"{"name":"`L`","lease":"4660"}"#),
    ("/v3/lock/lock", r#"{"name":"`L`","lease":"4660"}"#),
    ("/v3/kv/range", r#"{"key":"`L/1234`"}"#),
    ("/v3/lock/unlock", r#"{"key":"`L/1234`"}"#),
    ("/v3/election/leader", r#"{"name":"`E`"}"#),
    (
        "/v3/election/campaign",
        r#"{"name":"`E`","lease":"12345","value":"`v`"}"#,
    ),
    (
        "/v3/election/campaign",
        r#"{"name":"`E`","lease":"4660","value":"`v`"}"#,
    ),
    (
        "/v3/election/campaign",
        r#"{"name":"`E`","lease":"4660","value":"`w`"}"#,
    ),
    ("/v3/election/leader", r#"{"name":"`E`"}"#),
    ("/v3/election/proclaim", "{}"),
    ("/v3/election/resign", "{}"),
    (
        "/v3/election/proclaim",
        r#"{"leader":{"name":"`E`","key":"`E/1234`","rev":"1","lease":"4660"},"value":"`x`"}"#,
    ),
    (
        "/v3/election/resign",
        r#"{"leader":{"name":"`E`","key":"`E/1234`","rev":"1","lease":"4660"}}"#,
    ),
    (
        "/v3/election/proclaim",
        r#"{"leader":{"name":"`E`","key":"`E/new`","rev":"0","lease":"4660"},"value":"`x`"}"#,
    ),
    (
        "/v3/election/proclaim",
        r#"{"leader":{"name":"`E`","key":"`E/odd`","rev":"0","lease":"5"},"value":"`x`"}"#,
    ),
    (
        "/v3/election/proclaim",
        r#"{"leader":{"name":"`E`","lease":"4660"}}"#,
    ),
    (
        "/v3/election/resign",
        r#"{"leader":{"name":"`E`","lease":"4660"}}"#,
    ),
    ("/v3/auth/status", ""),
    ("/v3/auth/enable", "{}"),
    ("/v3/auth/disable", "{}"),
    (
        "/v3/auth/authenticate",
        r#"{"name":"root","password":"pw"}"#,
    ),
    ("/v3/auth/user/add", r#"{"name":"root","password":"pw"}"#),
    ("/v3/auth/user/add", r#"{"name":"root","password":"pw"}"#),
    (
        "/v3/auth/user/add",
        r#"{"name":"ann","password":"pw","options":{"no_password":false}}"#,
    ),
    ("/v3/auth/user/get", r#"{"name":"ann"}"#),
    ("/v3/auth/user/get", r#"{"name":"eve"}"#),
    ("/v3/auth/user/list", ""),
    ("/v3/auth/role/add", r#"{"name":"root"}"#),
    ("/v3/auth/role/add", r#"{"name":"r"}"#),
    (
        "/v3/auth/role/grant",
        r#"{"name":"r","perm":{"permType":"READWRITE","key":"`a`","range_end":"`c`"}}"#,
    ),
    (
        "/v3/auth/role/grant",
        r#"{"name":"r","perm":{"permType":0,"key":"`L/`","range_end":"`L0`"}}"#,
    ),
    ("/v3/auth/role/grant", r#"{"name":"r"}"#),
    ("/v3/auth/role/get", r#"{"role":"r"}"#),
    ("/v3/auth/role/list", ""),
    ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
    ("/v3/auth/user/grant", r#"{"user":"ann","role":"r"}"#),
    ("/v3/auth/enable", "{}"),
];

/// While everybody has to.
const GUARDED: &[(&str, &str, &str)] = &[
    ("", "/v3/kv/range", r#"{"key":"`a`"}"#),
    ("nobody.1", "/v3/kv/range", r#"{"key":"`a`"}"#),
    ("Bearer nobody.1", "/v3/kv/range", r#"{"key":"`a`"}"#),
    ("ann", "/v3/kv/range", r#"{"key":"`a`"}"#),
    ("ann", "/v3/kv/range", r#"{"key":"`z`"}"#),
    ("ann", "/v3/kv/put", r#"{"key":"`b`","value":"`1`"}"#),
    ("ann", "/v3/kv/put", r#"{"key":"`L/1`","value":"`1`"}"#),
    ("ann", "/v3/lease/grant", r#"{"TTL":"100","ID":"4661"}"#),
    ("ann", "/v3/lock/lock", r#"{"name":"`b`","lease":"4661"}"#),
    ("ann", "/v3/lock/unlock", r#"{"key":"`b/1235`"}"#),
    ("ann", "/v3/lock/lock", r#"{"name":"`L`","lease":"4661"}"#),
    ("ann", "/v3/lock/lock", r#"{"name":"`z`","lease":"4661"}"#),
    ("", "/v3/lock/lock", r#"{"name":"`b`","lease":"4661"}"#),
    ("", "/v3/lock/lock", r#"{"name":"`b`"}"#),
    (
        "nobody.1",
        "/v3/lock/lock",
        r#"{"name":"`b`","lease":"4661"}"#,
    ),
    ("ann", "/v3/lock/unlock", r#"{"key":"`z`"}"#),
    (
        "ann",
        "/v3/election/campaign",
        r#"{"name":"`b`","lease":"4661","value":"`v`"}"#,
    ),
    ("ann", "/v3/election/leader", r#"{"name":"`b`"}"#),
    ("ann", "/v3/election/leader", r#"{"name":"`z`"}"#),
    ("", "/v3/election/leader", r#"{"name":"`b`"}"#),
    ("ann", "/v3/auth/user/list", ""),
    ("root", "/v3/auth/user/list", ""),
    ("root", "/v3/auth/status", ""),
    ("", "/v3/auth/status", ""),
    (
        "",
        "/v3/auth/authenticate",
        r#"{"name":"ann","password":"wrong"}"#,
    ),
    (
        "",
        "/v3/auth/authenticate",
        r#"{"name":"ann","password":"pw"}"#,
    ),
    ("", "/v3/lease/keepalive", r#"{"ID":"4661"}"#),
    ("nobody.1", "/v3/lease/keepalive", r#"{"ID":"4661"}"#),
    ("", "/v3/maintenance/snapshot", "{}"),
    ("ann", "/v3/maintenance/defragment", "{}"),
    (
        "root",
        "/v3/auth/user/revoke",
        r#"{"name":"ann","role":"nope"}"#,
    ),
    (
        "root",
        "/v3/auth/role/revoke",
        r#"{"role":"r","key":"`L/`","range_end":"`L0`"}"#,
    ),
    (
        "root",
        "/v3/auth/user/changepw",
        r#"{"name":"ann","password":"new"}"#,
    ),
    ("root", "/v3/auth/user/delete", r#"{"name":"ann"}"#),
    ("root", "/v3/auth/role/delete", r#"{"role":"r"}"#),
    ("ann", "/v3/kv/range", r#"{"key":"`a`"}"#),
    ("root", "/v3/auth/disable", "{}"),
    ("", "/v3/kv/range", r#"{"key":"`a`"}"#),
];

/// See [`OPEN`].
pub(super) fn open() -> Vec<Line> {
    let lines = OPEN.iter();
    lines.map(|(path, text)| ("", *path, body(text))).collect()
}

/// See [`GUARDED`].
pub(super) fn guarded() -> Vec<Line> {
    let lines = GUARDED.iter();
    lines
        .map(|(user, path, text)| (*user, *path, body(text)))
        .collect()
}
