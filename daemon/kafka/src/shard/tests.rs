use std::collections::BTreeSet;
use std::sync::Arc;

use daemon_base::observation::Observations;
use daemon_formats::json_fields::{Fields, FieldsConfig, Selection};
use daemon_partition::StreamPlan;
use proptest::prelude::*;
use proxy_uve::schema::Schema;
use proxy_uve::{Plan, StreamName, TableSettings};

use super::*;
use crate::input_merge::ReadTime;
use crate::member::Incoming;

const ID: PartitionId = PartitionId::new(0, 0);
const NOW: u64 = 1_488_000_000_000_000;
const DAY: u64 = 86_400_000_000;

fn shard() -> Shard {
    let name = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    // Of the counters the source is checked, too.
    let text = "struct Count {\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
                4: optional u64 raw (hidden=\"yes\", metric=\"agg\")\n 5: optional u64 sum (stats=\"1-raw:DSSum\")\n} (period=\"60\")";
    let schema = Schema::parse("count.sandesh", text).unwrap();
    let types: Vec<_> = schema.types().cloned().collect();
    let stream = Arc::new(StreamPlan::new(Arc::new(Plan::new(name, &types)), &Observations::default()));
    Shard::new(ID, PartitionTable::new(stream, TableSettings::default(), 64 * 1024), Saved::default(), Vec::new())
}

/// What is wrong with a record; several things may be.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    key: bool,
    payload: bool,
    value: bool,
    source: bool,
    future: bool,
    late: bool,
}

impl Wrong {
    fn is_malformed(self) -> bool {
        self.key || self.payload || self.value || self.source
    }

    fn record(self) -> (Vec<u8>, Vec<u8>) {
        let key = if self.key { "" } else { "ObjectVNTable:vn" };
        let at = if self.future {
            NOW + DAY
        } else if self.late {
            NOW - DAY
        } else {
            NOW
        };
        let value = if self.value { "-1" } else { "1" };
        let source = "s".repeat(if self.source { 2000 } else { 3 });
        let payload = match self.payload {
            true => "not a sample".to_owned(),
            false => format!(r#"{{"ts":{at},"value":{value},"source":"{source}"}}"#),
        };
        (key.into(), payload.into())
    }
}

fn wrong() -> impl Strategy<Value = Wrong> {
    let rarely = || prop::bool::weighted(0.2);
    (rarely(), rarely(), rarely(), rarely(), rarely(), rarely())
        .prop_map(|(key, payload, value, source, future, late)| Wrong { key, payload, value, source, future, late })
}

/// The offsets of the dead letters of these records in runs of the given sizes.
fn dead_letters(records: &[(Vec<u8>, Vec<u8>)], sizes: &[usize], has_broker_time: bool) -> Vec<(u64, String)> {
    let mut shard = shard();
    let records: Vec<_> = (0..)
        .zip(records)
        .map(|(offset, (key, payload))| Incoming { offset, at: has_broker_time.then_some(NOW), key, payload })
        .collect();
    let (mut rest, read) = (records.as_slice(), ReadTime { now: Duration::ZERO, wall: NOW });
    for size in sizes.iter().cycle() {
        let (run, after) = rest.split_at((*size).min(rest.len()));
        shard.apply(ID, run, 1, read);
        shard.apply_held(&[ID], &BTreeSet::new(), Duration::ZERO, Duration::ZERO);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let commit = shard.prepare_commit("", Duration::ZERO).unwrap();
    commit.dead_letters.into_iter().map(|letter| (letter.offset, letter.reason)).collect()
}

proptest! {
    #[test]
    fn property_a_record_is_a_dead_letter_whatever_run_it_came_in(
        wrong in prop::collection::vec(wrong(), 1..200),
        sizes in prop::collection::vec(1..80usize, 1..6),
        has_broker_time: bool,
    ) {
        let records: Vec<_> = wrong.iter().map(|wrong| wrong.record()).collect();
        let letters = dead_letters(&records, &sizes, has_broker_time);
        let offsets: Vec<u64> = letters.iter().map(|(offset, _)| *offset).collect();
        let malformed: Vec<u64> =
            (0..).zip(&wrong).filter(|(_, wrong)| wrong.is_malformed()).map(|(offset, _)| offset).collect();
        prop_assert_eq!(offsets, malformed);
        prop_assert!(letters.iter().all(|(_, reason)| !reason.is_empty()));
        prop_assert_eq!(letters, dead_letters(&records, &[1], has_broker_time));
    }
}

#[test]
fn a_shard_that_was_restored_without_the_id_of_its_topic_takes_it_and_saves_it_once() {
    let id = |text: &str| TopicId::new(text.as_bytes());
    let (first, second) = (id("eyQ4aBcDeF-_0123456789"), id("zzQ4aBcDeF-_0123456789"));
    let mut shard = shard();
    assert!(!shard.is_of_other_topic(first), "it is not known of which topic it is");
    shard.adopt_input_id(None);
    shard.adopt_input_id(first);
    shard.adopt_input_id(second);
    assert_eq!(shard.input_id(), first);
    assert!(shard.is_of_other_topic(second) && !shard.is_of_other_topic(first));
    let commit = shard.prepare_commit("a/0", Duration::ZERO).unwrap();
    let saved: Vec<_> = commit.state.iter().filter(|(key, _)| key == state_records::INPUT_ID).collect();
    let expected = (state_records::INPUT_ID.to_vec(), first.map(|id| id.as_bytes().to_vec()));
    assert_eq!((saved, commit.input_id), (vec![&expected], first));
}

#[test]
fn a_message_that_the_stream_does_not_take_brings_its_time_and_nothing_else() {
    let fields = r#"{"key":"k","time":"t","time_unit":"us","value":"v"}"#;
    let fields = Fields::compile(&serde_json::from_str::<FieldsConfig>(fields).unwrap()).unwrap();
    let selection = Selection::compile(&[("type".to_owned(), "cpu".to_owned())].into()).unwrap();
    let mut shard = shard().with_foreign(Arc::new(ForeignTopic::new("t", "T", fields, selection)), false);
    let later = NOW + 3_600_000_000;
    let payloads = [
        format!(r#"{{"type":"cpu","k":"a","t":{NOW},"v":1}}"#),
        format!(r#"{{"type":"cpu","k":"a","t":{},"v":3}}"#, NOW + 1_000_000),
        format!(r#"{{"type":"mem","t":{later}}}"#),
        format!(r#"{{"type":"mem","t":{}}}"#, NOW + 9 * DAY),
        r#"{"type":"mem"}"#.to_owned(),
    ];
    let record = |(offset, payload): (u64, &'static str)| Incoming {
        offset,
        at: Some(later),
        key: b"",
        payload: payload.as_bytes(),
    };
    let payloads = payloads.map(|payload| &*payload.leak());
    let records: Vec<_> = (0..).zip(payloads).map(record).collect();
    let read = ReadTime { now: Duration::ZERO, wall: later };
    assert_eq!(shard.apply(ID, &records, 1, read), 3);
    shard.apply_held(&[ID], &BTreeSet::new(), Duration::ZERO, Duration::ZERO);
    assert_eq!((shard.cursor(ID), shard.objects()), (Some(5), 1));
    assert_eq!(shard.table.watermark(), TableSettings::default().watermark(later));
    let commit = shard.prepare_commit("", Duration::ZERO).unwrap();
    assert!(commit.dead_letters.is_empty() && !commit.results.is_empty(), "the window of the samples is closed");
}
