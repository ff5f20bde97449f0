//! The fields of one object of a body: which are read, which are known, and whether any of those that matter is there.
//!
//! Unknown fields are ignored: another version may add some. But an object of which nothing could be read has another
//! shape, and so has one with a field in another letter case: to ignore them would look like an object without traffic.
//! So would one that names a provider or a port and has no counters.

use super::location::{Location, quote};
use crate::error::Reason;

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
    /// The first unknown field, quoted.
    unknown: Option<String>,
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
            None if self.unknown.is_none() => self.unknown = Some(quote(name)),
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
        match (seen.miswritten, seen.unknown, seen.dependent) {
            (Some((found, name)), ..) => Err(unknown(found, format!("`{name}`"))),
            (None, Some(found), _) if !seen.has_required => Err(unknown(found, self.expected())),
            (None, None, Some(found)) if !seen.has_required => {
                Err(Reason::Missing { location: location.to_string(), found, expected: self.expected() })
            }
            _ => Ok(()),
        }
    }

    fn expected(&self) -> String {
        let names: Vec<_> = self.required.iter().map(|name| format!("`{name}`")).collect();
        names.join(" or ")
    }
}
