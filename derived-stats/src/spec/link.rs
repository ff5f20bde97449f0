//! One compiled link: an entry with its arguments, for the element type of its samples.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::column::Column;
use crate::description::Description;
use crate::entry::{Entry, Explanation, Given};
use crate::link::Link;
use crate::number::ValueType;

/// One link of a compiled pipeline.
#[derive(Clone, Debug)]
pub struct SpecLink {
    pub(super) entry: &'static Entry,
    /// The arguments as written, one text each.
    pub(super) written: Box<[Box<str>]>,
    /// Name and arguments in canonical form.
    pub(super) call: Box<str>,
    pub(super) value_type: ValueType,
    pub(super) description: Description,
    pub(super) link: Arc<dyn Link>,
    /// See [`Spec::last_values`](crate::Spec::last_values).
    pub(super) last_values: Option<u32>,
    /// See [`Spec::takes_increases`](crate::Spec::takes_increases).
    pub(super) takes_increases: bool,
    /// See [`Spec::largest_score`](crate::Spec::largest_score).
    pub(super) largest_score: Option<f64>,
}

impl SpecLink {
    /// The entry of the algorithm.
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// Name and arguments in canonical form, such as `DSSum:60`: calls with the same meaning have the same text. It
    /// contains no blanks except those of text arguments, each with a backslash before it.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// The arguments as written.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(|text| &**text)
    }

    /// The element type of the samples of this link.
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// The meaning of the results.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The version of the state's words.
    pub fn state_version(&self) -> u16 {
        self.entry.state_version()
    }

    /// The output of `explain`; `seconds` is the length of the period of the values.
    pub fn explain(&self, seconds: Option<u64>) -> Explanation {
        let texts: Vec<&str> = self.arguments().collect();
        // The arguments were checked when this was compiled.
        match Given::check(self.entry.argument_list(), &texts) {
            Ok(given) => self.entry.explain(&given, seconds),
            Err(_) => Explanation::new(String::from(self.entry.summary())),
        }
    }

    /// Whether the state of an object allocates again as it takes samples, until it has the size that its samples need.
    pub fn grows(&self) -> bool {
        self.link.grows()
    }

    pub(crate) fn last_values(&self) -> Option<u32> {
        self.last_values
    }

    pub(crate) fn takes_increases(&self) -> bool {
        self.takes_increases
    }

    pub(crate) fn largest_score(&self) -> Option<f64> {
        self.largest_score
    }

    pub(crate) fn takes_every_sample(&self) -> bool {
        self.link.takes_every_sample()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.link.heap_bytes()
    }

    pub(crate) fn column(&self) -> Box<dyn Column> {
        self.link.column()
    }

    pub(crate) fn link(&self) -> &dyn Link {
        &*self.link
    }
}

/// Links are equal if their entries, arguments and element types are.
impl PartialEq for SpecLink {
    fn eq(&self, other: &Self) -> bool {
        (self.entry, &self.call, self.value_type) == (other.entry, &other.call, other.value_type)
    }
}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use super::*;
    use crate::algorithm::Sum;
    use crate::entry::{Built, Roles};
    use crate::registry::Registry;
    use crate::spec::{Context, Spec};

    #[test]
    fn links_are_equal_if_entry_arguments_and_type_are() {
        let link = |annotation: &str, value: ValueType| {
            let spec = Spec::parse(annotation, Context::new(value)).expect("a good annotation");
            spec.links().next().expect("a spec has a link").clone()
        };
        let sum = link("raw:DSSum:5", ValueType::U64);
        assert_eq!(sum, link("1.DSSum(05)-other:DSAnomaly:EWM:0.1", ValueType::U64));
        assert_ne!(sum, link("raw:DSAvg:5", ValueType::U64));
        assert_ne!(sum, link("raw:DSSum:6", ValueType::U64));
        assert_ne!(sum, link("raw:DSSum:5", ValueType::I64));
    }

    static SECOND_VERSION: Entry =
        Entry::new("Second", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum))).version(2);

    #[test]
    fn a_link_has_the_properties_of_its_entry_and_its_arguments() {
        let mut registry = Registry::new();
        registry.register(&SECOND_VERSION).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let spec = Spec::parse("1.DSSum(05).Second-raw:DSAnomaly:EWM:0.10", context).expect("a good annotation");
        let links: Vec<&SpecLink> = spec.links().collect();
        let arguments: Vec<Vec<&str>> = links.iter().map(|link| link.arguments().collect()).collect();
        assert_eq!(arguments, [vec!["05"], vec![], vec!["0.10"]]);
        let calls: Vec<&str> = links.iter().map(|link| link.call()).collect();
        assert_eq!(calls, ["DSSum:5", "Second", "DSAnomaly:EWM:0.1"]);
        assert_eq!(links[1].state_version(), 2);
        assert_eq!(spec.versions()[1], 2);
        let allocates: Vec<bool> = links.iter().map(|link| link.heap_bytes() > 0).collect();
        assert_eq!(allocates, [true, false, false], "only a window over a range allocates");
    }
}
