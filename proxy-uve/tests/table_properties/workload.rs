//! Random proxy types and random records.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use derived_stats::{Number, Silence};
use proptest::prelude::*;
use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{DecodedRecord, Plan, Position, RestoreReport, Snapshot, Table, TableSettings};

use Algorithm::{
    Average, AverageDetector, AverageLast, Increase, IncreaseDetector, MaxLast, Newest, Rate, Sum, SumDetector,
    SumLast, SumLastDetector,
};
use Raw::{Counter, F64, U64};
use Silence::{Once, Skip, Zero};

pub(crate) const SECOND: u64 = 1_000_000;

/// When the first record is due: a multiple of every window here.
pub(crate) const START: u64 = 86_400 * SECOND;

/// What the raw value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw {
    Counter,
    F64,
    U64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Algorithm {
    Average,
    /// Of the average of each window.
    AverageDetector,
    /// Of the last values of sources, which count in so many windows.
    AverageLast(u64),
    /// Of the counters of all sources.
    Increase,
    IncreaseDetector,
    MaxLast(u64),
    Newest,
    /// The increase per second.
    Rate,
    Sum,
    /// Of the sum of each window.
    SumDetector,
    SumLast(u64),
    SumLastDetector(u64),
}

impl Algorithm {
    /// The number of windows in which a source counts; 0 for algorithms that do not distinguish sources.
    pub(crate) fn last_values(self) -> u64 {
        match self {
            AverageLast(periods) | MaxLast(periods) | SumLast(periods) | SumLastDetector(periods) => periods,
            Average | AverageDetector | Increase | IncreaseDetector | Newest | Rate | Sum | SumDetector => 0,
        }
    }

    /// Whether it takes samples as readings of counters.
    pub(crate) fn reads_counters(self) -> bool {
        matches!(self, Increase | IncreaseDetector | Rate)
    }

    /// How many windows before its own a value depends on.
    pub(crate) fn looks_back(self) -> u64 {
        self.last_values().saturating_sub(1)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Type {
    pub(crate) name: &'static str,
    /// In seconds; 0 for inline.
    pub(crate) period: u64,
    pub(crate) timeout: u64,
    pub(crate) silence: Silence,
    pub(crate) raw: Raw,
    /// The weight of its detectors.
    pub(crate) alpha: &'static str,
    /// Every so many periods.
    pub(crate) attributes: &'static [(&'static str, u64, Algorithm)],
}

/// All that a case draws from. A window column of N periods is never longer than the timeout and one more: see
/// the note on deletion in `main.rs`.
pub(crate) const TYPES: [Type; 13] = [
    of("AggProxySum", [60, 1], Once, U64, &[("value", 1, Sum)]),
    of("Ewm", [60, 1], Once, U64, &[("value", 1, SumDetector)]),
    of("Pairs", [60, 1], Once, U64, &[("sum", 2, Sum), ("last", 1, Newest), ("scored", 2, AverageDetector)]),
    of("Patient", [60, 3], Once, U64, &[("mean", 1, Average), ("sum", 3, Sum), ("scored", 3, SumDetector)]),
    of("Zero", [60, 4], Zero, U64, &[("scored", 1, SumDetector), ("wide", 5, SumDetector)]),
    of("ZeroForEver", [120, 0], Zero, U64, &[("scored", 1, AverageDetector), ("wide", 3, SumDetector)]),
    of("Skip", [30, 2], Skip, U64, &[("scored", 1, SumDetector), ("mean", 3, Average)]),
    of("Counter", [60, 0], Once, Counter, &[("sum", 1, Sum), ("sum4", 4, Sum), ("scored", 1, SumDetector)]),
    of("Float", [60, 1], Once, F64, &[("sum", 1, Sum), ("mean", 2, Average)]),
    of("Inline", [0, 0], Once, U64, &[("now", 0, Newest)]),
    of(
        "Levels",
        [60, 3],
        Once,
        U64,
        &[
            ("total", 1, SumLast(1)),
            ("kept", 1, SumLast(3)),
            ("largest", 2, MaxLast(2)),
            ("scored", 1, SumLastDetector(2)),
        ],
    ),
    of(
        "Readings",
        [60, 0],
        Once,
        U64,
        &[
            ("sum", 1, Increase),
            ("rate", 1, Rate),
            ("rate4", 4, Rate),
            ("scored", 2, IncreaseDetector),
            ("last", 1, Newest),
        ],
    ),
    of("LevelsForEver", [120, 0], Zero, U64, &[("mean", 1, AverageLast(4)), ("wide", 3, SumLastDetector(2))]),
];

