//! The entries of a service: the members of its `ProvStats`, each with four counters.

use std::collections::btree_map::Entry;

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::address::member_ip;
use super::endpoint::{Context, Entries, shape};
use super::fields::{Fields, Seen};
use super::location::{Location, quote};
use crate::error::Reason;
use crate::json::{Object, ReadMember, counter, text};
use crate::stats::Counters;

const FIELDS: Fields = Fields {
    required: &["BytesIn", "BytesOut", "PacketsIn", "PacketsOut"],
    optional: &[],
    ignored: &["ProviderIP", "ServiceIP", "ServiceVrf"],
};

/// The members of a service's `ProvStats`.
pub(super) struct EntryMembers<'a, 's, 'c, 'l> {
    pub(super) context: &'c mut Context<'l>,
    pub(super) service_ip: &'s str,
    pub(super) entries: Entries<'a>,
}

impl<'a> ReadMember<'a> for EntryMembers<'a, '_, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        let service_ip = self.service_ip;
        self.context.count_entry()?;
        let ip = self.context.check(member_ip(key, Location::Entries { service_ip }))?;
        let limit = self.context.limits.providers_per_service;
        if self.entries.len() == limit {
            return Err(self
                .context
                .reject(Reason::TooManyProviders { location: Location::Service { service_ip }.to_string(), limit }));
        }
        let vacant = match self.entries.entry(ip) {
            Entry::Vacant(vacant) => vacant,
            Entry::Occupied(first) => {
                let location = Location::Entry { service_ip, ip: first.key() };
                return Err(self.context.reject(Reason::Duplicate { location: location.to_string() }));
            }
        };
        let location = Location::Entry { service_ip, ip: vacant.key() };
        let mut entry = EntryFields::new(self.context, location);
        let read = map.next_value_seed(Object(&mut entry));
        let counters = entry.counters();
        read.map_err(|error| self.context.reject(shape(location, &error)))?;
        let counters = self.context.check(counters)?;
        vacant.insert(counters);
        Ok(())
    }
}

/// The fields of an object with counters.
pub(super) struct EntryFields<'s, 'c, 'l> {
    context: &'c mut Context<'l>,
    location: Location<'s>,
    counters: Counters,
    seen: Seen,
}

impl<'s, 'c, 'l> EntryFields<'s, 'c, 'l> {
    pub(super) fn new(context: &'c mut Context<'l>, location: Location<'s>) -> Self {
        Self { context, location, counters: Counters::default(), seen: Seen::default() }
    }

    pub(super) fn has_counter(&self) -> bool {
        self.seen.has_required()
    }

    /// Returns the counters when all fields were read.
    pub(super) fn counters(self) -> Result<Counters, Reason> {
        FIELDS.note_unknown(&self.seen, &self.location, &mut self.context.shared.unknown);
        FIELDS.check(self.seen, &self.location)?;
        Ok(self.counters)
    }
}

impl<'a> ReadMember<'a> for EntryFields<'_, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        let name = text(key);
        let (field, slot) = match name.as_deref() {
            Some("BytesIn") => ("BytesIn", &mut self.counters.bytes_in),
            Some("BytesOut") => ("BytesOut", &mut self.counters.bytes_out),
            Some("PacketsIn") => ("PacketsIn", &mut self.counters.packets_in),
            Some("PacketsOut") => ("PacketsOut", &mut self.counters.packets_out),
            other => {
                self.seen.other(&FIELDS, other.unwrap_or(key));
                return map.next_value::<IgnoredAny>().map(drop);
            }
        };
        self.seen.required();
        let json = map.next_value::<&RawValue>()?.get();
        let invalid = || Reason::Counter { location: self.location.to_string(), field, found: quote(json) };
        *slot = self.context.check(counter(json).ok_or_else(invalid))?;
        Ok(())
    }
}
