//! The streams to aggregate: `uve_proxy_list`, compiled against the built-in proxy types and those of schema files, and
//! `[[streams]]`.

use std::path::PathBuf;
use std::sync::Arc;

use daemon_alarms::Rules;
use daemon_base::setting::file;
use daemon_sources::mapping::Rule;
use derived_stats::{MetricKind, Registry};
use proxy_uve::StreamName;
use proxy_uve::proxy_list::ProxyList;
use proxy_uve::schema::{ProxyType, Schema, SchemaErrors};

use super::layers::Layers;
use super::problem::SourceLocation;
use super::{alarms, mapped, tables};
use crate::config::Config;

const LIST: &str = "aggregation.uve_proxy_list";
const PERIOD: &str = "aggregation.period";
const FILES: &str = "aggregation.schema_files";

/// The longest name of a stream that a log stores.
const MAX_NAME_BYTES: usize = 255;

/// The characters of a longer name that a message has.
const SHOWN: usize = 40;

/// The compiled streams and proxy types.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    /// All proxy types: the built-in ones and those of schema files.
    pub schema: Schema,
    /// The proxy types of each stream.
    pub proxies: ProxyList,
    /// The streams among them that take labelled series.
    pub mapped: Vec<Rule>,
    /// The rules of alarms.
    pub alarms: Arc<Rules>,
}

impl Streams {
    /// Compiles the streams, with the algorithms of `registry` in schema files; `None` if `layers` gets a problem.
    pub(super) fn build(config: &Config, registry: &Registry, layers: &mut Layers) -> Option<Self> {
        let aggregation = &config.aggregation;
        let before = layers.problems.len();
        let mut schema = built_in(aggregation.period, layers);
        add_files(&aggregation.schema_files, registry, &mut schema, layers);
        if layers.problems.len() > before {
            // An incomplete schema would make names of the list unknown.
            return None;
        }
        match ProxyList::parse(&aggregation.uve_proxy_list, &schema) {
            Ok(proxies) => {
                let mut streams = Self { schema, proxies, mapped: Vec::new(), alarms: Arc::default() };
                if !mapped::add(config, registry, &mut streams, layers) || !streams.have_short_names(layers) {
                    return None;
                }
                streams.alarms = Arc::new(alarms::build(&config.alarms, &streams, layers)?);
                Some(streams)
            }
            Err(errors) => {
                for error in &errors {
                    let location = layers.line_location(LIST, error.line());
                    layers.add_problem(location, format!("`{LIST}`: {error}"));
                }
                None
            }
        }
    }

    /// Whether the log can store the names; adds a problem for each that is too long.
    fn have_short_names(&self, layers: &mut Layers) -> bool {
        let before = layers.problems.len();
        for stream in self.names() {
            let name = stream.to_string();
            let length = name.len();
            if length <= MAX_NAME_BYTES {
                continue;
            }
            // Those of the list of series are in its order, as none of them has a problem.
            let (key, location) = match self.mapped.iter().position(|rule| rule.stream() == stream) {
                Some(index) => ("streams.name", layers.element_location(tables::STREAMS, index, "name")),
                None => (LIST, layers.location(LIST)),
            };
            let start: String = name.chars().take(SHOWN).collect();
            let message = format!(
                "the stream `{start}…` has a name of {length} bytes, {MAX_NAME_BYTES} are the most; shorten it"
            );
            layers.add_problem(location, format!("`{key}`: {message}"));
        }
        layers.problems.len() == before
    }

    /// The number of streams.
    pub(crate) fn len(&self) -> usize {
        self.proxies.entries().len()
    }

    /// The names of the streams.
    pub(crate) fn names(&self) -> impl Iterator<Item = &StreamName> {
        self.proxies.entries().iter().map(|entry| &entry.stream)
    }

    /// The types of schema files that no stream uses.
    pub(crate) fn unused_types(&self) -> impl Iterator<Item = &str> {
        let built_in = Schema::extended();
        let is_used = |name: &str| self.proxy_types().any(|used| used.name() == name);
        self.schema.names().filter(move |name| built_in.get(name).is_none() && !is_used(name))
    }

    /// The streams with a type that takes samples as readings of counters, whose senders may not name sources.
    pub(crate) fn with_counters(&self) -> impl Iterator<Item = &StreamName> {
        let compares = |of: &Arc<ProxyType>| of.attributes().iter().any(|attribute| attribute.spec.takes_increases());
        self.with_unnamed_sources(move |of| of.raw().metric == MetricKind::Agg || compares(of))
    }

    /// The same of types that count the last value of each source.
    pub(crate) fn with_last_values(&self) -> impl Iterator<Item = &StreamName> {
        let counts =
            |of: &Arc<ProxyType>| of.attributes().iter().any(|attribute| attribute.spec.last_values().is_some());
        self.with_unnamed_sources(counts)
    }

    /// The streams with such a type whose senders may not name sources. Those of labelled series always do.
    fn with_unnamed_sources(&self, is_such: impl Fn(&Arc<ProxyType>) -> bool) -> impl Iterator<Item = &StreamName> {
        let is_mapped = |stream: &StreamName| self.mapped.iter().any(|rule| rule.stream() == stream);
        let streams = self.proxies.entries().iter().filter(move |entry| entry.types.iter().any(&is_such));
        streams.map(|entry| &entry.stream).filter(move |stream| !is_mapped(stream))
    }

    /// The proxy types of all streams; a type that several streams share is repeated.
    pub(crate) fn proxy_types(&self) -> impl Iterator<Item = &ProxyType> {
        self.proxies.entries().iter().flat_map(|entry| &entry.types).map(Arc::as_ref)
    }
}

/// The built-in types, with the configured period if there is one. Types of schema files keep their periods.
fn built_in(period: Option<u32>, layers: &mut Layers) -> Schema {
    let schema = Schema::extended();
    let Some(seconds) = period.filter(|seconds| (1..=86_400).contains(seconds)) else {
        return schema;
    };
    schema.with_period(seconds).unwrap_or_else(|errors| {
        let location = layers.location(PERIOD);
        layers.add_problem(location, format!("`{PERIOD}`: {errors}"));
        schema
    })
}

/// Adds the types of files; every problem goes to `layers`.
fn add_files(paths: &[PathBuf], registry: &Registry, schema: &mut Schema, layers: &mut Layers) {
    for path in paths {
        let text = match file::read_text(path) {
            Ok(text) => text,
            Err(error) => {
                let location = layers.location(FILES);
                let name = path.display();
                layers.add_problem(
                    location,
                    format!("`{FILES}`: {name} cannot be read ({error}); name a readable UTF-8 file"),
                );
                continue;
            }
        };
        let own = Schema::parse_with(&path.display().to_string(), &text, registry);
        if let Err(errors) = own.and_then(|own| schema.extend(own)) {
            add_schema_problems(path, &errors, layers);
        }
    }
}

fn add_schema_problems(path: &std::path::Path, errors: &SchemaErrors, layers: &mut Layers) {
    // Who may change the configuration through HTTP may name any file, and gets this answer.
    let is_shown = path.extension().is_some_and(|extension| extension == "sandesh");
    for error in errors {
        let location = SourceLocation::File { path: path.to_owned(), line: error.line(), column: error.column() };
        if is_shown {
            layers.add_problem(location, error.to_string());
        } else {
            let name = path.display();
            let message = format!(
                "`{FILES}`: {name} does not define proxy types; the text of a file is shown if its name ends in .sandesh"
            );
            layers.add_problem(location, message);
            return;
        }
    }
}
