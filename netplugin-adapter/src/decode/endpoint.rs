//! One endpoint of a body: its address, its services and their entries, or the reason why it is rejected.
//!
//! An endpoint is read in one pass, by one [`ReadMember`] for each level, up to the first error. serde's errors are
//! text, so the [`Reason`] is stored beside them, in the [`Context`] that all levels share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::address::{endpoint_ip, name, own_address};
use super::fields::{Fields, Seen, UnknownFields};
use super::location::{Location, MESSAGE_LENGTH, cut};
use super::ports::Ports;
use super::service::ServiceMembers;
use crate::error::{Reason, Rejected};
use crate::json::{Key, Object, ReadMember, text};
use crate::limits::Limits;
use crate::merge;
use crate::stats::{Counters, Form};

/// The fields of an endpoint that are read. Without the last one there is nothing to read.
const FIELDS: Fields =
    Fields { optional: &["EndpointIP"], required: &["SvcStats"], ignored: &["VrfName", "PortStats"] };

/// The entries of one service by address.
pub(crate) type Entries<'a> = BTreeMap<Cow<'a, str>, Counters>;

/// One service: its ports, its form and its entries.
pub(super) struct Service<'a> {
    pub(super) ports: Ports,
    pub(super) form: Form,
    pub(super) entries: Entries<'a>,
}

/// The services of one endpoint by address.
pub(super) type Services<'a> = BTreeMap<Cow<'a, str>, Service<'a>>;

/// Reads one endpoint from JSON whose syntax is already checked: its address and its services.
pub(super) fn endpoint<'a>(
    key: Key<'a>,
    json: &'a str,
    limits: &Limits,
    shared: &mut Shared,
) -> Result<(Cow<'a, str>, Services<'a>), Rejected> {
    let mut context = Context { limits, shared, reason: None };
    let mut fields = Endpoint { context: &mut context, ip: None, services: Services::new(), seen: Seen::default() };
    let walked = Object(&mut fields).deserialize(&mut serde_json::Deserializer::from_str(json));
    let Endpoint { ip: field, services, seen, .. } = fields;
    FIELDS.note_unknown(&seen, &Location::Endpoint, &mut context.shared.unknown);
    let accept = || {
        if let Err(error) = walked {
            return Err(context.reason.unwrap_or_else(|| shape(Location::Endpoint, &error)));
        }
        FIELDS.check(seen, &Location::Endpoint)?;
        let ip = endpoint_ip(key, field)?;
        for (service_ip, service) in &services {
            merge::check(&ip, service_ip, &service.entries)
                .map_err(|field| Reason::Overflow { location: Location::Service { service_ip }.to_string(), field })?;
        }
        Ok((ip, services))
    };
    accept().map_err(|reason| Rejected { endpoint: name(key, own_address(json)), reason })
}

/// State that the endpoints of a body share.
pub(super) struct Shared {
    pub(super) unknown: UnknownFields,
    /// How many services and entries there may still be.
    entries_left: usize,
    /// Whether there were more. The endpoint is rejected then, and the body with it.
    pub(super) is_over: bool,
}

impl Shared {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { unknown: UnknownFields::default(), entries_left: limits.entries, is_over: false }
    }
}

/// State that the levels of an endpoint share.
pub(super) struct Context<'l> {
    pub(super) limits: &'l Limits,
    pub(super) shared: &'l mut Shared,
    /// Why the endpoint is rejected.
    reason: Option<Reason>,
}

impl Context<'_> {
    /// Rejects the endpoint. The first reason is kept: it comes from the innermost level, where the error is.
    pub(super) fn reject<E: Error>(&mut self, reason: Reason) -> E {
        self.reason.get_or_insert(reason);
        E::custom("rejected")
    }

    /// Counts a service or an entry.
    pub(super) fn count_entry<E: Error>(&mut self) -> Result<(), E> {
        let left = self.shared.entries_left.checked_sub(1);
        self.shared.is_over = left.is_none();
        self.shared.entries_left = left.ok_or_else(|| E::custom("too many services and entries"))?;
        Ok(())
    }

    pub(super) fn check<T, E: Error>(&mut self, result: Result<T, Reason>) -> Result<T, E> {
        result.map_err(|reason| self.reject(reason))
    }
}

/// The fields of an endpoint.
struct Endpoint<'a, 'c, 'l> {
    context: &'c mut Context<'l>,
    /// `EndpointIP`, still JSON.
    ip: Option<&'a str>,
    services: Services<'a>,
    seen: Seen,
}

impl<'a> ReadMember<'a> for Endpoint<'a, '_, '_> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        match text(key).as_deref() {
            Some("EndpointIP") => self.ip = Some(map.next_value::<&RawValue>()?.get()),
            Some("SvcStats") => {
                self.seen.required();
                // A second field of the name replaces the first, as in Go.
                let mut members = ServiceMembers { context: self.context, services: Services::new() };
                let read = map.next_value_seed(Object(&mut members));
                self.services = members.services;
                read.map_err(|error| self.context.reject(shape(Location::Services, &error)))?;
            }
            other => {
                self.seen.other(&FIELDS, other.unwrap_or(key));
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

pub(super) fn shape(location: Location<'_>, error: &impl fmt::Display) -> Reason {
    Reason::Shape { location: location.to_string(), found: cut(&error.to_string(), MESSAGE_LENGTH) }
}
