//! From a path to the fields of a result.

use derived_stats::DescribedField;
use derived_stats::annotation::nearest;
use derived_stats::entry::{ResultType, Role};
use proxy_uve::{AttributeDescription, UveDescription};

use super::{Slots, Target};
use crate::rule::Path;

/// The fields of a path whose first part is this UVE, with its index in the plan.
pub(super) fn target(
    path: &Path,
    (type_index, uve): (usize, &UveDescription<'_>),
    is_size: bool,
    slots: &mut Slots,
) -> Result<Target, String> {
    let (Some(name), rest) = (path.0.get(1), path.0.get(2..).unwrap_or_default()) else {
        return Err(format!("`{path}` names no attribute; write one behind a dot: {}", names(uve)));
    };
    let mut attributes = uve.attributes();
    let Some(attribute) = attributes.find(|attribute| attribute.name == name.as_str()) else {
        let known: Vec<_> = uve.attributes().map(|attribute| attribute.name).collect();
        let meant = nearest(name, known.iter().copied()).map(|meant| format!("did you mean `{meant}`? "));
        let meant = meant.unwrap_or_default();
        return Err(format!("`{path}`: {} has no attribute `{name}`; {meant}it has {}", uve.name(), names(uve)));
    };
    if attribute.inline {
        return Err(format!(
            "`{path}`: the attribute `{name}` has a result for each sample, and rules are evaluated when a window \
             closes; name an attribute of a window"
        ));
    }
    fields(path, rest, (type_index, &attribute), is_size, slots)
}

fn fields(
    path: &Path,
    rest: &[String],
    (type_index, attribute): (usize, &AttributeDescription<'_>),
    is_size: bool,
    slots: &mut Slots,
) -> Result<Target, String> {
    let all = attribute.description.fields();
    let is_number = matches!(attribute.description.result_type(), ResultType::Number);
    let group_of = |field: &DescribedField| field.field().group().map(str::to_owned);
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let mut named = |wanted: &dyn Fn(&DescribedField) -> bool| -> Vec<(usize, Box<str>)> {
        let found = all.iter().enumerate().filter(|(_, field)| wanted(field));
        found.map(|(index, field)| (slots.add(type_index, attribute, index), field.name().into())).collect()
    };
    let wildcard = match rest.as_slice() {
        ["*" | "__value"] => named(&|field| group_of(field).is_none()),
        [group, "*" | "__value"] => named(&|field| group_of(field).as_deref() == Some(*group)),
        _ => Vec::new(),
    };
    if !wildcard.is_empty() {
        return Ok(Target::All(wildcard));
    }
    let mut slots_of = |wanted: &dyn Fn(&DescribedField) -> bool| -> Vec<usize> {
        named(wanted).into_iter().map(|(slot, _)| slot).collect()
    };
    let is_value = |field: &DescribedField| field.field().role() == Some(Role::Value);
    let found = match rest.as_slice() {
        [] if is_size => return Ok(Target::Size(slots_of(&|field| group_of(field).is_none()))),
        [] => slots_of(&is_value),
        ["value"] if is_number => slots_of(&is_value),
        ["__key"] => return Ok(Target::Keys(level(all, None))),
        [group, "__key"] => return Ok(Target::Keys(level(all, Some(group)))),
        [group] if is_size => return Ok(Target::Size(slots_of(&|field| group_of(field).as_deref() == Some(*group)))),
        [name] => slots_of(&|field| group_of(field).is_none() && field.name() == *name),
        [group, name] => slots_of(&|field| group_of(field).as_deref() == Some(*group) && field.name() == *name),
        _ => Vec::new(),
    };
    if !found.is_empty() {
        return Ok(Target::Fields(found));
    }
    Err(unknown_field(path, attribute))
}

/// What is wrong with a path below an attribute, with the fields that there are.
fn unknown_field(path: &Path, attribute: &AttributeDescription<'_>) -> String {
    let is_number = matches!(attribute.description.result_type(), ResultType::Number);
    let all = attribute.description.fields();
    let known: Vec<_> = all.iter().map(|field| path_of(attribute.name, field, is_number)).collect();
    let tail = path.0.get(1..).unwrap_or_default().join(".");
    let meant = nearest(&tail, known.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`? "));
    let meant = meant.unwrap_or_default();
    format!("`{path}`: the result has no field `{tail}`; {meant}it has {}", known.join(", "))
}

/// The names of one level of a result.
fn level(fields: &[DescribedField], group: Option<&str>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for field in fields {
        let own = field.field().group();
        let name = if group.is_none() { own.unwrap_or_else(|| field.name()) } else { field.name() };
        if (group.is_none() || own == group) && !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }
    names
}

fn path_of(attribute: &str, field: &DescribedField, is_number: bool) -> String {
    match field.field().group() {
        _ if is_number => format!("{attribute}.value"),
        Some(group) => format!("{attribute}.{group}.{}", field.name()),
        None => format!("{attribute}.{}", field.name()),
    }
}

fn names(uve: &UveDescription<'_>) -> String {
    uve.attributes().map(|attribute| attribute.name).collect::<Vec<_>>().join(", ")
}
