//! The part of a cluster that changes with each tick: counters, and the presence of nodes.
//!
//! The entries of a client's use of a service are adjacent: its own first, then one for each provider, in the order of
//! the layout.

use super::layout::{Endpoint, Layout, Use};
use super::random::Random;
use super::settings::Settings;
use super::truth::Counts;

/// The largest number of packets of an entry in a tick.
const MAX_PACKETS: u64 = 40;
/// The smallest and the largest packet, in bytes.
const SMALLEST_PACKET: u64 = 60;
const LARGEST_PACKET: u64 = 1500;
/// The longest absence of a node, in ticks.
const LONGEST_ABSENCE: u64 = 12;

#[derive(Debug, Clone)]
pub(super) struct Traffic {
    random: Random,
    tick: u64,
    /// For each node the tick of its return; in the past for a present node.
    back_at: Vec<u64>,
    entries: Vec<Counts>,
    /// For each client the index of its first entry.
    starts: Vec<usize>,
    /// For each service its total traffic.
    pub(super) sent: Vec<Counts>,
}

impl Traffic {
    /// Creates the traffic at tick 0.
    pub(super) fn new(settings: &Settings, layout: &Layout) -> Self {
        let mut starts = Vec::with_capacity(layout.endpoints.len());
        let mut entries = 0;
        for endpoint in &layout.endpoints {
            starts.push(entries);
            entries += endpoint.uses.iter().map(Use::entries).sum::<usize>();
        }
        let mut traffic = Self {
            random: Random::new(!settings.seed),
            tick: 0,
            back_at: vec![0; layout.nodes],
            entries: vec![Counts::default(); entries],
            starts,
            sent: vec![Counts::default(); layout.services.len()],
        };
        // There is nothing to reset in the first tick.
        let calm = Settings { reinstall_one_in: 0, ..settings.clone() };
        (0..layout.nodes).for_each(|node| traffic.flow(&calm, layout, node, false));
        traffic
    }

    pub(super) fn tick(&self) -> u64 {
        self.tick
    }

    pub(super) fn is_present(&self, node: usize) -> bool {
        self.back_at.get(node).is_some_and(|&back_at| back_at <= self.tick)
    }

    pub(super) fn advance(&mut self, settings: &Settings, layout: &Layout) {
        self.tick += 1;
        let mut present = (0..layout.nodes).filter(|&node| self.is_present(node)).count();
        for node in 0..layout.nodes {
            let returns = self.back_at[node] > 0 && self.back_at[node] == self.tick;
            if self.back_at[node] > self.tick {
                continue;
            }
            if present > 1 && self.random.once_in(settings.leave_one_in) {
                self.back_at[node] = self.tick + 1 + self.random.below(LONGEST_ABSENCE);
                present -= 1;
                continue;
            }
            let restarts = returns || self.random.once_in(settings.restart_one_in);
            self.flow(settings, layout, node, restarts);
        }
    }

    /// Returns a client's uses of services, each with its entries: its own, then those of its providers.
    pub(super) fn uses<'a>(
        &'a self,
        index: usize,
        endpoint: &'a Endpoint,
    ) -> impl Iterator<Item = (&'a Use, &'a [Counts])> {
        let mut start = self.starts[index];
        endpoint.uses.iter().map(move |one| {
            let entries = &self.entries[start..start + one.entries()];
            start += one.entries();
            (one, entries)
        })
    }

    /// Adds a tick of traffic to one node's entries, or resets them to 0.
    fn flow(&mut self, settings: &Settings, layout: &Layout, node: usize, restarts: bool) {
        let anomaly = settings.anomaly.filter(|anomaly| anomaly.is_on(self.tick));
        for (index, endpoint) in layout.endpoints_of(node) {
            let mut entry = self.starts[index];
            for one in &endpoint.uses {
                let anomalous = anomaly.filter(|anomaly| anomaly.service == one.service);
                let factor = anomalous.map_or(1, |anomaly| anomaly.factor.min(1_000));
                for number in 0..one.entries() {
                    let counts = &mut self.entries[entry];
                    entry += 1;
                    if restarts || self.random.once_in(settings.reinstall_one_in) {
                        *counts = Counts::default();
                    } else if number == 0 || one.providers[number - 1].1 <= self.tick {
                        let growth = growth(&mut self.random, number == 0, factor);
                        counts.add(growth);
                        self.sent[one.service].add(growth);
                    }
                }
            }
        }
    }
}

impl Use {
    /// Returns the number of entries: the client's own and one for each provider.
    fn entries(&self) -> usize {
        1 + self.providers.len()
    }
}

/// Returns the traffic of an entry in a tick: sent in the client's own entry, received in a provider's.
fn growth(random: &mut Random, own: bool, factor: u64) -> Counts {
    let packets = (1 + random.below(MAX_PACKETS)) * factor;
    let bytes = packets * (SMALLEST_PACKET + random.below(LARGEST_PACKET - SMALLEST_PACKET));
    if own {
        Counts { bytes_out: bytes, packets_out: packets, ..Counts::default() }
    } else {
        Counts { bytes_in: bytes, packets_in: packets, ..Counts::default() }
    }
}
