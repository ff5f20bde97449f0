//! Tests of the evaluator behind a real table: samples in, rows and state out.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use std::time::Duration;

use proxy_uve::derived_stats::{Number, Silence, ValueType};
use proxy_uve::schema::{ProxyType, Schema};
use proxy_uve::{
    AttributeResult, DecodedRecord, Plan, Position, ResultSink, StreamName, Subject, Table, TableSettings,
};

use super::*;
use crate::text;

const MINUTE: u64 = 60_000_000;
const START: u64 = 1_488_000_000_000_000;
const STREAM: &str = "UveVirtualNetworkAgent-egress_flow_count";

/// The alarms as the sink of a table.
struct Evaluator(Alarms);

impl ResultSink for Evaluator {
    fn begin(&mut self, subject: &Subject<'_>) {
        self.0.begin(subject);
    }

    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        self.0.attribute(subject, result);
    }

    fn end(&mut self, subject: &Subject<'_>) {
        self.0.end(subject);
    }

    fn silent_windows(&self) -> u32 {
        self.0.silent_windows()
    }
}

fn plan() -> Arc<Plan> {
    plan_of(&[Arc::clone(Schema::builtin().get("AggProxySum").expect("it is built in"))])
}

fn plan_of(types: &[Arc<ProxyType>]) -> Arc<Plan> {
    Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap(), types))
}

/// A proxy type of minutes.
fn of_minutes(name: &str, annotation: &str, timeout: u32, silence: Silence) -> Arc<ProxyType> {
    let builder = ProxyType::builder(name, ValueType::U64).period(Duration::from_secs(60)).timeout(timeout);
    let built = builder.silence(silence).result("value", annotation).build();
    Arc::new(built.unwrap_or_else(|error| panic!("{annotation}: {error}")))
}

fn rules(texts: &[&str]) -> Rules {
    Rules::new(texts.iter().map(|rule| text::rule(rule).unwrap_or_else(|error| panic!("{error}"))).collect())
}

/// A table with alarms, its committed chunks, and the rows of each commit.
struct Rig {
    plan: Arc<Plan>,
    rules: Rules,
    table: Table<Evaluator>,
    position: u64,
    meta: Vec<u8>,
    chunks: BTreeMap<u32, Vec<u8>>,
    rows: Vec<AlarmRow>,
}

impl Rig {
    fn new(texts: &[&str]) -> Self {
        Self::of(plan(), texts)
    }

    fn of(plan: Arc<Plan>, texts: &[&str]) -> Self {
        let rules = rules(texts);
        let alarms = Evaluator(Alarms::new(&rules, &plan));
        let table = Table::with_sink(Arc::clone(&plan), TableSettings::default(), alarms);
        let (meta, chunks, rows) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut rig = Self { plan, rules, table, position: 0, meta, chunks, rows };
        rig.commit();
        rig
    }

    /// The samples of minute `minute`: a value of each object.
    fn minute(&mut self, minute: u64, values: &[(&str, u64)]) {
        for (key, value) in values {
            let at = START + minute * MINUTE;
            let (position, value) = (Position::new(self.position), Number::U64(*value));
            self.position += 1;
            let record = DecodedRecord { position, arrived: at, key: key.as_bytes(), at, value, source: "" };
            self.table.ingest_decoded(&record);
        }
    }

    /// Closes all windows up to the end of minute `minute`.
    fn close(&mut self, minute: u64) {
        self.table.advance(START + (minute + 1) * MINUTE);
        let now = self.table.watermark();
        self.table.sink_mut().0.advance(now);
    }

    fn commit(&mut self) {
        let rows = self.table.sink_mut().0.take_rows();
        self.rows.extend(rows.iter().map(|row| AlarmRow::read(row).unwrap()));
        let snapshot = self.table.snapshot();
        self.meta = snapshot.meta;
        let of_alarms = self.table.sink_mut().0.take_chunks();
        for (chunk, bytes) in snapshot.chunks.into_iter().chain(of_alarms) {
            match bytes {
                Some(bytes) => drop(self.chunks.insert(chunk, bytes)),
                None => drop(self.chunks.remove(&chunk)),
            }
        }
    }

    /// A process that restores the last commit.
    fn restart(&mut self) {
        let rules = self.rules.clone();
        self.restart_with(rules);
    }

    fn restart_with(&mut self, rules: Rules) {
        let chunks = || self.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let (of_alarms, of_table): (Vec<_>, Vec<_>) = chunks().partition(|(chunk, _)| is_alarm_chunk(*chunk));
        let (sink, settings) = (Evaluator(Alarms::new(&rules, &self.plan)), TableSettings::default());
        let plan = Arc::clone(&self.plan);
        let (table, _) = Table::restore_with_sink(plan, settings, sink, &self.meta, of_table).unwrap();
        let alarms = Alarms::restore(&rules, &self.plan, of_alarms, table.watermark()).unwrap();
        self.table = table;
        self.table.sink_mut().0 = alarms;
        self.rules = rules;
    }

    /// What changed, in short: minute, object, state.
    fn changes(&self) -> Vec<String> {
        let mut before: BTreeMap<&str, Vec<(String, State)>> = BTreeMap::new();
        let mut changes = Vec::new();
        for row in &self.rows {
            assert_eq!(row.data.proxy, STREAM);
            assert_eq!(row.data.deleted, row.data.alarms.is_empty() && row.data.pending.is_empty());
            let live = row.data.alarms.iter().chain(&row.data.pending);
            let live: Vec<_> = live.map(|alarm| (alarm.rule.clone(), alarm.state)).collect();
            let known = before.entry(&row.key).or_default();
            let minute = (row.end - START) / MINUTE;
            for (rule, state) in live.iter().filter(|alarm| !known.contains(alarm)) {
                changes.push(format!("{minute} {} {rule} {state:?}", row.key));
            }
            for alarm in &row.data.resolved {
                changes.push(format!("{minute} {} {} {:?}", row.key, alarm.rule, alarm.state));
            }
            *known = live;
        }
        changes
    }
}