const fn of(
    name: &'static str,
    [period, timeout]: [u64; 2],
    silence: Silence,
    raw: Raw,
    attributes: &'static [(&'static str, u64, Algorithm)],
) -> Type {
    Type { name, period, timeout, silence, raw, alpha: "0.5", attributes }
}

/// The definition in Sandesh.
fn definition(of: &Type) -> String {
    let (raw, metric) = match of.raw {
        Counter => ("u64", ", metric=\"agg\""),
        F64 => ("double", ""),
        U64 => ("u64", ""),
    };
    let mut text =
        format!("struct {} {{\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n", of.name);
    writeln!(text, " 4: optional {raw} raw (hidden=\"yes\"{metric})").unwrap();
    for (number, (name, every, algorithm)) in of.attributes.iter().enumerate() {
        let (result, stats) = match algorithm {
            Average => (raw, format!("{every}-raw:DSAvg")),
            AverageDetector => ("r.AnomalyResult", format!("{every}.DSAvg-raw:DSAnomaly:EWM:{}", of.alpha)),
            AverageLast(periods) => (raw, format!("{every}-raw:DSAvgLast:{periods}")),
            Increase => (raw, format!("{every}-raw:DSIncrease")),
            IncreaseDetector => ("r.AnomalyResult", format!("{every}.DSIncrease-raw:DSAnomaly:EWM:{}", of.alpha)),
            Rate => ("double", format!("{every}-raw:DSRate")),
            MaxLast(periods) => (raw, format!("{every}-raw:DSMaxLast:{periods}")),
            Newest => (raw, format!("{every}-raw:DSNone")),
            Sum => (raw, format!("{every}-raw:DSSum")),
            SumLast(periods) => (raw, format!("{every}-raw:DSSumLast:{periods}")),
            SumLastDetector(periods) => {
                ("r.AnomalyResult", format!("{every}.DSSumLast({periods})-raw:DSAnomaly:EWM:{}", of.alpha))
            }
            SumDetector => ("r.AnomalyResult", format!("{every}.DSSum-raw:DSAnomaly:EWM:{}", of.alpha)),
        };
        writeln!(text, " {}: optional {result} {name} (stats=\"{stats}\")", number + 5).unwrap();
    }
    let silence = format!("{:?}", of.silence).to_lowercase();
    match of.period {
        0 => text + "}\n",
        period => format!("{text}}} (period=\"{period}\", timeout=\"{}\", silence=\"{silence}\")\n", of.timeout),
    }
}

pub(crate) fn plan(types: &[Type]) -> Arc<Plan> {
    plan_of("egress_flow_count", types)
}

