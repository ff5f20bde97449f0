//! A proxy type in Sandesh for tests.

/// A type `Bytes` that takes readings of counters and has their `sum` for each period; `settings` are its period and
/// timeout.
pub(crate) fn counters(settings: &str) -> String {
    format!(
        r#"
        struct Bytes {{
            1: string name (key="")
            2: string proxy
            3: optional bool deleted
            4: optional u64 raw (hidden="yes", metric="agg")
            5: optional u64 sum (stats="1-raw:DSSum")
        }} ({settings})
        "#
    )
}
