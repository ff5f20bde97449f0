//! Sample results for the tests of readers.

use std::sync::Arc;

use derived_stats::{Number, Output, Record, Report};
use proxy_uve::schema::Schema;
use proxy_uve::{AttributeResult, Plan, ResultSink as _, StreamName, Subject};

use crate::block::{BlockSink, MAX_BLOCK_BYTES};

/// Creates a plan with two built-in types on the stream `A-b`: type 0 is `AggProxySum`, type 1 the anomaly.
pub fn plan() -> Plan {
    let schema = Schema::builtin();
    let types = ["AggProxySum", "AggProxySumAnomalyEWM01"].map(|name| Arc::clone(schema.get(name).unwrap()));
    Plan::new(StreamName::new("A", "b").unwrap(), &types)
}

/// Sends a result of one attribute to `sink`; without a record it sends a deletion.
pub fn send(plan: &Plan, sink: &mut BlockSink, type_index: usize, key: &str, record: Option<Record>) {
    let mut subject = Subject::new(key.as_bytes(), type_index, "A-b", 0..60);
    subject.deleted = record.is_none();
    sink.begin(&subject);
    let attribute = plan.uves().nth(type_index).and_then(|uve| uve.attributes().next());
    if let (Some(record), Some(attribute)) = (record, attribute) {
        let report = Report::Value(Output::new(attribute.description, record));
        sink.attribute(&subject, &AttributeResult::new(attribute.name, report, 0));
    }
    sink.end(&subject);
}

/// Encodes a block of sums, each with its key.
pub fn block_of_sums(sums: &[(&str, u64)]) -> Vec<u8> {
    let plan = plan();
    let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
    for (key, sum) in sums {
        send(&plan, &mut sink, 0, key, Some(Record::new([Number::U64(*sum)])));
    }
    first_block(&mut sink)
}

/// Takes the results of a sink and returns the first block.
pub fn first_block(sink: &mut BlockSink) -> Vec<u8> {
    let blocks = sink.take().unwrap();
    blocks.records().next().map(|(_, block)| block.to_vec()).unwrap_or_default()
}
