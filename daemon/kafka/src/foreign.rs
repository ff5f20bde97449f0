//! Topics of other programs as the input of streams: their messages become samples before anything else looks at them.
//!
//! What a message becomes is a function of the message and the configuration alone, so that a record that is read again,
//! after a kill or by another daemon, is the same sample. A message that is none is passed on with its reason, and ends
//! among the dead letters as it came.
//!
//! All messages of an object must be in one shard, as in other topics. The partition of a message without key does not
//! depend on its object, so where there are several shards such a message is refused.

use std::ops::Range;

use daemon_formats::Integer;
use daemon_formats::json_fields::{FieldError, Fields, Sample};
use proxy_uve::derived_stats::Number;
use proxy_uve::wire::encode_json;

use crate::member::Incoming;

/// The first byte of a payload that is not a sample; no form of a sample begins with it.
const REFUSED: u8 = 0;

/// The integers below are exact in a double: 2^53.
const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// A topic of JSON, and what its messages are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForeignTopic {
    /// The name of the topic.
    pub topic: String,
    /// The table of the objects.
    pub table: String,
    /// Where the parts of a sample are in a message.
    pub fields: Fields,
}

/// Messages as samples.
#[derive(Debug, Default)]
pub(crate) struct Converted {
    bytes: Vec<u8>,
    records: Vec<Converting>,
}

#[derive(Debug)]
struct Converting {
    offset: u64,
    at: Option<u64>,
    key: Range<usize>,
    payload: Range<usize>,
}

impl ForeignTopic {
    /// What distinguishes it from another one, for the comparison of configurations.
    pub(crate) fn identity(&self) -> String {
        format!("reads {:?} for {:?} with {:?}", self.topic, self.table, self.fields)
    }

    /// The key of the object of a message, `table:name`. Several texts are joined by `,`, with a backslash before a comma
    /// or backslash in one of them, as the labels of a series are.
    pub(crate) fn object(&self, texts: &[String]) -> String {
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

    /// The key of the object of a message, and its sample.
    ///
    /// # Errors
    ///
    /// A [`FieldError`] if the message is not a sample.
    pub fn read(&self, message: &[u8]) -> Result<(String, Sample), FieldError> {
        let sample = self.fields.read(message)?;
        Ok((self.object(&sample.key), sample))
    }

    /// The samples of messages, in their order. `needs_key` is whether a message without key may be in any shard.
    pub(crate) fn convert(&self, records: &[Incoming<'_>], needs_key: bool) -> Converted {
        let mut converted = Converted::default();
        for record in records {
            let start = converted.bytes.len();
            let key = match self.sample(record, needs_key, &mut converted.bytes) {
                Ok(key) => key,
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

    /// Appends the sample of a message, and returns the key of its object.
    fn sample(&self, record: &Incoming<'_>, needs_key: bool, out: &mut Vec<u8>) -> Result<Vec<u8>, String> {
        if needs_key && record.key.is_empty() {
            return Err("the message has no key, so that those of its object may be in any partition, and would be \
                        counted apart; let the producer write the object as the key of the message"
                .to_owned());
        }
        let (key, sample) = self.read(record.payload).map_err(|error| error.to_string())?;
        encode_json(sample.time, number(&sample), sample.source.as_deref(), out).map_err(|error| error.to_string())?;
        Ok(key.into_bytes())
    }
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
    use daemon_formats::json_fields::FieldsConfig;
    use proxy_uve::wire;

    use super::*;

    fn topic(fields: &str) -> ForeignTopic {
        let fields = Fields::compile(&serde_json::from_str::<FieldsConfig>(fields).unwrap()).unwrap();
        ForeignTopic { topic: "t".to_owned(), table: "Host".to_owned(), fields }
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
