//! Snapshots that were recorded once and must be restored for ever: one folder of `testdata/state` for each version of
//! the format, with the parts of a snapshot and the results that its table goes on to.
//!
//! `v2-sources` has the counters of each source, which came later.
//!
//! `cargo test -p proxy-uve --test state -- --ignored` records those of the newest version. A recorded folder is never
//! changed: a format or an algorithm that cannot read it any more breaks the state of every installation.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{Plan, Position, Record, Table, TableSettings};

const MINUTE: u64 = 60_000_000;

/// Every kind of state: open windows of one and of several periods, ranged windows, counters, detectors, inline
/// results.
const TYPES: &str = r#"
struct Sums {
  1: string name (key="")
  2: string proxy
  3: optional bool deleted
  4: optional u64 raw (hidden="yes")
  5: optional u64 sum (stats="1-raw:DSSum")
  6: optional u64 newest (stats="3-raw:DSNone")
  7: optional u64 recent (stats="1-raw:DSSum:20")
  8: optional u64 changed (stats="1-raw:DSChange")
  9: optional derived_stats_results.AnomalyResult judged (stats="1.DSSum-raw:DSAnomaly:EWM:0.5")
  10: optional u64 nonzero (stats="0-raw:DSNon0")
  11: optional derived_stats_results.EWMResult smoothed (stats="0-raw:DSEWM:0.25")
} (period="60", timeout="3")

struct Means {
  1: string name (key="")
  2: string proxy
  3: optional bool deleted
  4: optional double raw (hidden="yes")
  5: optional double mean (stats="2-raw:DSAvg")
  6: optional derived_stats_results.AnomalyResult judged (stats="2.DSAvg-raw:DSAnomaly:EWM:0.5")
} (period="30", timeout="0", silence="zero")

struct Grown {
  1: string name (key="")
  2: string proxy
  3: optional bool deleted
  4: optional u64 raw (hidden="yes", metric="agg")
  5: optional u64 grown (stats="1-raw:DSSum")
} (period="60", timeout="3", silence="skip")
"#;

fn plan() -> Arc<Plan> {
    let schema = Schema::parse("state.sandesh", TYPES).unwrap_or_else(|errors| panic!("{errors}"));
    let types: Vec<_> = schema.types().cloned().collect();
    Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "in_bytes").unwrap(), &types))
}

/// Five objects, of which the last ones fall silent, one after the other.
fn feed(table: &mut Table, version: &str, seconds: std::ops::Range<u64>) {
    for second in seconds.step_by(11) {
        for object in (0..5).filter(|object| second < 600 || second % 5 >= *object) {
            let position = Position::new(table.position().map_or(0, |position| position.get() + 1));
            let at = 1000 * MINUTE + second * 1_000_000 + object;
            let (key, value) = (format!("ObjectVNTable:vn{object}"), second * (object + 1) % 1013);
            let source = if version == "v2" { "" } else { ["", "compute-1", "compute-12"][second as usize % 3] };
            let payload = format!("{{\"ts\":{at},\"value\":{value},\"source\":\"{source}\"}}");
            table.ingest(&Record { position, arrived: at, key: key.as_bytes(), payload: payload.as_bytes() });
        }
    }
}

/// What the table goes on to.
fn continued(mut table: Table, version: &str) -> String {
    table.clear_results();
    feed(&mut table, version, 600..780);
    table.advance(1000 * MINUTE + 1800 * 1_000_000);
    let mut text = String::new();
    for row in table.drain() {
        let (key, json) = (String::from_utf8_lossy(row.key), String::from_utf8_lossy(row.json));
        writeln!(text, "{} {} {key} {} {json}", row.start, row.end, row.uve_name).unwrap();
    }
    writeln!(text, "{:?}", table.fates()).unwrap();
    text
}

fn folder(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/state").join(version)
}

fn recorded() -> Table {
    let mut table = Table::new(plan(), TableSettings::default());
    feed(&mut table, "v2-sources", 0..600);
    table.clear_results();
    table
}

#[test]
fn every_recorded_snapshot_is_restored_and_goes_on_as_it_did() {
    for version in ["v2", "v2-sources"] {
        let read = |name: &str| std::fs::read(folder(version).join(name)).unwrap();
        let chunk = read("chunk-0.bin");
        let (table, report) =
            Table::restore(plan(), TableSettings::default(), &read("meta.bin"), [(0, chunk.as_slice())]).unwrap();
        assert!(report.is_unchanged() && report.kept().count() == 15, "{version}: {report}");
        let expected = String::from_utf8(read("continued.txt")).unwrap();
        assert!(expected.lines().count() > 100);
        let found = continued(table, version);
        for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{version}, line {}", line + 1);
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "{version}");
    }
}

#[test]
#[ignore = "records; run it once for a new version of the format"]
fn record_snapshots() {
    let (folder, mut table) = (folder("v2-sources"), recorded());
    assert!(!folder.exists(), "{} is recorded: it is never changed", folder.display());
    std::fs::create_dir_all(&folder).unwrap();
    let snapshot = table.snapshot();
    std::fs::write(folder.join("meta.bin"), &snapshot.meta).unwrap();
    for (number, chunk) in snapshot.chunks {
        std::fs::write(folder.join(format!("chunk-{number}.bin")), chunk.unwrap()).unwrap();
    }
    std::fs::write(folder.join("continued.txt"), continued(table, "v2-sources")).unwrap();
}