fn value_rule(periods: u32, clear: u32) -> String {
    format!("alarm \"high\" when AggProxySum.value > 10 for {periods} periods, clear below 5 for {clear} periods")
}

#[test]
fn an_alarm_is_pending_then_fires_then_resolves_and_each_change_has_a_row() {
    let mut rig = Rig::new(&[&value_rule(2, 2)]);
    for (minute, value) in (0..).zip([20, 20, 7, 3, 20, 3, 3, 3]) {
        rig.minute(minute, &[("T:a", value), ("T:b", 1)]);
        rig.close(minute);
        rig.commit();
    }
    assert_eq!(rig.changes(), ["1 T:a high Pending", "2 T:a high Firing", "7 T:a high Resolved"]);
    let ends: Vec<_> = rig.rows.iter().map(|row| (row.end - START) / MINUTE).collect();
    assert_eq!(ends, [1, 2, 7], "without a change there is no row");
    let fired = &rig.rows[1].data.alarms[0];
    assert_eq!((fired.since, fired.timestamp), (START + MINUTE, START + 2 * MINUTE));
    assert!(fired.description.ends_with("> 10 (now 20)"), "{}", fired.description);
    assert!(fired.alarm_rules.get().contains(r#""json_operand1_value":"20""#), "{}", fired.alarm_rules);
    let resolved = &rig.rows[2].data.resolved[0];
    assert_eq!((resolved.resolved, resolved.timestamp), (Some(START + 7 * MINUTE), fired.timestamp));
}

#[test]
fn the_row_of_an_alarm_that_lasts_comes_again_every_ten_minutes() {
    let mut rig = Rig::new(&[&value_rule(1, 1)]);
    for minute in 0..35 {
        rig.minute(minute, &[("T:a", 20), ("T:b", 1)]);
        rig.close(minute);
        rig.commit();
        rig.restart();
    }
    let ends: Vec<_> = rig.rows.iter().map(|row| (row.end - START) / MINUTE).collect();
    assert_eq!(ends, [1, 10, 20, 30]);
    assert!(rig.rows.iter().all(|row| row.data.alarms.len() == 1 && row.data.alarms[0].timestamp == START + MINUTE));
}

#[test]
fn a_restart_at_any_commit_neither_fires_again_nor_loses_the_end() {
    let values: Vec<u64> = (0..40).map(|minute| [20, 30, 7, 3, 1, 12, 4][minute * 5 % 7]).collect();
    let run = |restarts: &dyn Fn(u64) -> bool| {
        let mut rig = Rig::new(&[&value_rule(2, 1)]);
        for (minute, value) in (0..).zip(&values) {
            rig.minute(minute, &[("T:a", *value), ("T:b", value + 4)]);
            rig.close(minute);
            rig.commit();
            if restarts(minute) {
                rig.restart();
            }
        }
        (rig.changes(), rig.rows.len())
    };
    let undisturbed = run(&|_| false);
    assert!(undisturbed.0.iter().filter(|change| change.ends_with("Firing")).count() > 3, "{undisturbed:?}");
    assert_eq!(run(&|_| true), undisturbed);
    assert_eq!(run(&|minute| minute % 3 == 1), undisturbed);
}

#[test]
fn the_alarms_of_two_tables_go_on_in_one_that_shows_them_first() {
    let mut tables = ["T:a", "T:b"].map(|key| {
        let mut rig = Rig::new(&[&value_rule(1, 1)]);
        rig.minute(0, &[(key, 50)]);
        rig.close(0);
        rig.table.sink_mut().0.change_all();
        rig.commit();
        rig
    });
    let chunks = tables.iter().flat_map(|rig| rig.chunks.iter().filter(|(chunk, _)| is_alarm_chunk(**chunk)));
    let chunks = chunks.map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
    let now = START + MINUTE;
    let (rules, plan) = (rules(&[&value_rule(1, 1)]), plan());
    let mut joined = Alarms::restore(&rules, &plan, chunks, now).unwrap();
    assert_eq!(joined.counts().firing, 2);
    joined.show_all(now);
    let rows: Vec<_> = joined.take_rows().iter().map(|row| AlarmRow::read(row).unwrap()).collect();
    let shown = |row: &AlarmRow| (row.key.clone(), row.end, row.data.alarms.len(), row.data.resolved.len());
    let rows: Vec<_> = rows.iter().map(shown).collect();
    assert_eq!(rows, [("T:a".to_owned(), now, 1, 0), ("T:b".to_owned(), now, 1, 0)]);
    // Another log has none of the chunks.
    assert!(joined.take_chunks().is_empty());
    joined.change_all();
    assert_eq!(joined.take_chunks().len(), 2);
    // The table itself goes on.
    tables[0].minute(1, &[("T:a", 0)]);
    tables[0].close(1);
    tables[0].commit();
    assert_eq!(tables[0].rows.last().map(|row| row.data.resolved.len()), Some(1));
}

#[test]
fn time_that_nobody_observed_neither_fires_nor_clears() {
    let mut rig = Rig::new(&[&value_rule(2, 1)]);
    let unknown = |rig: &mut Rig, minute: u64| {
        rig.table.mark_unknown(START + minute * MINUTE, START + minute * MINUTE + MINUTE - 1);
    };
    for (minute, value) in (0..).zip([20, 20, 20, 3, 3]) {
        if minute == 1 || minute == 3 {
            unknown(&mut rig, minute);
        }
        rig.minute(minute, &[("T:a", value)]);
        rig.close(minute);
        rig.commit();
    }
    assert_eq!(rig.changes(), ["1 T:a high Pending", "3 T:a high Firing", "5 T:a high Resolved"]);
}

#[test]
fn an_alarm_of_an_object_that_expires_ends_with_it() {
    let mut rig = Rig::new(&[&value_rule(1, 3)]);
    rig.minute(0, &[("T:a", 20), ("T:b", 1)]);
    for minute in 0..8 {
        rig.minute(minute, &[("T:b", 1)]);
        rig.close(minute);
        rig.commit();
    }
    let changes = rig.changes();
    assert!(
        changes.len() == 2 && changes[0] == "1 T:a high Firing" && changes[1].ends_with("high Resolved"),
        "{changes:?}"
    );
    assert!(rig.chunks.keys().all(|chunk| !is_alarm_chunk(*chunk)), "no state of alarms is left");
}

#[test]
fn an_alarm_without_data_fires_outlives_the_object_and_ends_with_its_next_sample() {
    let mut rig = Rig::new(&["alarm \"silent\" when no data in AggProxySum"]);
    rig.minute(0, &[("T:a", 20), ("T:b", 1)]);
    for minute in 0..30 {
        rig.minute(minute, &[("T:b", 1)]);
        if minute == 20 {
            rig.minute(minute, &[("T:a", 1)]);
        }
        rig.close(minute);
        rig.commit();
        rig.restart();
    }
    assert_eq!(rig.changes(), ["2 T:a silent Firing", "21 T:a silent Resolved", "22 T:a silent Firing"]);
}

/// The minutes until `end`, of which the object `T:a` is silent in some and not in the others: also without other objects,
/// with all silent ones closed at once, and with a restart after each.
fn minutes(rig: &mut Rig, end: u64, silent: Range<u64>, (others_continue, jumps, restarts): (bool, bool, bool)) {
    for minute in 0..end {
        if !silent.contains(&minute) {
            rig.minute(minute, &[("T:a", 20)]);
        }
        if others_continue {
            rig.minute(minute, &[("T:b", 1)]);
        }
        if jumps && silent.contains(&minute) {
            continue;
        }
        rig.close(minute);
        rig.commit();
        if restarts {
            rig.restart();
        }
    }
}

#[test]
fn silent_periods_count_with_any_type_and_at_any_speed() {
    let rules = [1, 2, 4].map(|periods| format!("alarm \"nd{periods}\" when no data in P for {periods} periods"));
    let texts: Vec<_> = rules.iter().map(String::as_str).collect();
    let kinds = [
        ("1-raw:DSSum", Silence::Once),
        ("1-raw:DSSumLast", Silence::Once),
        ("3-raw:DSSum", Silence::Once),
        ("1.DSSum-raw:DSAnomaly:EWM:0.1", Silence::Once),
        ("1.DSSum-raw:DSAnomaly:EWM:0.1", Silence::Skip),
        ("1.DSSum-raw:DSAnomaly:EWM:0.1", Silence::Zero),
    ];
    let expected = [
        "3 T:a nd1 Firing",
        "3 T:a nd2 Pending",
        "3 T:a nd4 Pending",
        "4 T:a nd2 Firing",
        "6 T:a nd4 Firing",
        "8 T:a nd1 Resolved",
        "8 T:a nd2 Resolved",
        "8 T:a nd4 Resolved",
    ];
    for (annotation, silence) in kinds {
        for timeout in [0, 4, 9] {
            for (others_continue, jumps, restarts) in
                [(true, false, false), (false, false, false), (false, true, false), (false, false, true)]
            {
                let mut rig = Rig::of(plan_of(&[of_minutes("P", annotation, timeout, silence)]), &texts);
                minutes(&mut rig, 8, 2..7, (others_continue, jumps, restarts));
                let case = format!("{annotation} {silence:?} {timeout} {others_continue} {jumps} {restarts}");
                assert_eq!(rig.changes(), expected, "{case}");
            }
        }
    }
}

#[test]
fn silence_that_nobody_observed_does_not_count() {
    let plan = plan_of(&[of_minutes("P", "3-raw:DSSum", 9, Silence::Once)]);
    let mut rig = Rig::of(plan, &["alarm \"silent\" when no data in P for 2 periods"]);
    rig.table.mark_unknown(START + 2 * MINUTE, START + 4 * MINUTE - 1);
    for minute in 0..8 {
        rig.minute(minute, &[("T:b", 1)]);
        if minute == 0 {
            rig.minute(minute, &[("T:a", 1)]);
        }
        rig.close(minute);
        rig.commit();
    }
    assert_eq!(rig.changes(), ["2 T:a silent Pending", "5 T:a silent Firing"]);
}

#[test]
fn a_window_of_types_with_different_timeouts_has_one_row() {
    let types = [("P", 1), ("Q", 3)].map(|(name, timeout)| of_minutes(name, "1-raw:DSSum", timeout, Silence::Once));
    let rules = [
        "alarm \"high\" when P.value > 10",
        "alarm \"highest\" when Q.value > 10",
        "alarm \"silent\" when no data in P",
        "alarm \"silent for long\" when no data in Q for 2 periods",
    ];
    let mut rig = Rig::of(plan_of(&types), &rules);
    for minute in 0..21 {
        rig.minute(minute, &[("T:b", 1)]);
        if minute == 0 {
            rig.minute(minute, &[("T:a", 20)]);
        }
        rig.close(minute);
        rig.commit();
    }
    let of = |row: &AlarmRow| (row.data.alarms.len(), row.data.pending.len(), row.data.resolved.len());
    let rows: Vec<_> = rig.rows.iter().map(|row| ((row.end - START) / MINUTE, of(row))).collect();
    // `highest` ends with the object of Q.
    let expected = [(1, (2, 0, 0)), (2, (2, 1, 1)), (3, (3, 0, 0)), (4, (2, 0, 1)), (10, (2, 0, 0)), (20, (2, 0, 0))];
    assert_eq!(rows, expected);
    assert!(rig.rows.iter().all(|row| row.start <= row.end && row.data.proxy == STREAM));
}

#[test]
fn without_its_state_an_alarm_goes_on_from_its_rows_and_one_that_nothing_comes_of_ends() {
    let mut rig = Rig::new(&[&value_rule(2, 1), "alarm \"silent\" when no data in AggProxySum"]);
    for minute in 0..3 {
        rig.minute(minute, &[("T:a", if minute == 0 { 1 } else { 20 }), ("T:b", 20), ("T:c", 1)]);
        rig.close(minute);
        rig.commit();
    }
    rig.minute(3, &[("T:a", 20), ("T:b", 20), ("T:c", 20)]);
    rig.close(3);
    rig.commit();
    let known = ["1 T:b high Pending", "2 T:a high Pending", "2 T:b high Firing", "3 T:a high Firing"];
    assert_eq!(rig.changes(), [&known[..], &["4 T:c high Pending"]].concat());
    // The state is lost, and a part of the input with it: two minutes are aggregated again, with a kill between them,
    // and then nothing comes of b.
    let written = rig.rows.len();
    let mut again = Rig::new(&[]);
    again.rules = rig.rules.clone();
    let alarms = Alarms::recovered(&rig.rules, &plan(), rig.rows.clone(), START + 4 * MINUTE);
    again.table.sink_mut().0 = alarms;
    again.rows = rig.rows;
    for (minute, value) in [(0, 1), (3, 20)] {
        again.minute(minute, &[("T:a", value), ("T:c", value)]);
        again.close(minute);
        again.commit();
        again.restart();
    }
    let cancelled = &again.rows[written..];
    assert_eq!(cancelled.len(), 1, "a window that was evaluated has no further row: {cancelled:?}");
    assert_eq!((&*cancelled[0].key, &cancelled[0].data.resolved[0].state), ("T:c", &State::Cancelled));
    again.restart();
    for minute in 4..20 {
        again.minute(minute, &[("T:a", if minute < 6 { 20 } else { 1 }), ("T:c", 1)]);
        again.close(minute);
        again.commit();
        again.restart();
    }
    let changes = again.changes();
    let later = ["7 T:a high Resolved", "10 T:b high Resolved"];
    let expected = [&known[..], &["4 T:c high Pending", "4 T:c high Cancelled"], &later].concat();
    assert_eq!(changes, expected, "none fires again and none stays");
    assert_eq!(again.table.sink().0.counts().firing, 0);
}

#[test]
fn without_its_state_an_alarm_that_had_ended_does_not_fire_again_over_kills() {
    let values = [20, 1, 20, 1];
    let mut rig = Rig::new(&[&value_rule(1, 1)]);
    for (minute, value) in (0..).zip(values) {
        rig.minute(minute, &[("T:a", value)]);
        rig.close(minute);
        rig.commit();
    }
    assert_eq!(rig.changes().len(), 4, "it fires and ends twice");
    let mut again = Rig::new(&[]);
    again.rules = rig.rules.clone();
    again.table.sink_mut().0 = Alarms::recovered(&rig.rules, &plan(), rig.rows, START + 4 * MINUTE);
    for (minute, value) in (0..).zip(values) {
        again.minute(minute, &[("T:a", value)]);
        again.close(minute);
        again.commit();
        again.restart();
    }
    assert_eq!(again.changes(), [""; 0]);
    again.minute(4, &[("T:a", 20)]);
    again.close(4);
    again.commit();
    assert_eq!(again.changes(), ["5 T:a high Firing"]);
}

#[test]
fn an_alarm_whose_rule_is_removed_ends_at_the_restart() {
    let mut rig = Rig::new(&[&value_rule(1, 1)]);
    rig.minute(0, &[("T:a", 20)]);
    rig.close(0);
    rig.commit();
    rig.restart_with(Rules::default());
    rig.commit();
    assert_eq!(rig.changes(), ["1 T:a high Firing", "1 T:a high Resolved"]);
    assert_eq!(rig.rows[1].data.resolved[0].reason.as_deref(), Some(restored::REMOVED));
    assert!(rig.chunks.keys().all(|chunk| !is_alarm_chunk(*chunk)));
}

#[test]
fn an_alarm_whose_rule_is_for_other_objects_now_ends_at_the_restart() {
    let mut rig = Rig::new(&[&value_rule(1, 1)]);
    rig.minute(0, &[("T:a", 20), ("T:b", 20)]);
    rig.close(0);
    rig.commit();
    rig.restart_with(rules(&[&format!("{} on \"T:b*\"", value_rule(1, 1))]));
    rig.commit();
    let ended = rig.rows.iter().flat_map(|row| row.data.resolved.iter().map(move |alarm| (&*row.key, alarm)));
    let ended: Vec<_> = ended.map(|(key, alarm)| (key, alarm.reason.as_deref())).collect();
    assert_eq!(ended, [("T:a", Some(restored::REMOVED))]);
    assert_eq!(rig.table.sink().0.counts(), AlarmCounts { firing: 1, pending: 0, limited: 0 });
}

#[test]
fn an_alarm_whose_severity_changes_has_one_row_at_the_restart() {
    let mut rig =
        Rig::new(&[&value_rule(1, 1), &format!("{} severity minor", value_rule(1, 1).replace("high", "low"))]);
    rig.minute(0, &[("T:a", 20), ("T:b", 20)]);
    rig.close(0);
    rig.commit();
    rig.rows.clear();
    let changed = rules(&[
        &format!("{} severity critical", value_rule(1, 1)),
        &format!("{} severity minor", value_rule(1, 1).replace("high", "low")),
    ]);
    let severities = |rig: &Rig| -> Vec<_> {
        let of_row = |row: &AlarmRow| {
            assert!(row.data.resolved.is_empty() && row.data.pending.is_empty());
            (row.key.clone(), row.data.alarms.iter().map(|alarm| alarm.severity).collect::<Vec<_>>())
        };
        rig.rows.iter().map(of_row).collect()
    };
    let expected = ["T:a", "T:b"].map(|key| (key.to_owned(), vec![0, 2]));
    // A kill before the commit: the same rows again.
    for _ in 0..2 {
        rig.restart_with(changed.clone());
    }
    rig.commit();
    let mut written = severities(&rig);
    written.sort();
    assert_eq!(written, expected);
    rig.restart();
    rig.commit();
    assert_eq!(severities(&rig).len(), 2, "the new severity is stored");
}

#[test]
fn rules_are_for_the_objects_that_their_patterns_name() {
    let rule = format!("{} on \"T:a*\"", value_rule(1, 1));
    let mut rig = Rig::new(&[&rule]);
    rig.minute(0, &[("T:a1", 20), ("T:b", 20)]);
    rig.close(0);
    rig.commit();
    assert_eq!(rig.changes(), ["1 T:a1 high Firing"]);
    assert_eq!(rig.table.sink().0.counts(), AlarmCounts { firing: 1, pending: 0, limited: 0 });
}

#[test]
fn the_alarms_of_an_object_are_bounded() {
    let texts: Vec<_> = (0..40).map(|rule| format!("alarm \"r{rule}\" when AggProxySum.value > {rule}")).collect();
    let mut rig = Rig::new(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    rig.minute(0, &[("T:a", 50)]);
    rig.close(0);
    assert_eq!(rig.table.sink().0.counts(), AlarmCounts { firing: 32, pending: 0, limited: 8 });
}

#[test]
fn a_worse_alarm_takes_the_place_of_the_least_severe_of_a_full_object() {
    let minor = (0..40).map(|rule| format!("alarm \"m{rule:02}\" when AggProxySum.value > {rule} severity minor"));
    let worse = ["critical", "major"]
        .map(|severity| format!("alarm \"{severity}\" when AggProxySum.value > 90 severity {severity}"));
    let texts: Vec<_> = minor.chain(worse).collect();
    let mut rig = Rig::new(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let names = |rig: &Rig| {
        let row = rig.rows.last().unwrap();
        let severe: Vec<_> =
            row.data.alarms.iter().filter(|alarm| alarm.severity < 2).map(|it| it.rule.clone()).collect();
        (row.data.alarms.len(), severe, row.data.resolved.len())
    };
    // Of one window the worst are there, although their rules come last, and nothing ends that was never shown.
    rig.minute(0, &[("T:a", 100)]);
    rig.close(0);
    rig.commit();
    let both = vec!["critical".to_owned(), "major".to_owned()];
    assert_eq!(names(&rig), (32, both.clone(), 0));
    rig.minute(1, &[("T:a", 50)]);
    rig.close(1);
    rig.commit();
    assert_eq!(names(&rig), (32, vec![], 2), "there is room for two minor ones again");
    rig.minute(2, &[("T:a", 100)]);
    rig.close(2);
    rig.commit();
    rig.restart();
    assert_eq!(names(&rig), (32, both, 2));
    let displaced = &rig.rows.last().unwrap().data.resolved;
    assert!(displaced.iter().all(|alarm| alarm.reason.as_deref() == Some(window::DISPLACED)), "{displaced:?}");
    let rows = rig.rows.len();
    rig.minute(3, &[("T:a", 100)]);
    rig.close(3);
    rig.commit();
    assert_eq!(rig.rows.len(), rows, "what had to make room does not come again");
}

/// The changes of a rule over minutes with these values of `T:a`, while `T:b` is silent in some of them, with restarts
/// after the minutes that `restarts` names, and windows that close together in those that `jumps` names.
fn changes_of(
    types: &[Arc<ProxyType>],
    rule: &str,
    restarts: &dyn Fn(u64) -> bool,
    jumps: &dyn Fn(u64) -> bool,
) -> Vec<String> {
    let mut rig = Rig::of(plan_of(types), &[rule]);
    for minute in 0..90 {
        if minute % 17 < 12 {
            rig.minute(minute, &[("T:a", [3, 12, 7, 30, 1][minute as usize * 7 % 5]), ("T:a", minute * 5 % 9)]);
        }
        if minute < 40 {
            rig.minute(minute, &[("T:b", minute * 3 % 20), ("T:c", 40)]);
        }
        if !jumps(minute) {
            rig.close(minute);
            rig.commit();
        }
        if restarts(minute) {
            rig.restart();
        }
    }
    rig.changes()
}

/// As text, the changes of an alarm over two types must be those of one type that has both attributes.
#[test]
fn a_rule_over_several_types_makes_the_alarms_of_one_type_with_all_attributes() {
    let both = ProxyType::builder("P", ValueType::U64).period(Duration::from_secs(60)).timeout(2);
    let both = Arc::new(both.result("sum", "1-raw:DSSum").result("max", "1-raw:DSMax").build().unwrap());
    let of = |name: &str, attribute: &str, annotation: &str| {
        let builder = ProxyType::builder(name, ValueType::U64).period(Duration::from_secs(60)).timeout(2);
        Arc::new(builder.result(attribute, annotation).build().unwrap())
    };
    let apart = [of("P", "sum", "1-raw:DSSum"), of("Q", "max", "1-raw:DSMax")];
    let cases = [
        ("P.sum > 10 and P.max < 12", "P.sum > 10 and Q.max < 12"),
        ("P.sum > 30 or P.max < 4", "P.sum > 30 or Q.max < 4"),
        ("P.sum > P.max", "P.sum > Q.max"),
        ("P.sum > 10 and P.max < 12 for 2, clear for 2", "P.sum > 10 and Q.max < 12 for 2, clear for 2"),
    ];
    for (of_one, of_two) in cases {
        let [of_one, of_two] = [of_one, of_two].map(|condition| format!("alarm \"x\" when {condition}"));
        let expected = changes_of(&[Arc::clone(&both)], &of_one, &|_| false, &|_| false);
        assert!(expected.len() > 10, "{of_one}: {expected:?}");
        for (restarts, jumps) in [(0, 0), (1, 0), (3, 0), (0, 4)] {
            let is_one_in = move |every: u64| move |minute: u64| every > 0 && minute % every == every / 2;
            let found = changes_of(&apart, &of_two, &is_one_in(restarts), &is_one_in(jumps));
            assert_eq!(found, expected, "{of_two} {restarts} {jumps}");
        }
    }
}

#[test]
fn types_with_other_timeouts_meet_in_their_windows_and_an_alarm_ends_when_no_other_type_keeps_it() {
    let types = [
        of_minutes("P", "1-raw:DSSum", 1, Silence::Once),
        of_minutes("L", "1-raw:DSSumLast:3", 3, Silence::Once),
        of_minutes("Z", "1.DSSum-raw:DSAnomaly:EWM:0.1", 4, Silence::Zero),
    ];
    let rules = [
        "alarm \"and\" when P.value > 10 and L.value > 10",
        "alarm \"or\" when P.value > 10 or L.value > 10",
        "alarm \"never\" when P.value > 10 and Z.value.sigma > 2.9 and L.value < 5",
    ];
    let mut results = Vec::new();
    for (others_continue, jumps, restarts) in
        [(true, false, false), (true, false, true), (false, false, false), (false, true, false), (false, false, true)]
    {
        let mut rig = Rig::of(plan_of(&types), &rules);
        minutes(&mut rig, 13, 5..12, (others_continue, jumps, restarts));
        results.push(rig.changes());
        let of_or = rig.rows.iter().flat_map(|row| &row.data.alarms).find(|alarm| alarm.rule == "or").unwrap();
        let uves = ["P", "L"].map(|name| format!("{name}-{STREAM}"));
        assert_eq!((&of_or.uve, &*of_or.other_uves), (&uves[0], &uves[1..]));
        assert!(of_or.description.ends_with("(now 20, 20)"), "{}", of_or.description);
    }
    // The first two windows of L are partial. P expires with the sixth minute, L after two more in which its last values
    // count.
    let expected = [
        "3 T:a and Firing",
        "3 T:a or Firing",
        "6 T:a and Resolved",
        "8 T:a or Resolved",
        "13 T:a and Firing",
        "13 T:a or Firing",
    ];
    for found in results {
        assert_eq!(found, expected);
    }
}

/// In the periods between, the attribute has no result; Contrail's UVE keeps the last one.
#[test]
fn an_alarm_of_contrail_over_windows_of_three_periods_lasts_in_the_periods_between() {
    let mut rig =
        Rig::of(plan_of(&[of_minutes("P", "3-raw:DSSum", 9, Silence::Once)]), &["alarm \"x\" when P.value > 10"]);
    let of_contrail =
        rig.rules.iter().map(|rule| crate::Rule { absent: crate::rule::Absent::Null, ..(**rule).clone() });
    rig.rules = Rules::new(of_contrail.collect());
    rig.restart();
    for minute in 0..9 {
        rig.minute(minute, &[("T:a", if minute < 4 { 20 } else { 1 })]);
        rig.close(minute);
        rig.commit();
        rig.restart();
    }
    // The first of the windows, which ends with the first minute, is partial.
    assert_eq!(START % (3 * MINUTE), 2 * MINUTE);
    assert_eq!(rig.changes(), ["4 T:a x Firing", "7 T:a x Resolved"]);
}

/// As Contrail's API returns it, with the full names of two structs.
#[test]
fn an_alarm_of_contrail_over_two_structs_fires_when_both_comparisons_are_true() {
    let types = [("P", 1), ("Q", 3)].map(|(name, timeout)| of_minutes(name, "1-raw:DSSum", timeout, Silence::Once));
    let term = |name: &str, operation: &str, number: u64| {
        format!(
            r#"{{"operand1":"{name}-{STREAM}.value","operation":"{operation}","operand2":{{"json_value":"{number}"}}}}"#
        )
    };
    let text = format!(
        r#"{{"alarm":{{"fq_name":["x"],"uve_keys":{{"uve_key":["virtual-network"]}},"alarm_rules":{{"or_list":[{{"and_list":
           [{},{}]}}]}}}}}}"#,
        term("P", ">", 10),
        term("Q", "<", 30)
    );
    let plan = plan_of(&types);
    let mut rig = Rig::of(Arc::clone(&plan), &[]);
    rig.rules = Rules::new(crate::contrail::rules(&text).unwrap());
    let stream = plan.stream();
    assert_eq!(crate::check::problems(&rig.rules, &[(stream, &types)]), []);
    rig.restart();
    for (minute, value) in (0..).zip([5, 20, 40, 20, 20]) {
        rig.minute(minute, &[("ObjectVNTable:a", value), ("Other:a", 20)]);
        rig.close(minute);
        rig.commit();
        rig.restart();
    }
    let changes = rig.changes();
    let expected = ["2 ObjectVNTable:a x Firing", "3 ObjectVNTable:a x Resolved", "4 ObjectVNTable:a x Firing"];
    assert_eq!(changes, expected);
    let shown = |name: &str, operation: &str, number: &str| {
        serde_json::json!({
            "condition": {"operation": operation, "operand1": format!("{name}-{STREAM}.value"),
                          "operand2": {"json_value": number}, "variables": []},
            "match": [{"json_operand1_value": "20", "json_variables": {}}],
            "text": format!("{name}-{STREAM}.value {operation} {number}"),
        })
    };
    let expected = serde_json::json!({"or_list": [{"and_list": [shown("P", ">", "10"), shown("Q", "<", "30")]}]});
    assert_eq!(rules_of(&rig.rows[0].data.alarms[0]), expected);
}

