//! Topics of other programs as the input of streams: their messages become samples before anything else looks at them.
//!
//! What a message becomes is a function of the message and the configuration alone, so that a record that is read again,
//! after a kill or by another daemon, is the same sample. A message that is none is passed on with its reason, and ends
//! among the dead letters as it came. A message that a stream does not take, by its `where`, only brings the stream its time:
//! otherwise windows of a stream that takes few messages of a busy topic would stay open.
//!
//! Several streams may have one topic. Each has shards and cursors of its own, and reads what it takes of each message.
//!
//! All messages of an object must be in one shard, as in other topics. The partition of a message without key does not
//! depend on its object, so where there are several shards such a message is refused.

use std::ops::Range;

use daemon_formats::Integer;
use daemon_formats::json_fields::{FieldError, Fields, Message, Sample, Selection};
use proxy_uve::derived_stats::Number;
use proxy_uve::wire::{self, encode_json};

use crate::member::Incoming;

/// The first byte of a payload that is not a sample; no form of a sample begins with it.
const REFUSED: u8 = 0;

/// The first byte of a payload that has only the time of a message that the stream does not take; 0 if it has none.
const SKIPPED: u8 = 2;

/// The integers below are exact in a double: 2^53.
const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// A topic of JSON, and what its messages are for one stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForeignTopic {
    pub(crate) topic: String,
    table: String,
    fields: Fields,
    selection: Selection,
    /// What the other streams of the topic take, if this one is the first of them: it reports for all what no stream takes.
    others: Option<Vec<Selection>>,
}

/// Messages as samples.
#[derive(Debug, Default)]
pub(crate) struct Converted {
    bytes: Vec<u8>,
    records: Vec<Converting>,
    /// The messages that no stream of the topic takes, as the first one counts them.
    pub(crate) unmatched: u64,
}

#[derive(Debug)]
struct Converting {
    offset: u64,
    at: Option<u64>,
    key: Range<usize>,
    payload: Range<usize>,
}

impl ForeignTopic {
    /// The topic with the table of the objects, where the parts of a sample are in a message, and which messages are taken.
    pub fn new(topic: &str, table: &str, fields: Fields, selection: Selection) -> Self {
        let (topic, table) = (topic.to_owned(), table.to_owned());
        Self { topic, table, fields, selection, others: Some(Vec::new()) }
    }

    /// As one of several streams of the topic.
    pub(crate) fn among(self, others: Option<Vec<Selection>>) -> Self {
        Self { others, ..self }
    }

    /// The name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What distinguishes it from another one, for the comparison of configurations.
    pub(crate) fn identity(&self) -> String {
        let conditions = if self.selection.is_empty() { String::new() } else { format!(" where {:?}", self.selection) };
        format!("reads {:?} for {:?} with {:?}{conditions}", self.topic, self.table, self.fields)
    }

    /// Why the stream does not take a message; `None` if it does.
    pub fn refusal(&self, message: &Message) -> Option<String> {
        self.selection.refusal(message)
    }

    /// The key of the object of a message; `None` if it is not a sample of the stream.
    pub(crate) fn object_of(&self, message: &[u8]) -> Option<String> {
        let message = Message::parse(message).ok().filter(|message| self.selection.takes(message))?;
        self.read(&message).ok().map(|(key, _)| key)
    }

    /// The key of the object of a message, `table:name`. Several texts are joined by `,`, with a backslash before a comma
    /// or backslash in one of them, as the labels of a series are.
    fn object(&self, texts: &[String]) -> String {
        let mut key = format!("{}:", self.table);
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                key.push(',');
            }
            for character in text.chars() {
                if texts.len() > 1 && matches!(character, '\\' | ',') {
                    key.push('\\');
                }
                key.push(character);
            }
        }
        key
    }

    /// The key of the object of a message that is [taken](Self::refusal), and its sample.
    ///
    /// # Errors
    ///
    /// A [`FieldError`] if the message is not a sample.
    pub fn read(&self, message: &Message) -> Result<(String, Sample), FieldError> {
        let sample = self.fields.read_parsed(message)?;
        Ok((self.object(&sample.key), sample))
    }

    /// The samples of messages, in their order. `needs_key` is whether a message without key may be in any shard.
    pub(crate) fn convert(&self, records: &[Incoming<'_>], needs_key: bool) -> Converted {
        let mut converted = Converted::default();
        for record in records {
            let start = converted.bytes.len();
            let key = match self.sample(record, needs_key, &mut converted.bytes) {
                Ok(Taken::Sample(key)) => key,
                Ok(Taken::Skipped { unmatched }) => {
                    converted.unmatched += u64::from(unmatched);
                    Vec::new()
                }
                Err(reason) => {
                    converted.bytes.truncate(start);
                    refuse(&reason, record.payload, &mut converted.bytes);
                    record.key.to_vec()
                }
            };
            let payload = start..converted.bytes.len();
            converted.bytes.extend_from_slice(&key);
            let key = payload.end..converted.bytes.len();
            converted.records.push(Converting { offset: record.offset, at: record.at, key, payload });
        }
        converted
    }

    /// Appends the sample of a message, or only its time.
    fn sample(&self, record: &Incoming<'_>, needs_key: bool, out: &mut Vec<u8>) -> Result<Taken, String> {
        let message = match Message::parse(record.payload) {
            Ok(message) => message,
            // One dead letter is enough for a message that is of no stream.
            Err(_) if self.others.is_none() => return Ok(skip(None, false, out)),
            Err(error) => return Err(error.to_string()),
        };
        if !self.selection.takes(&message) {
            let unmatched = self.others.as_ref().is_some_and(|others| !others.iter().any(|it| it.takes(&message)));
            return Ok(skip(self.fields.time(&message), unmatched, out));
        }
        if needs_key && record.key.is_empty() {
            return Err("the message has no key, so that those of its object may be in any partition, and would be \
                        counted apart; let the producer write the object as the key of the message"
                .to_owned());
        }
        let (key, sample) = self.read(&message).map_err(|error| error.to_string())?;
        encode_json(sample.time, number(&sample), sample.source.as_deref(), out).map_err(|error| error.to_string())?;
        Ok(Taken::Sample(key.into_bytes()))
    }
}

