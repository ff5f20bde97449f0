//! The size of a simulated cluster and its failures.

use std::net::Ipv4Addr;

/// The settings of a [`Cluster`](super::Cluster). The default is a small cluster in which every event occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The seed of all randomness. Default 7.
    pub seed: u64,
    /// Number of nodes, at least 1 and at most 65 536. Default 3.
    pub nodes: usize,
    /// The address of the first node; the others follow it. Default 192.168.2.10.
    pub first_node: Ipv4Addr,
    /// Number of services, at least 1 and at most 65 536. Default 3.
    pub services: usize,
    /// Providers of each service, at least 1 and at most 1 000. Default 4.
    pub providers: usize,
    /// Number of clients, at most 1 000 000, distributed evenly over the nodes. Default 12.
    pub endpoints: usize,
    /// Services that a client uses, each through one or two providers. Default 2, at most the number of services.
    pub services_per_endpoint: usize,
    /// The form of a node's answer. Default [`Shape::Map`].
    pub shape: Shape,
    /// One entry in so many is reinstalled in a tick; 0 for none. Default 200.
    pub reinstall_one_in: u64,
    /// One node in so many restarts in a tick; 0 for none. Default 100.
    pub restart_one_in: u64,
    /// One node in so many leaves in a tick, never the last one; 0 for none. Default 150.
    pub leave_one_in: u64,
    /// A service with periods of excess traffic. Default the first, from tick 13 on.
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

/// A periodic multiplication of one service's traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomaly {
    /// The index of the service, from 0. Default 0.
    pub service: usize,
    /// Ticks of usual traffic before each anomaly. Default 13.
    pub calm: u64,
    /// Ticks that the anomaly lasts. Default 3.
    pub ticks: u64,
    /// The factor of the traffic, at most 1 000. Default 8.
    pub factor: u64,
}

impl Default for Anomaly {
    fn default() -> Self {
        Self { service: 0, calm: 13, ticks: 3, factor: 8 }
    }
}

impl Anomaly {
    /// Returns whether the anomaly is active at `tick`.
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