/// What was true, as the row of an alarm has it.
fn rules_of(alarm: &Alarm) -> serde_json::Value {
    serde_json::from_str(alarm.alarm_rules.get()).unwrap()
}

/// `AlarmConditionMatch` of Contrail has an `AlarmMatch` for each element that satisfies the comparison.
#[test]
fn a_wildcard_shows_each_match_with_the_variables_of_its_element() {
    let of_type = of_minutes("P", "1.DSSum-raw:DSAnomaly:EWM:0.1", 1, Silence::Once);
    let mut rig = Rig::of(plan_of(&[of_type]), &[]);
    let path = |name: &str| crate::rule::Path::parse(&format!("P.value.{name}"));
    let mut rule = text::rule("alarm \"x\" when P.value.* >= 3").unwrap_or_else(|error| panic!("{error}"));
    let Condition::Terms(lists) = &mut rule.condition else { panic!("{rule:?}") };
    lists[0][0].variables = vec![path("__key"), path("*")];
    rig.rules = Rules::new(vec![rule]);
    rig.restart();
    for minute in 0..20 {
        rig.minute(minute, &[("T:a", 5)]);
        rig.close(minute);
    }
    rig.commit();
    let shown = rules_of(&rig.rows[0].data.alarms[0]);
    let term = &shown["or_list"][0]["and_list"][0];
    assert_eq!(term["condition"]["operand1"], format!("P-{STREAM}.value.*"), "the whole name of the UVE");
    let found = term["match"].as_array().into_iter().flatten();
    let found = found.map(|found| {
        let variable = |name: &str| found["json_variables"][format!("P-{STREAM}.value.{name}")].clone();
        assert_eq!(variable("*"), found["json_operand1_value"]);
        format!("{} {}", variable("__key"), variable("*")).replace(['\\', '"'], "")
    });
    // The texts `algo` and `config` are not numbers in the short form, and sigma of a constant is near 0.
    let found: Vec<_> = found.collect();
    assert_eq!(found, ["samples 10", "metric 5"]);
}