/// What a stream takes of a message.
enum Taken {
    /// A sample of the object with this key.
    Sample(Vec<u8>),
    /// Its time only.
    Skipped {
        /// Whether no stream of the topic takes more.
        unmatched: bool,
    },
}

/// Appends the payload of a message that the stream does not take.
fn skip(time: Option<u64>, unmatched: bool, out: &mut Vec<u8>) -> Taken {
    out.push(SKIPPED);
    out.extend_from_slice(&time.unwrap_or(0).to_le_bytes());
    Taken::Skipped { unmatched }
}

/// The time of a payload that [`ForeignTopic::convert`] has made of a message that the stream does not take; 0 if it has
/// none. `None` for any other payload.
pub(crate) fn skipped(payload: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(payload.strip_prefix(&[SKIPPED])?.try_into().ok()?))
}

/// The event time of a payload: that of a sample, or of a message that the stream does not take.
pub(crate) fn event_time(payload: &[u8]) -> Option<u64> {
    let sample = || Some(wire::decode_texts(payload, wire::MAX_PAYLOAD_LENGTH).ok()?.timestamp);
    skipped(payload).or_else(sample)
}

/// The value of a sample as a number that streams of every type take: an integer if it is one.
fn number(sample: &Sample) -> Number {
    match sample.integer {
        Some(Integer::Signed(integer)) => Number::I64(integer),
        Some(Integer::Unsigned(integer)) => Number::U64(integer),
        // What is larger comes as an integer, or is not an exact one.
        None if sample.value.fract() != 0.0 || sample.value.abs() >= EXACT => Number::F64(sample.value),
        None if sample.value < 0.0 => Number::I64(sample.value as i64),
        None => Number::U64(sample.value as u64),
    }
}

impl Converted {
    pub(crate) fn records(&self) -> Vec<Incoming<'_>> {
        let bytes = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let record = |it: &Converting| {
            let (key, payload) = (bytes(&it.key), bytes(&it.payload));
            Incoming { offset: it.offset, at: it.at, key, payload }
        };
        self.records.iter().map(record).collect()
    }
}

/// Appends the payload of a message that is not a sample.
fn refuse(reason: &str, payload: &[u8], out: &mut Vec<u8>) {
    out.push(REFUSED);
    out.extend_from_slice(&(reason.len() as u32).to_le_bytes());
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(payload);
}

