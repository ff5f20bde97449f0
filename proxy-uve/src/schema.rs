//! Proxy types are data: structs in Sandesh syntax, as Contrail writes them. A program can define them in code as well,
//! with [`ProxyType::builder`].
//!
//! ```text
//! struct AggProxySumAnomalyEWM01 {
//!   1: string name (key="")
//!   2: string proxy
//!   3: optional bool deleted
//!   4: optional u64 raw (hidden="yes")
//!   5: optional derived_stats_results.AnomalyResult value (stats="1.DSSum-raw:DSAnomaly:EWM:0.1", tags="proxy")
//! } (period="60", timeout="1")
//! ```
//!
//! | annotation | on | meaning | values |
//! |---|---|---|---|
//! | `period` | struct | length of a period; without it every result is inline | whole seconds, 1 to 86400 |
//! | `timeout` | struct | silent periods until the proxy UVE is deleted | 0 (never, the default) and up |
//! | `silence` | struct | how a detector treats a silent period | `once` (the default), `zero`, `skip` |
//! | `key` | field | this is the object's name; on one `string` | any text, ignored |
//! | `hidden` | field | not sent; on the raw value, allowed on results | `yes` |
//! | `metric` | raw value | samples of a counter, or differences | `agg`, `diff` |
//! | `stats` | result | the [annotation](derived_stats::annotation) to compute | |
//! | `mstats` | result | one for each key of a map: refused for now | |
//! | `tags` | result | text fields to index by | names with `,` between |
//!
//! Comments are `// …`, `# …` and `/* … */`; commas and semicolons between fields are optional. A proxy type has one
//! `string` key, `string proxy`, `optional bool deleted`, one hidden number (`i16`, `i32`, `i64`, `u16`, `u32`, `u64`
//! or `double`) that all `stats` name, and at least one result. Structs without any annotation are types for fields.
//! `include`, `namespace` and `uve sandesh` are ignored, so files of Contrail can be used as they are.
//!
//! # Input safety
//!
//! Files are limited to 1 MiB. Nothing in the grammar nests; cost grows with the length of the file.

mod ast;
mod check;
mod error;
mod kind;
mod parse;
mod proxy_type;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use derived_stats::Registry;

pub use self::error::{SchemaError, SchemaErrors};
pub use self::kind::SchemaErrorKind;
pub use self::proxy_type::{
    ProxyType, ProxyTypeBuilder, ProxyTypeError, ProxyTypeErrorKind, RawField, ResultAttribute,
};
use self::source::Source;

/// A compiled set of proxy types, by name.
///
/// ```
/// use proxy_uve::schema::Schema;
///
/// let schema = Schema::builtin();
/// let sum = schema.get("AggProxySum").expect("built in");
/// assert_eq!((sum.period_seconds(), sum.timeout()), (Some(60), 1));
/// assert_eq!(sum.attributes()[0].spec.annotation().text(), "1-raw:DSSum");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Schema {
    types: BTreeMap<String, Entry>,
}

/// A type and its definition.
#[derive(Clone, Debug)]
struct Entry {
    proxy_type: Arc<ProxyType>,
    source: Arc<Source>,
    definition: usize,
}

impl Schema {
    /// `AggProxySum` and `AggProxySumAnomalyEWM01`, as the original has them: period 60 s, timeout 1.
    /// Parsed and compiled at each call, which takes well under a millisecond: keep the result.
    pub fn builtin() -> Self {
        // A test checks that this file has no errors.
        Self::parse("builtin.sandesh", include_str!("schema/builtin.sandesh")).unwrap_or_default()
    }

    /// The types of [`builtin`](Self::builtin), and those that no default list uses: `AggProxyPercentiles`, the 50th, 90th
    /// and 99th percentile of the samples of a minute, `AggProxySeasonal`, the sum of each minute with a detector of
    /// daily and weekly seasons, and `AggProxySumLast`, the sum of the last value of each source. Costs
    /// what `builtin` does.
    ///
    /// ```
    /// use proxy_uve::schema::Schema;
    ///
    /// let schema = Schema::extended();
    /// let seasonal = schema.get("AggProxySeasonal").expect("built in");
    /// assert_eq!(seasonal.attributes()[0].spec.annotation().text(), "1.DSSum-raw:DSAnomaly:Seasonal");
    /// ```
    pub fn extended() -> Self {
        // A test checks that this file has no errors.
        let mut schema = Self::parse("extended.sandesh", include_str!("schema/extended.sandesh")).unwrap_or_default();
        schema.types.extend(Self::builtin().types);
        schema
    }