#[test]
fn what_is_silent_is_shown_as_a_comparison_of_its_uve_with_null() {
    let mut rig = Rig::new(&["alarm \"silent\" when no data in AggProxySum"]);
    rig.minute(0, &[("T:a", 1)]);
    for minute in 0..3 {
        rig.close(minute);
        rig.commit();
    }
    let fired = rig.rows.iter().flat_map(|row| &row.data.alarms).next().map(rules_of);
    let term = serde_json::json!({
        "condition": {"operation": "==", "operand1": format!("AggProxySum-{STREAM}"),
                      "operand2": {"json_value": "null"}, "variables": []},
        "match": [{"json_operand1_value": "null", "json_variables": {}}],
        "text": "no data in AggProxySum",
    });
    assert_eq!(fired, Some(serde_json::json!({"or_list": [{"and_list": [term]}]})));
}

/// A rule of Contrail about a field that only an error has.
#[test]
fn a_missing_field_is_null_in_contrails_rules() {
    let of_type = of_minutes("P", "1.DSSum-raw:DSAnomaly:EWM:0.1", 1, Silence::Once);
    let rule = |name: &str, field: &str, operation: &str, json: &str| {
        let text = format!(
            r#"{{"alarm":{{"fq_name":["{name}"],"uve_keys":{{"uve_key":["virtual-network"]}},"alarm_rules":{{"or_list":
            [{{"and_list":[{{"operand1":"P-{STREAM}.value.{field}","operation":"{operation}","operand2":
            {{"json_value":"{json}"}}}}]}}]}}}}}}"#
        );
        crate::contrail::rules(&text).unwrap_or_else(|error| panic!("{error:?}")).remove(0)
    };
    let mut rig = Rig::of(plan_of(&[of_type]), &[]);
    rig.rules = Rules::new(vec![
        rule("error is null", "error", "==", "null"),
        rule("error is not null", "error", "!=", "null"),
        rule("error in null", "error", "in", "[null]"),
        rule("config is", "config", "==", "0.1"),
        rule("config is the text", "config", "==", "\\\"0.1\\\""),
        rule("config is not", "config", "!=", "0.1"),
        rule("size of a map", "state", "size==", "2"),
    ]);
    rig.restart();
    for minute in 0..20 {
        rig.minute(minute, &[("ObjectVNTable:a", 5)]);
        rig.close(minute);
    }
    rig.commit();
    rig.rows.truncate(1);
    let fired: Vec<_> = rig.rows.iter().flat_map(|row| &row.data.alarms).map(|alarm| alarm.rule.as_str()).collect();
    assert_eq!(fired, ["error is null", "error in null", "config is", "config is the text"]);
    let shown = rules_of(&rig.rows[0].data.alarms[2]);
    assert_eq!(shown["or_list"][0]["and_list"][0]["match"][0]["json_operand1_value"], "0.1", "{shown}");
}

