//! The partition of every key, against the original.
//!
//! Vectors: `partition.jsonl` of the unmodified C++ (`djb` of the collector with signed chars, seed 5381): `djb` is
//! the hash, `partition30` and `partition15` its remainders. No deviations.

use std::io::Read as _;

use proxy_uve::key::{PARTITIONS, djb2, partition};

/// How many records the file has, so that a truncated one cannot pass.
const RECORDS: usize = 208;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits")).collect()
}

#[test]
fn every_key_has_the_partition_that_the_original_gives_it() {
    let file = include_bytes!("../testdata/golden/partition.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&file[..]).read_to_string(&mut text).expect("a whole file");
    let mut beyond_ascii = 0;
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record");
        let key = bytes(record["key_hex"].as_str().expect("hex digits"));
        beyond_ascii += usize::from(!key.is_ascii());
        assert_eq!(Some(u64::from(djb2(&key))), record["djb"].as_u64(), "{}", record["id"]);
        for (name, partitions) in [("partition30", PARTITIONS), ("partition15", 15)] {
            assert_eq!(Some(u64::from(partition(&key, partitions))), record[name].as_u64(), "{}", record["id"]);
        }
    }
    assert_eq!(text.lines().count(), RECORDS);
    assert!(beyond_ascii > 0, "signed bytes make no difference to ASCII");
}
