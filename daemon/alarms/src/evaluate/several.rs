//! Rules over several proxy types of one stream: the values of an object wait until all of the types have come.
//!
//! Windows that end at the same time close one after the other: those of types with the same timeout and rule for
//! silence object by object, and then those of the others. No commit is between them, so what waits is not stored.
//! A type in which the object has expired, or whose windows are skipped in silence, does not come: its values are then
//! absent, as in a window without samples, so the alarms do not depend on how fast event time moves.

use std::collections::{BTreeMap, BTreeSet};

use super::window::Window;
use super::{Alarms, TypeRules};
use crate::operand::Scalar;

/// The values of objects in a window that closes.
#[derive(Debug, Default)]
pub(super) struct Held {
    start: u64,
    end: u64,
    objects: BTreeMap<Box<str>, HeldObject>,
}

/// The values of one object.
#[derive(Debug)]
struct HeldObject {
    values: Vec<(usize, Option<Scalar>)>,
    /// The types that have come, by their indices in the plan.
    came: BTreeSet<usize>,
    window: Window,
}

impl TypeRules {
    /// Whether the rules are over several proxy types.
    pub(super) fn is_over_several(&self) -> bool {
        !self.other_uves.is_empty()
    }

    /// Takes the values of an object that a type has brought. Returns the window once all have come.
    fn hold(&mut self, key: &str, start: u64, (type_index, window): (usize, Window)) -> Option<Window> {
        let values = self.slots.take_values();
        // A partial result without values is as a skipped window of silence.
        let window =
            Window { is_partial: window.sampled.is_none() || window.is_partial && !values.is_empty(), ..window };
        (self.held.start, self.held.end) = (start, window.end);
        let Some(held) = self.held.objects.get_mut(key) else {
            let held = HeldObject { values, came: BTreeSet::from([type_index]), window };
            self.held.objects.insert(key.into(), held);
            return None;
        };
        held.values.extend(values);
        held.came.insert(type_index);
        held.window.is_partial |= window.is_partial;
        held.window.is_deleted |= window.is_deleted;
        if held.came.len() <= self.other_uves.len() {
            return None;
        }
        let HeldObject { values, window, .. } = self.held.objects.remove(key)?;
        self.slots.set_values(values);
        Some(window)
    }
}

impl Alarms {
    /// Takes what one of the types of a rule over several has brought, and evaluates the rule if it was the last one.
    pub(super) fn end_of_several(&mut self, index: usize, key: &str, start: u64, brought: (usize, Window)) {
        let ready = self.types.get_mut(index).and_then(|of_types| of_types.hold(key, start, brought));
        if let Some(window) = ready {
            self.evaluate(index, key, window);
        }
    }

    /// Evaluates the objects whose window has closed in some of the types only, if it ended at another time than
    /// `end`; at any if it is `None`.
    pub(super) fn evaluate_held(&mut self, end: Option<u64>) {
        for index in self.plain_types..self.types.len() {
            let Some(of_types) = self.types.get_mut(index) else { continue };
            let held = &mut of_types.held;
            if held.objects.is_empty() || end == Some(held.end) {
                continue;
            }
            let Held { start, end, objects } = std::mem::take(held);
            for (key, HeldObject { values, window, .. }) in objects {
                self.show_window(&key, start, end);
                if let Some(of_types) = self.types.get_mut(index) {
                    of_types.slots.set_values(values);
                }
                self.evaluate(index, &key, window);
            }
        }
    }
}
