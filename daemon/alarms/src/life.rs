//! The life of one alarm: a step for each period.

use serde::{Deserialize, Serialize};

/// An alarm that is not inactive.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Life {
    /// The end of the first window in which the condition was true, in microseconds since the epoch.
    pub since: u64,
    /// The end of the window with which it fired; `None` while it is pending.
    pub fired: Option<u64>,
    /// The consecutive periods in which the condition (pending) or the clear condition (firing) was true.
    pub count: u32,
}

/// The truth of a rule in one period; `None` if the period counts neither way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Truth {
    pub raises: Option<bool>,
    pub clears: Option<bool>,
}

/// The periods that a rule demands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Periods {
    pub raise: u32,
    pub clear: u32,
}

/// What a step changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// It became pending.
    Began,
    /// It was pending and is inactive.
    Cancelled,
    Fired,
    /// Nothing that is shown.
    None,
    Resolved,
}

/// The alarm after a window that ends at `end`.
pub(crate) fn step(before: Option<Life>, truth: Truth, periods: Periods, end: u64) -> (Option<Life>, Change) {
    match before {
        Some(life) if life.fired.is_some() => match truth.clears {
            None => (Some(life), Change::None),
            Some(false) => (Some(Life { count: 0, ..life }), Change::None),
            Some(true) if life.count + 1 >= periods.clear => (None, Change::Resolved),
            Some(true) => (Some(Life { count: life.count + 1, ..life }), Change::None),
        },
        pending => match truth.raises {
            None => (pending, Change::None),
            Some(false) => (None, if pending.is_some() { Change::Cancelled } else { Change::None }),
            Some(true) => {
                let life = pending.unwrap_or(Life { since: end, fired: None, count: 0 });
                let count = life.count + 1;
                match count >= periods.raise {
                    true => (Some(Life { fired: Some(end), count: 0, ..life }), Change::Fired),
                    false => {
                        let change = if pending.is_some() { Change::None } else { Change::Began };
                        (Some(Life { count, ..life }), change)
                    }
                }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether an alarm fires after the last of these periods, from the definition: it fired at some period, and no run
    /// of clear periods after that is long enough. Compares every pair of periods and keeps no state.
    fn fires_by_definition(history: &[Truth], periods: Periods) -> bool {
        let mut fires = false;
        let mut from = 0;
        for at in 0..history.len() {
            let known = |of: fn(&Truth) -> Option<bool>| history[from..=at].iter().filter_map(of).collect::<Vec<_>>();
            let ends_with = |truths: &[bool], count: u32| {
                truths.len() >= count as usize && truths.iter().rev().take(count as usize).all(|truth| *truth)
            };
            let is_reached = match fires {
                false => history[at].raises.is_some() && ends_with(&known(|it| it.raises), periods.raise),
                true => history[at].clears.is_some() && ends_with(&known(|it| it.clears), periods.clear),
            };
            if is_reached {
                fires = !fires;
                from = at + 1;
            }
        }
        fires
    }

    fn truths() -> impl Strategy<Value = Vec<Truth>> {
        let one = prop_oneof![
            3 => Just(Truth { raises: Some(true), clears: Some(false) }),
            3 => Just(Truth { raises: Some(false), clears: Some(true) }),
            // Between the bound that raises and the one that clears.
            1 => Just(Truth { raises: Some(false), clears: Some(false) }),
            1 => Just(Truth { raises: None, clears: None }),
        ];
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn an_alarm_fires_and_resolves_as_the_definition_states(
            history in truths(), raise in 1_u32..5, clear in 1_u32..5,
        ) {
            let periods = Periods { raise, clear };
            let (mut life, mut fired, mut resolved) = (None, 0, 0);
            for (index, truth) in history.iter().enumerate() {
                let (after, change) = step(life, *truth, periods, index as u64 + 1);
                prop_assert_eq!(after.is_some_and(|it| it.fired.is_some()),
                    fires_by_definition(&history[..=index], periods), "period {}", index);
                fired += u32::from(change == Change::Fired);
                resolved += u32::from(change == Change::Resolved);
                let is_consistent = match change {
                    Change::Fired => after.is_some_and(|it| it.fired == Some(index as u64 + 1) && it.since <= index as u64 + 1),
                    Change::Resolved | Change::Cancelled => after.is_none() && life.is_some(),
                    Change::Began => life.is_none() && after.is_some_and(|it| it.since == index as u64 + 1),
                    Change::None => true,
                };
                prop_assert!(is_consistent, "{:?} {:?} {:?}", life, change, after);
                life = after;
            }
            prop_assert_eq!(fired - resolved, u32::from(life.is_some_and(|it: Life| it.fired.is_some())));
        }

        #[test]
        fn a_period_that_counts_neither_way_changes_nothing(history in truths(), raise in 1_u32..5, clear in 1_u32..5) {
            let periods = Periods { raise, clear };
            let run = |history: &[Truth]| {
                history.iter().fold(None, |life, truth| step(life, *truth, periods, 7).0)
            };
            let known: Vec<_> = history.iter().copied().filter(|truth| truth.raises.is_some()).collect();
            prop_assert_eq!(run(&history), run(&known));
        }
    }
}
