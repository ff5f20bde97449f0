use super::*;
use crate::config::KafkaConfig;
use crate::foreign::ForeignTopic;
use crate::names::Names;

const A: PartitionId = PartitionId { stream: 0, partition: 0 };
const B: PartitionId = PartitionId { stream: 2, partition: 0 };

/// Two streams of one topic, and one of another between them.
fn topics() -> InputTopics {
    use daemon_formats::json_fields::{Fields, FieldsConfig, Selection};
    let fields = serde_json::from_str::<FieldsConfig>(r#"{"key":"k","time":"t","value":"v"}"#).unwrap();
    let fields = Fields::compile(&fields).unwrap();
    let topic = || ForeignTopic::new("both", "T", fields.clone(), Selection::default());
    let names = Names::new(&KafkaConfig::default(), "", || "i".to_owned());
    let names = names.with_foreign([("a-x".to_owned(), topic()), ("b-x".to_owned(), topic())]);
    InputTopics::new(&names, &["a-x", "c-x", "b-x"].map(str::to_owned))
}

/// Polls the records with these offsets; returns the offsets that a stream gets.
fn poll(readings: &mut Readings, offsets: std::ops::Range<u64>) -> [Option<Vec<u64>>; 2] {
    let record = |offset| Incoming { offset, at: None, key: b"", payload: b"" };
    let records: Vec<_> = offsets.map(record).collect();
    let got = [A, B].map(|id| Some(readings.deliver(id, &records)?.iter().map(|record| record.offset).collect()));
    readings.polled(A, &records);
    got
}

fn starts(readings: &mut Readings, topics: &InputTopics) -> Vec<(PartitionId, Position)> {
    readings.read(topics, &BTreeSet::from([A]))
}

#[test]
fn a_partition_of_two_streams_is_listed_once_and_assigned_to_both() {
    let topics = topics();
    assert_eq!((topics.first(B), topics.shared(A).collect::<Vec<_>>()), (A, vec![A, B]));
    let list = topics.list([(B, rdkafka::Offset::Offset(3)), (A, rdkafka::Offset::Offset(7))]);
    assert_eq!(list.count(), 1);
    assert_eq!(topics.all_ids(&list), [A, B]);
    assert_eq!(topics.names().len(), 2);
}

#[test]
fn each_stream_gets_the_records_from_its_position_on_and_the_partition_is_read_from_the_lowest() {
    let (topics, mut readings) = (topics(), Readings::default());
    readings.begin(&[(A, Some(5))]);
    assert_eq!(starts(&mut readings, &topics), [(A, Some(5))]);
    assert_eq!(poll(&mut readings, 5..7), [Some(vec![5, 6]), None]);
    readings.begin(&[(B, None)]);
    assert_eq!(starts(&mut readings, &topics), [(A, None)]);
    assert_eq!(poll(&mut readings, 0..3), [Some(vec![]), Some(vec![0, 1, 2])]);
    assert_eq!(poll(&mut readings, 3..9), [Some(vec![7, 8]), Some(vec![3, 4, 5, 6, 7, 8])]);
    assert_eq!(readings.position(A), Some(Some(9)));
    assert_eq!((readings.end(&topics, &[A]), readings.end(&topics, &[B])), (vec![], vec![A]));
    assert!(!readings.is_read(A));
}

#[test]
fn a_paused_stream_holds_up_no_other_and_gets_what_it_missed_when_it_is_resumed() {
    let (topics, mut readings) = (topics(), Readings::default());
    readings.begin(&[(A, Some(0)), (B, Some(0))]);
    starts(&mut readings, &topics);
    assert_eq!(readings.pause(&topics, A, true), Pause::Nothing);
    assert_eq!(poll(&mut readings, 0..4), [None, Some(vec![0, 1, 2, 3])]);
    assert_eq!(readings.pause(&topics, A, false), Pause::ReadAgain);
    assert_eq!(starts(&mut readings, &topics), [(A, Some(0))]);
    assert_eq!(poll(&mut readings, 0..6), [Some(vec![0, 1, 2, 3, 4, 5]), Some(vec![4, 5])]);
    // The other one ends meanwhile: the records that it got alone are not lost.
    readings.pause(&topics, B, true);
    assert_eq!(poll(&mut readings, 6..8), [Some(vec![6, 7]), None]);
    readings.end(&topics, &[A]);
    assert_eq!(readings.pause(&topics, B, false), Pause::ReadAgain);
    assert_eq!(starts(&mut readings, &topics), [(A, Some(6))]);
}

#[test]
fn a_partition_whose_streams_are_all_paused_is_paused_and_goes_on_where_it_was() {
    let (topics, mut readings) = (topics(), Readings::default());
    readings.begin(&[(A, None), (B, None)]);
    starts(&mut readings, &topics);
    poll(&mut readings, 0..2);
    assert_eq!([A, B].map(|id| readings.pause(&topics, id, true)), [Pause::Nothing, Pause::All]);
    readings.set_halted(A, true);
    assert_eq!(readings.pause(&topics, B, false), Pause::Resume);
    readings.set_halted(A, false);
    assert_eq!(readings.pause(&topics, A, false), Pause::Nothing);
    assert_eq!(poll(&mut readings, 2..3), [Some(vec![2]), Some(vec![2])]);
}
