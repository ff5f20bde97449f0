//! The counters of one node to increases: what flowed since the scrape before.
//!
//! The entries of `ProvStats` are looked at as they are, not the merged points: each is one counter of the switch that
//! rises until it is reset, while a point falls when a second provider appears. An increase is attributed to a provider
//! by the rule of the merge, as it stands in the scrape that shows it: the endpoint's own entry goes to the provider
//! when there is exactly one, else to the service's address.
//!
//! # Rules
//!
//! * The first scrape of a node gives nothing: how old its counters are is unknown.
//! * An entry that is new on a known node counts whole: it was not there before.
//! * When one of an entry's four counters fell, all four were reset and count from zero. A flow that is installed again
//!   starts with all of them at zero; those that are above their old value again got there by new traffic. What flowed
//!   between the last scrape and the reset is lost, and a reset that all four have made up for is not seen.
//! * An entry that vanishes is remembered. If it comes back, the two rules above hold against what it was: it goes on,
//!   or was reset. An entry absent for [`FORGET_AFTER`] is forgotten, and would be new; of more than [`MAX_ABSENT`] the
//!   oldest are forgotten before.
//! * An endpoint that was rejected is unread, not absent: its entries are neither changed nor forgotten for age. One
//!   that was rejected in the first scrape has its own first scrape when it is read.
//! * A scrape that is not later than the one before gives nothing and changes nothing.

mod saved;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

pub use self::saved::CountersError;
use crate::decode::is_address;
use crate::merge::own;
use crate::stats::{Counters, ServiceStats};
use crate::tree::{Row, Tree};

/// How long an entry is remembered that is no longer there: an hour, in microseconds.
pub const FORGET_AFTER: u64 = 3_600_000_000;

/// How many entries of a node are remembered that are no longer there. Those that are there come on top; they are
/// bounded by what is decoded.
pub const MAX_ABSENT: usize = 100_000;

/// What flowed between an endpoint and a provider of a service since the scrape before, by one entry.
///
/// At least one of the counters is not zero. Two of the same addresses may come of one scrape, as an endpoint's own
/// entry is apart from its provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Increase<'a> {
    /// The endpoint, a container of the node that was asked.
    pub endpoint_ip: &'a str,
    /// The service's virtual address.
    pub service_ip: &'a str,
    /// The provider behind the service, or the service's address for what cannot be told apart by provider.
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

/// What the counters of one node were. The default is that of a node never seen.
///
/// About 60 bytes an entry, and fewer when [saved](Self::save).
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
    /// When the node was last scraped; `None` before the first time.
    last: Option<u64>,
    /// Endpoints that were rejected in the first scrape and not read since, sorted.
    unread: Vec<Box<str>>,
    entries: Tree<Remembered>,
}

/// An entry as it was last seen, which is at most `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    counters: Counters,
    seen: u64,
}

/// For how long and how many absent entries are remembered.
#[derive(Debug, Clone, Copy)]
struct Memory {
    forget_after: u64,
    max_absent: usize,
}

impl NodeCounters {
    /// Takes a scrape at `at`, in microseconds, and gives every increase to `each`, in the order of endpoint, service
    /// and entry. `at` must rise from scrape to scrape: one that does not is passed over.
    pub fn observe(&mut self, at: u64, stats: &ServiceStats, each: impl FnMut(Increase<'_>)) {
        self.observe_within(Memory { forget_after: FORGET_AFTER, max_absent: MAX_ABSENT }, at, stats, each);
    }

    /// When the node was last scraped, in microseconds; `None` before the first time.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// How many entries are known, there or absent.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.entries.entry_count()
    }

