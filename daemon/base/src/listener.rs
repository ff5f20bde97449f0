//! HTTP servers with bounded connections, each of which has timeouts.
//!
//! | what a client does | outcome |
//! |---|---|
//! | sends no complete head of its first request within [`Limits::header_timeout`] | the connection is closed |
//! | sends no complete head of a further request within [`Limits::idle_timeout`] | the connection is closed |
//! | completes no TLS handshake within [`Limits::header_timeout`] | the connection is closed |
//! | reads less than [`MIN_PROGRESS`] bytes of a response within [`STALLED`] | the connection is closed |
//! | sends a body that is not needed any more | up to [`LINGER_BYTES`] are dropped within [`LINGER`] before the end |
//! | connects while all connections are in use | one that waits for its client is closed; without one, the new one waits |
//! | connects while its own share is in use | one of its own that waits is closed; without one, the new one gets 429 |
//!
//! A client is an IPv4 address, or the network of 64 bits of an IPv6 address; all clients of a Unix socket are 127.0.0.1.
//! What is closed is counted by [reason](Closed). The client that gets 429 may still send its request: that is read and
//! dropped as the rest of a body. One that expects TLS gets no response.
//!
//! A connection waits for its client while it has no request, or not the whole body of one; once the response to a
//! request is sent, it waits for the next one. Those are closed first that have not sent a request yet, then those
//! between requests, then those without a whole body, each by age. Until the connections of a client have room for a
//! new one, it waits in a [queue], which holds up no other client. How long a body may take is the handlers' concern.
//! `axum::serve` has no such limits: idle connections took all file descriptors of the process, and the log failed.

mod accept;
mod connection;
mod open;
mod progress;
mod queue;
mod requests;
mod socket;
mod tls;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use self::accept::{Accepted, Acceptor};
pub use self::socket::{Socket, SocketFile};
pub use self::tls::{ServerTls, TlsFiles, reload_on_change};
use crate::open_files;

/// The time in which a client that is behind reads [`MIN_PROGRESS`] bytes. The kernel's buffers alone can take a slow
/// client half a minute.
pub const STALLED: Duration = Duration::from_secs(60);

/// What a client reads at least in [`STALLED`].
pub const MIN_PROGRESS: usize = 64 * 1024;

/// How long the rest of a body is read after a response that does not need it.
const LINGER: Duration = Duration::from_secs(2);

/// How much of the rest of a body is read after such a response.
const LINGER_BYTES: usize = 64 << 20;

/// How long the rest of a request may take after the stop has begun.
pub const READING_AFTER_STOP: Duration = Duration::from_secs(1);

/// The time for the rest of such a body once the stop has begun.
const LINGER_AFTER_STOP: Duration = Duration::from_millis(500);

/// The client of a request, which is one of its extensions: its IPv4 address, or the network of 64 bits of its IPv6
/// address, all of whose addresses a single machine may use.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Client(pub IpAddr);

impl Client {
    /// The client that connects from an address.
    pub fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            address => Self(address),
        }
    }
}

/// Why a server closed a connection by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closed {
    /// It waited for its client, and another connection had come.
    ForAnother,
    /// Its TLS handshake failed: it has no certificate that counts, does not trust the server's, or speaks no TLS.
    Handshake,
    /// Its TLS handshake, or the head of its first request, was not complete in time.
    HeaderTimeout,
    /// The head of a further request was not complete in time.
    IdleTimeout,
    /// The client did not read a response.
    NotRead,
    /// It got 429: its client had all connections that it may have.
    Refused,
}

impl Closed {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::ForAnother, Self::Handshake, Self::HeaderTimeout, Self::IdleTimeout, Self::NotRead, Self::Refused];

    /// The reason as a label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ForAnother => "for_another",
            Self::Handshake => "tls_handshake",
            Self::HeaderTimeout => "header_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::NotRead => "not_read",
            Self::Refused => "refused",
        }
    }
}

/// The number of connections that servers refused or closed by themselves, by reason.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<[AtomicU64; Closed::ALL.len()]>);

impl Refusals {
    /// Returns the number since the start.
    pub fn count(&self, reason: Closed) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    fn add(&self, reason: Closed) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until `stopping` is true and nothing more is read.
///
/// A handler that reads a body gives up then.
pub async fn end_of_reading(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender was dropped, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
    sleep(READING_AFTER_STOP).await;
}

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections at a time, at least 1.
    pub connections: usize,
    /// The most connections of one client address, at least 1.
    pub per_client: usize,
    /// The time for the head of the first request of a connection.
    pub header_timeout: Duration,
    /// The time for the head of each further request.
    pub idle_timeout: Duration,
}

impl Limits {
    /// These limits for each of so many servers, within the process's limit of open files. One client has three quarters
    /// of the connections at most.
    #[must_use]
    pub fn within_open_files(self, servers: usize) -> Self {
        let connections = open_files::connections(self.connections, servers);
        let per_client = self.per_client.min(connections - connections / 4);
        if connections < self.connections {
            let wanted = self.connections;
            warn!(
                wanted,
                connections,
                "The limit of open files allows fewer connections than http.max_connections. Raise LimitNOFILE of the \
                 service, or ulimit -n."
            );
        }
        Self { connections, per_client, ..self }
    }
}

/// Serves until `stopping` is true, then finishes the requests in flight. Counts the connections that it closes by
/// itself in `refusals`.
pub async fn serve(
    socket: impl Into<Socket>,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    limits: Limits,
    refusals: Refusals,
    stopping: watch::Receiver<bool>,
) {
    let mut acceptor = Acceptor::new(socket.into(), tls.is_some(), limits, refusals.clone());
    let mut stop = stopping.clone();
    loop {
        let Accepted { stream, requests, permit } = tokio::select! {
            accepted = acceptor.next() => accepted,
            // An error means that the sender was dropped, which stops the server, too.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (tls, router, stopping, refusals) = (tls.clone(), router.clone(), stopping.clone(), refusals.clone());
        tokio::spawn(async move {
            let _held = permit;
            if let Some(reason) = connection::serve(stream, tls.as_deref(), router, limits, requests, stopping).await {
                refusals.add(reason);
            }
        });
    }
    acceptor.finish().await;
}

#[cfg(test)]
mod tests;
