//! A restart with other proxy types keeps every state that still means the same, and marks what it had to start anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use derived_stats::{Number, Silence};
use proptest::prelude::*;
use proxy_uve::{RestoreReport, Table};
use serde_json::{Map, Value};

use crate::workload::{
    Algorithm, Case, KEYS, Raw, SECOND, SOURCES, START, Saved, Step, TYPES, Type, apply, cases, plan, taken,
};

/// What the new configuration has of a type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Alpha,
    Nothing,
    Rename,
    Silence,
    Timeout(u64),
}

/// What the types of [`TYPES`] may be renamed to.
const OTHER_NAMES: [&str; 13] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M"];

fn changed(of: &Type, change: Change) -> Type {
    let of = of.clone();
    let index = TYPES.iter().position(|known| known.name == of.name).unwrap();
    match change {
        Change::Alpha => Type { alpha: "0.25", ..of },
        Change::Nothing => of,
        Change::Rename => Type { name: OTHER_NAMES[index], ..of },
        Change::Silence => Type {
            silence: match of.silence {
                Silence::Once => Silence::Skip,
                Silence::Skip => Silence::Zero,
                Silence::Zero => Silence::Once,
            },
            ..of
        },
        Change::Timeout(timeout) => Type { timeout, ..of },
    }
}

/// The types after the restart, each with the one it comes from, which may be new.
fn changes() -> impl Strategy<Value = Vec<(Type, Change)>> {
    let change = prop_oneof![
        3 => Just(Change::Nothing),
        1 => Just(Change::Alpha),
        1 => Just(Change::Rename),
        1 => Just(Change::Silence),
        1 => prop_oneof![Just(0u64), Just(1), Just(2), Just(5)].prop_map(Change::Timeout),
    ];
    let chosen = proptest::sample::subsequence(TYPES.to_vec(), 1..=TYPES.len()).prop_shuffle();
    (chosen, proptest::collection::vec(change, TYPES.len())).prop_map(|(types, changes)| {
        types
            .into_iter()
            .zip(changes)
            .map(|(of, change)| (of.clone(), if of.period > 0 { change } else { Change::Nothing }))
            .collect()
    })
}

fn period(of: &Type) -> u64 {
    if of.period == 0 { 60 } else { of.period }
}

/// The name of the window column behind an attribute.
fn window(of: &Type, every: u64, algorithm: Algorithm) -> String {
    let name = match algorithm {
        Algorithm::Average | Algorithm::AverageDetector => "DSAvg",
        Algorithm::AverageLast(_) => "DSAvgLast",
        Algorithm::Increase | Algorithm::IncreaseDetector => "DSIncrease",
        Algorithm::MaxLast(_) => "DSMaxLast",
        Algorithm::Newest => "DSNone",
        Algorithm::Rate => "DSRate",
        Algorithm::Sum | Algorithm::SumDetector => "DSSum",
        Algorithm::SumLast(_) | Algorithm::SumLastDetector(_) => "DSSumLast",
    };
    let algorithm = match algorithm.last_values() {
        0 | 1 => name.to_owned(),
        periods => format!("{name}:{periods}"),
    };
    format!("{}s {algorithm} {}", period(of) * every, raw(of))
}

/// The name of the detector of an attribute.
fn detector(of: &Type, every: u64, algorithm: Algorithm) -> String {
    let window = window(of, every, algorithm);
    let (window, samples) = window.split_at(window.find(raw(of)).unwrap());
    let silence = format!("{:?}", of.silence).to_lowercase();
    format!("{window}DSAnomaly:EWM:{} {samples} silence={silence}", of.alpha)
}

fn raw(of: &Type) -> &'static str {
    match of.raw {
        Raw::Counter => "u64 agg",
        Raw::F64 => "f64",
        Raw::U64 => "u64",
    }
}

fn is_detector(algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::AverageDetector
        | Algorithm::IncreaseDetector
        | Algorithm::SumDetector
        | Algorithm::SumLastDetector(_) => true,
        Algorithm::Average
        | Algorithm::AverageLast(_)
        | Algorithm::Increase
        | Algorithm::MaxLast(_)
        | Algorithm::Newest
        | Algorithm::Rate
        | Algorithm::Sum
        | Algorithm::SumLast(_) => false,
    }
}