    /// About how many bytes this takes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes() + self.unread.iter().map(|ip| size_of::<Box<str>>() + ip.len()).sum::<usize>()
    }

    fn observe_within(&mut self, memory: Memory, at: u64, stats: &ServiceStats, mut each: impl FnMut(Increase<'_>)) {
        if self.last.is_some_and(|last| at <= last) {
            return;
        }
        let rejected = rejected(stats);
        let mut next = self.entries.same_size();
        let mut absent = 0;
        let pairs = Joined { old: self.entries.rows().peekable(), new: stats.tree.rows().peekable() };
        for pair in pairs {
            match pair {
                (Some(old), None) => {
                    let is_unread = rejected.binary_search(&old.service.endpoint_ip).is_ok();
                    if is_unread || at.saturating_sub(old.value.seen) < memory.forget_after {
                        absent += 1;
                        next.push_row(&old, *old.value);
                    }
                }
                (old, Some(new)) => {
                    let before = old.map(|old| old.value.counters);
                    let from = before.unwrap_or_default();
                    if before.is_some() || self.counts_whole(new.service.endpoint_ip) {
                        increase(&new, from).into_iter().for_each(&mut each);
                    }
                    next.push_row(&new, Remembered { counters: *new.value, seen: at });
                }
                (None, None) => {}
            }
        }
        self.entries = next;
        if absent > memory.max_absent {
            self.entries = without_oldest(&self.entries, absent - memory.max_absent);
        }
        self.remember_unread(stats, &rejected);
        self.last = Some(at);
    }

    /// Whether an entry of this endpoint that was not there before is new.
    fn counts_whole(&self, endpoint_ip: &str) -> bool {
        self.last.is_some() && self.unread.binary_search_by(|ip| (**ip).cmp(endpoint_ip)).is_err()
    }

    fn remember_unread(&mut self, stats: &ServiceStats, rejected: &[&str]) {
        if self.last.is_none() {
            self.unread = rejected.iter().filter(|ip| is_address(ip)).map(|&ip| ip.into()).collect();
        }
        self.unread.retain(|ip| stats.tree.endpoint(ip).is_none());
    }
}

/// The names of the endpoints that were rejected, sorted, each once.
fn rejected(stats: &ServiceStats) -> Vec<&str> {
    let mut names: Vec<_> = stats.rejected.iter().map(|rejected| &*rejected.endpoint).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What flowed by an entry since its counters were `before`; `None` when nothing did.
fn increase<'a>(row: &Row<'a, Counters>, before: Counters) -> Option<Increase<'a>> {
    let counters = *row.value;
    let Counters { bytes_in, bytes_out, packets_in, packets_out } = counters.minus(before).unwrap_or(counters);
    if [bytes_in, bytes_out, packets_in, packets_out] == [0; 4] {
        return None;
    }
    let (endpoint_ip, service_ip) = (row.service.endpoint_ip, row.service.ip);
    let own = if row.ip == endpoint_ip { own(row.service) } else { None };
    let provider_ip = own.map_or(row.ip, |own| own.provider_ip);
    Some(Increase { endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out })
}

/// The rows of both sides in one order, those of the same addresses together.
struct Joined<O: Iterator, N: Iterator> {
    old: std::iter::Peekable<O>,
    new: std::iter::Peekable<N>,
}

impl<'o, 'n, O, N> Iterator for Joined<O, N>
where
    O: Iterator<Item = Row<'o, Remembered>>,
    N: Iterator<Item = Row<'n, Counters>>,
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

/// The entries without the `count` oldest, which are absent ones; of the same age the first go first.
fn without_oldest(entries: &Tree<Remembered>, count: usize) -> Tree<Remembered> {
    let mut ages: Vec<_> = entries.rows().enumerate().map(|(index, row)| (row.value.seen, index)).collect();
    ages.sort_unstable();
    ages.truncate(count);
    let mut forgotten: Vec<_> = ages.into_iter().map(|(_, index)| index).collect();
    forgotten.sort_unstable();
    let mut kept = Tree::default();
    for (index, row) in entries.rows().enumerate() {
        if forgotten.binary_search(&index).is_err() {
            kept.push_row(&row, *row.value);
        }
    }
    kept
}
