//! Partial states: arbitrary lines, and the states of real edges with some of their fields and words changed.

use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::wire::PartialState;
use proxy_uve::{
    AttributeResult, Fate, PartialRecord, Plan, Position, Record, ResultSink, Subject, Table, TableSettings,
};

const SECOND: u64 = 1_000_000;
const START: u64 = 86_400 * SECOND;

/// A window of every kind of state that merges.
const SCHEMA: &str = r#"
struct All { 1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional u64 sum (stats="2-raw:DSSum")
    6: optional derived_stats_results.AnomalyResult judged (stats="1.DSAvg-raw:DSAnomaly:EWM:0.5")
    7: optional u64 spread (stats="1-raw:DSSpread")
    8: optional u64 window (stats="1-raw:DSMax:10")
    9: optional derived_stats_results.PercentileResult percentiles (stats="1-raw:DSPercentile:50,99")
    10: optional u64 different (stats="1-raw:DSDistinct")
} (period="60", timeout="3")
struct Float { 1: string name (key="") 2: string proxy 3: optional bool deleted
    4: optional double raw (hidden="yes")
    5: optional double sum (stats="1-raw:DSSum")
    6: optional double deviation (stats="1-raw:DSStddev")
    7: optional double mean (stats="1-raw:DSAvg:10")
} (period="60", timeout="2", silence="zero")
"#;

/// The states that an edge sends.
#[derive(Default)]
struct States(Vec<PartialState<'static>>);

impl ResultSink for States {
    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, _: &Subject<'_>, _: &AttributeResult<'_>) {}

    fn end(&mut self, _: &Subject<'_>) {}

    fn wants_partials(&self) -> bool {
        true
    }

    fn partial(&mut self, state: PartialState<'_>) {
        self.0.push(state.into_owned());
    }
}

/// The plan of the table that takes the states, and the states of an edge.
static EDGE: LazyLock<(Arc<Plan>, Vec<PartialState<'static>>)> = LazyLock::new(|| {
    let schema = Schema::parse("partial.sandesh", SCHEMA).expect("a good schema");
    let types: Vec<_> = schema.types().cloned().collect();
    let stream = StreamName::new("Struct", "attribute").expect("a good name");
    let plan = Arc::new(Plan::for_partials(stream.clone(), &types).expect("states that merge"));
    let mut edge = Table::with_sink(plan, TableSettings::default(), States::default());
    for (position, second) in (0..300).step_by(5).enumerate() {
        let (at, key) = (START + second * SECOND, if second % 3 == 0 { b"k:1" } else { b"k:2" });
        let payload = format!("{{\"ts\":{at},\"value\":{}}}", second * second);
        edge.ingest(&Record {
            position: Position::new(position as u64),
            arrived: at,
            key,
            payload: payload.as_bytes(),
        });
    }
    edge.advance(START + 600 * SECOND);
    (Arc::new(Plan::new(stream, &types)), std::mem::take(&mut edge.sink_mut().0))
});

/// Decodes a line and encodes it back; gives a table changed states among real ones.
pub fn partial(data: &[u8]) {
    if let Ok(state) = PartialState::decode(data, data.len()) {
        assert_eq!(decoded(&encoded(&state)), state);
    }
    // An end of the data is the end of the changes.
    let _ = merge(&mut Unstructured::new(data));
}

fn merge(data: &mut Unstructured<'_>) -> Result<()> {
    let (plan, states) = &*EDGE;
    let mut table = Table::new(Arc::clone(plan), TableSettings::default());
    for (position, original) in states.iter().enumerate() {
        let mut state = original.clone();
        while !data.is_empty() && data.ratio(1, 3)? {
            change(&mut state, data)?;
        }
        let (position, arrived) = (Position::new(position as u64), START + 600 * SECOND);
        let fate = if data.arbitrary()? {
            table.ingest_partial(&PartialRecord { position, arrived, state: &state })
        } else {
            let payload = encoded(&state);
            table.ingest(&Record { position, arrived, key: state.key.as_bytes(), payload: &payload })
        };
        // A changed window may have closed those of real states.
        let is_taken = matches!(fate, Fate::Aggregated | Fate::Late);
        assert!(state != *original || is_taken, "a real state is {}", fate.name());
    }
    table.advance(START + 600 * SECOND);
    for row in table.drain() {
        serde_json::from_slice::<serde_json::Value>(row.json).expect("a row is JSON");
    }
    let saved = table.snapshot();
    let chunks = saved.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    Table::restore(Arc::clone(plan), TableSettings::default(), &saved.meta, chunks).expect("its own snapshot");
    Ok(())
}

fn change(state: &mut PartialState<'static>, data: &mut Unstructured<'_>) -> Result<()> {
    match data.int_in_range(0..=7)? {
        0 => state.version = data.arbitrary()?,
        1 => state.state = data.arbitrary::<String>()?.into(),
        2 => state.key = data.arbitrary::<String>()?.into(),
        3 => state.window = (START + u64::from(data.arbitrary::<u16>()?) * SECOND) / state.period * state.period,
        4 => state.words.truncate(data.arbitrary::<u8>()?.into()),
        5 => state.words.push(data.arbitrary()?),
        _ => {
            let index = data.choose_index(state.words.len().max(1))?;
            let word = data.arbitrary()?;
            if let Some(old) = state.words.get_mut(index) {
                *old = word;
            }
        }
    }
    Ok(())
}

fn encoded(state: &PartialState<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    state.encode(&mut line);
    line
}

fn decoded(line: &[u8]) -> PartialState<'_> {
    PartialState::decode(line, line.len()).expect("what was encoded")
}
