//! The bytes of each row, written out: a change here is a change of the stored format.

use bytes::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use proto_etcd::authpb::{Permission, Role, User, UserAddOptions, permission::Type};
use proto_etcd::membershippb::Attributes;
use proto_etcd::mvccpb::KeyValue;

use super::{
    live, rev,
    sys::{AlarmRow, AuthRow, Gc, Head, LeaseRow, Row, Seat},
};
use crate::consensus::LogId;
use crate::mvcc::{Live, Revision};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(key: &[u8], value: &[u8], expected: Expect) {
    expected.assert_eq(&format!("{} = {}", hex(key), hex(value)));
}

fn pair() -> KeyValue {
    KeyValue {
        key: Bytes::from_static(b"foo"),
        create_revision: 2,
        mod_revision: 300,
        version: 4,
        value: Bytes::from_static(b"bar"),
        lease: -1,
    }
}

#[test]
fn rev_rows_keep_their_bytes() {
    let at = Revision { main: 300, sub: 7 };
    check(
        &rev::key(at),
        &rev::value(false, Some(Revision { main: 299, sub: 1 }), &pair()),
        expect![
            "000000000000012c00000007 = 10ab02010a03666f6f100218ac0220042a0362617230ffffffffffffffffff01"
        ],
    );
    let dead = KeyValue {
        key: Bytes::from_static(b"foo"),
        ..KeyValue::default()
    };
    check(
        &rev::key(at),
        &rev::value(true, None, &dead),
        expect!["000000000000012c00000007 = 11000a03666f6f"],
    );
}

#[test]
fn live_rows_keep_their_bytes() {
    let live = Live {
        at: Revision { main: 300, sub: 7 },
        create_revision: 2,
        version: 4,
        lease: 0x1234,
    };
    check(
        b"foo",
        &live::value(&live),
        expect!["666f6f = 01ac02070204b424"],
    );
}

