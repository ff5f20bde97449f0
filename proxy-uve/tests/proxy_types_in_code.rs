//! Proxy types that a program defines in code: the same as those of a schema, and every mistake with its remedy.

use std::sync::Arc;
use std::time::Duration;

use derived_stats::{MetricKind, Number, Silence, ValueType};
use proxy_uve::schema::{ProxyType, ProxyTypeBuilder, Schema};
use proxy_uve::{DecodedRecord, Fate, Plan, Position, StreamName, Table, TableSettings};

const DAY: Duration = Duration::from_secs(86_400);

fn builder(name: &str) -> ProxyTypeBuilder {
    ProxyType::builder(name, ValueType::U64)
}

fn sum(every: u32, period: Duration) -> ProxyTypeBuilder {
    builder("Wide").period(period).result("value", format!("{every}-raw:DSSum"))
}

fn error(builder: ProxyTypeBuilder) -> String {
    builder.build().expect_err("a faulty type").to_string()
}

#[test]
fn a_built_type_is_that_of_the_same_definition() {
    let text = r#"struct T {
        1: string name (key="")  2: string proxy  3: optional bool deleted
        4: optional i64 bytes (hidden="yes", metric="agg")
        5: optional i64 sum (stats="2-bytes:DSSum")
        6: optional derived_stats_results.AnomalyResult odd (stats="1.DSSum-bytes:DSAnomaly:EWM:0.5", hidden="yes")
    } (period="45", timeout="3", silence="zero")"#;
    let written = Schema::parse("t.sandesh", text).unwrap();
    let written = written.get("T").unwrap();
    let built = ProxyType::builder("T", ValueType::I64)
        .result("sum", "2-bytes:DSSum")
        .hidden_result("odd", "1.DSSum-bytes:DSAnomaly:EWM:0.5")
        .raw("bytes")
        .metric(MetricKind::Agg)
        .period(Duration::from_secs(45))
        .timeout(3)
        .silence(Silence::Zero)
        .build()
        .unwrap();
    assert_eq!((built.name(), built.raw(), built.silence()), (written.name(), written.raw(), written.silence()));
    assert_eq!((built.period_seconds(), built.timeout()), (written.period_seconds(), written.timeout()));
    let results = |of: &ProxyType| -> Vec<_> {
        let result = of.attributes().iter();
        result.map(|result| (result.name.clone(), result.spec.to_string(), result.hidden)).collect()
    };
    assert_eq!(results(&built), results(written));
}

/// Before, such a type could be built, and the plan or the first sample panicked.
#[test]
fn windows_beyond_64_bits_are_refused() {
    let error = error(sum(1 << 27, Duration::from_secs(86_400)));
    assert_eq!(
        error,
        "proxy type `Wide`: the window of the result `value` is 134217728 periods of 86400 s, more than 136 years; \
         lower one of them"
    );
}

#[test]
fn the_longest_window_takes_samples() {
    for (every, seconds) in [(49_710, 86_400), (u32::MAX, 1)] {
        let wide = Arc::new(sum(every, Duration::from_secs(seconds)).build().unwrap());
        let plan = Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &[wide]));
        let mut table = Table::new(plan, TableSettings::default());
        for (position, at) in (0..).map(Position::new).zip([0, 1 << 50, i64::MAX as u64]) {
            let value = Number::U64(1);
            table.ingest_batch(&[DecodedRecord { position, arrived: at, key: b"T:a", at, value, source: "" }]);
        }
        assert_eq!(table.fates().count(Fate::Aggregated), 3, "{every} periods of {seconds} s");
    }
}

fn check(cases: impl IntoIterator<Item = (ProxyTypeBuilder, &'static str)>) {
    for (builder, expected) in cases {
        let error = error(builder);
        let sentence = error.split_once("`: ").map(|(_, sentence)| sentence);
        assert_eq!(sentence, Some(expected), "{error}");
    }
}

#[test]
fn faults_of_a_type_name_part_and_remedy() {
    check([
        (
            builder("1T"),
            "the type is named `1T`, which is not an identifier; use letters, digits and `_`, not starting with a digit",
        ),
        (
            builder(""),
            "the type is named ``, which is not an identifier; use letters, digits and `_`, not starting with a digit",
        ),
        (
            builder("T").raw("a-b"),
            "the raw field is named `a-b`, which is not an identifier; use letters, digits and `_`, not starting with a digit",
        ),
        (builder("T"), "the type has no result; add one such as `value` with `1-raw:DSSum`"),
        (sum(1, Duration::ZERO), "the period is 0ns; expected whole seconds, 1 to 86400"),
        (sum(1, Duration::from_millis(1500)), "the period is 1.5s; expected whole seconds, 1 to 86400"),
        (sum(1, Duration::from_secs(1 << 31)), "the period is 2147483648s; expected whole seconds, 1 to 86400"),
        (sum(1, DAY + Duration::from_secs(1)), "the period is 86401s; expected whole seconds, 1 to 86400"),
        (
            builder("T").timeout(1).result("v", "raw:DSSum"),
            "the timeout counts periods, and the type has none; set a period or remove it",
        ),
        (
            builder("T").silence(Silence::Skip).result("v", "raw:DSSum"),
            "the rule for silence counts periods, and the type has none; set a period or remove it",
        ),
    ]);
}

#[test]
fn faults_of_a_result_name_it_and_the_remedy() {
    check([
        (sum(1, DAY).result("value", "1-raw:DSAvg"), "two fields are named `value`; rename one of them"),
        (sum(1, DAY).result("raw", "1-raw:DSAvg"), "two fields are named `raw`; rename one of them"),
        (
            sum(1, DAY).result("a.b", "1-raw:DSAvg"),
            "the result is named `a.b`, which is not an identifier; use letters, digits and `_`, not starting with a digit",
        ),
        (
            sum(1, DAY).result("deleted", "1-raw:DSAvg"),
            "a result cannot be named `deleted`: `deleted`, `partial` and `proxy` are part of every result; rename it",
        ),
        (
            sum(1, DAY).result("x", "1-raw.y:DSAvg"),
            "the result `x` reads `raw.y`, but samples fill `raw`; write `raw` in its annotation",
        ),
        (
            sum(1, DAY).raw("flows"),
            "the result `value` reads `raw`, but samples fill `flows`; write `flows` in its annotation",
        ),
    ]);
    let unknown = error(sum(1, DAY).result("x", "1-raw:DSum"));
    assert!(unknown.starts_with("proxy type `Wide`: the annotation of the result `x` is wrong: "), "{unknown}");
}

#[test]
fn a_schema_reserves_the_members_of_every_result() {
    let text = r#"struct T {
        1: string name (key="")  2: string proxy  3: optional bool deleted
        4: optional u64 raw (hidden="yes")
        5: optional u64 partial (stats="1-raw:DSSum")
    } (period="60")"#;
    let errors = Schema::parse("t.sandesh", text).unwrap_err();
    let [error] = errors.errors() else { panic!("{errors}") };
    assert_eq!((error.line(), error.column()), (4, 25));
    assert_eq!(
        error.kind().to_string(),
        "a result cannot be named `partial`: `deleted`, `partial` and `proxy` are part of every result; rename it"
    );
}
