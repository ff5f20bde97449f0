//! Algorithms of the embedding program, beside the menu.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::menu::{DETECTOR_CALL, menu};

/// Algorithms of the embedding program.
///
/// A registered algorithm is used wherever its entry's roles allow, in annotations, proxy types and the tools of the
/// daemon. The built-in names cannot be replaced. See `examples/register.rs` for a whole one.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<&'static Entry>,
}

/// Why an entry cannot be registered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is one of the built-in menu.
    #[error("`{name}` is a built-in algorithm; choose another name")]
    BuiltIn {
        /// The name asked for.
        name: String,
    },
    /// The annotation grammar has no way to write this name.
    #[error("`{name}` is not a name: start with a letter or `_`, go on with letters, digits and `_`")]
    NotAName {
        /// The name asked for.
        name: String,
    },
    /// Registered before.
    #[error("`{name}` is registered already")]
    Taken {
        /// The name asked for.
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
    /// [`RegisterError`] when the name is taken or cannot be written in an annotation.
    pub fn register(&mut self, entry: &'static Entry) -> Result<(), RegisterError> {
        let name = entry.name().to_owned();
        if name == DETECTOR_CALL || menu().iter().any(|built_in| built_in.name() == name) {
            return Err(RegisterError::BuiltIn { name });
        }
        if !is_name(&name) {
            return Err(RegisterError::NotAName { name });
        }
        if self.entries.iter().any(|taken| taken.name() == name) {
            return Err(RegisterError::Taken { name });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The registered entries, in the order in which they came.
    pub fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        self.entries.iter().copied()
    }

    /// The registered names, in the order in which they came.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries().map(Entry::name)
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