/// All states that the types have, by kind and name.
fn states(types: &[Type]) -> BTreeSet<(&'static str, String)> {
    let mut states = BTreeSet::new();
    for of in types {
        states.extend(["liveness", "touched"].map(|kind| (kind, format!("{}s", period(of)))));
        for &(_, every, algorithm) in of.attributes {
            let name = window(of, every, algorithm);
            if every == 0 {
                states.insert(("inline", format!("DSNone {}", raw(of))));
                continue;
            }
            if of.raw == Raw::Counter || algorithm.reads_counters() {
                states.insert(("counter", name.clone()));
            }
            if algorithm.last_values() > 0 {
                states.insert(("sources", name.clone()));
            }
            if is_detector(algorithm) {
                states.insert(("detector", detector(of, every, algorithm)));
            }
            states.insert(("window", name));
        }
    }
    states
}

fn reported<'r>(states: impl Iterator<Item = &'r proxy_uve::RestoredState>) -> BTreeSet<(&'static str, String)> {
    states.map(|state| (state.kind.name(), state.identity.clone())).collect()
}

/// A result of a window, taken apart.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    end: u64,
    key: String,
    name: String,
    deleted: bool,
    partial: bool,
    attributes: Map<String, Value>,
}

fn parsed(text: &str) -> Row {
    let mut words = text.splitn(5, ' ');
    let mut next = || words.next().unwrap().to_owned();
    let (end, _, key, uve, json) = (next(), next(), next(), next(), next());
    let mut attributes: Map<String, Value> = serde_json::from_str(&json).unwrap();
    attributes.remove("proxy");
    let deleted = attributes.remove("deleted") == Some(Value::Bool(true));
    let partial = attributes.remove("partial").is_some();
    let name = uve.split('-').next().unwrap().to_owned();
    Row { end: end.parse().unwrap(), key, name, deleted, partial, attributes }
}

/// A workload and a restart in it.
#[derive(Clone, Debug)]
struct Restart {
    case: Case,
    after: Vec<(Type, Change)>,
    cut: usize,
    snapshots: Vec<bool>,
}

fn restarts() -> impl Strategy<Value = Restart> {
    (cases(), changes(), any::<prop::sample::Index>(), proptest::collection::vec(any::<bool>(), 160)).prop_map(
        |(mut case, after, cut, snapshots)| {
            // Every type takes every value, so that the liveness of an object does not depend on the other types.
            for step in &mut case.steps {
                if let Step::Sample { value, .. } = step {
                    *value = Number::U64(value.as_f64().abs().min(5000.0) as u64);
                }
            }
            let cut = cut.index(case.steps.len() + 1);
            Restart { case, after, cut, snapshots }
        },
    )
}

/// What came out after the restart, and where the table stood at it.
struct Outcome {
    rows: Vec<Row>,
    table: Table,
    report: RestoreReport,
    newest: Option<u64>,
    watermark: u64,
}

impl Restart {
    fn types(&self) -> Vec<Type> {
        self.after.iter().map(|(of, change)| changed(of, *change)).collect()
    }

    /// The rows from the restart on of a table that had `types` all the time.
    fn undisturbed(&self, types: &[Type]) -> Vec<Row> {
        let mut table = Case { types: types.to_vec(), ..self.case.clone() }.table();
        let mut rows = Vec::new();
        for (position, step) in self.case.steps.iter().enumerate() {
            apply(&mut table, position, *step);
            let taken = taken(&mut table);
            if position >= self.cut {
                rows.extend(taken.iter().map(|row| parsed(row)));
            }
        }
        rows
    }

