//! Messages in JSON of any shape.

use std::sync::LazyLock;

use daemon_formats::json_fields::{Fields, FieldsConfig, OneOrMore, Unit};

/// A configuration for each unit, with plain, nested and escaped paths.
static FIELDS: LazyLock<Vec<Fields>> = LazyLock::new(|| {
    let units = [Unit::S, Unit::Ms, Unit::Us, Unit::Ns, Unit::Rfc3339];
    let config = |unit| FieldsConfig {
        key: OneOrMore::More(vec!["k".to_owned(), r"a.0.b\.c".to_owned()]),
        time: "t".to_owned(),
        time_unit: unit,
        value: "v.x".to_owned(),
        source: Some("s".to_owned()),
    };
    units.into_iter().filter_map(|unit| Fields::compile(&config(unit)).ok()).collect()
});

/// Reads the input as a message, with each unit of time.
pub fn json_fields(data: &[u8]) {
    assert_eq!(FIELDS.len(), 5);
    for fields in FIELDS.iter() {
        match fields.read(data) {
            Ok(sample) => {
                assert!(sample.value.is_finite(), "{sample:?}");
                assert!(sample.key.len() == 2 && sample.key.iter().all(|text| (1..=1024).contains(&text.len())));
                assert!(sample.source.as_ref().is_some_and(|source| !source.is_empty()), "{sample:?}");
                assert_eq!(fields.read(data).as_ref(), Ok(&sample), "a message is always the same sample");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
