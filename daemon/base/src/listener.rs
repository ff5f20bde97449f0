//! HTTP servers with bounded connections, each of which has timeouts.
//!
//! | what a client does | outcome |
//! |---|---|
//! | sends no complete head of its first request within [`Limits::header_timeout`] | the connection is closed |
//! | sends no complete head of a further request within [`Limits::idle_timeout`] | the connection is closed |
//! | reads less than [`MIN_PROGRESS`] bytes of a response within [`STALLED`] | the connection is closed |
//! | connects while all connections are in use | one that waits for its client is closed; without one, the new one waits |
//! | connects while its own share is in use | one of its own that waits is closed; without one, the new one gets 429 |
//!
//! A connection waits for its client while it has no request, or not the whole body of one. Those are closed first that
//! have not sent a request yet, then those between requests, then those without a whole body, each by age. How long a body
//! may take is the handlers' concern. `axum::serve` has no such limits: idle connections took all file descriptors of
//! the process, and the log failed.

mod connection;
mod open;
mod progress;
mod requests;

use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::open::{Closing, Counted, Open};
use crate::open_files;

/// The time in which a client that is behind reads [`MIN_PROGRESS`] bytes. The kernel's buffers alone can take a slow
/// client half a minute.
pub const STALLED: Duration = Duration::from_secs(60);

/// What a client reads at least in [`STALLED`].
pub const MIN_PROGRESS: usize = 64 * 1024;

/// The pause after an error of the listener, such as a lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The wait for a closed connection to end, before another one is closed.
const CLOSE_NEXT: Duration = Duration::from_millis(50);

/// How long the rest of a request may take after the stop has begun.
pub const READING_AFTER_STOP: Duration = Duration::from_secs(1);

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
    /// These limits within the process's limit of open files. One client has three quarters of the connections at most.
    #[must_use]
    pub fn within_open_files(self) -> Self {
        let connections = open_files::connections(self.connections);
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

/// Serves until `stopping` is true, then finishes the requests in flight.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stopping: watch::Receiver<bool>) {
    let acceptor =
        Acceptor { listener, permits: Arc::new(Semaphore::new(limits.connections)), open: Arc::default(), limits };
    let mut stop = stopping.clone();
    loop {
        let (stream, counted, permit) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            // An error means that the sender was dropped, which stops the server, too.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (router, stopping) = (router.clone(), stopping.clone());
        tokio::spawn(async move {
            let _held = permit;
            connection::serve(stream, router, limits, counted, stopping).await;
        });
    }
    let Acceptor { listener, permits, .. } = acceptor;
    drop(listener);
    // All permits: no connection is left. The semaphore is never closed.
    let _ = permits.acquire_many(u32::try_from(limits.connections).unwrap_or(u32::MAX)).await;
}

struct Acceptor {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    open: Arc<Open>,
    limits: Limits,
}

impl Acceptor {
    /// The next connection, with its entry in the count of its client and the permit that it holds to its end.
    async fn accept(&self) -> (TcpStream, Counted, OwnedSemaphorePermit) {
        loop {
            // First the connection, then the permit: connections are closed only if another one has come.
            match self.listener.accept().await {
                Ok((stream, peer)) => match self.count(peer.ip().to_canonical()).await {
                    Some(counted) => return (stream, counted, self.permit().await),
                    None => refuse(&stream),
                },
                Err(error) if is_of_one_connection(&error) => debug!(%error, "A connection ended before its start."),
                Err(error) => {
                    warn!(%error, "No connection can be accepted; the server tries again each second.");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Counts a connection of a client; `None` if the client has as many as it may have, none of which waits.
    async fn count(&self, client: IpAddr) -> Option<Counted> {
        let per_client = self.limits.per_client;
        while self.open.count(client) >= per_client {
            match self.open.close_waiting(Some(client)) {
                Closing::One => break,
                Closing::After(wait) => sleep(wait).await,
                Closing::NoneWaits => {
                    warn!(
                        %client, per_client,
                        "A client has all connections that it may have, with requests in flight; further ones get 429. \
                         Raise http.max_connections_per_client for a proxy."
                    );
                    return None;
                }
            }
        }
        Some(Open::add(&self.open, client))
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return permit;
            }
            warn!(
                connections = self.limits.connections,
                "All connections are in use; those that wait for their clients are closed for new ones. Raise \
                 http.max_connections."
            );
            self.open.close_waiting(None);
            if let Ok(Ok(permit)) = timeout(CLOSE_NEXT, Arc::clone(&self.permits).acquire_owned()).await {
                return permit;
            }
        }
    }
}

/// Responds to a connection that is not served. A client whose buffer is full gets no response.
fn refuse(stream: &TcpStream) {
    let body = r#"{"error":"http.max_connections_per_client connections of this address have requests in flight"}"#;
    let head =
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close";
    let _ = stream.try_write(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
}

fn is_of_one_connection(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests;
