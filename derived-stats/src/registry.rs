//! The algorithms that an embedding program registers.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::annotation::Ident;
use crate::entry::Entry;
use crate::menu::{DETECTOR_CALL, menu};

/// The registered algorithms of an embedding program.
///
/// A registered algorithm is available in annotations, proxy types and the tools of the daemon, in the roles of its
/// entry. Built-in algorithms cannot be replaced. See `examples/register.rs` for an algorithm with arguments.
///
/// ```
/// # #[cfg(feature = "parser")] {
/// use derived_stats::entry::{Built, Entry, Roles};
/// use derived_stats::{
///     Algorithm, Context, Number, Numeric, Pipeline, Record, Registry, Report, RestoreError, Sample, Spec, UpdateError,
///     ValueType, WordWriter, Words,
/// };
///
/// #[derive(Clone, Copy, Debug)]
/// struct First;
///
/// static FIRST: Entry =
///     Entry::new("MyFirst", Roles::AGGREGATE, "the first sample", |_| Ok(Built::aggregate(First)));
///
/// impl<T: Numeric> Algorithm<T> for First {
///     type State = Option<T>;
///
///     fn start(&self) -> Option<T> {
///         None
///     }
///
///     fn is_empty(&self, state: &Option<T>) -> bool {
///         state.is_none()
///     }
///
///     fn update(&self, state: &mut Option<T>, sample: Sample<T>) -> Result<(), UpdateError> {
///         state.get_or_insert(sample.value);
///         Ok(())
///     }
///
///     fn report(&self, state: &Option<T>, _now: u64) -> Report<Record> {
///         match state {
///             None => Report::NotReady(None),
///             Some(first) => Report::Value(Record::new([first.into_number()])),
///         }
///     }
///
///     fn save(&self, state: &Option<T>, words: &mut WordWriter<'_>) {
///         words.extend(state.iter().map(|first| first.to_bits()));
///     }
///
///     fn restore(&self, words: &mut Words<'_>) -> Result<Option<T>, RestoreError> {
///         if words.rest().is_empty() { Ok(None) } else { Ok(Some(words.finite("first")?)) }
///     }
/// }
///
/// let mut registry = Registry::new();
/// registry.register(&FIRST).unwrap();
/// let spec = Spec::parse("1-raw:MyFirst", Context::new(ValueType::U64).with_registry(&registry)).unwrap();
/// let mut flows = Pipeline::new(spec.into());
/// for value in [7, 9] {
///     flows.update(0, Number::U64(value)).unwrap();
/// }
/// let result = flows.close_period(60_000_000).and_then(|report| report.forced()).unwrap();
/// assert_eq!(result.value(), Some(Number::U64(7)));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<&'static Entry>,
}

/// The reason why an entry cannot be registered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A built-in algorithm has the name.
    #[error("`{name}` is a built-in algorithm; choose another name")]
    BuiltIn {
        /// The refused name.
        name: String,
    },
    /// The text is not a name of the annotation grammar.
    #[error("`{name}` is not a name: start with a letter or `_`, go on with letters, digits and `_`")]
    NotAName {
        /// The refused name.
        name: String,
    },
    /// Another registered algorithm has the name.
    #[error("`{name}` is registered already")]
    Taken {
        /// The refused name.
        name: String,
    },
}

impl Registry {
    /// A registry without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an algorithm under its entry's name.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if another algorithm has the name, or if it is not a name of the annotation grammar.
    pub fn register(&mut self, entry: &'static Entry) -> Result<(), RegisterError> {
        let name = entry.name().to_owned();
        if name == DETECTOR_CALL || menu().iter().any(|built_in| built_in.name() == name) {
            return Err(RegisterError::BuiltIn { name });
        }
        if Ident::new(&name).is_err() {
            return Err(RegisterError::NotAName { name });
        }
        if self.entries.iter().any(|taken| taken.name() == name) {
            return Err(RegisterError::Taken { name });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The registered entries, in the order of registration.
    pub fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        self.entries.iter().copied()
    }

    /// The registered names, in the order of registration.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries().map(Entry::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Sum;
    use crate::entry::{Built, Roles};

    const fn named(name: &'static str) -> Entry {
        Entry::new(name, Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum)))
    }

    #[test]
    fn a_registered_name_is_free_and_can_be_written_in_an_annotation() {
        static FREE: [Entry; 3] = [named("DSMedian"), named("_1"), named("x")];
        static BUILT_IN: [Entry; 3] = [named("DSAnomaly"), named("DSSum"), named("EWM")];
        static NO_NAMES: [Entry; 5] = [named(""), named("9x"), named("a-b"), named("a b"), named("é")];
        let mut registry = Registry::new();
        assert_eq!(FREE.each_ref().map(|entry| registry.register(entry)), [const { Ok(()) }; 3]);
        for entry in &FREE {
            assert_eq!(registry.register(entry), Err(RegisterError::Taken { name: entry.name().to_owned() }));
        }
        for entry in &BUILT_IN {
            assert_eq!(registry.register(entry), Err(RegisterError::BuiltIn { name: entry.name().to_owned() }));
        }
        for entry in &NO_NAMES {
            assert_eq!(registry.register(entry), Err(RegisterError::NotAName { name: entry.name().to_owned() }));
        }
        assert!(registry.names().eq(["DSMedian", "_1", "x"]));
    }
}
