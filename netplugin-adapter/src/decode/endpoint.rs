//! One endpoint of a body: its address, its services and their entries, or the reason why it is rejected.
//!
//! An endpoint is read in one pass, by one [`ReadMember`] for each level, up to the first error. serde's errors are
//! text, so the [`Reason`] is stored beside them, in the [`Context`] that all levels share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::address::{endpoint_ip, member_ip, name, own_address};
use super::location::{Location, MESSAGE_LENGTH, cut, quote};
use crate::error::{Reason, Rejected};
use crate::json::{Key, Object, ReadMember, counter, text};
use crate::limits::Limits;
use crate::merge;
use crate::stats::Counters;

/// The entries of one service by address.
pub(crate) type Entries<'a> = BTreeMap<Cow<'a, str>, Counters>;

/// The services of one endpoint by address.
pub(super) type Services<'a> = BTreeMap<Cow<'a, str>, Entries<'a>>;

/// Reads one endpoint from JSON whose syntax is already checked: its address and its services.
pub(super) fn endpoint<'a>(
    key: Key<'a>,
    json: &'a str,
    limits: &Limits,
) -> Result<(Cow<'a, str>, Services<'a>), Rejected> {
    let mut context = Context { limits, reason: None };
    let mut fields = Endpoint { context: &mut context, ip: None, services: Services::new() };
    let walked = Object(&mut fields).deserialize(&mut serde_json::Deserializer::from_str(json));
    let Endpoint { ip: field, services, .. } = fields;
    let accept = || {
        if let Err(error) = walked {
            return Err(context.reason.unwrap_or_else(|| shape(Location::Endpoint, &error)));
        }
        let ip = endpoint_ip(key, field)?;
        for (service_ip, entries) in &services {
            merge::check(&ip, service_ip, entries)
                .map_err(|field| Reason::Overflow { location: Location::Service { service_ip }.to_string(), field })?;
        }
        Ok((ip, services))
    };
    accept().map_err(|reason| Rejected { endpoint: name(key, own_address(json)), reason })
}

/// State that the levels of an endpoint share.
struct Context<'l> {
    limits: &'l Limits,
    /// Why the endpoint is rejected.
    reason: Option<Reason>,
}

impl Context<'_> {
    /// Rejects the endpoint. The first reason is kept: it comes from the innermost level, where the error is.
    fn reject<E: Error>(&mut self, reason: Reason) -> E {
        self.reason.get_or_insert(reason);
        E::custom("rejected")
    }

    fn check<T, E: Error>(&mut self, result: Result<T, Reason>) -> Result<T, E> {
        result.map_err(|reason| self.reject(reason))
    }
}

/// The fields of an endpoint.
struct Endpoint<'a, 'c, 'l> {
    context: &'c mut Context<'l>,
    /// `EndpointIP`, still JSON.
    ip: Option<&'a str>,
    services: Services<'a>,
}

impl<'a> ReadMember<'a> for Endpoint<'a, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        match text(key).as_deref() {
            Some("EndpointIP") => self.ip = Some(map.next_value::<&RawValue>()?.get()),
            Some("SvcStats") => {
                // A second field of the name replaces the first, as in Go.
                let mut members = ServiceMembers { context: self.context, services: Services::new() };
                let read = map.next_value_seed(Object(&mut members));
                self.services = members.services;
                read.map_err(|error| self.context.reject(shape(Location::Services, &error)))?;
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// The members of an endpoint's `SvcStats`.
struct ServiceMembers<'a, 'c, 'l> {
    context: &'c mut Context<'l>,
    services: Services<'a>,
}

impl<'a> ReadMember<'a> for ServiceMembers<'a, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
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
        let mut service = ServiceFields { context: self.context, ip, entries: Entries::new() };
        let read = map.next_value_seed(Object(&mut service));
        let entries = service.entries;
        read.map_err(|error| self.context.reject(shape(Location::Service { service_ip: ip }, &error)))?;
        vacant.insert(entries);
        Ok(())
    }
}

/// The fields of a service.
struct ServiceFields<'a, 's, 'c, 'l> {
    context: &'c mut Context<'l>,
    ip: &'s str,
    entries: Entries<'a>,
}

impl<'a> ReadMember<'a> for ServiceFields<'a, '_, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        if text(key).as_deref() != Some("ProvStats") {
            return map.next_value::<IgnoredAny>().map(drop);
        }
        let mut members = EntryMembers { context: self.context, service_ip: self.ip, entries: Entries::new() };
        let read = map.next_value_seed(Object(&mut members));
        self.entries = members.entries;
        read.map_err(|error| self.context.reject(shape(Location::Entries { service_ip: self.ip }, &error)))
    }
}

/// The members of a service's `ProvStats`.
struct EntryMembers<'a, 's, 'c, 'l> {
    context: &'c mut Context<'l>,
    service_ip: &'s str,
    entries: Entries<'a>,
}

impl<'a> ReadMember<'a> for EntryMembers<'a, '_, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        let service_ip = self.service_ip;
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
        let mut entry = EntryFields { context: self.context, location, counters: Counters::default() };
        let read = map.next_value_seed(Object(&mut entry));
        let counters = entry.counters;
        read.map_err(|error| self.context.reject(shape(location, &error)))?;
        vacant.insert(counters);
        Ok(())
    }
}

/// The fields of an entry.
struct EntryFields<'s, 'c, 'l> {
    context: &'c mut Context<'l>,
    location: Location<'s>,
    counters: Counters,
}

impl<'a> ReadMember<'a> for EntryFields<'_, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        let (field, slot) = match text(key).as_deref() {
            Some("BytesIn") => ("BytesIn", &mut self.counters.bytes_in),
            Some("BytesOut") => ("BytesOut", &mut self.counters.bytes_out),
            Some("PacketsIn") => ("PacketsIn", &mut self.counters.packets_in),
            Some("PacketsOut") => ("PacketsOut", &mut self.counters.packets_out),
            _ => return map.next_value::<IgnoredAny>().map(drop),
        };
        let json = map.next_value::<&RawValue>()?.get();
        let invalid = || Reason::Counter { location: self.location.to_string(), field, found: quote(json) };
        *slot = self.context.check(counter(json).ok_or_else(invalid))?;
        Ok(())
    }
}

fn shape(location: Location<'_>, error: &impl fmt::Display) -> Reason {
    Reason::Shape { location: location.to_string(), found: cut(&error.to_string(), MESSAGE_LENGTH) }
}