    /// Parses and compiles a file. `file_name` is only shown in errors.
    ///
    /// # Errors
    ///
    /// Every error of the file.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, SchemaErrors> {
        Self::parse_with(file_name, text, &Registry::new())
    }

    /// The same, with algorithms of the embedding program.
    ///
    /// ```
    /// use proxy_uve::derived_stats::entry::{Built, Entry, Roles};
    /// use proxy_uve::derived_stats::{
    ///     Algorithm, Numeric, Record, Registry, Report, RestoreError, Sample, UpdateError, WordWriter, Words,
    /// };
    /// use proxy_uve::schema::Schema;
    ///
    /// #[derive(Clone, Copy, Debug)]
    /// struct First;
    ///
    /// static FIRST: Entry =
    ///     Entry::new("MyFirst", Roles::AGGREGATE, "the first sample", |_| Ok(Built::aggregate(First)));
    ///
    /// impl<T: Numeric> Algorithm<T> for First {
    ///     type State = Option<T>;
    ///     // ...
    /// #     fn start(&self) -> Option<T> {
    /// #         None
    /// #     }
    /// #     fn is_empty(&self, state: &Option<T>) -> bool {
    /// #         state.is_none()
    /// #     }
    /// #     fn update(&self, state: &mut Option<T>, sample: Sample<T>) -> Result<(), UpdateError> {
    /// #         state.get_or_insert(sample.value);
    /// #         Ok(())
    /// #     }
    /// #     fn report(&self, state: &Option<T>, _now: u64) -> Report<Record> {
    /// #         match state {
    /// #             None => Report::NotReady(None),
    /// #             Some(first) => Report::Value(Record::new([first.into_number()])),
    /// #         }
    /// #     }
    /// #     fn save(&self, state: &Option<T>, words: &mut WordWriter<'_>) {
    /// #         words.extend(state.iter().map(|first| first.to_bits()));
    /// #     }
    /// #     fn restore(&self, words: &mut Words<'_>) -> Result<Option<T>, RestoreError> {
    /// #         if words.rest().is_empty() { Ok(None) } else { Ok(Some(words.finite("first")?)) }
    /// #     }
    /// }
    ///
    /// let mut registry = Registry::new();
    /// registry.register(&FIRST).unwrap();
    /// let text = r#"
    ///     struct AggProxyFirst {
    ///       1: string name (key="")
    ///       2: string proxy
    ///       3: optional bool deleted
    ///       4: optional u64 raw (hidden="yes")
    ///       5: optional u64 value (stats="1-raw:MyFirst", tags="proxy")
    ///     } (period="60", timeout="1")
    /// "#;
    /// let schema = Schema::parse_with("mine.sandesh", text, &registry).unwrap();
    /// assert!(schema.get("AggProxyFirst").is_some());
    /// assert!(Schema::parse("mine.sandesh", text).unwrap_err().to_string().contains("`MyFirst`"));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_with(file_name: &str, text: &str, registry: &Registry) -> Result<Self, SchemaErrors> {
        let (source, mut errors) = Source::parse(file_name, text, registry);
        let source = Arc::new(source);
        let mut types = BTreeMap::new();
        for definition in source.proxy_types() {
            let (proxy_type, found) = check::compile(&source, definition, None);
            errors.extend(found);
            if let Some(proxy_type) = proxy_type {
                let name = proxy_type.name().to_owned();
                types.insert(name, Entry { proxy_type: Arc::new(proxy_type), source: Arc::clone(&source), definition });
            }
        }
        SchemaErrors::check(errors)?;
        Ok(Self { types })
    }

    /// Adds the types of another schema.
    ///
    /// # Errors
    ///
    /// For each name that both have, an error with both locations. Nothing is added in this case.
    pub fn extend(&mut self, other: Self) -> Result<(), SchemaErrors> {
        let mut errors = Vec::new();
        for (name, entry) in &other.types {
            if let Some(own) = self.types.get(name) {
                let kind = SchemaErrorKind::DuplicateType { name: name.clone(), first: own.location() };
                errors.push(entry.source.error(kind, entry.source.name_span(entry.definition)));
            }
        }
        SchemaErrors::check(errors)?;
        self.types.extend(other.types);
        Ok(())
    }

    /// A copy in which every type that has a period has this one instead, in seconds: for demonstrations, in which a
    /// minute is too long. Extend the built-in types *after* this to change theirs only.
    ///
    /// # Errors
    ///
    /// A period that is not 1 to 86400, or that is too short for a window of some type: the error points at the
    /// definition.
    pub fn with_period(&self, seconds: u32) -> Result<Self, SchemaErrors> {
        let (mut types, mut errors) = (BTreeMap::new(), Vec::new());
        for (name, entry) in &self.types {
            let (proxy_type, found) = check::compile(&entry.source, entry.definition, Some(seconds));
            errors.extend(found);
            if let Some(proxy_type) = proxy_type {
                types.insert(name.clone(), Entry { proxy_type: Arc::new(proxy_type), ..entry.clone() });
            }
        }
        SchemaErrors::check(errors)?;
        Ok(Self { types })
    }

    /// The type of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<ProxyType>> {
        self.types.get(name).map(|entry| &entry.proxy_type)
    }

    /// All types, in the order of their names.
    pub fn types(&self) -> impl Iterator<Item = &Arc<ProxyType>> {
        self.types.values().map(|entry| &entry.proxy_type)
    }

    /// The names of all types, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }
}

impl Entry {
    /// The location of the definition, as `file:line:column`.
    fn location(&self) -> String {
        self.source.location(self.source.name_span(self.definition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_file_has_no_faults() {
        let schema = Schema::parse("builtin.sandesh", include_str!("schema/builtin.sandesh"));
        let names: Vec<_> = schema.unwrap().names().map(str::to_owned).collect();
        assert_eq!(names, ["AggProxySum", "AggProxySumAnomalyEWM01"]);
    }

    #[test]
    fn the_extended_types_are_built_in_as_well_and_have_other_names() {
        let more = Schema::parse("extended.sandesh", include_str!("schema/extended.sandesh")).unwrap();
        assert!(more.names().all(|name| Schema::builtin().get(name).is_none()));
        let names: Vec<_> = Schema::extended().names().map(str::to_owned).collect();
        assert_eq!(
            names,
            ["AggProxyPercentiles", "AggProxySeasonal", "AggProxySum", "AggProxySumAnomalyEWM01", "AggProxySumLast"]
        );
    }
}