#[test]
fn sys_rows_keep_their_bytes() {
    let attributes = Attributes {
        name: "m0".into(),
        client_urls: vec!["http://a:1".into()],
    };
    let rows = [
        Row::Applied(LogId {
            term: 3,
            index: 500,
        }),
        Row::Membership(Bytes::from_static(b"opaque")),
        Row::Head(Head {
            revision: 9,
            compact_revision: -1,
            written_bytes: 77,
        }),
        Row::Gc(Gc {
            done_revision: 5,
            freed_bytes: 20,
        }),
        Row::Lease(
            -2,
            LeaseRow {
                granted_ttl_s: 60,
                remaining_ttl_s: 5,
            },
        ),
        Row::Alarm(AlarmRow {
            alarm: 1,
            member_id: 8,
        }),
        Row::Member(8, attributes),
        Row::ClusterVersion("3.7.0".into()),
        Row::Downgrade("3.6.0".into()),
        Row::Downgrade(String::new()),
        Row::Seat(8, Seat::Held),
        Row::Seat(9, Seat::Left),
    ];
    let text: Vec<_> = rows
        .iter()
        .map(|row| format!("{} = {}\n", hex(&row.key()), hex(&row.value())))
        .collect();
    expect![[r#"
        01 = 01000000000000000300000000000001f4
        02 = 016f7061717565
        03 = 010000000000000009ffffffffffffffff000000000000004d
        04 = 0100000000000000050000000000000014
        05fffffffffffffffe = 01000000000000003c0000000000000005
        06000000010000000000000008 = 01
        070000000000000008 = 010a026d30120a687474703a2f2f613a31
        08 = 01332e372e30
        0d = 01332e362e30
        0d = 01
        0c0000000000000008 = 0101
        0c0000000000000009 = 0102
    "#]]
    .assert_eq(&text.concat());
    for row in rows {
        assert_eq!(Row::parse(&row.key(), &Bytes::from(row.value())), Ok(row));
    }
}

#[test]
fn auth_rows_keep_their_bytes() {
    let rows = [
        Row::Auth(AuthRow {
            is_enabled: true,
            revision: 258,
        }),
        Row::User(User {
            name: Bytes::from_static(b"ann"),
            password: Bytes::from_static(b"$2a$"),
            roles: vec!["r".into()],
            options: Some(UserAddOptions { no_password: false }),
        }),
        Row::Role(Role {
            name: Bytes::from_static(b"r"),
            key_permission: vec![Permission {
                perm_type: Type::Readwrite as i32,
                key: Bytes::from_static(b"a"),
                range_end: Bytes::from_static(b"\0"),
            }],
        }),
    ];
    let text: Vec<_> = rows
        .iter()
        .map(|row| format!("{} = {}\n", hex(&row.key()), hex(&row.value())))
        .collect();
    expect![[r#"
        09 = 01010000000000000102
        0a616e6e = 010a03616e6e1204243261241a01722200
        0b72 = 010a0172120808021201611a0100
    "#]]
    .assert_eq(&text.concat());
    for row in rows {
        assert_eq!(Row::parse(&row.key(), &Bytes::from(row.value())), Ok(row));
    }
}

#[test]
fn auth_rows_that_contradict_themselves_are_refused() {
    let role = Row::Role(Role {
        name: Bytes::from_static(b"r"),
        key_permission: Vec::new(),
    });
    let other = super::sys::role_key(b"s");
    assert!(Row::parse(&other, &Bytes::from(role.value())).is_err());
    for value in [&b"\x01\x02\0\0\0\0\0\0\0\x01"[..], b"\x01\x01\0", b"\x01"] {
        assert!(Row::parse(b"\x09", &Bytes::copy_from_slice(value)).is_err());
    }
}

#[test]
fn unknown_versions_and_ordinals_are_refused() {
    for (key, value) in [
        (&b"\x01"[..], &b"\x02"[..]),
        (b"\x63", b"\x01"),
        (b"", b"\x01"),
        (b"\x01", b""),
    ] {
        assert!(
            Row::parse(key, &Bytes::copy_from_slice(value)).is_err(),
            "{key:?} {value:?}"
        );
    }
    assert!(rev::parse(&Bytes::from_static(b"\x20\x00")).is_err());
    assert!(live::parse(b"\x02\x01\x01\x01\x01\x01").is_err());
}

proptest! {
    #[test]
    fn rows_round_trip(
        main in 1..i64::MAX, sub: u32, create in 0..i64::MAX, version in 0..i64::MAX, lease: i64,
        previous in proptest::option::of((1..i64::MAX, any::<u32>())), dead: bool,
        key in proptest::collection::vec(any::<u8>(), 0..9), value in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let at = Revision { main, sub };
        let previous = previous.map(|(main, sub)| Revision { main, sub });
        prop_assert_eq!(rev::parse_key(&rev::key(at)), Ok(at));
        let kv = KeyValue {
            key: key.into(), value: value.into(), create_revision: create, mod_revision: main, version, lease,
        };
        let record = rev::parse(&Bytes::from(rev::value(dead, previous, &kv))).unwrap();
        prop_assert_eq!(record.previous, previous);
        prop_assert_eq!(record.is_tombstone, dead);
        prop_assert_eq!(record.to_kv(at), Ok(kv));
        let live = Live { at, create_revision: create, version, lease };
        prop_assert_eq!(live::parse(&live::value(&live)), Ok(live));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(key in proptest::collection::vec(any::<u8>(), 0..24), value in proptest::collection::vec(any::<u8>(), 0..40)) {
        let bytes = Bytes::from(value);
        let _ = rev::parse_key(&key);
        let _ = rev::parse(&bytes).map(|record| record.to_kv(Revision { main: 1, sub: 0 }));
        let _ = live::parse(&bytes);
        let _ = Row::parse(&key, &bytes);
    }
}
