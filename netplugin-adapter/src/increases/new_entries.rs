//! New entries of a known node: whether their first reading counts in full or is a baseline.
//!
//! Netplugin begins an entry at zero, so the first reading of a new one is its traffic since the node's last scrape.
//! Three kinds of entries only look new. Their counters are old:
//!
//! * those that [`NodeCounters`] has forgotten. It keeps a hash of the addresses of the last [`MAX_FORGOTTEN`];
//! * those of a service that has changed between the form of 2016 and today's: the same counters under other addresses;
//! * any other entry with more bytes and packets than [plausible](Limit::most).

use std::fmt;

use super::NodeCounters;
use super::baseline::SECOND;
use super::highest::{Limit, confirmed};
use crate::stats::Reading;
use crate::tree::Row;

/// How many forgotten entries are recognised when they come back; beyond, the plausible total decides.
pub(super) const MAX_FORGOTTEN: usize = 4_096;

/// The entries of a scrape that look new, but whose first reading is a baseline and not an increase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uncounted {
    counts: [u64; 3],
    example: Option<String>,
}

/// Why a first reading does not count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    Forgotten = 0,
    Form = 1,
    Implausible = 2,
}

impl Uncounted {
    /// The reasons, in the order of [`counts`](Self::counts): `forgotten` (the entry was dropped while it was absent), `form`
    /// (its service has another form than before), `implausible` (its total is larger than the node's rate allows).
    pub const REASONS: [&'static str; 3] = ["forgotten", "form", "implausible"];

    /// Returns the number of entries by reason.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        std::array::from_fn(|index| (Self::REASONS[index], self.counts[index]))
    }

    /// Returns the first of these entries, its total and what was expected; `None` if there are none.
    #[must_use]
    pub fn example(&self) -> Option<&str> {
        self.example.as_deref()
    }

    /// Adds an entry, unless all its counters are zero: then nothing is left out.
    pub(super) fn add(&mut self, cause: Cause, row: &Row<'_, Reading>, expected: &dyn fmt::Display) {
        let total = row.value.counters.total();
        if total == 0 {
            return;
        }
        self.counts[cause as usize] += 1;
        self.example.get_or_insert_with(|| {
            let [endpoint_ip, service_ip, ip] = row.addresses();
            format!(
                "endpoint {endpoint_ip}, service {service_ip}, provider {ip} has {total} bytes and packets, expected \
                 {expected}"
            )
        });
    }

    /// Adds an entry whose service has another form than before.
    pub(super) fn add_form(&mut self, row: &Row<'_, Reading>) {
        self.add(Cause::Form, row, &"the service in its form of before, in which these counters were counted");
    }
}

/// Decides on the new entries of one scrape.
pub(super) struct NewEntries<'c> {
    known: &'c NodeCounters,
    at: u64,
    /// Computed for the first new entry.
    limit: Option<Limit>,
    /// The node's highest rate after the entries so far.
    highest: u64,
    /// The entries of this scrape that were forgotten.
    returned: Vec<u64>,
    pub(super) uncounted: Uncounted,
}

impl<'c> NewEntries<'c> {
    /// Begins a scrape at `at`; `known` is the node before it.
    pub(super) fn new(known: &'c NodeCounters, at: u64) -> Self {
        let highest = known.highest;
        Self { known, at, limit: None, highest, returned: Vec::new(), uncounted: Uncounted::default() }
    }

    /// Returns whether the first reading of an entry counts in full.
    pub(super) fn counts(&mut self, row: &Row<'_, Reading>) -> bool {
        let Some(last) = self.known.last.filter(|_| !self.known.is_unread(row.service.endpoint_ip)) else {
            return false;
        };
        let hash = hash(row);
        let is_forgotten = self.known.forgotten.contains(&hash);
        if is_forgotten {
            self.returned.push(hash);
        }
        if self.known.has_other_form(row) {
            self.uncounted.add_form(row);
            return false;
        }
        if is_forgotten {
            self.uncounted.add(Cause::Forgotten, row, &"its last counters to be known: it was dropped");
            return false;
        }
        let elapsed = self.at.saturating_sub(last);
        let limit = *self.limit.get_or_insert_with(|| Limit::new(self.known, elapsed));
        let is_plausible = row.value.counters.total() * SECOND <= limit.most();
        if !is_plausible {
            self.uncounted.add(Cause::Implausible, row, &limit);
        }
        is_plausible
    }

    /// Takes the rates of the last two rises of a counter.
    pub(super) fn add_rates(&mut self, rates: [u64; 2]) {
        self.highest = self.highest.max(confirmed(rates, self.known.highest));
    }

    /// Returns the hashes of forgotten entries and the highest rate after the scrape, which has dropped those of
    /// `dropped`.
    pub(super) fn finish(self, dropped: &[u64]) -> (Vec<u64>, u64, Uncounted) {
        let before = self.known.forgotten.iter().filter(|hash| !self.returned.contains(hash));
        let mut forgotten: Vec<u64> = before.chain(dropped).copied().collect();
        forgotten.drain(..forgotten.len().saturating_sub(MAX_FORGOTTEN));
        (forgotten, self.highest, self.uncounted)
    }
}

impl NodeCounters {
    fn is_unread(&self, endpoint_ip: &str) -> bool {
        self.unread.binary_search_by(|ip| (**ip).cmp(endpoint_ip)).is_ok()
    }

    /// Whether the known entries of the service of a reading have another form.
    fn has_other_form(&self, row: &Row<'_, Reading>) -> bool {
        let service = self.entries.service_of(row);
        service.is_some_and(|service| service.entries().any(|(_, known)| known.last.form.differs(row.value.form)))
    }
}

/// Returns the hash of an entry's addresses: FNV-1a of 64 bits. It is saved, so it must not change.
pub(super) fn hash<T>(row: &Row<'_, T>) -> u64 {
    let bytes = row.addresses().into_iter().flat_map(|ip| ip.bytes().chain([0]));
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
