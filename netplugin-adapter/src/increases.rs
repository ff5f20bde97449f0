//! Increases of the counters of one node: the traffic since the last scrape.
//!
//! The input is the unmerged entries of `ProvStats`: each is one counter of the switch that rises until it is reset,
//! while a merged point falls when a second provider appears. An increase is attributed to a provider by the rule of
//! the merge in the scrape that shows it: the endpoint's own entry belongs to the provider when there is exactly one,
//! else to the service's address.
//!
//! # Rules
//!
//! * The first scrape of a node gives no increases: the age of its counters is unknown.
//! * A new entry on a known node counts in full, if its total is *plausible*: bytes and packets together are at most
//!   twice the highest rate that any entry of the node has had, times the time since the node's last scrape. Else it is
//!   a baseline ([`Uncounted`]). A rise gives the node's rate when the next one of its counter confirms it, or when it
//!   is at most twice the node's rate: one that was of another counter gives none. While no rate is confirmed, the
//!   limit is that of the largest last rise, and at most 1 Gbit/s for 10 s; nothing, once 4,096 entries were dropped.
//! * A service that changes between the form of 2016 and today's shows the same counters under other addresses: its
//!   readings in the new form are baselines, and its entries in the old one are forgotten.
//! * When one of an entry's four counters fell, all four were reset and count from zero, if the new values are
//!   *plausible*: bytes and packets together are at most twice the highest rate of the entry so far, times the time
//!   since its last reading. A reinstalled flow starts with all of them at zero; those above their old value got there
//!   by new traffic. Traffic between the last scrape and the reset is lost. A reset is not detected when all four
//!   counters have passed their old values by the next scrape.
//! * A fall that is not plausible is the reading of another counter: of a service with several ports Netplugin shows
//!   the counters of one port at a time. Its age is unknown, so it adds nothing and is the baseline of a further
//!   *track* of the entry. A reading with another protocol or port than before, where these are known, is of another
//!   track, too: from its own last reading, or from zero if that is plausible, or without an increase.
//! * A reading continues the newest track with its port, if the rise is plausible; else another one that is closer
//!   below it; else the newest again: a burst counts. It is a track of its own until the next reading confirms it, so
//!   that one that was of another counter counts once and not each time.
//! * An entry has at most eight tracks. One that was not seen for [`FORGET_AFTER`] is dropped, and so is one that the
//!   current one passes.
//! * An entry that vanishes is kept. If it comes back, the rules above apply to its last values: it continued, or
//!   was reset. An entry absent for [`FORGET_AFTER`] is dropped, and its first reading is a baseline if it comes back,
//!   as long as it is among the last 4,096 that were dropped; later it is new. Of more than [`MAX_ABSENT`] absent
//!   entries the oldest are dropped earlier.
//! * The entries of a rejected endpoint are unread, not absent: they neither change nor expire. An endpoint rejected in
//!   the node's first scrape has its first scrape when it is read.
//! * When an entry's counters change, the time is kept: [`NodeCounters::changed_points`] leaves out the others.
//! * A scrape that is not later than the last one gives no increases and changes nothing.

mod baseline;
mod changed;
mod highest;
mod new_entries;
mod saved;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use self::baseline::{Baseline, Next};
pub use self::new_entries::Uncounted;
use self::new_entries::{NewEntries, hash};
pub use self::saved::CountersError;
use crate::decode::is_address;
use crate::merge::own;
use crate::stats::{Counters, Reading, ServiceStats};
use crate::tree::{Row, Tree};

/// How long an absent entry is kept: an hour, in microseconds.
pub const FORGET_AFTER: u64 = 3_600_000_000;

/// The largest number of absent entries that a node keeps. Present entries are counted apart; the decoder's limits
/// bound them.
pub const MAX_ABSENT: usize = 100_000;

/// The traffic between an endpoint and a provider of a service since the last scrape, from one entry.
///
/// At least one of the counters is not zero. One scrape may give two increases with the same addresses: one from the
/// provider's entry, one from the endpoint's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Increase<'a> {
    /// The endpoint, a container of the scraped node.
    pub endpoint_ip: &'a str,
    /// The service's virtual address.
    pub service_ip: &'a str,
    /// The provider behind the service, or the service's address for traffic whose provider is not recorded.
    pub provider_ip: &'a str,
    /// Bytes the endpoint received.
    pub bytes_in: u64,
    /// Bytes the endpoint sent.
    pub bytes_out: u64,
    /// Packets the endpoint received.
    pub packets_in: u64,
    /// Packets the endpoint sent.
    pub packets_out: u64,
}

