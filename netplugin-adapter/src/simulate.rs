//! A simulated Contiv cluster: the answers of its Netplugins, its Netmaster and its etcd, and the expected results.
//!
//! It is the cluster that Contiv's `serviceInit.sh` sets up, in a configurable size: services with selectors, providers
//! with matching labels, and clients with flows to several services through several providers. Each
//! [`Cluster::advance`] is one tick, and all randomness comes from one seed: the same settings give the same bytes.
//!
//! The simulation includes the difficult cases of scraping: flows that are installed later than others, reinstalled
//! flows (one entry falls to 0 and continues), nodes that restart (all their entries fall), nodes that are absent for
//! a while and restart, and a service with a multiple of its usual traffic.
//!
//! # Expected results
//!
//! [`Cluster::points`] is the merge, computed from the model and not from the rendered answers, and [`Cluster::sent`]
//! is the total traffic, regardless of resets. An entry that was reset is 0 for one tick. So a scrape at every tick
//! shows every reset, and the sum of the increases is exactly the growth of the totals since the first scrape.

mod answers;
mod layout;
mod random;
mod settings;
mod traffic;
mod truth;

use std::net::Ipv4Addr;

pub use self::settings::{Anomaly, Settings, Shape};
pub use self::truth::{Counts, TruePoint};

use self::layout::Layout;
use self::traffic::Traffic;

/// The cluster at one tick.
#[derive(Debug, Clone)]
pub struct Cluster {
    settings: Settings,
    layout: Layout,
    traffic: Traffic,
}

impl Cluster {
    /// Creates the cluster at tick 0, with the traffic of that tick.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let layout = Layout::new(&settings);
        let traffic = Traffic::new(&settings, &layout);
        Self { settings, layout, traffic }
    }

    /// Returns the settings of the cluster.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the number of ticks since the start.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.traffic.tick()
    }

    /// Advances by one tick.
    pub fn advance(&mut self) {
        self.traffic.advance(&self.settings, &self.layout);
    }

    /// Returns the addresses of all nodes, present or not. The argument `node` of other methods is an index into them.
    pub fn nodes(&self) -> impl Iterator<Item = Ipv4Addr> {
        (0..self.layout.nodes).map(|node| self.layout.node_ip(node))
    }

    /// Returns whether a node is present. An absent node is not in etcd and has no answer; its clients have no traffic.
    #[must_use]
    pub fn is_present(&self, node: usize) -> bool {
        self.traffic.is_present(node)
    }

    /// Returns the virtual addresses of the services.
    pub fn service_ips(&self) -> impl Iterator<Item = String> {
        self.layout.services.iter().map(|service| service.ip.clone())
    }
}
