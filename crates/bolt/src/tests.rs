//! What is written is read back; what is damaged is refused and harms nobody; what bbolt wrote is read.

mod damage;
mod golden;

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::{Database, Error, Shape, Value, WriteError, Writer};

/// Buckets with their rows.
type Buckets = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

fn fill<W: std::io::Write>(mut writer: Writer<W>, buckets: &Buckets) -> (W, Shape) {
    for (name, rows) in buckets {
        writer.begin_bucket(name).unwrap();
        for (key, value) in rows {
            writer.put(key, value).unwrap();
        }
        writer.end_bucket().unwrap();
    }
    writer.finish().unwrap()
}

/// The file of these buckets.
fn write(buckets: &Buckets, page_bytes: u32) -> Vec<u8> {
    let (_, shape) = fill(Writer::measure(page_bytes).unwrap(), buckets);
    let (file, again) = fill(Writer::new(Vec::new(), shape).unwrap(), buckets);
    assert_eq!(again, shape);
    assert_eq!(file.len() as u64, shape.bytes());
    file
}

/// Everything in a file. Buckets inside buckets are walked too, and count as empty values.
fn read(file: &[u8]) -> Result<Buckets, Error> {
    let database = Database::open(file)?;
    let mut buckets = Buckets::new();
    let mut roots = database.rows(&database.root());
    while let Some(root) = roots.next()? {
        let Value::Bucket(bucket) = root.value else {
            continue;
        };
        let rows = buckets.entry(root.key.to_vec()).or_default();
        let mut walk = database.rows(&bucket);
        while let Some(row) = walk.next()? {
            let value = match row.value {
                Value::Bytes(bytes) => bytes.to_vec(),
                Value::Bucket(inner) => {
                    let mut inner = database.rows(&inner);
                    while inner.next()?.is_some() {}
                    Vec::new()
                }
            };
            rows.insert(row.key.to_vec(), value);
        }
    }
    Ok(buckets)
}

fn buckets(value_bytes_max: usize) -> impl Strategy<Value = Buckets> {
    let key = vec(any::<u8>(), 1..40);
    let value = vec(any::<u8>(), 0..value_bytes_max);
    btree_map(vec(any::<u8>(), 1..12), btree_map(key, value, 0..120), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(
        buckets in buckets(3000),
        page_bytes in prop::sample::select(vec![1024, 4096, 16_384, 65_536]),
    ) {
        let file = write(&buckets, page_bytes);
        prop_assert_eq!(&read(&file).unwrap(), &buckets);
        let database = Database::open(&*file).unwrap();
        prop_assert_eq!(database.page_bytes(), page_bytes);
        prop_assert_eq!(database.size(), file.len() as u64);
        for (name, rows) in &buckets {
            let bucket = database.bucket(name).unwrap().unwrap();
            for (key, value) in rows {
                let found = database.get(&bucket, key).unwrap();
                prop_assert_eq!(found.as_ref(), Some(value));
                let mut absent = key.clone();
                absent.push(0);
                let found = database.get(&bucket, &absent).unwrap();
                prop_assert_eq!(found.as_ref(), rows.get(&absent));
            }
        }
    }
}

#[test]
fn a_tree_of_several_levels_keeps_its_order() {
    let rows = (0..20_000_u64).map(|n| (n.to_be_bytes().to_vec(), vec![7; 20]));
    let buckets = Buckets::from([(b"key".to_vec(), rows.collect())]);
    let file = write(&buckets, 1024);
    assert_eq!(read(&file).unwrap(), buckets);
    let database = Database::open(&*file).unwrap();
    let bucket = database.bucket(b"key").unwrap().unwrap();
    let last = 19_999_u64.to_be_bytes();
    assert!(database.get(&bucket, &last).unwrap().is_some());
    assert!(database.get(&bucket, &[0xff]).unwrap().is_none());
    assert!(database.bucket(b"kex").unwrap().is_none());
}

#[test]
fn what_bbolt_would_refuse_is_not_written() {
    assert!(matches!(
        Writer::measure(1000),
        Err(WriteError::PageSize(1000))
    ));
    let mut writer = Writer::measure(4096).unwrap();
    assert!(matches!(writer.put(b"a", b""), Err(WriteError::Nesting)));
    writer.begin_bucket(b"b").unwrap();
    assert!(matches!(writer.put(b"", b""), Err(WriteError::KeySize(0))));
    let long = vec![0; 32_769];
    assert!(matches!(
        writer.put(&long, b""),
        Err(WriteError::KeySize(_))
    ));
    writer.put(b"b", b"").unwrap();
    for key in [&b"b"[..], b"a"] {
        assert!(matches!(writer.put(key, b""), Err(WriteError::Order)));
    }
    writer.end_bucket().unwrap();
    writer.begin_bucket(b"a").unwrap();
    assert!(matches!(writer.end_bucket(), Err(WriteError::Order)));
}

#[test]
fn a_second_pass_with_other_rows_is_noticed() {
    let rows = |count: u8| {
        let rows = (0..count).map(|n| (vec![n], vec![0; 100]));
        Buckets::from([(b"key".to_vec(), rows.collect())])
    };
    let (_, shape) = fill(Writer::measure(1024).unwrap(), &rows(5));
    let mut writer = Writer::new(Vec::new(), shape).unwrap();
    writer.begin_bucket(b"key").unwrap();
    for (key, value) in &rows(50)[&b"key"[..]] {
        writer.put(key, value).unwrap();
    }
    writer.end_bucket().unwrap();
    assert!(matches!(writer.finish(), Err(WriteError::Changed)));
}
