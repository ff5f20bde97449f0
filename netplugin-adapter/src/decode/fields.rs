//! The fields of one object of a body: which are read, which are known, and whether any of those that matter is there.
//!
//! Unknown fields are ignored: another version may add some. But an object of which nothing could be read has another
//! shape, and so has one with a field in another letter case: to ignore them would look like an object without traffic.
//! So would one that names a provider or a port and has no counters.

use super::location::{Location, quote};
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
    /// The first unknown fields, quoted.
    unknown: Vec<String>,
    /// The first field whose letter case is another one, quoted, and its name.
    miswritten: Option<(String, &'static str)>,
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
        let mut read = fields.required.iter().chain(fields.optional);
        match read.find(|read| read.eq_ignore_ascii_case(name)) {
            Some(read) if self.miswritten.is_none() => self.miswritten = Some((quote(name), read)),
            None if self.unknown.len() < MAX_OF_OBJECT => self.unknown.push(quote(name)),
            _ => {}
        }
    }

    pub(super) fn has_required(&self) -> bool {
        self.has_required
    }
}

impl Fields {
    /// Checks an object whose fields were all seen.
    pub(super) fn check(&self, seen: Seen, location: &Location<'_>) -> Result<(), Reason> {
        let unknown = |found, expected| Reason::Unknown { location: location.to_string(), found, expected };
        match (seen.miswritten, seen.unknown.into_iter().next(), seen.dependent) {
            (Some((found, name)), ..) => Err(unknown(found, format!("`{name}`"))),
            (None, Some(found), _) if !seen.has_required => Err(unknown(found, self.expected())),
            (None, None, Some(found)) if !seen.has_required => {
                Err(Reason::Missing { location: location.to_string(), found, expected: self.expected() })
            }
            _ => Ok(()),
        }
    }

    /// Adds the unknown fields of an object to those of the body, each name once.
    pub(super) fn note_unknown(&self, seen: &Seen, location: &Location<'_>, unknown: &mut Vec<UnknownField>) {
        for found in &seen.unknown {
            let known = || self.required.iter().chain(self.optional).copied();
            let is_same = |it: &UnknownField| it.found == *found && it.known.iter().copied().eq(known());
            if unknown.len() < MAX_OF_BODY && !unknown.iter().any(is_same) {
                let (location, found) = (location.to_string(), found.clone());
                unknown.push(UnknownField { location, found, known: known().collect() });
            }
        }
    }

    fn expected(&self) -> String {
        let names: Vec<_> = self.required.iter().map(|name| format!("`{name}`")).collect();
        names.join(" or ")
    }
}
