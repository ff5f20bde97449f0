//! Scenarios of one message: its outcome, and the sum that it made.

use proxy_uve::Fate;
use serde_json::{Value, json};

use crate::record::{Sent, events, original, records, text};
use crate::table::Tables;

/// Scenario, our outcome, our sum, and whether the original has the same sum.
type Expected = (&'static str, Fate, Option<u64>, bool);

const EXPECTED: &[Expected] = &[
    ("key-double-colon", Fate::Aggregated, Some(36), true),
    // The original takes the whole key for table and name.
    ("key-no-colon", Fate::MalformedKey, None, false),
    ("key-normal", Fate::Aggregated, Some(36), true),
    ("payload-cdata", Fate::Aggregated, Some(44), true),
    ("payload-comment-inside", Fate::Aggregated, Some(36), true),
    ("payload-empty", Fate::MalformedPayload, None, true),
    // 1000 is not an integer in this form; the original reads the 1 and stops.
    ("payload-exponent", Fate::MalformedValue, None, false),
    // The original wraps -9 to 2^64-9.
    ("payload-i32-type", Fate::MalformedValue, None, false),
    ("payload-leading-comment", Fate::Aggregated, Some(36), true),
    ("payload-leading-space", Fate::Aggregated, Some(36), true),
    ("payload-mismatched-end", Fate::MalformedPayload, None, true),
    ("payload-no-escapes-ampersand-elsewhere", Fate::Aggregated, Some(36), true),
    ("payload-no-timestamp", Fate::MalformedPayload, None, true),
    // The original stops at 2^64-1.
    ("payload-over-u64-max", Fate::MalformedPayload, None, false),
    ("payload-plus", Fate::MalformedPayload, None, false),
    // The original counts text as 0.
    ("payload-string-type", Fate::MalformedPayload, None, false),
    ("payload-text", Fate::MalformedPayload, None, false),
    // Time 0 is a time, and long past.
    ("payload-timestamp-zero", Fate::Late, None, true),
    ("payload-trailing-garbage", Fate::Aggregated, Some(36), true),
    ("payload-two-roots", Fate::Aggregated, Some(36), true),
    // An element that has one attribute twice is not XML; the original takes the first.
    ("payload-two-timestamps", Fate::MalformedPayload, None, false),
    ("payload-with-identifier", Fate::Aggregated, Some(36), true),
];

#[test]
fn each_payload_and_key_has_an_outcome_and_a_sum() {
    let records = records();
    let about = |scenario: &str| crate::is_about_a_payload(scenario) && !scenario.starts_with("crash-");
    let of_one_message: Vec<&Value> =
        records.iter().filter(|record| about(text(record, "scenario")) && record.get("events").is_some()).collect();
    assert_eq!(of_one_message.len(), EXPECTED.len(), "a scenario is missing");
    for record in of_one_message {
        let scenario = text(record, "scenario");
        let &(_, fate, sum, same) = EXPECTED.iter().find(|(name, ..)| *name == scenario).expect(scenario);
        let mut tables = Tables::new(record);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for event in events(record) {
            ours.extend(tables.apply(event));
            theirs.extend(original(event));
        }
        assert_eq!(tables.fates, [fate], "{scenario}");
        assert_eq!(sum_in(&ours), sum, "{scenario}: {ours:?}");
        assert_eq!(ours == theirs, same, "{scenario}: {ours:?} and the original {theirs:?}");
    }
}

fn sum_in(lines: &Sent) -> Option<u64> {
    assert!(lines.len() < 2, "{lines:?}");
    lines.first().map(|line| line.rsplit('=').next().unwrap().parse().unwrap())
}

#[test]
fn messages_that_crash_the_original_have_an_outcome() {
    let records = records();
    let crashes = records.iter().filter(|record| record.get("crash_signal").is_some());
    let mut seen = 0;
    for record in crashes {
        let key = match text(record, "scenario") {
            "crash-null-key" => "",
            "key-empty-table" => ":vn1",
            other => panic!("unknown scenario {other}"),
        };
        let payload = "<egress_flow_count type=\"u64\" timestamp=\"7200000000\">36</egress_flow_count>";
        let message = |offset: u64, key: &str| json!({"op": "message", "now": 7_200_000_000_u64, "partition": 3, "offset": offset, "key": key, "payload": payload});
        let mut tables = Tables::new(record);
        tables.apply(&message(1, key));
        tables.apply(&message(2, "ObjectVNTable:vn1"));
        assert_eq!(tables.fates, [Fate::MalformedKey, Fate::Aggregated], "the message after the poisonous one counts");
        let tick = json!({"op": "tick30"});
        tables.apply(&tick);
        assert_eq!(tables.apply(&tick), ["AggProxySum ObjectVNTable:vn1 deleted=false value=36"]);
        seen += 1;
    }
    assert_eq!(seen, 2);
}
