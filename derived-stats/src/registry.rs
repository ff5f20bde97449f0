//! Names for algorithms of the embedding program.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::algorithm::Algorithm;
use crate::custom::CustomAlgorithm;
use crate::number::Numeric;

/// Algorithms by name, beside the built-in menu.
///
/// A registered name can be used wherever an annotation takes an algorithm: inline, and as the aggregate of a period.
/// The built-in names cannot be replaced.
///
/// See `examples/register.rs` for a whole one.
#[derive(Clone, Default)]
pub struct Registry {
    builders: BTreeMap<String, Arc<dyn Builder>>,
}

/// Why a name cannot be registered.
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
    /// A registry without names of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers `name`. `build` makes the algorithm from the text after the name's colon (empty if there is none);
    /// its error becomes the text of an annotation error that points at the arguments.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] when the name is taken or cannot be written in an annotation.
    pub fn register<A, E>(
        &mut self,
        name: &str,
        build: impl Fn(&str) -> Result<A, E> + Send + Sync + 'static,
    ) -> Result<(), RegisterError>
    where
        A: Algorithm<u64> + Algorithm<i64> + Algorithm<f64> + Clone,
        E: fmt::Display,
    {
        let name = name.to_owned();
        if crate::menu::is_built_in(&name) {
            return Err(RegisterError::BuiltIn { name });
        }
        if !is_name(&name) {
            return Err(RegisterError::NotAName { name });
        }
        if self.builders.contains_key(&name) {
            return Err(RegisterError::Taken { name });
        }
        let build = move |arguments: &str| build(arguments).map_err(|error| error.to_string());
        self.builders.insert(name, Arc::new(Build(build)));
        Ok(())
    }

    /// The registered names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.builders.keys().map(String::as_str)
    }

    /// `None` if the name is not registered, else what its builder says of the arguments.
    pub(crate) fn build<T: Numeric>(&self, name: &str, arguments: &str) -> Option<Result<CustomAlgorithm<T>, String>> {
        let built = self.builders.get(name)?.build(arguments);
        Some(
            built.and_then(|typed| {
                typed.pick::<T>().ok_or_else(|| format!("`{name}` has no form for {} samples", T::TYPE))
            }),
        )
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// An algorithm for each element type: which one is wanted is known only to the caller of the trait object.
struct Typed {
    f64: CustomAlgorithm<f64>,
    i64: CustomAlgorithm<i64>,
    u64: CustomAlgorithm<u64>,
}

impl Typed {
    fn pick<T: Numeric>(self) -> Option<CustomAlgorithm<T>> {
        let candidates: [Box<dyn std::any::Any>; 3] = [Box::new(self.f64), Box::new(self.i64), Box::new(self.u64)];
        candidates.into_iter().find_map(|candidate| candidate.downcast().ok()).map(|algorithm| *algorithm)
    }
}

trait Builder: Send + Sync {
    fn build(&self, arguments: &str) -> Result<Typed, String>;
}

struct Build<F>(F);

impl<A, F> Builder for Build<F>
where
    A: Algorithm<u64> + Algorithm<i64> + Algorithm<f64> + Clone,
    F: Fn(&str) -> Result<A, String> + Send + Sync,
{
    fn build(&self, arguments: &str) -> Result<Typed, String> {
        let algorithm = (self.0)(arguments)?;
        Ok(Typed {
            f64: CustomAlgorithm::new(algorithm.clone()),
            i64: CustomAlgorithm::new(algorithm.clone()),
            u64: CustomAlgorithm::new(algorithm),
        })
    }
}
