//! The fields of one object of a body: which are read, which are known, and whether any of those that matter is there.
//!
//! Unknown fields are ignored: another version may add some. But an object of which nothing could be read has another
//! shape, and so has one with a field in another letter case: to ignore them would look like an object without traffic.
//! So would one that names a provider or a port and has no counters.
//!
//! The unknown fields are listed, so that a misspelt one is found. Of too many those that are near a name that is read
//! are kept, and else the first.

use super::location::{Location, quote};
use super::near::is_near;
use crate::error::Reason;
use crate::stats::UnknownField;

/// How many unknown fields of an object are kept, and how many names of a body.
const MAX_OF_OBJECT: usize = 4;
const MAX_OF_BODY: usize = 16;

/// The names of an object's fields.
#[derive(Debug)]
pub(super) struct Fields {
    /// Those of which an object with unknown fields needs at least one.
    pub(super) required: &'static [&'static str],
    /// Further ones that are read.
    pub(super) optional: &'static [&'static str],
    /// Further ones that Netplugin writes.
    pub(super) ignored: &'static [&'static str],
}

/// What was seen of an object's fields.
#[derive(Debug, Default)]
pub(super) struct Seen {
    has_required: bool,
    /// The first field that is read and means nothing without a required one.
    dependent: Option<&'static str>,
    /// Unknown fields, quoted.
    unknown: Kept<String>,
    /// The first field whose letter case is another one, quoted, and its name.
    miswritten: Option<(String, &'static str)>,
}

/// The unknown fields of a body.
#[derive(Debug, Default)]
pub(super) struct UnknownFields(Kept<UnknownField>);

/// A bounded list, in which items of near names displace others.
#[derive(Debug)]
struct Kept<T> {
    items: Vec<(bool, T)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> Kept<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(_, item)| item)
    }

    /// Adds an item: while there is room for `most`, or else in place of the last one whose name is not near.
    fn add(&mut self, most: usize, is_near: bool, item: impl FnOnce() -> T) {
        if self.items.len() == most {
            let displaced = self.items.iter().rposition(|(is_near, _)| !is_near);
            let Some(displaced) = displaced.filter(|_| is_near) else { return };
            self.items.remove(displaced);
        }
        self.items.push((is_near, item()));
    }
}

impl UnknownFields {
    pub(super) fn into_fields(self) -> Vec<UnknownField> {
        self.0.items.into_iter().map(|(_, field)| field).collect()
    }
}

impl Seen {
    /// Notes that one of the required fields is read.
    pub(super) fn required(&mut self) {
        self.has_required = true;
    }

    /// Notes that a field is read which means nothing without a required one.
    pub(super) fn dependent(&mut self, fields: &Fields, name: &str) {
        if self.dependent.is_none() {
            self.dependent = fields.optional.iter().copied().find(|field| *field == name);
        }
    }

    /// Notes a field that is not read: its name, or its JSON text if that has no characters.
    pub(super) fn other(&mut self, fields: &Fields, name: &str) {
        if fields.ignored.contains(&name) {
            return;
        }
        match fields.read().find(|read| read.eq_ignore_ascii_case(name)) {
            Some(read) if self.miswritten.is_none() => self.miswritten = Some((quote(name), read)),
            Some(_) => {}
            None => self.unknown.add(MAX_OF_OBJECT, is_near(name, fields.read()), || quote(name)),
        }
    }

    pub(super) fn has_required(&self) -> bool {
        self.has_required
    }
}

impl Fields {
    /// Returns the names of the fields that are read.
    fn read(&self) -> impl Iterator<Item = &'static str> {
        self.required.iter().chain(self.optional).copied()
    }

    /// Checks an object whose fields were all seen.
    pub(super) fn check(&self, seen: Seen, location: &Location<'_>) -> Result<(), Reason> {
        let unknown = |found, expected| Reason::Unknown { location: location.to_string(), found, expected };
        match (seen.miswritten, seen.unknown.iter().next().cloned(), seen.dependent) {
            (Some((found, name)), ..) => Err(unknown(found, format!("`{name}`"))),
            (None, Some(found), _) if !seen.has_required => Err(unknown(found, self.expected())),
            (None, None, Some(found)) if !seen.has_required => {
                Err(Reason::Missing { location: location.to_string(), found, expected: self.expected() })
            }
            _ => Ok(()),
        }
    }

    /// Adds the unknown fields of an object to those of the body, each name once.
    pub(super) fn note_unknown(&self, seen: &Seen, location: &Location<'_>, unknown: &mut UnknownFields) {
        for (is_near, found) in &seen.unknown.items {
            let is_same = |it: &UnknownField| it.found == *found && it.known.iter().copied().eq(self.read());
            if !unknown.0.iter().any(is_same) {
                unknown.0.add(MAX_OF_BODY, *is_near, || {
                    let (location, found) = (location.to_string(), found.clone());
                    UnknownField { location, found, known: self.read().collect() }
                });
            }
        }
    }

    fn expected(&self) -> String {
        let names: Vec<_> = self.required.iter().map(|name| format!("`{name}`")).collect();
        names.join(" or ")
    }
}