    fn outcome(&self) -> Outcome {
        let (mut table, mut saved, mut rows) = (self.case.table(), Saved::default(), Vec::new());
        let plan = plan(&self.types());
        let restore = |table: &mut Table, saved: &mut Saved| {
            saved.take(table);
            saved.restore(plan.clone(), self.case.settings())
        };
        let mut restored = None;
        for position in 0..=self.case.steps.len() {
            if position == self.cut {
                let (newest, watermark) = (table.newest_timestamp(), table.watermark());
                let (changed, report) = restore(&mut table, &mut saved);
                restored = Some((report, newest, watermark));
                table = changed;
            } else if self.snapshots[position] {
                saved.take(&mut table);
            }
            if position > self.cut && self.snapshots[position] {
                // What a change kept and began is saved like everything else.
                let (again, report) = restore(&mut table, &mut saved);
                assert!(report.is_unchanged(), "{report}");
                table = again;
            }
            if let Some(step) = self.case.steps.get(position) {
                apply(&mut table, position, *step);
                let taken = taken(&mut table);
                if position >= self.cut {
                    rows.extend(taken.iter().map(|row| parsed(row)));
                }
            }
        }
        let (report, newest, watermark) = restored.unwrap();
        Outcome { rows, table, report, newest, watermark }
    }
}

/// Rows of one type, by window and object, without the attributes that `keep` leaves out.
fn of_type(
    rows: &[Row],
    name: &str,
    keep: impl Fn(&str) -> bool,
) -> BTreeMap<(u64, String, bool), Vec<(bool, String)>> {
    let mut found: BTreeMap<(u64, String, bool), Vec<(bool, String)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.name == name) {
        let mut attributes = row.attributes.clone();
        attributes.retain(|name, _| keep(name));
        if row.deleted || !attributes.is_empty() {
            let key = (row.end, row.key.clone(), row.deleted);
            found.entry(key).or_default().push((row.partial, Value::from(attributes).to_string()));
        }
    }
    found
}

/// The values of windows of one period, which do not depend on when objects expire.
fn values<'r>(rows: &'r [Row], of: &'r Type) -> impl Iterator<Item = ((u64, &'r str, &'static str), &'r Row)> {
    let names = of.attributes.iter().filter(|&&(_, every, algorithm)| every == 1 && !is_detector(algorithm));
    let names: Vec<&'static str> = names.map(|&(name, ..)| name).collect();
    let rows = rows.iter().filter(|row| row.name == of.name);
    rows.flat_map(move |row| {
        let names = names.clone().into_iter().filter(|name| row.attributes.contains_key(*name));
        names.map(move |name| ((row.end, row.key.as_str(), name), row))
    })
}

/// What the memory of an attribute is after the restart: the last readings of counters, or the last values of sources.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Memory {
    /// That of a table that had the type from the start, or the attribute has none.
    Same,
    /// Counters begin anew, each with a baseline.
    Baselines,
    /// With another timeout other sources are forgotten.
    Other,
}

impl Restart {
    fn memory(&self, of: &Type, every: u64, algorithm: Algorithm) -> Memory {
        let reads_counters = of.raw == Raw::Counter || algorithm.reads_counters();
        if !reads_counters && algorithm.looks_back() == 0 {
            return Memory::Same;
        }
        // Objects and their sources expire by the group.
        let is_of_group = |old: &Type| (old.period, old.timeout, old.silence) == (of.period, of.timeout, of.silence);
        let name = window(of, every, algorithm);
        let continued = |old: &&Type| old.attributes.iter().any(|&(_, every, of)| window(old, every, of) == name);
        let mut continued = self.case.types.iter().filter(continued).peekable();
        if continued.peek().is_some() {
            return if continued.all(is_of_group) { Memory::Same } else { Memory::Other };
        }
        match self.case.types.iter().any(is_of_group) {
            false => Memory::Other,
            true if reads_counters => Memory::Baselines,
            true => Memory::Same,
        }
    }

    /// Whether no counter of an object may have its baseline in a window: each of its sources with samples there has
    /// another one before them, after the restart, that is newer than all before the restart and surely not late.
    fn is_past_baselines(&self, key: &str, window: Range<u64>, new_from: u64) -> bool {
        let (mut not_late, mut known, mut past) = (0, [false; SOURCES.len()], true);
        for step in &self.case.steps {
            match *step {
                Step::Advance { to } => not_late = not_late.max(to),
                Step::Sample { key: index, source, at, .. } => {
                    if KEYS[index] == key && at >= new_from {
                        past &= known[source] || !window.contains(&at);
                        known[source] |= at >= not_late;
                    }
                    not_late = not_late.max(at.saturating_sub(self.case.lateness));
                }
                Step::Remove { .. } => {}
            }
        }
        past
    }
}