#[test]
fn time_that_nobody_observed_neither_fires_nor_clears_a_rule_over_several_types() {
    let types = [("P", 1), ("Q", 3)].map(|(name, timeout)| of_minutes(name, "1-raw:DSSum", timeout, Silence::Once));
    let mut rig = Rig::of(plan_of(&types), &["alarm \"x\" when P.value > 10 and Q.value > 15 for 2"]);
    for (minute, value) in (0..).zip([20, 20, 20, 3, 3]) {
        if minute == 1 || minute == 3 {
            rig.table.mark_unknown(START + minute * MINUTE, START + minute * MINUTE + MINUTE - 1);
        }
        rig.minute(minute, &[("T:a", value)]);
        rig.close(minute);
        rig.commit();
    }
    assert_eq!(rig.changes(), ["1 T:a x Pending", "3 T:a x Firing", "5 T:a x Resolved"]);
}

#[test]
fn damaged_and_newer_state_is_refused() {
    let restored = |bytes: &[u8]| Alarms::restore(&Rules::default(), &plan(), [(u32::MAX, bytes)], 0).err();
    assert!(matches!(restored(b"\x01{"), Some(StateError::Damaged { .. })));
    assert!(matches!(restored(b"\x09[]"), Some(StateError::Newer { found: 9, .. })));
}

