//! The values of the fields that rules need, in the window that is evaluated.

use derived_stats::Output;
use proxy_uve::AttributeDescription;

use super::Target;
use crate::operand::{Operand, Scalar};

/// The fields of proxy types that rules need, and their values in the window that is evaluated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// The end of the window that is evaluated.
    end: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    /// The proxy type, by its index in the plan.
    type_index: usize,
    attribute: Box<str>,
    /// The length of the attribute's windows, in microseconds.
    window: u64,
    /// The index in the fields of the attribute.
    field: usize,
    /// Whether the attribute has a result.
    is_there: bool,
    value: Option<Scalar>,
}

impl Slots {
    pub(super) fn add(&mut self, type_index: usize, attribute: &AttributeDescription<'_>, field: usize) -> usize {
        let (name, window) = (attribute.name, attribute.window.unwrap_or(0));
        let is_it = |slot: &Slot| slot.type_index == type_index && *slot.attribute == *name && slot.field == field;
        self.slots.iter().position(is_it).unwrap_or_else(|| {
            self.slots.push(Slot { type_index, attribute: name.into(), window, field, is_there: false, value: None });
            self.slots.len() - 1
        })
    }

    /// The attribute and the field of the first slot.
    pub(super) fn first(&self) -> Option<(String, usize)> {
        self.slots.first().map(|slot| (slot.attribute.to_string(), slot.field))
    }

    /// Forgets the values.
    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| (slot.is_there, slot.value) = (false, None));
    }

    /// Takes the values of an attribute of a proxy type.
    pub(crate) fn take(&mut self, type_index: usize, attribute: &str, output: &Output<'_>) {
        let is_its = |slot: &&mut Slot| slot.type_index == type_index && *slot.attribute == *attribute;
        for slot in self.slots.iter_mut().filter(is_its) {
            slot.is_there = true;
            let field = output.description().fields().get(slot.field);
            slot.value = field.and_then(|field| field.value_in(output.record())).and_then(Scalar::of);
        }
    }

    /// Sets the end of the window that is evaluated, in microseconds.
    pub(crate) fn set_end(&mut self, end: u64) {
        self.end = end;
    }

    /// Whether an attribute has a result.
    pub(crate) fn has_values(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_there)
    }

    /// Takes the values out, each with the number of its slot. A field without a value is there if its attribute has a
    /// result.
    pub(crate) fn take_values(&mut self) -> Vec<(usize, Option<Scalar>)> {
        let slots = self.slots.iter_mut().enumerate();
        slots
            .filter_map(|(index, slot)| std::mem::take(&mut slot.is_there).then(|| (index, slot.value.take())))
            .collect()
    }

    /// Sets values that were taken out.
    pub(crate) fn set_values(&mut self, values: Vec<(usize, Option<Scalar>)>) {
        self.clear();
        for (index, value) in values {
            if let Some(slot) = self.slots.get_mut(index) {
                (slot.is_there, slot.value) = (true, value);
            }
        }
    }

    pub(super) fn operand(&self, target: &Target) -> Operand {
        let numbers: Vec<usize> = match target {
            Target::Keys(names) => {
                return Operand::Values(names.iter().map(|name| Scalar::Text(name.clone())).collect());
            }
            Target::Fields(slots) | Target::Size(slots) => slots.clone(),
            Target::All(slots) => slots.iter().map(|(slot, _)| *slot).collect(),
        };
        let slots: Vec<_> = numbers.iter().filter_map(|slot| self.slots.get(*slot)).collect();
        if !slots.iter().any(|slot| slot.is_there) {
            // Windows of an attribute over several periods are aligned to the epoch.
            let is_due = |slot: &&Slot| slot.window == 0 || self.end.is_multiple_of(slot.window);
            return if slots.iter().any(is_due) { Operand::Absent } else { Operand::Open };
        }
        let values: Vec<_> = slots.iter().filter_map(|slot| slot.value.clone()).collect();
        match target {
            Target::Size(_) => {
                let size = derived_stats::Number::U64(values.len() as u64);
                Operand::Values(vec![Scalar::Number(size)])
            }
            Target::Fields(_) if values.is_empty() => Operand::Null,
            _ => Operand::Values(values),
        }
    }

    /// The name of an element of a level.
    pub(super) fn name_of<'t>(&self, target: &'t Target, index: usize) -> Option<&'t str> {
        let has_value = |slot: usize| self.slots.get(slot).is_some_and(|slot| slot.value.is_some());
        match target {
            Target::All(slots) => slots.iter().filter(|(slot, _)| has_value(*slot)).nth(index).map(|(_, name)| &**name),
            Target::Keys(names) => names.get(index).map(|name| &**name),
            Target::Fields(_) | Target::Size(_) => None,
        }
    }

    /// The element of a level that has a name, or the name itself.
    pub(super) fn named(&self, target: &Target, name: &str) -> Operand {
        match target {
            Target::All(slots) => {
                let slot = slots.iter().find(|(_, known)| **known == *name).and_then(|(slot, _)| self.slots.get(*slot));
                let value = slot.and_then(|slot| slot.value.clone());
                value.map_or(Operand::Null, |value| Operand::Values(vec![value]))
            }
            Target::Keys(_) => Operand::Values(vec![Scalar::Text(name.into())]),
            Target::Fields(_) | Target::Size(_) => self.operand(target),
        }
    }

    /// Slots of one result with these values.
    #[cfg(test)]
    pub(super) fn with(values: Vec<Option<Scalar>>) -> Self {
        let slot =
            |(field, value)| Slot { type_index: 0, attribute: "value".into(), window: 0, field, is_there: true, value };
        Self { slots: values.into_iter().enumerate().map(slot).collect(), end: 0 }
    }
}