/// Rows are partial exactly where samples may be missing, and the others are those of a table that had the types from
/// the start.
fn check_what_starts_anew(restart: &Restart) -> Result<(), TestCaseError> {
    let types = restart.types();
    let Outcome { rows, newest, .. } = restart.outcome();
    let from_the_start = restart.undisturbed(&types);
    let new_from = newest.map_or(0, |newest| newest + 1);
    for of in types.iter().filter(|of| of.period > 0) {
        check_partial(restart, of, &rows, new_from)?;
        let attribute = |name| *of.attributes.iter().find(|(known, ..)| *known == name).unwrap();
        let is_compared = |&(end, key, name): &(u64, &str, &'static str)| {
            let (_, every, algorithm) = attribute(name);
            match restart.memory(of, every, algorithm) {
                Memory::Same => true,
                Memory::Baselines => restart.is_past_baselines(key, end - of.period * SECOND..end, new_from),
                Memory::Other => false,
            }
        };
        let expected: BTreeMap<_, _> = values(&from_the_start, of).filter(|(place, _)| is_compared(place)).collect();
        let found: BTreeMap<_, _> = values(&rows, of).filter(|(place, _)| is_compared(place)).collect();
        for (place, row) in found.iter().filter(|(_, row)| !row.partial) {
            let expected = expected.get(place).map(|row| &row.attributes[place.2]);
            prop_assert_eq!(Some(&row.attributes[place.2]), expected, "{:?} of {:?}", place, of);
        }
        let start = |&(end, _, name): &(u64, &str, &'static str)| {
            end - (1 + attribute(name).2.looks_back()) * of.period * SECOND
        };
        for place in expected.keys().filter(|place| start(place) >= new_from) {
            prop_assert!(found.contains_key(place), "{:?} of {:?} is lost", place, of);
        }
    }
    Ok(())
}

fn check_partial(restart: &Restart, of: &Type, rows: &[Row], new_from: u64) -> Result<(), TestCaseError> {
    let saved = states(&restart.case.types);
    let first = restart.case.steps.iter().find_map(|step| match step {
        Step::Sample { at, .. } => Some(*at),
        Step::Advance { .. } | Step::Remove { .. } => None,
    });
    let is_new = |every, algorithm| !saved.contains(&("window", window(of, every, algorithm)));
    for row in rows.iter().filter(|row| row.name == of.name && !row.deleted) {
        let mut ending =
            of.attributes.iter().filter(|(_, every, _)| row.end.is_multiple_of(every * of.period * SECOND));
        let partial = ending.any(|&(_, every, algorithm)| {
            let start = row.end - (1 + algorithm.looks_back()) * every * of.period * SECOND;
            start < first.unwrap_or(START).max(if is_new(every, algorithm) { new_from } else { 0 })
        });
        prop_assert_eq!(row.partial, partial, "{:?} of {:?}, new from {}", row, of, new_from);
    }
    Ok(())
}

