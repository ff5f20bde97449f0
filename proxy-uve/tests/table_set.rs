//! Several metrics of the same objects: what they share and what each has for itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use derived_stats::{Number, ValueType};
use proxy_uve::schema::{ProxyType, Schema};
use proxy_uve::{
    DecodedRecord, Fate, Plan, Position, Record, SavedMetric, SetRestoreError, Snapshot, StreamName, TableSet,
    TableSettings,
};

const MINUTE: u64 = 60_000_000;

fn stream(name: &str) -> StreamName {
    StreamName::new("Agent", name).unwrap()
}

/// Sums of a minute; objects expire after one silent minute.
fn plan(name: &str) -> Arc<Plan> {
    let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    Arc::new(Plan::new(stream(name), &types))
}

fn plans() -> [Arc<Plan>; 2] {
    [plan("bytes"), plan("flows")]
}

fn in_order() -> TableSettings {
    TableSettings::default().with_allowed_lateness(Duration::ZERO)
}

fn send(set: &mut TableSet, metric: usize, key: &str, at: u64) -> Fate {
    let mut metric = set.metric_mut(metric).unwrap();
    let position = Position::new(metric.as_metric().position().map_or(0, |position| position.get() + 1));
    let (key, value) = (key.as_bytes(), Number::U64(7));
    metric.ingest_decoded(&DecodedRecord { position, arrived: at, key, at, value, source: "" })
}

fn restore(plans: impl IntoIterator<Item = Arc<Plan>>, saved: &[Snapshot]) -> Result<TableSet, SetRestoreError> {
    let metrics = plans.into_iter().zip(saved).map(|(plan, saved)| {
        let chunks = saved.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
        SavedMetric::new(plan, &saved.meta, chunks)
    });
    TableSet::restore(metrics, in_order()).map(|(set, _)| set)
}

fn keys(set: &TableSet) -> Vec<String> {
    set.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
}

#[test]
fn metrics_are_found_by_index_and_by_stream() {
    let mut set = TableSet::new(plans(), in_order());
    assert_eq!((set.index_of(&stream("flows")), set.index_of(&stream("drops"))), (Some(1), None));
    assert_eq!(set.metric(1).unwrap().plan().stream(), &stream("flows"));
    assert_eq!(
        set.metrics().map(|metric| metric.plan().stream().attribute().to_owned()).collect::<Vec<_>>(),
        ["bytes", "flows"]
    );
    assert!(set.metric(2).is_none() && set.metric_mut(2).is_none() && set.metric_mut(usize::MAX).is_none());
    let mut none = TableSet::new([], in_order());
    assert!(none.metric_mut(0).is_none() && !none.remove(b"T:a") && none.snapshot().is_empty());
}