/// A plan for the samples of an attribute.
pub(crate) fn plan_of(attribute: &str, types: &[Type]) -> Arc<Plan> {
    let text =
        "struct AnomalyResult { 1: u64 samples }\n".to_owned() + &types.iter().map(definition).collect::<String>();
    let text = text.replace("r.AnomalyResult", "derived_stats_results.AnomalyResult");
    let schema = Schema::parse("random.sandesh", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let types: Vec<_> = types.iter().map(|of| Arc::clone(schema.get(of.name).unwrap())).collect();
    Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", attribute).unwrap(), &types))
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The owner advances the watermark to this time.
    Advance {
        to: u64,
    },
    /// The owner forgets an object.
    Remove {
        key: usize,
    },
    Sample {
        key: usize,
        source: usize,
        at: u64,
        value: Number,
    },
}

/// Something to do, relative to the newest time so far: in seconds on, and in parts of the lateness back.
#[derive(Clone, Copy, Debug)]
enum Move {
    Advance { on: u64 },
    Remove { key: usize },
    Sample { key: usize, source: usize, on: u64, back: u64, value: Number },
}

pub(crate) const KEYS: [&str; 6] = ["T:a", "T:b", "T:c", "U:a", "ObjectVNTable:default-domain:demo:vn1", "U:"];

pub(crate) const SOURCES: [&str; 3] = ["", "compute-1", "compute-2"];

fn moves() -> impl Strategy<Value = Move> {
    let on = prop_oneof![8 => 0..20u64, 3 => 20..100u64, 1 => 100..2000u64];
    let value = prop_oneof![
        12 => (0..5000u64).prop_map(Number::U64),
        1 => Just(Number::U64(u64::MAX)),
        1 => (-1000..0i64).prop_map(Number::I64),
        1 => (-10.0..10.0).prop_map(Number::F64),
    ];
    let back = prop_oneof![3 => Just(0), 2 => 0..=120u64];
    let sample = (0..KEYS.len(), 0..SOURCES.len(), on.clone(), back, value);
    let sample = sample.prop_map(|(key, source, on, back, value)| Move::Sample { key, source, on, back, value });
    let remove = (0..KEYS.len()).prop_map(|key| Move::Remove { key });
    prop_oneof![18 => sample, 2 => on.prop_map(|on| Move::Advance { on }), 1 => remove]
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) types: Vec<Type>,
    /// In microseconds.
    pub(crate) lateness: u64,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let chosen = proptest::sample::subsequence(TYPES.to_vec(), 1..=TYPES.len()).prop_shuffle();
    let lateness = prop_oneof![Just(0), Just(30), Just(60), Just(100), Just(180)];
    (chosen, lateness, proptest::collection::vec(moves(), 1..160)).prop_map(|(types, lateness, moves)| {
        let mut newest = START;
        let steps = moves.iter().map(|step| match *step {
            Move::Advance { on } => Step::Advance { to: newest + on * SECOND },
            Move::Remove { key } => Step::Remove { key },
            Move::Sample { key, source, on, back, value } => {
                newest += on * SECOND + 1;
                // A little more than the lateness, so that some are late.
                Step::Sample { key, source, at: newest - lateness * SECOND * back / 100, value }
            }
        });
        Case { types, lateness: lateness * SECOND, steps: steps.collect() }
    })
}

impl Case {
    pub(crate) fn settings(&self) -> TableSettings {
        TableSettings::default().with_allowed_lateness(Duration::from_micros(self.lateness))
    }

    pub(crate) fn table(&self) -> Table {
        Table::new(plan(&self.types), self.settings())
    }
}

/// Does one step, `position` in the log.
pub(crate) fn apply(table: &mut Table, position: usize, step: Step) {
    match step {
        Step::Advance { to } => table.advance(to),
        Step::Remove { key } => {
            let is_known = table.object(KEYS[key].as_bytes()).is_some();
            assert_eq!(table.remove(KEYS[key].as_bytes()), is_known);
            assert!(table.keys().all(|other| other != KEYS[key].as_bytes()));
        }
        Step::Sample { key, source, at, value } => {
            let (position, key, source) = (Position::new(position as u64), KEYS[key].as_bytes(), SOURCES[source]);
            table.ingest_batch(&[DecodedRecord { position, arrived: at, key, at, value, source }]);
        }
    }
}

/// A result as text.
pub(crate) fn text(row: &proxy_uve::ResultRow<'_>) -> String {
    let (key, json) = (String::from_utf8_lossy(row.key), String::from_utf8_lossy(row.json));
    format!("{} {} {} {} {json}", row.end, row.start, key, row.uve_name)
}

/// The results as text.
pub(crate) fn taken(table: &mut Table) -> Vec<String> {
    let rows = table.drain().map(|row| text(&row)).collect();
    table.clear_results();
    rows
}

/// The newest meta part and the newest form of each chunk, as a log keeps them.
#[derive(Clone, Default)]
pub(crate) struct Saved {
    pub(crate) meta: Vec<u8>,
    pub(crate) chunks: BTreeMap<u32, Vec<u8>>,
}

impl Saved {
    pub(crate) fn take(&mut self, table: &mut Table) {
        self.add(table.snapshot());
    }

    pub(crate) fn add(&mut self, snapshot: Snapshot) {
        self.meta = snapshot.meta;
        for (chunk, bytes) in snapshot.chunks {
            match bytes {
                None => drop(self.chunks.remove(&chunk)),
                Some(bytes) => drop(self.chunks.insert(chunk, bytes)),
            }
        }
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()))
    }

    pub(crate) fn restore(&self, plan: Arc<Plan>, settings: TableSettings) -> (Table, RestoreReport) {
        Table::restore(plan, settings, &self.meta, self.chunks()).unwrap()
    }
}