/// A type with counters joins one that has the same window of the newest value, and objects of the same timeout.
#[test]
fn a_counter_that_is_new_beside_a_window_that_is_not_has_its_baseline_in_a_whole_window() {
    let of = |name: &str| TYPES.iter().find(|of| of.name == name).unwrap().clone();
    let readings = [(10, 50), (70, 100), (130, 160), (190, 250), (250, 300), (310, 300)];
    let sample = |(at, value)| Step::Sample { key: 0, source: 1, at: START + at * SECOND, value: Number::U64(value) };
    let restart = Restart {
        case: Case { types: vec![of("Pairs")], lateness: 0, steps: readings.map(sample).to_vec() },
        after: vec![(of("Readings"), Change::Timeout(1))],
        cut: 2,
        snapshots: vec![false; readings.len() + 1],
    };
    let seconds = |end: u64| (end - START) / SECOND;
    let sums = |rows: &[Row]| -> Vec<(u64, bool, Option<u64>, Option<u64>)> {
        let number = |row: &Row, name: &str| row.attributes.get(name)?["value"].as_u64();
        rows.iter().map(|row| (seconds(row.end), row.partial, number(row, "sum"), number(row, "last"))).collect()
    };
    let rows = restart.outcome().rows;
    // The increase of 60 in the window to 180 s is not known: the reading before it came before the counter was there.
    let expected = [
        (120, true, None, Some(100)),
        (180, false, None, Some(160)),
        (240, true, Some(90), Some(250)),
        (300, false, Some(50), Some(300)),
    ];
    assert_eq!(sums(&rows), expected);
    assert_eq!(sums(&restart.undisturbed(&restart.types()))[1], (180, false, Some(60), Some(160)));
    check_what_starts_anew(&restart).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn property_a_change_of_types_leaves_what_it_does_not_touch(restart in restarts()) {
        let before = restart.undisturbed(&restart.case.types);
        let Outcome { rows, .. } = restart.outcome();
        for (old, change) in &restart.after {
            if !restart.case.types.iter().any(|of| of.name == old.name) {
                continue;
            }
            let new = changed(old, *change);
            let find = |name: &str| old.attributes.iter().find(|(known, ..)| *known == name).unwrap();
            let keep: &dyn Fn(&str) -> bool = match change {
                Change::Nothing | Change::Rename => &|_| true,
                // Its detectors begin anew.
                Change::Alpha => &|name| !is_detector(find(name).2),
                // Objects may expire later or earlier, and the readings of their sources with them.
                Change::Silence | Change::Timeout(_) => &|name| {
                    let (_, every, algorithm) = *find(name);
                    let reads_counters = old.raw == Raw::Counter || algorithm.reads_counters();
                    !reads_counters && !is_detector(algorithm) && every == 1 && algorithm.looks_back() == 0
                },
            };
            let (mut expected, mut found) = (of_type(&before, old.name, keep), of_type(&rows, new.name, keep));
            if matches!(change, Change::Silence | Change::Timeout(_)) {
                expected.retain(|(_, _, deleted), _| !deleted);
                found.retain(|(_, _, deleted), _| !deleted);
            }
            prop_assert_eq!(expected, found, "{:?} of {:?}", change, old);
        }
    }

    #[test]
    fn property_what_a_change_starts_anew_is_partial_and_then_whole(restart in restarts()) {
        check_what_starts_anew(&restart)?;
    }

    #[test]
    fn property_the_report_names_every_state_and_no_record_is_lost(restart in restarts()) {
        let (before, after) = (states(&restart.case.types), states(&restart.types()));
        let Outcome { rows, table, report, watermark, .. } = restart.outcome();
        let difference = |one: &BTreeSet<_>, other: &BTreeSet<_>| one.difference(other).cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!(reported(report.kept()), before.intersection(&after).cloned().collect());
        prop_assert_eq!(reported(report.dropped()), difference(&before, &after));
        prop_assert_eq!(reported(report.started()), difference(&after, &before));
        let samples = restart.case.steps.iter().filter(|step| matches!(step, Step::Sample { .. })).count();
        prop_assert_eq!(table.fates().total(), samples as u64);
        prop_assert_eq!(table.fates().aggregated + table.fates().late, samples as u64);
        // A detector that starts anew has seen the windows that closed since, and no others.
        for of in restart.types() {
            for &(name, every, algorithm) in of.attributes.iter().filter(|(.., algorithm)| is_detector(*algorithm)) {
                let length = every * of.period * SECOND;
                if before.contains(&("detector", detector(&of, every, algorithm))) {
                    continue;
                }
                for row in rows.iter().filter(|row| row.name == of.name && row.attributes.contains_key(name)) {
                    let samples = row.attributes[name]["samples"].as_u64().unwrap();
                    prop_assert!(samples <= row.end / length - watermark / length, "{:?} of {:?}", row, of);
                }
            }
        }
    }
}
