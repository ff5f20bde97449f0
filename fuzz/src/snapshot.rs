//! Snapshots of a table: arbitrary bytes, and real snapshots with some bytes changed.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{Plan, Position, Record, Snapshot, SnapshotError, Table, TableSettings};

const SECOND: u64 = 1_000_000;
/// The version of a part, and the length of version and checksum.
const VERSION: u8 = 2;
const HEAD: usize = 5;
const START: u64 = 86_400 * SECOND;

/// All kinds of column: windows of one and of several periods, detectors, inline and ranged attributes, counters, last
/// values of sources.
const SCHEMA: &str = r#"
struct All { 1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional u64 sum (stats="2-raw:DSSum")
    6: optional derived_stats_results.AnomalyResult judged (stats="1.DSAvg-raw:DSAnomaly:EWM:0.5")
    7: optional u64 now (stats="0-raw:DSSum")
    8: optional u64 window (stats="1-raw:DSSum:10")
} (period="60", timeout="3")
struct Counter { 1: string name (key="") 2: string proxy 3: optional bool deleted
    4: optional u64 raw (hidden="yes", metric="agg")
    5: optional u64 sum (stats="1-raw:DSSum")
    6: optional u64 range (stats="0-raw:DSSum:10")
} (period="60", timeout="1")
struct Float { 1: string name (key="") 2: string proxy 3: optional bool deleted
    4: optional double raw (hidden="yes")
    5: optional derived_stats_results.AnomalyResult judged (stats="2.DSSum-raw:DSAnomaly:EWM:0.1")
    6: optional double mean (stats="1-raw:DSAvg:10")
    7: optional double newest (stats="0-raw:DSChange")
} (period="120", timeout="2", silence="zero")
struct Levels { 1: string name (key="") 2: string proxy 3: optional bool deleted
    4: optional u64 raw (hidden="yes")
    5: optional u64 sum (stats="1-raw:DSSumLast:3")
    6: optional u64 largest (stats="2-raw:DSMaxLast")
} (period="60", timeout="3")
"#;

/// A table as it was saved.
struct Original {
    plan: Arc<Plan>,
    meta: Vec<u8>,
    chunks: Chunks,
}

type Chunks = BTreeMap<u32, Vec<u8>>;

/// One table for each type alone and one for all of them, in the middle of a window and just after one.
static ORIGINALS: LazyLock<Vec<Original>> = LazyLock::new(|| {
    let schema = Schema::parse("snapshot.sandesh", SCHEMA).expect("a good schema");
    let types: Vec<_> = schema.types().cloned().collect();
    let mut originals = Vec::new();
    for types in [&types[..1], &types[1..2], &types[2..3], &types[3..], &types[..]] {
        for seconds in [290, 335] {
            let stream = StreamName::new("Struct", "attribute").expect("a good name");
            originals.push(Original::after(seconds, Arc::new(Plan::new(stream, types))));
        }
    }
    originals
});

impl Original {
    /// Three objects with a sample every five seconds, the last one only at first.
    fn after(seconds: u64, plan: Arc<Plan>) -> Self {
        let mut table = Table::new(Arc::clone(&plan), TableSettings::default());
        for second in (0..seconds).step_by(5) {
            for (object, last) in [("k:1", seconds), ("k:22", seconds), ("k:333", 100)] {
                if second < last {
                    ingest(&mut table, object, START + second * SECOND, second * 10);
                }
            }
        }
        let Snapshot { meta, chunks } = table.snapshot();
        let chunks = chunks.into_iter().filter_map(|(chunk, bytes)| Some((chunk, bytes?))).collect();
        Self { plan, meta, chunks }
    }

    fn restore(&self, meta: &[u8], chunks: &Chunks) -> std::result::Result<Table, SnapshotError> {
        let chunks = chunks.iter().map(|(&chunk, bytes)| (chunk, bytes.as_slice()));
        Table::restore(Arc::clone(&self.plan), TableSettings::default(), meta, chunks).map(|(table, _)| table)
    }
}

