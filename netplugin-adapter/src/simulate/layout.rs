//! The constant part of a cluster: nodes, services, providers and clients with their addresses and flows.
//!
//! The networks are those of Contiv's demo: services in 100.1.0.0/16, providers in 10.0.0.0/8, clients in 11.0.0.0/8.

use std::net::Ipv4Addr;

use super::random::Random;
use super::settings::Settings;

/// One flow in so many is installed late.
const LATE_ONE_IN: u64 = 8;
/// The latest tick at which a late flow is installed.
const LATE_TICKS: u64 = 32;

#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) nodes: usize,
    first_node: Ipv4Addr,
    pub(super) services: Vec<Service>,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) tenant: &'static str,
    pub(super) name: String,
    pub(super) ip: String,
    /// The value of the label `tier` of its providers.
    pub(super) tier: String,
    pub(super) providers: Vec<Provider>,
}

#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) ip: String,
    pub(super) node: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) ip: String,
    pub(super) uses: Vec<Use>,
}

/// A client's flows to one service: an entry under its own address and one for each provider.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) service: usize,
    /// The indexes of the providers in the service, each with the first tick of its entry.
    pub(super) providers: Vec<(usize, u64)>,
}

impl Layout {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut random = Random::new(settings.seed);
        let nodes = settings.nodes.clamp(1, 65_536);
        let services = services(settings, nodes, &mut random);
        let endpoints = (0..settings.endpoints.min(1_000_000))
            .map(|number| Endpoint {
                ip: after(Ipv4Addr::new(11, 1, 1, 2), number).to_string(),
                uses: uses(settings, &services, &mut random),
            })
            .collect();
        Self { nodes, first_node: settings.first_node, services, endpoints }
    }

    pub(super) fn node_ip(&self, node: usize) -> Ipv4Addr {
        after(self.first_node, node)
    }

    /// Returns a node's clients with their indexes. The clients are distributed over the nodes round robin.
    pub(super) fn endpoints_of(&self, node: usize) -> impl Iterator<Item = (usize, &Endpoint)> {
        self.endpoints.iter().enumerate().skip(node).step_by(self.nodes)
    }
}

fn services(settings: &Settings, nodes: usize, random: &mut Random) -> Vec<Service> {
    let providers = settings.providers.clamp(1, 1_000);
    let mut service = |number: usize| {
        let (name, tier) = match number {
            0 => ("app-svc".to_owned(), "web".to_owned()),
            1 => ("app-db".to_owned(), "db".to_owned()),
            _ => (format!("svc-{number}"), format!("tier-{number}")),
        };
        let provider = |index: usize| Provider {
            ip: after(Ipv4Addr::new(10, 1, 1, 1), number * providers + index).to_string(),
            node: usize::try_from(random.below(nodes as u64)).unwrap_or_default(),
        };
        let ip = after(Ipv4Addr::new(100, 1, 1, 3), number).to_string();
        Service { tenant: "default", name, ip, tier, providers: (0..providers).map(provider).collect() }
    };
    (0..settings.services.clamp(1, 65_536)).map(&mut service).collect()
}

fn uses(settings: &Settings, services: &[Service], random: &mut Random) -> Vec<Use> {
    let first = index(random, services.len());
    let count = settings.services_per_endpoint.min(services.len());
    let mut one = |number: usize| {
        let service = (first + number) % services.len();
        let providers = services[service].providers.len();
        let (first, count) = (index(random, providers), 1 + index(random, 2).min(providers - 1));
        let providers = (0..count).map(|number| {
            let late = if random.once_in(LATE_ONE_IN) { 1 + random.below(LATE_TICKS) } else { 0 };
            ((first + number) % providers, late)
        });
        Use { service, providers: providers.collect() }
    };
    (0..count).map(&mut one).collect()
}

fn index(random: &mut Random, count: usize) -> usize {
    usize::try_from(random.below(count as u64)).unwrap_or_default()
}

/// Returns the address at this offset from `first`.
fn after(first: Ipv4Addr, offset: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits().wrapping_add(u32::try_from(offset).unwrap_or(u32::MAX)))
}
