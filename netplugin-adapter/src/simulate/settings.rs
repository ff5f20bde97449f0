//! How large the cluster is and what goes wrong in it.

use std::net::Ipv4Addr;

/// What a [`Cluster`](super::Cluster) is made from. The default is a small one in which everything happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Decides all that is left to chance. Default 7.
    pub seed: u64,
    /// Nodes, at least 1 and at most 65 536. Default 3.
    pub nodes: usize,
    /// The address of the first node; the others follow it. Default 192.168.2.10.
    pub first_node: Ipv4Addr,
    /// Services, at least 1 and at most 65 536. Default 3.
    pub services: usize,
    /// Providers of each service, at least 1 and at most 1 000. Default 4.
    pub providers: usize,
    /// Clients in all, at most 1 000 000; spread over the nodes evenly. Default 12.
    pub endpoints: usize,
    /// Services that a client talks to, each through one or two providers. Default 2, never more than there are.
    pub services_per_endpoint: usize,
    /// The form of a node's answer. Default [`Shape::Map`].
    pub shape: Shape,
    /// One entry in so many is installed again in a tick; 0 is never. Default 200.
    pub reinstall_one_in: u64,
    /// One node in so many restarts in a tick; 0 is never. Default 100.
    pub restart_one_in: u64,
    /// One node in so many goes away in a tick, never the last one; 0 is never. Default 150.
    pub leave_one_in: u64,
    /// The service that gets too much traffic for a while. Default the first, from tick 13 on.
    pub anomaly: Option<Anomaly>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 7,
            nodes: 3,
            first_node: Ipv4Addr::new(192, 168, 2, 10),
            services: 3,
            providers: 4,
            endpoints: 12,
            services_per_endpoint: 2,
            shape: Shape::Map,
            reinstall_one_in: 200,
            restart_one_in: 100,
            leave_one_in: 150,
            anomaly: Some(Anomaly::default()),
        }
    }
}

/// A service whose traffic is a multiple of the usual, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// Which service, from 0. Default 0.
    pub service: usize,
    /// Ticks before it: in each turn, and before the first. Default 13.
    pub calm: u64,
    /// Ticks that it lasts. Default 3.
    pub ticks: u64,
    /// How many times the usual traffic it is, at most 1 000. Default 8.
    pub factor: u64,
}

impl Default for Anomaly {
    fn default() -> Self {
        Self { service: 0, calm: 13, ticks: 3, factor: 8 }
    }
}

impl Anomaly {
    /// Whether it is on at `tick`.
    #[must_use]
    pub fn is_on(&self, tick: u64) -> bool {
        tick % self.calm.saturating_add(self.ticks).max(1) >= self.calm
    }
}

/// Netplugin's two forms of `/svcstats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A list of endpoints, up to the middle of 2016.
    List,
    /// A map from address to endpoint, since then.
    Map,
}