fn ingest(table: &mut Table, key: &str, at: u64, value: u64) {
    let position = Position::new(table.position().map_or(0, |position| position.get().saturating_add(1)));
    let payload = format!(r#"{{"ts":{at},"value":{value}}}"#);
    table.ingest(&Record { position, arrived: at, key: key.as_bytes(), payload: payload.as_bytes() });
}

/// The table, the damage and what happens afterwards are all read from the input.
pub fn snapshot(data: &[u8]) {
    // The input may end anywhere: then there is nothing to check.
    let _ = run(&mut Unstructured::new(data));
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let original = input.choose(&ORIGINALS)?;
    let (mut meta, mut chunks) = (original.meta.clone(), original.chunks.clone());
    match input.arbitrary::<u8>()? {
        0..64 => {
            let chunk = input.arbitrary::<u8>()?;
            chunks.insert(chunk.into(), sealed(input.bytes(input.len())?));
        }
        64..96 => meta = sealed(input.bytes(input.len())?),
        96..=255 => {
            for _ in 0..input.int_in_range(0..=3)? {
                let part = if input.ratio(1, 4)? { &mut meta } else { chunks.values_mut().next().expect("one chunk") };
                damage(part, input)?;
            }
        }
    }
    let Ok(mut table) = original.restore(&meta, &chunks) else { return Ok(()) };
    go_on(&mut table, input)?;
    let objects = table.objects();
    let Snapshot { meta, chunks: changed } = table.snapshot();
    for (chunk, bytes) in changed {
        match bytes {
            Some(bytes) => chunks.insert(chunk, bytes),
            None => chunks.remove(&chunk),
        };
    }
    let again = original.restore(&meta, &chunks).unwrap_or_else(|error| panic!("its own snapshot: {error:?}"));
    assert_eq!(again.objects(), objects);
    Ok(())
}

/// The version and the checksum before a body: without them, nothing behind them is ever read.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut part = vec![VERSION, 0, 0, 0, 0];
    part.extend_from_slice(body);
    seal(&mut part);
    part
}

/// Writes the checksum that fits the rest of a part.
fn seal(part: &mut [u8]) {
    if let Some((head, body)) = part.split_at_mut_checked(HEAD) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head[..1]);
        hasher.update(body);
        head[1..].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
}

/// Mostly with a checksum that fits.
fn damage(part: &mut Vec<u8>, input: &mut Unstructured<'_>) -> Result<()> {
    if part.is_empty() {
        return Ok(());
    }
    let at = input.choose_index(part.len())?;
    match input.arbitrary::<u8>()? {
        0..128 => part[at] ^= 1 << input.int_in_range(0..=7)?,
        128..224 => part[at] = input.arbitrary()?,
        224..240 => part.truncate(at),
        240..=255 => part.insert(at, input.arbitrary()?),
    }
    if input.ratio(7, 8)? {
        seal(part);
    }
    Ok(())
}

/// Some records, then the end of time as far as windows go.
fn go_on(table: &mut Table, input: &mut Unstructured<'_>) -> Result<()> {
    let mut now = table.newest_timestamp().unwrap_or(START);
    for _ in 0..input.int_in_range(0..=8)? {
        now = now.saturating_add(input.arbitrary::<u16>()?.into());
        now = now.saturating_add(u64::from(input.arbitrary::<u8>()?) * SECOND);
        let key = *input.choose(&["k:1", "k:22", "k:333", "k:4444"])?;
        ingest(table, key, now, input.arbitrary()?);
    }
    table.advance(now.saturating_add(600 * SECOND));
    for row in table.drain() {
        let parsed = serde_json::from_slice::<serde_json::Value>(row.json);
        assert!(parsed.is_ok(), "a result that is not JSON: {}", row.json.escape_ascii());
    }
    table.clear_results();
    Ok(())
}