/// Chunks and rows as the last version wrote them whose `alarm_rules` had a text as the condition, after four minutes of
/// [`upgraded`].
const OLD_CHUNKS: &str = include_str!("../../testdata/text-conditions/chunks");
const OLD_ROWS: &str = include_str!("../../testdata/text-conditions/rows.ndjson");

/// A table with the input behind the old chunks and rows: two objects fire, one is pending, one is silent.
fn upgraded() -> Rig {
    let mut rig = Rig::new(&[&value_rule(2, 1), "alarm \"silent\" when no data in AggProxySum"]);
    for minute in 0..4 {
        let of = |is_loud| if is_loud { 20 } else { 1 };
        let values = [("T:a", of(minute > 0)), ("T:b", 20), ("T:c", of(minute == 3)), ("T:d", 1)];
        rig.minute(minute, &values[..if minute == 0 { 4 } else { 3 }]);
        rig.close(minute);
        rig.commit();
    }
    rig.rows = OLD_ROWS.lines().map(|row| AlarmRow::read(row.as_bytes()).unwrap()).collect();
    rig
}

/// Six minutes, in which each alarm ends and that of one object fires again; returns the changes after the old rows.
fn go_on(rig: &mut Rig) -> Vec<String> {
    let later = rig.rows.split_off(OLD_ROWS.lines().count());
    let known = rig.changes();
    assert_eq!(known.len(), 6, "{known:?}");
    rig.rows.extend(later);
    for minute in 4..10 {
        let a = if minute == 4 || minute > 6 { 20 } else { 1 };
        let values = [("T:a", a), ("T:b", if minute < 6 { 20 } else { 1 }), ("T:c", 1), ("T:d", 1)];
        rig.minute(minute, &values[..if minute > 4 { 4 } else { 3 }]);
        rig.close(minute);
        rig.commit();
        rig.restart();
    }
    let mut changes: Vec<_> = rig.changes().into_iter().filter(|change| !known.contains(change)).collect();
    changes.sort();
    changes
}

