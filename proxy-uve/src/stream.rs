//! Streams: one attribute of one UVE struct, and the topics that contain them.
//!
//! A stream is written `Struct-attribute`, as in the configuration and in the `proxy` field of every result. Its topic
//! is `<cluster_id>-uve-agg-<Struct>-<attribute>`. Both parts are Sandesh identifiers, which contain no `-`, so the
//! text has one meaning only.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use derived_stats::excerpt::quoted;

/// The text between the prefix of a topic and the stream.
const AGGREGATION: &str = "agg-";

/// An attribute of a UVE struct, such as `UveVirtualNetworkAgent-egress_flow_count`.
///
/// Ordered by struct, then by attribute.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamName {
    struct_name: Box<str>,
    attribute: Box<str>,
}

/// The reason why a text is not the name of a stream.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamNameError {
    /// A character that an identifier cannot contain, or a digit at its start.
    #[error(
        "{} is not allowed here; struct and attribute are letters, digits and `_`, not starting with a digit",
        quoted(character.encode_utf8(&mut [0; 4]))
    )]
    BadCharacter {
        /// The first one.
        character: char,
        /// Its index in the text, in bytes.
        at: usize,
    },
    /// Nothing after the `-`.
    #[error("expected the name of an attribute after the `-`, as in `UveVirtualNetworkAgent-egress_flow_count`")]
    EmptyAttribute {
        /// The index where it is missing, in bytes.
        at: usize,
    },
    /// Nothing before the `-`, or nothing at all.
    #[error("expected the name of a UVE struct, as in `UveVirtualNetworkAgent-egress_flow_count`")]
    EmptyStruct,
    /// No `-` between struct and attribute.
    #[error("expected `-` and an attribute after the struct, as in `UveVirtualNetworkAgent-egress_flow_count`")]
    MissingAttribute {
        /// The index where it is missing, in bytes.
        at: usize,
    },
}

impl StreamName {
    /// The stream of `attribute` in `struct_name`.
    ///
    /// # Errors
    ///
    /// [`StreamNameError`] when one of the two is not an identifier, `[A-Za-z_][A-Za-z0-9_]*`.
    pub fn new(struct_name: &str, attribute: &str) -> Result<Self, StreamNameError> {
        if struct_name.is_empty() {
            return Err(StreamNameError::EmptyStruct);
        }
        check_identifier(struct_name, 0)?;
        let attribute_start = struct_name.len() + 1;
        if attribute.is_empty() {
            return Err(StreamNameError::EmptyAttribute { at: attribute_start });
        }
        check_identifier(attribute, attribute_start)?;
        Ok(Self { struct_name: struct_name.into(), attribute: attribute.into() })
    }

    /// The UVE struct, such as `UveVirtualNetworkAgent`.
    pub fn struct_name(&self) -> &str {
        &self.struct_name
    }

    /// The attribute of the struct, such as `egress_flow_count`.
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// The name of a proxy type's results in the object's UVE: `<ProxyType>-<Struct>-<attribute>`.
    pub fn result_name(&self, proxy_type: &str) -> String {
        format!("{proxy_type}-{self}")
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.struct_name, self.attribute)
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        match text.split_once('-') {
            Some((struct_name, attribute)) => Self::new(struct_name, attribute),
            None if text.is_empty() => Err(StreamNameError::EmptyStruct),
            None => {
                check_identifier(text, 0)?;
                Err(StreamNameError::MissingAttribute { at: text.len() })
            }
        }
    }
}

impl StreamNameError {
    /// The range of the error, in bytes of the text.
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::BadCharacter { character, at } => *at..*at + character.len_utf8(),
            Self::EmptyAttribute { at } | Self::MissingAttribute { at } => *at..*at,
            Self::EmptyStruct => 0..0,
        }
    }
}

/// Whether a name is an identifier of Sandesh, `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_identifier(name: &str) -> bool {
    !name.is_empty() && check_identifier(name, 0).is_ok()
}

fn check_identifier(text: &str, start: usize) -> Result<(), StreamNameError> {
    let bad = text.char_indices().find(|(at, character)| {
        let leading_digit = *at == 0 && character.is_ascii_digit();
        leading_digit || !(character.is_ascii_alphanumeric() || *character == '_')
    });
    match bad {
        Some((at, character)) => Err(StreamNameError::BadCharacter { character, at: start + at }),
        None => Ok(()),
    }
}

/// The topics of one cluster: `<prefix>agg-<Struct>-<attribute>`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topics {
    prefix: Box<str>,
}

/// The reason why a topic is not that of a stream.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The prefix contains a character that a Kafka topic cannot.
    #[error("{} is not allowed in a topic; use letters, digits, `.`, `_` and `-`", quoted(character.encode_utf8(&mut [0; 4])))]
    BadPrefix {
        /// The first such character.
        character: char,
    },
    /// The topic belongs to another cluster, or is not a topic of samples.
    #[error("the topic {} does not start with {}", quoted(topic), quoted(expected))]
    OtherPrefix {
        /// The topic.
        topic: String,
        /// The start of every topic of this cluster.
        expected: String,
    },
    /// The text after the prefix is not a stream.
    #[error("the topic {} does not name a stream: {error}", quoted(topic))]
    NoStream {
        /// The topic.
        topic: String,
        /// What is wrong with it; spans count from the end of the prefix.
        #[source]
        error: StreamNameError,
    },
}