/// The reason and the message of a payload that [`ForeignTopic::convert`] has made of one that is not a sample.
pub(crate) fn refused(payload: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = payload.strip_prefix(&[REFUSED])?.split_first_chunk()?;
    let (reason, message) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(reason).ok()?, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon_formats::json_fields::FieldsConfig;

    fn topic(fields: &str) -> ForeignTopic {
        let fields = Fields::compile(&serde_json::from_str::<FieldsConfig>(fields).unwrap()).unwrap();
        ForeignTopic::new("t", "Host", fields, Selection::default())
    }

    fn message<'m>(offset: u64, key: &'m [u8], payload: &'m [u8]) -> Incoming<'m> {
        Incoming { offset, at: Some(7), key, payload }
    }

    #[test]
    fn a_message_is_a_sample_of_its_object() {
        let topic = topic(r#"{"key":["a","b"],"time":"t","time_unit":"s","value":"v","source":"s"}"#);
        let payload = br#"{"a":"x,y","b":"z","t":1488000000,"v":-1.5,"s":"one"}"#;
        let converted = topic.convert(&[message(3, b"k", payload)], true);
        let [record] = converted.records()[..] else { panic!("{converted:?}") };
        assert_eq!((record.offset, record.at, record.key), (3, Some(7), &b"Host:x\\,y,z"[..]));
        let sample = wire::decode_texts(record.payload, wire::MAX_PAYLOAD_LENGTH).unwrap();
        assert_eq!((sample.timestamp, sample.source.as_deref()), (1_488_000_000_000_000, Some("one")));
        assert_eq!(sample.value.as_f64(), -1.5);
    }

    #[test]
    fn a_value_is_an_integer_if_it_is_one() {
        let topic = topic(r#"{"key":"a","time":"t","value":"v"}"#);
        let cases = [
            ("7", Number::U64(7)),
            ("7.0", Number::U64(7)),
            ("\"-7\"", Number::I64(-7)),
            ("7.5", Number::F64(7.5)),
            ("18446744073709551615", Number::U64(u64::MAX)),
            ("-9223372036854775808", Number::I64(i64::MIN)),
            ("1e300", Number::F64(1e300)),
        ];
        for (text, expected) in cases {
            let payload = format!(r#"{{"a":"x","t":1488000000000,"v":{text}}}"#);
            let converted = topic.convert(&[message(1, b"k", payload.as_bytes())], true);
            let found = wire::decode_texts(converted.records()[0].payload, wire::MAX_PAYLOAD_LENGTH).unwrap().value;
            assert_eq!(found, expected, "{text}");
        }
    }

    fn selection(path: &str, text: &str) -> Selection {
        Selection::compile(&[(path.to_owned(), text.to_owned())].into()).unwrap()
    }

    #[test]
    fn of_a_message_that_a_stream_does_not_take_it_has_the_time_and_the_first_stream_counts_what_none_takes() {
        let of = |kind: &str, others: Option<Vec<Selection>>| {
            let topic = topic(r#"{"key":"a","time":"t","value":"v"}"#);
            ForeignTopic { selection: selection("kind", kind), others, ..topic }
        };
        let (first, second) = (of("x", Some(vec![selection("kind", "y")])), of("y", None));
        let payloads = [
            &br#"{"kind":"x","a":"1","t":1488000000000,"v":1}"#[..],
            br#"{"kind":"y","t":1488000001000}"#,
            br#"{"kind":"z","t":1488000002000}"#,
            br#"{"t":"never"}"#,
            b"{",
        ];
        let messages: Vec<_> =
            payloads.iter().zip(0..).map(|(payload, offset)| message(offset, b"", payload)).collect();
        let outcome = |topic: &ForeignTopic| {
            let converted = topic.convert(&messages, false);
            let times = converted.records().iter().map(|it| skipped(it.payload)).collect::<Vec<_>>();
            let refused = converted.records().iter().map(|it| refused(it.payload).is_some()).collect::<Vec<_>>();
            (times, refused, converted.unmatched)
        };
        let (times, is_refused, unmatched) = outcome(&first);
        assert_eq!(times, [None, Some(1_488_000_001_000_000), Some(1_488_000_002_000_000), Some(0), None]);
        assert_eq!((is_refused, unmatched), (vec![false, false, false, false, true], 2));
        // What is missing in a message that is taken is an error of that stream; what no stream can read is one of the first.
        let (times, is_refused, unmatched) = outcome(&second);
        assert_eq!(times, [Some(1_488_000_000_000_000), None, Some(1_488_000_002_000_000), Some(0), Some(0)]);
        assert_eq!((is_refused, unmatched), (vec![false, true, false, false, false], 0));
    }

    #[test]
    fn a_message_that_is_no_sample_has_its_reason_and_stays_as_it_is() {
        let topic = topic(r#"{"key":"a","time":"t","value":"v"}"#);
        // What would be a sample in our own form is none here.
        let own = br#"{"ts":1488000000000000,"value":1}"#;
        let converted = topic.convert(&[message(1, b"T:x", own), message(2, b"T:x", b"")], true);
        for (record, (payload, reason)) in
            converted.records().iter().zip([(&own[..], "`a` is missing"), (b"", "not JSON")])
        {
            assert!(wire::decode_texts(record.payload, wire::MAX_PAYLOAD_LENGTH).is_err());
            let (found, original) = refused(record.payload).unwrap();
            assert!(found.contains(reason) && original == payload && record.key == b"T:x", "{found}");
        }
        assert_eq!(refused(own), None);
    }

    #[test]
    fn a_message_without_key_is_a_sample_of_a_single_shard_only() {
        let topic = topic(r#"{"key":"a","time":"t","value":"v"}"#);
        let payload = br#"{"a":"x","t":1488000000000,"v":1}"#;
        let refused_with = |needs_key| {
            let converted = topic.convert(&[message(1, b"", payload)], needs_key);
            refused(converted.records()[0].payload).map(|(reason, _)| reason.to_owned())
        };
        assert_eq!(refused_with(false), None);
        assert!(refused_with(true).unwrap().contains("has no key"));
    }
}