/// The counter baselines of one node. The default is that of a node before its first scrape.
///
/// An entry takes about 110 bytes, and 25 to 40 when [saved](Self::save).
///
/// ```
/// use netplugin_adapter::{Limits, NodeCounters, decode};
///
/// let body = |bytes: u64| {
///     format!(r#"{{"11.1.1.2": {{"SvcStats": {{"100.1.1.3": {{"ProvStats": {{"10.1.1.7": {{"BytesIn": {bytes}}}}}}}}}}}}}"#)
/// };
/// let mut counters = NodeCounters::default();
/// let mut seen = Vec::new();
/// // The third scrape comes after a reset.
/// for (at, bytes) in [(10, 1000), (20, 1700), (30, 40)] {
///     let stats = decode(body(bytes).as_bytes(), &Limits::default())?;
///     counters.observe(at, &stats, |increase| seen.push((at, increase.bytes_in)));
/// }
/// assert_eq!(seen, [(20, 700), (30, 40)]);
/// # Ok::<(), netplugin_adapter::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeCounters {
    /// The time of the last scrape; `None` before the first.
    last: Option<u64>,
    /// Endpoints that were rejected in the first scrape and not read since, sorted.
    unread: Vec<Box<str>>,
    /// The hashes of the entries that were dropped last, the oldest first.
    forgotten: Vec<u64>,
    /// The highest rate that any entry has had, in bytes and packets together, a second; 0 if none is known.
    highest: u64,
    entries: Tree<Baseline>,
}

/// For how long and how many absent entries are kept.
#[derive(Debug, Clone, Copy)]
struct Retention {
    forget_after: u64,
    max_absent: usize,
}

impl NodeCounters {
    /// Applies a scrape at `at`, in microseconds, and calls `each` with every increase, in the order of endpoint,
    /// service and entry. `at` must rise from scrape to scrape: a scrape that is not later is ignored.
    ///
    /// Returns the entries that look new, but are baselines.
    pub fn observe(&mut self, at: u64, stats: &ServiceStats, each: impl FnMut(Increase<'_>)) -> Uncounted {
        self.observe_within(Retention { forget_after: FORGET_AFTER, max_absent: MAX_ABSENT }, at, stats, each)
    }

    /// Returns the time of the last scrape, in microseconds; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Returns the number of entries, present and absent.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.entries.entry_count()
    }

    /// Returns about how many bytes this takes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes()
            + self.entries.rows().map(|row| row.value.heap_bytes()).sum::<usize>()
            + self.unread.iter().map(|ip| size_of::<Box<str>>() + ip.len()).sum::<usize>()
            + size_of::<u64>() * self.forgotten.capacity()
    }

    fn observe_within(
        &mut self,
        retention: Retention,
        at: u64,
        stats: &ServiceStats,
        mut each: impl FnMut(Increase<'_>),
    ) -> Uncounted {
        if self.last.is_some_and(|last| at <= last) {
            return Uncounted::default();
        }
        let rejected = rejected(stats);
        let (mut next, mut absent, mut dropped) = (self.entries.same_size(), 0, Vec::new());
        let mut new_entries = NewEntries::new(self, at);
        let pairs = Joined { old: self.entries.rows().peekable(), new: stats.tree.rows().peekable() };
        for pair in pairs {
            match pair {
                (Some(old), None) if is_kept(&old, retention, at, stats, &rejected) => {
                    absent += 1;
                    next.push_row(&old, old.value.clone());
                }
                (Some(old), None) => dropped.push(hash(&old)),
                (Some(old), Some(new)) if old.value.last.form.differs(new.value.form) => {
                    new_entries.uncounted.add_form(&new);
                    next.push_row(&new, old.value.restarted(*new.value, at));
                }
                (Some(old), Some(new)) => {
                    let Next { entry, added, rates } = old.value.next(*new.value, at, retention.forget_after);
                    new_entries.add_rates(rates);
                    increase(&new, added).into_iter().for_each(&mut each);
                    next.push_row(&new, entry);
                }
                (None, Some(new)) => {
                    if new_entries.counts(&new) {
                        increase(&new, new.value.counters).into_iter().for_each(&mut each);
                    }
                    next.push_row(&new, Baseline::new(*new.value, at));
                }
                (None, None) => {}
            }
        }
        if absent > retention.max_absent {
            next = without_oldest(&next, absent - retention.max_absent, &mut dropped);
        }
        let (forgotten, highest, uncounted) = new_entries.finish(&dropped);
        (self.entries, self.forgotten, self.highest) = (next, forgotten, highest);
        self.end_scrape(at, stats, &rejected);
        uncounted
    }

    /// Notes the time of a scrape and the endpoints that are unread.
    fn end_scrape(&mut self, at: u64, stats: &ServiceStats, rejected: &[&str]) {
        if self.last.is_none() {
            self.unread = rejected.iter().filter(|ip| is_address(ip)).map(|&ip| ip.into()).collect();
        }
        self.unread.retain(|ip| stats.tree.endpoint(ip).is_none());
        self.last = Some(at);
    }
}