#[test]
fn each_metric_has_its_own_log_time_and_results() {
    let mut set = TableSet::new(plans(), in_order());
    send(&mut set, 0, "T:a", MINUTE);
    send(&mut set, 0, "T:a", 3 * MINUTE);
    let payload = format!(r#"<flows type="u64" timestamp="{MINUTE}">8</flows>"#);
    let record =
        |position, payload| Record { position: Position::new(position), arrived: MINUTE, key: b"T:b", payload };
    let mut flows = set.metric_mut(1).unwrap();
    assert_eq!(flows.ingest(&record(10, payload.as_bytes())), Fate::Aggregated);
    let mut refused = Vec::new();
    let records = [record(10, payload.as_bytes()), record(11, b"?"), record(12, payload.as_bytes())];
    let fates = flows.ingest_payloads_with(records, |index, fate| refused.push((index, fate)));
    assert_eq!((fates.aggregated, refused), (1, vec![(0, Fate::Duplicate), (1, Fate::MalformedPayload)]));
    assert!(flows.as_metric().fault(b"T:b", b"?").is_some());

    let [bytes, flows] = [0, 1].map(|index| set.metric(index).unwrap());
    assert_eq!((bytes.position(), flows.position()), (Some(Position::new(1)), Some(Position::new(12))));
    assert_eq!((bytes.watermark(), flows.watermark()), (3 * MINUTE, MINUTE));
    assert_eq!((bytes.fates().total(), flows.fates().total()), (2, 4));
    assert_eq!((bytes.drain().count(), flows.drain().count()), (2, 0), "a sum, and the deletion of the silent object");
    assert!(bytes.object(b"T:a").is_some() && flows.object(b"T:a").is_none());
    assert_eq!((bytes.keys().count(), flows.keys().collect::<Vec<_>>()), (1, vec![&b"T:b"[..]]));

    let mut flows = set.metric_mut(1).unwrap();
    flows.mark_gap(2 * MINUTE);
    flows.advance(2 * MINUTE);
    let row = flows.as_metric().drain().next().unwrap();
    assert!(row.json.ends_with(br#""partial":true,"value":{"value":16}}"#), "{}", String::from_utf8_lossy(row.json));
    flows.clear_results();
    assert_eq!(flows.as_metric().pending_results(), (0, 0));
}

#[test]
fn an_object_leaves_the_key_map_with_the_last_metric_that_holds_it() {
    let mut set = TableSet::new(plans(), in_order());
    send(&mut set, 0, "T:a", MINUTE);
    send(&mut set, 1, "T:a", MINUTE);
    set.metric_mut(0).unwrap().advance(10 * MINUTE);
    assert_eq!((set.objects(), set.metric(0).unwrap().keys().count()), (1, 0), "the other metric holds it");
    send(&mut set, 0, "T:b", 11 * MINUTE);
    assert_eq!(keys(&set), ["T:a", "T:b"], "its slot is taken");
    set.metric_mut(1).unwrap().advance(10 * MINUTE);
    assert_eq!(keys(&set), ["T:b"]);
    send(&mut set, 1, "T:c", 11 * MINUTE);
    assert_eq!(keys(&set), ["T:c", "T:b"], "its slot is free");
    let sum = set.metric(1).unwrap().object(b"T:c").unwrap().types[0].attributes[0].open[0].value;
    assert_eq!(sum, Some(Number::U64(7)), "nothing of the object before is left");
}

#[test]
fn the_limit_of_objects_is_that_of_all_metrics() {
    let mut set = TableSet::new(plans(), in_order().with_max_objects(2));
    assert_eq!(send(&mut set, 0, "T:a", MINUTE), Fate::Aggregated);
    assert_eq!(send(&mut set, 1, "T:b", MINUTE), Fate::Aggregated);
    assert_eq!(send(&mut set, 0, "T:c", MINUTE), Fate::OverLimit);
    assert_eq!(send(&mut set, 0, "T:b", MINUTE), Fate::Aggregated, "another metric has it");
    assert_eq!(set.objects(), 2);
}

#[test]
fn metrics_can_be_added_and_left_out_at_a_restore() {
    let mut set = TableSet::new(plans(), in_order());
    send(&mut set, 0, "T:a", MINUTE);
    send(&mut set, 1, "T:b", MINUTE);
    send(&mut set, 1, "T:a", MINUTE);
    let saved = set.snapshot();
    let [bytes, flows] = plans();
    assert_eq!(keys(&restore([Arc::clone(&bytes)], &saved[..1]).unwrap()), ["T:a"]);
    let only_flows = restore([Arc::clone(&flows)], &saved[1..]).unwrap();
    assert_eq!(keys(&only_flows), ["T:a", "T:b"], "in the order of their slots");

    let chunks =
        |saved: &'static Snapshot| saved.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_deref().unwrap()));
    let saved: &'static Snapshot = Box::leak(Box::new(saved[1].clone()));
    let metrics = [SavedMetric::unsaved(bytes), SavedMetric::new(flows, &saved.meta, chunks(saved))];
    let (mut set, reports) = TableSet::restore(metrics, in_order()).unwrap();
    assert!(reports[0].kept().next().is_none() && reports[1].is_unchanged(), "{reports:?}");
    assert_eq!(set.metric(0).unwrap().position(), None);
    assert_eq!(send(&mut set, 0, "T:b", MINUTE), Fate::Aggregated);
    assert_eq!(set.objects(), 2);
}

#[test]
fn objects_that_no_metric_continues_are_freed_at_a_restore() {
    let mut set = TableSet::new(plans(), in_order());
    send(&mut set, 0, "T:a", MINUTE);
    send(&mut set, 0, "T:b", MINUTE);
    send(&mut set, 1, "T:b", MINUTE);
    let saved = set.snapshot();
    let other =
        ProxyType::builder("Mean", ValueType::U64).period(Duration::from_secs(300)).result("mean", "1-raw:DSAvg");
    let bytes = Arc::new(Plan::new(stream("bytes"), &[Arc::new(other.build().unwrap())]));
    let mut set = restore([bytes, plan("flows")], &saved).unwrap();
    assert_eq!(keys(&set), ["T:b"]);
    assert_eq!(set.metrics().map(|metric| metric.keys().count()).collect::<Vec<_>>(), [0, 1]);
    let chunks = set.snapshot().into_iter().map(|snapshot| snapshot.chunks).collect::<Vec<_>>();
    assert_eq!(chunks, [vec![(0, None)], vec![]], "the first metric's chunk is gone, the other's is as it was");
    assert!(set.remove(b"T:b"));
}

#[test]
fn a_snapshot_has_no_keys_that_only_another_metric_holds() {
    let mut set = TableSet::new(plans(), in_order());
    send(&mut set, 0, "T:a", MINUTE);
    send(&mut set, 1, "T:b", MINUTE);
    let mut saved = set.snapshot();
    // The slot goes from `T:a` to `T:c`; the other metric's chunk does not change.
    set.metric_mut(0).unwrap().advance(10 * MINUTE);
    send(&mut set, 0, "T:c", 11 * MINUTE);
    let second = set.snapshot();
    assert!(!second[0].chunks.is_empty() && second[1].chunks.is_empty());
    saved[0] = second[0].clone();
    assert_eq!(keys(&restore(plans(), &saved).unwrap()), ["T:c", "T:b"]);
}

/// The text of an error with its causes.
fn chain(error: &SetRestoreError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[test]
fn metrics_that_disagree_over_keys_are_an_error() {
    let of = |objects: &[&str]| {
        let mut set = TableSet::new(plans(), in_order());
        for object in objects {
            (0..2).for_each(|metric| assert_eq!(send(&mut set, metric, object, MINUTE), Fate::Aggregated));
        }
        set.snapshot()
    };
    let mixed = |first: Vec<Snapshot>, second: Vec<Snapshot>| {
        let saved = [first[0].clone(), second[1].clone()];
        restore(plans(), &saved).map(|set| keys(&set)).map_err(|error| chain(&error))
    };
    let error = mixed(of(&["T:a"]), of(&["T:\u{e9}", "T:a"])).unwrap_err();
    insta::assert_snapshot!(error, @r"metric 1, `Agent-flows`, cannot be restored: chunk 0 of the snapshot has the key `T:\xc3\xa9` in slot 0, another metric of the set has `T:a` there: restore snapshots that one call of `TableSet::snapshot` returned");

    let mut set = TableSet::new(plans(), in_order());
    ["T:b", "T:a"].iter().for_each(|object| assert_eq!(send(&mut set, 1, object, MINUTE), Fate::Aggregated));
    assert!(set.remove(b"T:b"));
    let error = mixed(of(&["T:a"]), set.snapshot()).unwrap_err();
    insta::assert_snapshot!(error, @"metric 1, `Agent-flows`, cannot be restored: chunk 0 of the snapshot has the key `T:a` in slot 1, another metric of the set has it in slot 0: restore snapshots that one call of `TableSet::snapshot` returned");

    let agreed = mixed(of(&["T:a", "T:b"]), of(&["T:a"]));
    assert_eq!(agreed, Ok(vec!["T:a".to_owned(), "T:b".to_owned()]));
}

#[test]
fn an_error_of_a_restore_names_the_metric() {
    let mut set = TableSet::new(plans(), in_order());
    let mut saved = set.snapshot();
    saved.swap(0, 1);
    insta::assert_snapshot!(chain(&restore(plans(), &saved).unwrap_err()), @"metric 0, `Agent-bytes`, cannot be restored: the snapshot is of stream `Agent-flows`, not of `Agent-bytes`: give each stream's table its own snapshots");
    saved.swap(0, 1);
    let last = saved[1].meta.len() - 1;
    saved[1].meta[last] ^= 1;
    insta::assert_snapshot!(chain(&restore(plans(), &saved).unwrap_err()), @"metric 1, `Agent-flows`, cannot be restored: the meta part of the snapshot is damaged: its checksum does not match; restore a copy of it, or discard the snapshot");

    // A chunk that comes twice is the metric's own contradiction.
    send(&mut set, 1, "T:a", MINUTE);
    let mut saved = set.snapshot();
    let chunk = saved[1].chunks[0].clone();
    saved[1].chunks.push(chunk);
    insta::assert_snapshot!(chain(&restore(plans(), &saved).unwrap_err()), @"metric 1, `Agent-flows`, cannot be restored: chunk 0 of the snapshot is inconsistent: a key appears twice");
}
