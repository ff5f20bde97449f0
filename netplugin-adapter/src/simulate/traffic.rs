//! What changes from tick to tick: counters, and which nodes are there.
//!
//! The entries of a client's use of a service stand one after the other: its own first, then one for each provider, as
//! the layout lists them.

use super::layout::{Endpoint, Layout, Use};
use super::random::Random;
use super::settings::Settings;
use super::truth::Counts;

/// The most packets of an entry in a tick, and the smallest and largest packet.
const MAX_PACKETS: u64 = 40;
const SMALLEST_PACKET: u64 = 60;
const LARGEST_PACKET: u64 = 1500;
/// How many ticks a node is away at the longest.
const LONGEST_ABSENCE: u64 = 12;

#[derive(Debug, Clone)]
pub(super) struct Traffic {
    random: Random,
    tick: u64,
    /// For each node the tick at which it is there again; in the past if it is there.
    back_at: Vec<u64>,
    entries: Vec<Counts>,
    /// For each client where its entries begin.
    starts: Vec<usize>,
    /// For each service all that ever went.
    pub(super) sent: Vec<Counts>,
}

impl Traffic {
    /// Traffic that has just begun.
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
        // Nothing is reset in the first tick: there is nothing yet.
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
            let was_away = self.back_at[node] > 0 && self.back_at[node] == self.tick;
            if self.back_at[node] > self.tick {
                continue;
            }
            if present > 1 && self.random.once_in(settings.leave_one_in) {
                self.back_at[node] = self.tick + 1 + self.random.below(LONGEST_ABSENCE);
                present -= 1;
                continue;
            }
            let restarts = was_away || self.random.once_in(settings.restart_one_in);
            self.flow(settings, layout, node, restarts);
        }
    }

    /// A client's uses of services, each with its entries: its own, then those of its providers.
    pub(super) fn uses<'a>(
        &'a self,
        place: usize,
        endpoint: &'a Endpoint,
    ) -> impl Iterator<Item = (&'a Use, &'a [Counts])> {
        let mut start = self.starts[place];
        endpoint.uses.iter().map(move |one| {
            let entries = &self.entries[start..start + one.entries()];
            start += one.entries();
            (one, entries)
        })
    }

    /// One node's entries go on, or fall to 0.
    fn flow(&mut self, settings: &Settings, layout: &Layout, node: usize, restarts: bool) {
        let anomaly = settings.anomaly.filter(|anomaly| anomaly.is_on(self.tick));
        for (place, endpoint) in layout.endpoints_of(node) {
            let mut entry = self.starts[place];
            for one in &endpoint.uses {
                let troubled = anomaly.filter(|anomaly| anomaly.service == one.service);
                let factor = troubled.map_or(1, |anomaly| anomaly.factor.min(1_000));
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
    /// The client's own and one for each provider.
    fn entries(&self) -> usize {
        1 + self.providers.len()
    }
}

/// What an entry counts in a tick: what was sent under the client's own address, what was received under a provider's.
fn growth(random: &mut Random, own: bool, factor: u64) -> Counts {
    let packets = (1 + random.below(MAX_PACKETS)) * factor;
    let bytes = packets * (SMALLEST_PACKET + random.below(LARGEST_PACKET - SMALLEST_PACKET));
    if own {
        Counts { bytes_out: bytes, packets_out: packets, ..Counts::default() }
    } else {
        Counts { bytes_in: bytes, packets_in: packets, ..Counts::default() }
    }
}
