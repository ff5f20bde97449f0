//! A set of metrics gives what a table for each metric gives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use derived_stats::Number;
use proptest::prelude::*;
use proxy_uve::{
    DecodedRecord, Plan, Position, SavedMetric, SetRestoreError, SnapshotError, Table, TableSet, TableSettings,
};

use crate::workload::{SECOND, START, Saved, TYPES, Type, plan_of, taken, text};

const ATTRIBUTES: [&str; 4] = ["bytes", "flows", "packets", "drops"];

/// Types whose results do not depend on how far a window has closed when a record comes.
const SPREAD: [&str; 6] = ["AggProxySum", "Ewm", "Pairs", "Patient", "Zero", "Skip"];

#[derive(Clone, Debug)]
struct Case {
    /// The types of each metric.
    metrics: Vec<Vec<Type>>,
    settings: TableSettings,
    steps: Vec<Step>,
}

/// Something to do, relative to the newest time of its metric.
#[derive(Clone, Debug)]
enum Step {
    /// The owner of a metric moves its time on by so many seconds.
    Advance { metric: usize, on: u64 },
    /// A batch of a metric's records: key, seconds on, hundredths of the lateness back, value, and whether its position
    /// was applied before.
    Batch { metric: usize, samples: Vec<(usize, u64, u64, Number, bool)> },
    /// All metrics forget an object.
    Remove { key: usize },
    /// The set is saved.
    Save,
    /// The set is saved and restored.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let metric = 0..ATTRIBUTES.len();
    let key = prop_oneof![6 => 0..6usize, 1 => 0..150usize];
    let on = prop_oneof![40 => 0..3u64, 8 => 0..20u64, 3 => 20..100u64, 1 => 100..2000u64];
    let value = prop_oneof![
        12 => (0..5000u64).prop_map(Number::U64),
        1 => (-1000..0i64).prop_map(Number::I64),
        1 => (-10.0..10.0).prop_map(Number::F64),
    ];
    let back = prop_oneof![3 => Just(0), 2 => 0..=120u64];
    let sample = (key.clone(), on.clone(), back, value, proptest::bool::weighted(0.02));
    let batch = prop_oneof![Just(1..2usize), Just(1..20), Just(60..150)];
    let batch = batch.prop_flat_map(move |size| proptest::collection::vec(sample.clone(), size));
    let step = prop_oneof![
        24 => (metric.clone(), batch).prop_map(|(metric, samples)| Step::Batch { metric, samples }),
        4 => (metric, on).prop_map(|(metric, on)| Step::Advance { metric, on }),
        2 => key.prop_map(|key| Step::Remove { key }),
        2 => Just(Step::Save),
        2 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

/// With `spread`, windows close with the records that follow.
fn cases(spread: bool) -> impl Strategy<Value = Case> {
    let types: Vec<Type> = TYPES.into_iter().filter(|of| !spread || SPREAD.contains(&of.name)).collect();
    let chosen = proptest::sample::subsequence(types.clone(), 1..=types.len().min(4)).prop_shuffle();
    let metrics = proptest::collection::vec(chosen, 1..=ATTRIBUTES.len());
    let lateness = prop_oneof![Just(0u64), Just(30), Just(100), Just(180)];
    (metrics, lateness, steps()).prop_map(move |(metrics, lateness, steps)| {
        let settings = TableSettings::default().with_allowed_lateness(Duration::from_secs(lateness));
        let settings = if spread { settings.with_close_per_record(64) } else { settings };
        Case { metrics, settings, steps }
    })
}

fn key(key: usize) -> Vec<u8> {
    format!("T:{key}").into_bytes()
}

impl Case {
    fn plans(&self) -> Vec<Arc<Plan>> {
        self.metrics.iter().zip(ATTRIBUTES).map(|(types, attribute)| plan_of(attribute, types)).collect()
    }
}

/// The set, and the tables that it is compared with.
struct Rig {
    plans: Vec<Arc<Plan>>,
    settings: TableSettings,
    set: TableSet,
    tables: Vec<Table>,
    saved: Vec<Saved>,
    /// The newest time and the next position of each metric.
    logs: Vec<(u64, u64)>,
    /// Results not compared so far, of each metric.
    of_set: Vec<Vec<String>>,
    of_tables: Vec<Vec<String>>,
}

impl Rig {
    fn new(case: &Case) -> Self {
        let (plans, settings) = (case.plans(), case.settings);
        let metrics = plans.len();
        Self {
            set: TableSet::new(plans.clone(), settings),
            tables: plans.iter().map(|plan| Table::new(Arc::clone(plan), settings)).collect(),
            saved: vec![Saved::default(); metrics],
            logs: vec![(START, 0); metrics],
            of_set: vec![Vec::new(); metrics],
            of_tables: vec![Vec::new(); metrics],
            plans,
            settings,
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Advance { metric, on } => {
                let metric = metric % self.plans.len();
                let to = self.logs[metric].0 + on * SECOND;
                self.set.metric_mut(metric).unwrap().advance(to);
                self.tables[metric].advance(to);
            }
            Step::Batch { metric, samples } => self.ingest(metric % self.plans.len(), samples),
            Step::Remove { key: removed } => {
                // Of an object whose results wait, they go or do not go with it.
                self.finish_closing();
                let known = self.tables.iter_mut().map(|table| table.remove(&key(*removed))).collect::<Vec<_>>();
                assert_eq!(self.set.remove(&key(*removed)), known.contains(&true));
            }
            Step::Save => self.save(),
            Step::Restart => {
                self.save();
                self.collect();
                self.set = self.restored().unwrap();
            }
        }
        self.collect();
    }

    fn ingest(&mut self, metric: usize, samples: &[(usize, u64, u64, Number, bool)]) {
        let keys: Vec<_> = samples.iter().map(|sample| key(sample.0)).collect();
        let (newest, next) = &mut self.logs[metric];
        let lateness = self.settings.allowed_lateness.as_micros() as u64;
        let record = |(&(_, on, back, value, again), key): (&(usize, u64, u64, Number, bool), _)| {
            *newest += on * SECOND + 1;
            *next += u64::from(!again);
            DecodedRecord {
                position: Position::new(*next),
                arrived: *newest,
                key,
                at: *newest - lateness * back / 100,
                value,
                source: "",
            }
        };
        let records: Vec<_> = samples.iter().zip(keys.iter().map(Vec::as_slice)).map(record).collect();
        let fates = self.set.metric_mut(metric).unwrap().ingest_batch(&records);
        assert_eq!(fates, self.tables[metric].ingest_batch(&records));
    }

    fn save(&mut self) {
        self.finish_closing();
        let snapshots = self.set.snapshot();
        self.saved.iter_mut().zip(snapshots).for_each(|(saved, snapshot)| saved.add(snapshot));
    }

    fn restored(&self) -> Result<TableSet, SetRestoreError> {
        let metrics = self.plans.iter().zip(&self.saved);
        let metrics = metrics.map(|(plan, saved)| SavedMetric::new(Arc::clone(plan), &saved.meta, saved.chunks()));
        let (set, reports) = TableSet::restore(metrics, self.settings)?;
        reports.iter().for_each(|report| assert!(report.is_unchanged(), "{report}"));
        Ok(set)
    }

    fn finish_closing(&mut self) {
        for (metric, table) in self.tables.iter_mut().enumerate() {
            table.close_more(usize::MAX);
            self.set.metric_mut(metric).unwrap().close_more(usize::MAX);
        }
    }

    /// Takes the results.
    fn collect(&mut self) {
        for (metric, table) in self.tables.iter_mut().enumerate() {
            self.of_tables[metric].extend(taken(table));
            let mut metric_mut = self.set.metric_mut(metric).unwrap();
            self.of_set[metric].extend(metric_mut.as_metric().drain().map(|row| text(&row)));
            metric_mut.clear_results();
        }
    }

    /// Compares everything, once no window is closing.
    fn check(&mut self) {
        self.finish_closing();
        self.collect();
        let mut all = BTreeSet::new();
        for (metric, table) in self.set.metrics().zip(&self.tables) {
            assert_eq!(metric.fates(), table.fates());
            let progress = (metric.position(), metric.watermark(), metric.newest_timestamp());
            assert_eq!(progress, (table.position(), table.watermark(), table.newest_timestamp()));
            let keys: BTreeSet<_> = metric.keys().map(<[u8]>::to_vec).collect();
            assert_eq!(keys, table.keys().map(<[u8]>::to_vec).collect());
            self.set.keys().for_each(|key| assert_eq!(metric.object(key), table.object(key)));
            all.extend(keys);
        }
        assert_eq!(self.set.keys().map(<[u8]>::to_vec).collect::<BTreeSet<_>>(), all);
        assert_eq!(self.set.objects(), all.len());
        for (of_set, of_table) in self.of_set.iter_mut().zip(&mut self.of_tables) {
            // Objects have other slots, and so another order.
            of_set.sort();
            of_table.sort();
            assert_eq!(of_set, of_table);
            of_set.clear();
            of_table.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn property_a_set_gives_what_a_table_for_each_metric_gives(case in cases(false)) {
        let mut rig = Rig::new(&case);
        for step in &case.steps {
            rig.apply(step);
            rig.check();
        }
        // The snapshot of a metric can also be restored as a table.
        rig.save();
        for ((plan, saved), table) in rig.plans.iter().zip(&rig.saved).zip(&rig.tables) {
            let (restored, report) = saved.restore(Arc::clone(plan), case.settings);
            prop_assert!(report.is_unchanged(), "{}", report);
            let keys: BTreeSet<_> = table.keys().collect();
            prop_assert_eq!(restored.keys().collect::<BTreeSet<_>>(), keys);
            table.keys().for_each(|key| assert_eq!(restored.object(key), table.object(key)));
        }
    }

    #[test]
    fn property_a_set_that_closes_bit_by_bit_gives_what_tables_give(case in cases(true)) {
        let mut rig = Rig::new(&case);
        for (index, step) in case.steps.iter().enumerate() {
            rig.apply(step);
            if index % 8 == 7 {
                rig.check();
            }
        }
        rig.check();
    }

    #[test]
    fn property_snapshots_of_different_moments_give_a_set_that_works_or_an_error(case in cases(false), stale in 0..4usize) {
        let mut rig = Rig::new(&case);
        let (before, after) = case.steps.split_at(case.steps.len() / 2);
        before.iter().for_each(|step| rig.apply(step));
        rig.save();
        let old = rig.saved.clone();
        after.iter().for_each(|step| rig.apply(step));
        rig.save();
        let stale = stale % rig.plans.len();
        rig.saved[stale] = old[stale].clone();
        match rig.restored() {
            Ok(mut set) => {
                let advance = |metric| set.metric_mut(metric).unwrap().advance(u64::MAX);
                (0..rig.plans.len()).for_each(advance);
            }
            Err(error) => {
                let is_conflict = matches!(error.error, SnapshotError::KeySlots { .. } | SnapshotError::SlotKeys { .. });
                prop_assert!(is_conflict, "{:?}", error);
            }
        }
    }
}
