//! Which window columns take a partial state, and which plans can make them.

use std::sync::Arc;

use derived_stats::column::WindowColumn;
use derived_stats::{RestoreError, Spec, Words};

use crate::schema::ProxyType;
use crate::stream::StreamName;
use crate::table::identity;
use crate::table::plan::Plan;
use crate::wire::PartialState;

/// The most characters of a state's name in an error.
const SHOWN_CHARACTERS: usize = 100;

/// The reason why a plan does not take a partial state.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartialFault {
    /// No window column accumulates it.
    #[error(
        "the state is `{found}`, `{stream}` takes {expected}; aggregate with the same proxy types, or the same \
         annotation, --type and --period, as here"
    )]
    Foreign {
        /// What the state is, with its period.
        found: String,
        /// The stream.
        stream: String,
        /// What the window columns accumulate.
        expected: String,
    },
    /// The words are not a state of the algorithm.
    #[error("the field `words` is not a state of `{state}`: {error}")]
    State {
        /// What the state should be.
        state: String,
        /// The error of the algorithm.
        #[source]
        error: RestoreError,
    },
}

/// An attribute whose samples cannot be aggregated in parts.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the attribute `{attribute}` has {reason}; {remedy}")]
pub struct NotMergeable {
    attribute: String,
    reason: String,
    remedy: &'static str,
}

impl NotMergeable {
    fn inline(attribute: &str) -> Self {
        Self {
            attribute: attribute.to_owned(),
            reason: "results of single samples, which have no partial state".to_owned(),
            remedy: "give its annotation a period, `1-` in place of `0-`",
        }
    }

    fn of_sources(attribute: &str, call: &str) -> Self {
        Self {
            attribute: attribute.to_owned(),
            reason: format!("`{call}`, which keeps the last value of each source over several periods"),
            remedy: "send the samples to one place",
        }
    }

    fn of_order(attribute: &str, call: &str) -> Self {
        Self {
            attribute: attribute.to_owned(),
            reason: format!("`{call}`, whose states do not merge: its result depends on the order of all samples"),
            remedy: "use an algorithm that merges, or send the samples to one place",
        }
    }
}

/// Whether the windows of a spec merge, and the call of its first link.
fn window_call(spec: &Spec) -> (bool, &str) {
    let merges = |merges: bool| merges && spec.last_values().is_none();
    spec.links().next().map_or((false, ""), |link| (merges(link.entry().claim_list().merges), link.call()))
}

impl Plan {
    /// The plan that makes [partial states](PartialState) of the same types: its windows are single periods, also for
    /// results of several, because the parts of a window merge to the window.
    ///
    /// # Errors
    ///
    /// [`NotMergeable`] for the first attribute that cannot be computed from partial states: an inline one, or one
    /// whose first algorithm does not merge. What follows that, as a detector, takes the merged value.
    pub fn for_partials(stream: StreamName, types: &[Arc<ProxyType>]) -> Result<Self, NotMergeable> {
        for attribute in types.iter().flat_map(|proxy_type| proxy_type.attributes()) {
            if !attribute.spec.is_periodic() {
                return Err(NotMergeable::inline(&attribute.name));
            }
            let (merges, call) = window_call(&attribute.spec);
            if attribute.spec.last_values().is_some() {
                return Err(NotMergeable::of_sources(&attribute.name, call));
            }
            if !merges {
                return Err(NotMergeable::of_order(&attribute.name, call));
            }
        }
        Ok(Self::arranged(stream, types, true))
    }

    /// Checks that a table of this plan takes the state at any time: a window column accumulates what it is, and its
    /// words are a state.
    ///
    /// # Errors
    ///
    /// [`PartialFault`] with what was found and expected.
    pub fn check_partial(&self, partial: &PartialState<'_>) -> Result<(), PartialFault> {
        self.restore_partial(partial).map(|_| ())
    }

    /// The window columns that take the state, and the state in slot 0.
    pub(crate) fn restore_partial(
        &self,
        partial: &PartialState<'_>,
    ) -> Result<(Vec<usize>, WindowColumn), PartialFault> {
        let takes = |column: &usize| {
            let plan = &self.window_columns[*column];
            self.groups[plan.group].period == partial.period
                && window_call(&plan.spec).0
                && plan.window_identity == partial.state
        };
        let columns: Vec<usize> = (0..self.window_columns.len()).filter(takes).collect();
        let state = columns.first().and_then(|&column| WindowColumn::new(&self.window_columns[column].spec));
        let mut state = state.ok_or_else(|| self.foreign(partial))?;
        let mut words = Words::new(&partial.words);
        let restored = state.restore(0, &[partial.version], &mut words).and_then(|()| words.finish());
        match restored {
            Ok(()) => Ok((columns, state)),
            Err(error) => Err(PartialFault::State { state: shown(&partial.state), error }),
        }
    }

    fn foreign(&self, partial: &PartialState<'_>) -> PartialFault {
        let of_column = self.window_columns.iter().filter(|column| window_call(&column.spec).0);
        let named = of_column.map(|column| identity::window(self.groups[column.group].period, &column.spec));
        let mut expected: Vec<String> = named.map(|name| format!("`{name}`")).collect();
        expected.sort();
        expected.dedup();
        PartialFault::Foreign {
            found: format!("{} {}", identity::group(partial.period), shown(&partial.state)),
            stream: self.stream.to_string(),
            expected: if expected.is_empty() { "no partial states".to_owned() } else { expected.join(" or ") },
        }
    }
}

/// The beginning of a text from outside, without control characters.
fn shown(text: &str) -> String {
    let plain = |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    text.chars().take(SHOWN_CHARACTERS).map(plain).collect()
}