/// The ends of the alarms that fire in the old rows, and the next alarm.
const AFTER_THE_UPDATE: [&str; 5] =
    ["6 T:a high Resolved", "6 T:d silent Resolved", "7 T:b high Resolved", "8 T:a high Pending", "9 T:a high Firing"];

#[test]
fn alarms_that_fire_during_an_update_from_text_conditions_end_once_and_do_not_fire_again() {
    let mut rig = upgraded();
    let old = OLD_CHUNKS.lines().map(|line| line.split_once(' ').unwrap());
    let old = old.map(|(number, json)| (number.parse().unwrap(), [&[1], json.as_bytes()].concat()));
    rig.chunks.retain(|number, _| !is_alarm_chunk(*number));
    rig.chunks.extend(old);
    rig.restart();
    assert_eq!(rig.table.sink().0.counts().firing, 3);
    let written = rig.rows.len();
    assert_eq!(go_on(&mut rig), [&["5 T:c high Cancelled"], &AFTER_THE_UPDATE[..]].concat());
    let rows = || rig.rows[written..].iter().filter(|row| row.key == "T:a");
    let condition = |alarm: &Alarm| rules_of(alarm)["or_list"][0]["and_list"][0]["condition"].clone();
    let ended: Vec<_> = rows().flat_map(|row| &row.data.resolved).map(condition).collect();
    assert_eq!(ended, ["AggProxySum.value > 10"], "it has its former form until it ends");
    let fired = rows().flat_map(|row| &row.data.alarms).find(|alarm| alarm.timestamp == START + 9 * MINUTE);
    assert_eq!(fired.map(condition).map(|condition| condition["operation"].clone()), Some(">".into()));
}

/// The same if the state is lost besides.
#[test]
fn alarms_go_on_from_rows_with_text_conditions_if_the_state_is_lost() {
    let mut rig = upgraded();
    let alarms = Alarms::recovered(&rig.rules, &plan(), rig.rows.clone(), START + 4 * MINUTE);
    rig.table.sink_mut().0 = alarms;
    rig.chunks.retain(|number, _| !is_alarm_chunk(*number));
    rig.commit();
    rig.restart();
    assert_eq!(go_on(&mut rig), [&["4 T:c high Cancelled"], &AFTER_THE_UPDATE[..]].concat());
}
