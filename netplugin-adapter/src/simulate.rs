//! A model of a Contiv cluster: what its Netplugins, its Netmaster and its etcd would answer, and what is true.
//!
//! It is the cluster that the seed's `serviceInit.sh` set up, as large as asked for: services with selectors, providers
//! with the labels for them, and clients that talk to several services through several providers. Time goes in
//! [`Cluster::advance`]s, and all chance comes from one seed: the same settings give the same bytes.
//!
//! Everything that makes scraping hard happens at times: flows that are installed later than others, flows that are
//! installed again (one entry falls to 0 and goes on), nodes that restart (all their entries fall), nodes that are away
//! for a while and come back as restarted, and a service whose traffic is a multiple of the usual.
//!
//! # The truth
//!
//! [`Cluster::points`] is the merge by its rule, computed from the model and not from what is rendered, and
//! [`Cluster::sent`] counts every byte ever, whatever was reset since. An entry that was reset stands at 0 for one
//! tick. So whoever scrapes every tick sees every fall, and the sum of the increases it sees is exactly the growth of
//! the totals since its first scrape.

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
    /// The cluster at tick 0, with traffic already.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let layout = Layout::new(&settings);
        let traffic = Traffic::new(&settings, &layout);
        Self { settings, layout, traffic }
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many ticks have gone by.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.traffic.tick()
    }

    /// Goes on by one tick.
    pub fn advance(&mut self) {
        self.traffic.advance(&self.settings, &self.layout);
    }

    /// The addresses of all nodes, present or not. What other methods call `node` is the place in this.
    pub fn nodes(&self) -> impl Iterator<Item = Ipv4Addr> {
        (0..self.layout.nodes).map(|node| self.layout.node_ip(node))
    }

    /// Whether a node is there. One that is away is not in etcd, answers nothing, and its clients are silent.
    #[must_use]
    pub fn is_present(&self, node: usize) -> bool {
        self.traffic.is_present(node)
    }

    /// The virtual addresses of the services.
    pub fn service_ips(&self) -> impl Iterator<Item = String> {
        self.layout.services.iter().map(|service| service.ip.clone())
    }
}