impl Topics {
    /// The topics of a Contrail cluster: the prefix is `<cluster_id>-uve-`. The cluster id is empty by default, so
    /// names then begin with `-`.
    ///
    /// # Errors
    ///
    /// As [`with_prefix`](Self::with_prefix).
    pub fn of_cluster(cluster_id: &str) -> Result<Self, TopicError> {
        Self::with_prefix(&format!("{cluster_id}-uve-"))
    }

    /// Topics with a prefix of your own, which may be empty.
    ///
    /// # Errors
    ///
    /// [`TopicError::BadPrefix`] for characters other than ASCII letters, digits, `.`, `_` and `-`.
    pub fn with_prefix(prefix: &str) -> Result<Self, TopicError> {
        let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
        match prefix.chars().find(|&character| !fits(character)) {
            Some(character) => Err(TopicError::BadPrefix { character }),
            None => Ok(Self { prefix: prefix.into() }),
        }
    }

    /// The prefix of every topic, before `agg-`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The topic of a stream.
    pub fn topic(&self, stream: &StreamName) -> String {
        format!("{}{AGGREGATION}{stream}", self.prefix)
    }

    /// The stream of a topic.
    ///
    /// # Errors
    ///
    /// [`TopicError::OtherPrefix`] or [`TopicError::NoStream`].
    pub fn stream(&self, topic: &str) -> Result<StreamName, TopicError> {
        let rest = topic.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix(AGGREGATION));
        let Some(rest) = rest else {
            let expected = format!("{}{AGGREGATION}", self.prefix);
            return Err(TopicError::OtherPrefix { topic: topic.to_owned(), expected });
        };
        rest.parse().map_err(|error| TopicError::NoStream { topic: topic.to_owned(), error })
    }
}

/// The topics of the cluster without a name, as the original's configuration has it.
impl Default for Topics {
    fn default() -> Self {
        Self { prefix: "-uve-".into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stream_prints_as_it_is_read() {
        let stream: StreamName = "UveVirtualNetworkAgent-egress_flow_count".parse().unwrap();
        assert_eq!((stream.struct_name(), stream.attribute()), ("UveVirtualNetworkAgent", "egress_flow_count"));
        assert_eq!(stream.to_string(), "UveVirtualNetworkAgent-egress_flow_count");
        assert_eq!(stream.result_name("AggProxySum"), "AggProxySum-UveVirtualNetworkAgent-egress_flow_count");
    }

    #[test]
    fn faults_are_told_apart_and_located() {
        let cases = [
            ("", StreamNameError::EmptyStruct),
            ("-a", StreamNameError::EmptyStruct),
            ("A", StreamNameError::MissingAttribute { at: 1 }),
            ("A-", StreamNameError::EmptyAttribute { at: 2 }),
            ("A-b-c", StreamNameError::BadCharacter { character: '-', at: 3 }),
            ("A.x-b", StreamNameError::BadCharacter { character: '.', at: 1 }),
            ("A-é", StreamNameError::BadCharacter { character: 'é', at: 2 }),
            ("A-1b", StreamNameError::BadCharacter { character: '1', at: 2 }),
            ("A_b", StreamNameError::MissingAttribute { at: 3 }),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<StreamName>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_default_topic_is_that_of_a_cluster_without_a_name() {
        let stream: StreamName = "UveVirtualNetworkAgent-egress_flow_count".parse().unwrap();
        let topic = "-uve-agg-UveVirtualNetworkAgent-egress_flow_count";
        assert_eq!(Topics::default().topic(&stream), topic);
        assert_eq!(Topics::of_cluster(""), Ok(Topics::default()));
        assert_eq!(Topics::of_cluster("lab").unwrap().topic(&stream), format!("lab{topic}"));
        assert_eq!(Topics::with_prefix("").unwrap().topic(&stream), topic.trim_start_matches("-uve-"));
    }

    #[test]
    fn topics_of_others_are_refused() {
        let topics = Topics::of_cluster("lab").unwrap();
        for topic in ["-uve-agg-A-b", "lab-uve-3", "lab-uve-topic-3", "", "lab-uve-ag"] {
            assert!(matches!(topics.stream(topic), Err(TopicError::OtherPrefix { .. })), "{topic}");
        }
        for topic in ["lab-uve-agg-", "lab-uve-agg-A", "lab-uve-agg-A-b-c"] {
            assert!(matches!(topics.stream(topic), Err(TopicError::NoStream { .. })), "{topic}");
        }
        assert_eq!(Topics::of_cluster("a b"), Err(TopicError::BadPrefix { character: ' ' }));
    }

    proptest! {
        #[test]
        fn property_a_topic_leads_back_to_its_stream(
            cluster in "[A-Za-z0-9._-]{0,12}",
            struct_name in "[A-Za-z_][A-Za-z0-9_]{0,20}",
            attribute in "[A-Za-z_][A-Za-z0-9_]{0,20}",
        ) {
            let topics = Topics::of_cluster(&cluster).unwrap();
            let stream = StreamName::new(&struct_name, &attribute).unwrap();
            prop_assert_eq!(topics.stream(&topics.topic(&stream)), Ok(stream.clone()));
            prop_assert_eq!(stream.to_string().parse(), Ok(stream));
        }
    }
}
