//! The streams to aggregate: `uve_proxy_list` compiled against the built-in proxy types and those of the user's files.

use std::sync::Arc;

use derived_stats::Registry;
use proxy_uve::proxy_list::ProxyList;
use proxy_uve::schema::{ProxyType, Schema, SchemaErrors};

use super::layers::Layers;
use super::problem::SourceLocation;
use crate::config::Aggregation;

const LIST: &str = "aggregation.uve_proxy_list";
const PERIOD: &str = "aggregation.period";
const FILES: &str = "aggregation.schema_files";

/// What is aggregated, ready to use.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    /// All proxy types, built in and defined in files.
    pub schema: Schema,
    /// Which of them run on which stream.
    pub proxies: ProxyList,
}

impl Streams {
    /// Compiles, with the algorithms of `registry` in the files; `None` if there is a problem, which is then noted.
    pub(super) fn build(aggregation: &Aggregation, registry: &Registry, layers: &mut Layers) -> Option<Self> {
        let before = layers.problems.len();
        let mut schema = built_in(aggregation.period, layers);
        for path in &aggregation.schema_files {
            let text = match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => {
                    let location = layers.location(FILES);
                    let name = path.display();
                    layers.refuse(
                        location,
                        format!("`{FILES}`: {name} cannot be read ({error}); name a readable UTF-8 file"),
                    );
                    continue;
                }
            };
            let own = Schema::parse_with(&path.display().to_string(), &text, registry);
            if let Err(errors) = own.and_then(|own| schema.extend(own)) {
                refuse_file(path, &errors, layers);
            }
        }
        if layers.problems.len() > before {
            // Against half a schema every other name of the list would seem unknown.
            return None;
        }
        match ProxyList::parse(&aggregation.uve_proxy_list, &schema) {
            Ok(proxies) => Some(Self { schema, proxies }),
            Err(errors) => {
                let location = layers.location(LIST);
                for error in &errors {
                    layers.refuse(location.clone(), format!("`{LIST}`: {error}"));
                }
                None
            }
        }
    }

    /// How many streams there are.
    pub(crate) fn len(&self) -> usize {
        self.proxies.entries().len()
    }

    /// Types that are defined and run on no stream, the built-in ones aside.
    pub(crate) fn unused_types(&self) -> impl Iterator<Item = &str> {
        let built_in = Schema::builtin();
        let is_used = |name: &str| self.proxy_types().any(|used| used.name() == name);
        self.schema.names().filter(move |name| built_in.get(name).is_none() && !is_used(name))
    }

    /// The proxy type of each stream and type, repeated where streams share one.
    pub(crate) fn proxy_types(&self) -> impl Iterator<Item = &ProxyType> {
        self.proxies.entries().iter().flat_map(|entry| &entry.types).map(Arc::as_ref)
    }
}

/// The built-in types, with another period where one is set. Types of files keep theirs.
fn built_in(period: Option<u32>, layers: &mut Layers) -> Schema {
    let schema = Schema::builtin();
    let Some(seconds) = period.filter(|seconds| (1..=86_400).contains(seconds)) else {
        return schema;
    };
    schema.with_period(seconds).unwrap_or_else(|errors| {
        let location = layers.location(PERIOD);
        layers.refuse(location, format!("`{PERIOD}`: {errors}"));
        schema
    })
}

fn refuse_file(path: &std::path::Path, errors: &SchemaErrors, layers: &mut Layers) {
    for error in errors {
        let location = SourceLocation::File { path: path.to_owned(), line: error.line(), column: error.column() };
        layers.refuse(location, error.to_string());
    }
}