/// Whether an entry that is not in a scrape is kept: it is unread or not absent for long, and its service is not in the
/// scrape with another form.
fn is_kept(old: &Row<'_, Baseline>, retention: Retention, at: u64, stats: &ServiceStats, rejected: &[&str]) -> bool {
    let is_unread = rejected.binary_search(&old.service.endpoint_ip).is_ok();
    let is_other = |(_, new): (&str, &Reading)| old.value.last.form.differs(new.form);
    let is_recent = at.saturating_sub(old.value.last.seen) < retention.forget_after;
    is_unread || (is_recent && !stats.tree.service_of(old).is_some_and(|service| service.entries().any(is_other)))
}

/// Returns the names of the rejected endpoints, sorted, each once.
fn rejected(stats: &ServiceStats) -> Vec<&str> {
    let mut names: Vec<_> = stats.rejected.iter().map(|rejected| &*rejected.endpoint).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the increase of an entry by what a reading added; `None` without traffic.
fn increase<'a>(row: &Row<'a, Reading>, added: Counters) -> Option<Increase<'a>> {
    let Counters { bytes_in, bytes_out, packets_in, packets_out } = added;
    if [bytes_in, bytes_out, packets_in, packets_out] == [0; 4] {
        return None;
    }
    let (endpoint_ip, service_ip) = (row.service.endpoint_ip, row.service.ip);
    let own = if row.ip == endpoint_ip { own(row.service) } else { None };
    let provider_ip = own.map_or(row.ip, |own| own.provider_ip);
    Some(Increase { endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out })
}

/// A full outer join of two sorted lists of rows by their addresses.
struct Joined<O: Iterator, N: Iterator> {
    old: std::iter::Peekable<O>,
    new: std::iter::Peekable<N>,
}

impl<'o, 'n, O, N> Iterator for Joined<O, N>
where
    O: Iterator<Item = Row<'o, Baseline>>,
    N: Iterator<Item = Row<'n, Reading>>,
{
    type Item = (Option<O::Item>, Option<N::Item>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.old.peek(), self.new.peek()) {
            (Some(old), Some(new)) => old.addresses().cmp(&new.addresses()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let old = if order.is_le() { self.old.next() } else { None };
        let new = if order.is_ge() { self.new.next() } else { None };
        Some((old, new))
    }
}

/// Returns the entries without the `count` oldest, which are absent ones; among equal ages the first are dropped. Their
/// hashes are added to `hashes`.
fn without_oldest(entries: &Tree<Baseline>, count: usize, hashes: &mut Vec<u64>) -> Tree<Baseline> {
    let mut ages: Vec<_> = entries.rows().enumerate().map(|(index, row)| (row.value.last.seen, index)).collect();
    ages.sort_unstable();
    ages.truncate(count);
    let mut dropped: Vec<_> = ages.into_iter().map(|(_, index)| index).collect();
    dropped.sort_unstable();
    let mut kept = Tree::default();
    for (index, row) in entries.rows().enumerate() {
        if dropped.binary_search(&index).is_err() {
            kept.push_row(&row, row.value.clone());
        } else {
            hashes.push(hash(&row));
        }
    }
    kept
}
