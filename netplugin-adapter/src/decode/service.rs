//! The services of an endpoint: the members of its `SvcStats`, and the two forms of a service.
//!
//! Up to the middle of 2016 a service had one provider, in `ProviderIP`, and its counters in `Stats`, of both
//! directions. Since then `ProvStats` has the counters of each provider. Both become entries.

use std::borrow::Cow;
use std::collections::btree_map::Entry;

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::address::{field_ip, member_ip};
use super::endpoint::{Context, Entries, Service, Services, shape};
use super::entry::{EntryFields, EntryMembers};
use super::fields::{Fields, Seen};
use super::location::Location;
use super::ports::Ports;
use crate::error::Reason;
use crate::json::{Object, ReadMember, text};
use crate::stats::{Counters, Form};

const FIELDS: Fields = Fields {
    required: &["ProvStats", "Stats"],
    optional: &["Protocol", "ProvPort", "ProviderIP", "SvcPort"],
    ignored: &["ServiceIP", "ServiceVRF", "SvcStats"],
};

/// The members of an endpoint's `SvcStats`.
pub(super) struct ServiceMembers<'a, 'c, 'l> {
    pub(super) context: &'c mut Context<'l>,
    pub(super) services: Services<'a>,
}

impl<'a> ReadMember<'a> for ServiceMembers<'a, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        self.context.count_entry()?;
        let ip = self.context.check(member_ip(key, Location::Services))?;
        let limit = self.context.limits.services_per_endpoint;
        if self.services.len() == limit {
            return Err(self.context.reject(Reason::TooManyServices { limit }));
        }
        let vacant = match self.services.entry(ip) {
            Entry::Vacant(vacant) => vacant,
            Entry::Occupied(first) => {
                return Err(self.context.reject(Reason::Duplicate {
                    location: Location::Service { service_ip: first.key() }.to_string(),
                }));
            }
        };
        let ip = vacant.key();
        let mut service = ServiceFields::new(self.context, ip);
        let read = map.next_value_seed(Object(&mut service));
        let ports = service.ports;
        let form = service.form();
        let entries = service.entries();
        read.map_err(|error| self.context.reject(shape(Location::Service { service_ip: ip }, &error)))?;
        let entries = self.context.check(entries)?;
        vacant.insert(Service { ports, form, entries });
        Ok(())
    }
}

/// The fields of a service.
struct ServiceFields<'a, 's, 'c, 'l> {
    context: &'c mut Context<'l>,
    ip: &'s str,
    ports: Ports,
    entries: Entries<'a>,
    /// `ProviderIP`.
    provider_ip: Option<Cow<'a, str>>,
    /// `Stats`, and whether it has any counter.
    stats: Option<(Counters, bool)>,
    seen: Seen,
}

impl<'a, 's, 'c, 'l> ServiceFields<'a, 's, 'c, 'l> {
    fn new(context: &'c mut Context<'l>, ip: &'s str) -> Self {
        let (ports, entries, seen) = (Ports::default(), Entries::new(), Seen::default());
        Self { context, ip, ports, entries, provider_ip: None, stats: None, seen }
    }

    fn form(&self) -> Form {
        if self.entries.is_empty() && self.stats.is_some() { Form::Single } else { Form::Several }
    }

    /// Returns the entries of either form.
    fn entries(self) -> Result<Entries<'a>, Reason> {
        let Self { context, ip, mut entries, provider_ip, stats, seen, .. } = self;
        let location = Location::Service { service_ip: ip };
        FIELDS.note_unknown(&seen, &location, &mut context.shared.unknown);
        FIELDS.check(seen, &location)?;
        match (stats, provider_ip) {
            (Some((_, true)), _) if !entries.is_empty() => {
                return Err(Reason::Ambiguous { location: location.to_string() });
            }
            (Some((counters, _)), Some(provider_ip)) if entries.is_empty() => {
                entries.insert(provider_ip, counters);
            }
            // The provider is not recorded.
            (Some((counters, true)), None) => {
                entries.insert(Cow::Owned(ip.to_owned()), counters);
            }
            _ => {}
        }
        Ok(entries)
    }
}

impl<'a> ReadMember<'a> for ServiceFields<'a, '_, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        let service_ip = self.ip;
        match text(key).as_deref() {
            Some("ProvStats") => {
                self.seen.required();
                let mut members = EntryMembers { context: self.context, service_ip, entries: Entries::new() };
                let read = map.next_value_seed(Object(&mut members));
                self.entries = members.entries;
                read.map_err(|error| self.context.reject(shape(Location::Entries { service_ip }, &error)))
            }
            Some("ProviderIP") => {
                self.seen.dependent(&FIELDS, "ProviderIP");
                let json = map.next_value::<&RawValue>()?.get();
                self.provider_ip = self.context.check(field_ip(json, Location::Service { service_ip }))?;
                Ok(())
            }
            Some("Stats") => {
                self.seen.required();
                let location = Location::Stats { service_ip };
                let mut entry = EntryFields::new(self.context, location);
                let read = map.next_value_seed(Object(&mut entry));
                let has_counter = entry.has_counter();
                let counters = entry.counters();
                read.map_err(|error| self.context.reject(shape(location, &error)))?;
                self.stats = Some((self.context.check(counters)?, has_counter));
                Ok(())
            }
            Some(name @ ("Protocol" | "ProvPort" | "SvcPort")) => {
                self.seen.dependent(&FIELDS, name);
                self.ports.take(name, map.next_value::<&RawValue>()?.get());
                Ok(())
            }
            other => {
                self.seen.other(&FIELDS, other.unwrap_or(key));
                map.next_value::<IgnoredAny>().map(drop)
            }
        }
    }
}
