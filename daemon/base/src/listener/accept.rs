//! The acceptance of connections: which are served, queued and refused.

use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::open::Open;
use super::queue::{Dequeued, Queue};
use super::requests::Requests;
use super::socket::{Socket, Stream};
use super::{Client, Closed, LINGER, LINGER_BYTES, Limits, Refusals};

/// The pause after an error of the listener, such as a lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The most connections that were refused and whose clients may still send.
const LINGERING: usize = 32;

/// The wait for a closed connection to end, before another one is closed.
pub(super) const CLOSE_NEXT: Duration = Duration::from_millis(50);

/// A connection to serve.
pub(super) struct Accepted {
    pub(super) stream: Stream,
    /// Its requests, with its entry in the count of its client.
    pub(super) requests: Arc<Requests>,
    /// What it holds to its end.
    pub(super) permit: OwnedSemaphorePermit,
}

/// A listener with its connections.
pub(super) struct Acceptor {
    socket: Socket,
    /// Whether clients expect TLS, so that a refusal has no text for them.
    has_tls: bool,
    permits: Arc<Semaphore>,
    open: Arc<Open>,
    queue: Queue,
    limits: Limits,
    refusals: Refusals,
    /// For the connections that were refused and whose clients may still send.
    lingering: Arc<Semaphore>,
}

impl Acceptor {
    pub(super) fn new(socket: Socket, has_tls: bool, limits: Limits, refusals: Refusals) -> Self {
        let permits = Arc::new(Semaphore::new(limits.connections));
        let lingering = Arc::new(Semaphore::new(LINGERING.min(limits.connections)));
        let queue = Queue::new(limits.connections);
        Self { socket, has_tls, permits, open: Arc::default(), queue, limits, refusals, lingering }
    }

    /// The next connection.
    pub(super) async fn next(&mut self) -> Accepted {
        loop {
            // First the connection, then the permit: connections are closed only if another one has come.
            if let Some((stream, client)) = self.admit() {
                let counted = Open::add(&self.open, client);
                let permit = self.permit().await;
                return Accepted { stream, requests: Requests::new(counted), permit };
            }
            let retry = self.queue.retry();
            tokio::select! {
                accepted = self.socket.accept() => self.accepted(accepted).await,
                () = self.open.freed(), if retry.is_some() => {}
                () = async { if let Some(retry) = retry { sleep_until(retry).await } }, if retry.is_some() => {}
            }
        }
    }

    /// Ends once no connection is left. Those in the queue are closed.
    pub(super) async fn finish(self) {
        let Self { socket, permits, limits, queue, .. } = self;
        drop((socket, queue));
        // All permits: no connection is left. The semaphore is never closed.
        let _ = permits.acquire_many(u32::try_from(limits.connections).unwrap_or(u32::MAX)).await;
    }

    async fn accepted(&mut self, accepted: Result<(Stream, IpAddr), Error>) {
        match accepted {
            Ok((stream, peer)) => self.queue.push(stream, Client::at(peer).0),
            Err(error) if is_of_one_connection(&error) => debug!(%error, "A connection ended before its start."),
            Err(error) => {
                warn!(%error, "No connection can be accepted; the server tries again each second.");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }

    /// The first queued connection whose client has room for it. Those that get none are refused.
    fn admit(&mut self) -> Option<(Stream, IpAddr)> {
        loop {
            match self.queue.dequeue(&self.open, self.limits.per_client)? {
                Dequeued::Admitted(stream, client) => return Some((stream, client)),
                Dequeued::Refused(stream, client) => self.refuse(stream, client),
            }
        }
    }

    /// Responds to a connection that is not served. A client whose buffer is full, or that expects TLS, gets no response.
    fn refuse(&self, stream: Stream, client: IpAddr) {
        self.refusals.add(Closed::Refused);
        warn!(
            %client,
            per_client = self.limits.per_client,
            "A client has all connections that it may have, with requests in flight; further ones get 429. Raise \
             http.max_connections_per_client for a proxy."
        );
        if self.has_tls {
            return;
        }
        let body = r#"{"error":"http.max_connections_per_client connections of this address are in use"}"#;
        let head =
            "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close";
        let _ = stream.try_write(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        // Beyond the limit the response may be lost: the connection is reset if the client has sent something.
        if let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned() {
            tokio::spawn(async move {
                let _held = permit;
                let _ = timeout(LINGER, drop_rest(stream)).await;
            });
        }
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

/// Ends the connection for writes, then reads and drops what the client sends.
async fn drop_rest(mut stream: Stream) -> Result<(), Error> {
    poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
    let (mut bytes, mut left) = (vec![0; 16 * 1024], LINGER_BYTES);
    while left > 0 {
        stream.readable().await?;
        match stream.try_read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => left = left.saturating_sub(read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_of_one_connection(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}
