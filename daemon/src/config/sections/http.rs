//! The section `[http]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::duration;
use daemon_sources::timestamp::TimeUnit;
use serde::Deserialize;

use super::listener::{self, FileMode, ListenAddress, ListenerConfig, Role};

/// `[http]` configures the server for samples, UVEs, results, health and metrics.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// The address and port to listen on, with all roles and without TLS; `"none"` if only `listeners` count. Default
    /// `"127.0.0.1:8081"`: this machine only. Another address needs `tokens_file`, or `insecure`. Port 0 binds any free
    /// port.
    #[serde(deserialize_with = "listener::listen")]
    pub listen: Option<SocketAddr>,
    /// Further listeners, each with its address, roles and certificate. By default none.
    pub listeners: Vec<ListenerConfig>,
    /// A file with the tokens of clients, which `derived-statsd token` makes: each request but the probes then needs one.
    /// It is read again when it changes. By default none.
    pub tokens_file: Option<PathBuf>,
    /// Whether to listen on an address of the network without tokens. Default `false`. Set it behind a proxy with
    /// authentication, or in a container whose port is published on this machine only.
    pub insecure: bool,
    /// The largest request body in bytes, as received and as decoded; a larger one gets status 413. Default 16 MiB,
    /// from 1 to 1 GiB. Raise it for producers that send larger batches.
    pub max_body_bytes: usize,
    /// The maximum number of concurrent requests with samples whose bodies are complete; further ones get status 429.
    /// Default 64, from 1 to 1,024: each has a thread while it waits for the log. Together with `max_body_bytes` it
    /// bounds the memory of requests: the product of both, and a quarter of it (at least four bodies) for incomplete
    /// ones.
    pub max_in_flight: usize,
    /// The unit of the timestamps of posted samples: `"s"`, `"ms"`, `"us"`, `"ns"`, or `"rfc3339"` for texts. Default
    /// `"us"`, microseconds. Set it for producers that send another unit.
    pub time_unit: TimeUnit,
    /// The maximum number of lists of UVEs that are read at once, of which one client address has half (at least one);
    /// further ones wait for a second and then get status 429. Default 8, from 1 to 1,024. Raise it where many slow
    /// clients read long lists, or all come through one proxy; each takes some 100 KiB.
    pub max_readers: usize,
    /// The maximum number of event streams, of which one client address has half (at least one); further ones get
    /// status 429. Default 64, from 1 to 1,024.
    pub max_streams: usize,
    /// The maximum number of requests a second of one client address, of which it may send five seconds' at once; further
    /// ones get status 429. Default 0, no limit; up to 1,000,000. The probes are not counted. Set it where clients are not
    /// trusted to behave, above what a proxy sends for all its clients.
    pub max_requests_per_second: u32,
    /// The maximum number of connections of each listener; beyond it, those that wait for a request or a body are closed for new ones.
    /// Default 1,024, from 8 to 65,536, but at most a quarter of the limit of open files. It also holds for
    /// `contiv.listen`, as the next three.
    pub max_connections: usize,
    /// The maximum number of connections of one client address. Default 256, from 1 to 65,536, but at most three
    /// quarters of `max_connections`. Raise it where all clients come through one proxy.
    pub max_connections_per_client: usize,
    /// The time for the head of the first request of a connection. Default `"10s"`, from `"100ms"` to `"10m"`, but at
    /// most `idle_timeout`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub header_timeout: Duration,
    /// The time that a connection may have no request, and for the head of each further request. Default `"75s"`, from
    /// `"1s"` to `"1d"`. Keep it above the intervals at which producers send.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_timeout: Duration,
    /// The time for the whole body of a request with samples; a slower one gets status 408. Default `"60s"`, from
    /// `"1s"` to `"1h"`. Raise it for large batches over slow lines.
    #[serde(deserialize_with = "duration::deserialize")]
    pub body_timeout: Duration,
}

impl Http {
    /// All listeners: that of `listen` first, if there is one.
    pub(crate) fn all_listeners(&self) -> impl Iterator<Item = ListenerConfig> + '_ {
        let plain = |address| ListenerConfig {
            address: ListenAddress::Tcp(address),
            roles: Role::all(),
            tls: None,
            mode: FileMode::default(),
        };
        self.listen.map(plain).into_iter().chain(self.listeners.iter().cloned())
    }

    /// The key of a listener of [`all_listeners`](Self::all_listeners), by its index.
    pub(crate) fn listener_key(&self, index: usize) -> &'static str {
        if index == 0 && self.listen.is_some() { "http.listen" } else { "http.listeners" }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8081))),
            listeners: Vec::new(),
            tokens_file: None,
            insecure: false,
            max_body_bytes: 16 * 1024 * 1024,
            max_in_flight: 64,
            time_unit: TimeUnit::default(),
            max_readers: 8,
            max_streams: 64,
            max_requests_per_second: 0,
            max_connections: 1024,
            max_connections_per_client: 256,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
        }
    }
}
