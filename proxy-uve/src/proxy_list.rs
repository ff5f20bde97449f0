//! `uve_proxy_list`: which proxy types run on which streams.
//!
//! ```text
//! UveVirtualNetworkAgent-egress_flow_count:AggProxySumAnomalyEWM01:AggProxySum UveVirtualNetworkAgent-…
//! ```
//!
//! Entries are separated by white space, line breaks included; each is a stream and its proxy types, separated by `:`.
//! The original silently ignores unknown and repeated types; both are errors here.

mod error;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use derived_stats::annotation::nearest;

pub use self::error::{ProxyListError, ProxyListErrorKind, ProxyListErrors};
use crate::schema::{ProxyType, Schema};
use crate::stream::StreamName;

/// The list of the original's default configuration: both built-in types on the flow counts of virtual networks.
pub const DEFAULT_PROXY_LIST: &str = "\
UveVirtualNetworkAgent-egress_flow_count:AggProxySumAnomalyEWM01:AggProxySum \
UveVirtualNetworkAgent-ingress_flow_count:AggProxySumAnomalyEWM01:AggProxySum";

/// Streams and their proxy types, in the order of the configuration.
///
/// [`Display`](fmt::Display) prints it back, with one blank between entries.
///
/// ```
/// use proxy_uve::proxy_list::{DEFAULT_PROXY_LIST, ProxyList};
/// use proxy_uve::schema::Schema;
///
/// let list = ProxyList::parse(DEFAULT_PROXY_LIST, &Schema::builtin())?;
/// let entry = &list.entries()[0];
/// assert_eq!(entry.stream.attribute(), "egress_flow_count");
/// assert_eq!(entry.types[0].name(), "AggProxySumAnomalyEWM01");
/// assert_eq!(list.to_string(), DEFAULT_PROXY_LIST);
/// # Ok::<(), proxy_uve::proxy_list::ProxyListErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyList {
    entries: Vec<ProxyEntry>,
}

/// A stream and the proxy types that are computed from it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyEntry {
    /// The stream.
    pub stream: StreamName,
    /// The proxy types, each once, at least one.
    pub types: Vec<Arc<ProxyType>>,
}

impl ProxyList {
    /// Parses a list against the types of `schema`. An empty text is an empty list: nothing is computed.
    ///
    /// # Errors
    ///
    /// Every error of the list.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, ProxyListErrors> {
        let mut parser = Parser { text, schema, errors: Vec::new() };
        let mut entries: Vec<(ProxyEntry, usize)> = Vec::new();
        for entry in pieces(text, 0..text.len(), char::is_whitespace).filter(|entry| !entry.is_empty()) {
            let Some((found, stream)) = parser.entry(&entry) else {
                continue;
            };
            match entries.iter().find(|(other, _)| other.stream == found.stream) {
                None => entries.push((found, stream.start)),
                Some((_, first)) => {
                    let first = ProxyListError::location(text, *first);
                    parser
                        .error(ProxyListErrorKind::DuplicateStream { stream: found.stream.to_string(), first }, stream);
                }
            }
        }
        ProxyListErrors::check(parser.errors)?;
        Ok(Self { entries: entries.into_iter().map(|(entry, _)| entry).collect() })
    }

    /// Adds an entry that was not written in the list.
    ///
    /// # Errors
    ///
    /// Returns the entry if the list has its stream already.
    pub fn add(&mut self, entry: ProxyEntry) -> Result<(), ProxyEntry> {
        if self.get(&entry.stream).is_some() {
            return Err(entry);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entries, each stream once.
    pub fn entries(&self) -> &[ProxyEntry] {
        &self.entries
    }

    /// The entry of a stream. Linear: resolve streams once, not for each sample.
    pub fn get(&self, stream: &StreamName) -> Option<&ProxyEntry> {
        self.entries.iter().find(|entry| entry.stream == *stream)
    }
}

/// [`DEFAULT_PROXY_LIST`] with the built-in types.
impl Default for ProxyList {
    fn default() -> Self {
        // A test checks that this list has no errors.
        Self::parse(DEFAULT_PROXY_LIST, &Schema::builtin()).unwrap_or(Self { entries: Vec::new() })
    }
}

impl fmt::Display for ProxyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ProxyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stream)?;
        self.types.iter().try_for_each(|proxy_type| write!(f, ":{}", proxy_type.name()))
    }
}

struct Parser<'t> {
    text: &'t str,
    schema: &'t Schema,
    errors: Vec<ProxyListError>,
}

impl Parser<'_> {
    fn error(&mut self, kind: ProxyListErrorKind, span: Range<usize>) {
        self.errors.push(ProxyListError::new(kind, self.text, span));
    }

    /// `Struct-attribute:Type[:Type…]`, and the range of the stream in it.
    fn entry(&mut self, entry: &Range<usize>) -> Option<(ProxyEntry, Range<usize>)> {
        let mut parts = pieces(self.text, entry.clone(), |character| character == ':');
        let stream_span = parts.next()?;
        let stream = match self.text[stream_span.clone()].parse::<StreamName>() {
            Ok(stream) => Some(stream),
            Err(error) => {
                let (start, span) = (stream_span.start, error.span());
                self.error(ProxyListErrorKind::BadStream(error), start + span.start..start + span.end);
                None
            }
        };
        if stream_span.end == entry.end {
            // The error of a stream that is broken at its end is enough.
            if stream.is_some() {
                self.error(ProxyListErrorKind::MissingType, entry.end..entry.end);
            }
            return None;
        }
        let mut types: Vec<Arc<ProxyType>> = Vec::new();
        for part in parts {
            if let Some(found) = self.proxy_type(part, &types) {
                types.push(found);
            }
        }
        Some((ProxyEntry { stream: stream?, types }, stream_span))
    }

    fn proxy_type(&mut self, span: Range<usize>, before: &[Arc<ProxyType>]) -> Option<Arc<ProxyType>> {
        let name = &self.text[span.clone()];
        if name.is_empty() {
            self.error(ProxyListErrorKind::EmptyType, span);
            return None;
        }
        let Some(found) = self.schema.get(name).cloned() else {
            let nearest = nearest(name, self.schema.names()).map(str::to_owned);
            self.error(ProxyListErrorKind::UnknownType { name: name.to_owned(), nearest }, span);
            return None;
        };
        if before.iter().any(|other| other.name() == name) {
            self.error(ProxyListErrorKind::DuplicateType { name: name.to_owned() }, span);
            return None;
        }
        if let Some(other) = before.iter().find(|other| other.raw().texts != found.raw().texts) {
            let mut names = [other.name().to_owned(), name.to_owned()];
            if found.raw().texts {
                names.reverse();
            }
            let [texts, numbers] = names;
            self.error(ProxyListErrorKind::MixedSamples { texts, numbers }, span);
            return None;
        }
        Some(found)
    }
}

/// The pieces of a part of the text between separators, as spans of the text.
fn pieces(text: &str, part: Range<usize>, separates: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    let start = part.start;
    let mut pieces = Vec::new();
    let mut from = start;
    for (at, character) in text[part.clone()].char_indices().filter(|(_, character)| separates(*character)) {
        pieces.push(from..start + at);
        from = start + at + character.len_utf8();
    }
    pieces.push(from..part.end);
    pieces.into_iter()
}
