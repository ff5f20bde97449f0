//! The bodies of requests: samples and posted queries.
//!
//! A body is read before its request takes a permit of `http.max_in_flight`, so that clients that send slowly, or not at
//! all, hold up no other client. Instead the space of all incomplete bodies is limited, of which a client has half at
//! most, and the time of each one.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use daemon_base::listener::Client;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::http::HttpSettings;
use crate::http::body::{Encoded, Refusal};
use crate::http::permits::{InUse, SharePermit, Shares};

/// The largest posted query: thousands of names, or a week of minutes as a series.
const MAX_QUERY_BYTES: usize = 256 * 1024;

/// The time for the whole body of a posted query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The share of `http.max_in_flight` bodies of the largest size that incomplete bodies may take.
const INCOMPLETE_SHARE: usize = 4;

/// The largest bodies that there is space for in any case.
const LEAST_BODIES: usize = 4;

/// What every body may have without a share of the space, so that large bodies which do not end leave room for small
/// ones: 64 KiB. `http.max_connections` bounds their sum.
const FREE_BYTES: usize = 64 * 1024;

/// The reader of bodies, and the space that they share.
pub(crate) struct Bodies {
    pub(super) samples: Bounds,
    pub(super) query: Bounds,
    pub(super) configuration: Bounds,
    pub(super) series: Bounds,
    /// A permit for each byte.
    space: Shares,
}

/// The bounds of one kind of body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The largest body, received and decoded.
    pub(super) bytes: usize,
    /// The time for the whole body.
    pub(super) time: Duration,
    /// What bounds the bytes, and the remedy.
    pub(super) large: &'static str,
    /// What bounds the time, and the remedy.
    pub(super) slow: &'static str,
}

impl Bodies {
    /// A reader with the space that the settings allow.
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let max_bytes = settings.max_body_bytes;
        let share = max_bytes.saturating_mul(settings.max_in_flight) / INCOMPLETE_SHARE;
        let space = share.max(max_bytes.saturating_mul(LEAST_BODIES)).max(MAX_QUERY_BYTES);
        let samples = Bounds {
            bytes: max_bytes,
            time: settings.body_timeout,
            large: "the limit http.max_body_bytes; send smaller batches, or raise it",
            slow: "the limit http.body_timeout; send smaller batches, or raise it",
        };
        let query = Bounds {
            bytes: MAX_QUERY_BYTES,
            time: QUERY_TIMEOUT,
            large: "the limit of a query; send several",
            slow: "the limit of a query; send it at once",
        };
        let configuration = Bounds {
            bytes: MAX_QUERY_BYTES,
            time: QUERY_TIMEOUT,
            large: "the limit of a configuration; edit the file and send SIGHUP",
            slow: "the limit of a configuration; send it at once",
        };
        let series = Bounds {
            bytes: MAX_QUERY_BYTES,
            time: QUERY_TIMEOUT,
            large: "the limit of a series; send a part",
            slow: "the limit of a series; send it at once",
        };
        Self { samples, query, configuration, series, space: Shares::new(None, space) }
    }

    /// Reads a body to its end, within the bounds of its kind.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it is too slow, if there is no space for it, and as [`Encoded::read`].
    pub(super) async fn read(
        &self,
        bounds: Bounds,
        client: Client,
        headers: &HeaderMap,
        body: Body,
        stopping: watch::Receiver<bool>,
    ) -> Result<Encoded, Refusal> {
        let partial = PartialBody::new(&self.space, client, bounds);
        let read = timeout(bounds.time, Encoded::read(headers, body, partial, stopping));
        read.await.unwrap_or(Err(Refusal::TooSlow(bounds)))
    }
}

/// A body as far as it has come, with its share of the space.
pub(super) struct PartialBody<'s> {
    space: &'s Shares,
    client: Client,
    pub(super) bounds: Bounds,
    /// What it has, or why it has no space.
    bytes: Result<Vec<u8>, InUse>,
    /// The permits for `reserved` bytes.
    held: Vec<SharePermit>,
    reserved: usize,
}

impl<'s> PartialBody<'s> {
    fn new(space: &'s Shares, client: Client, bounds: Bounds) -> Self {
        Self { space, client, bounds, bytes: Ok(Vec::new()), held: Vec::new(), reserved: 0 }
    }

    /// Adds a chunk. Without space for it the rest of the body is read and dropped: a client reads no response before it
    /// has sent its body, and a connection that is closed in between looks like a failure of the network.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let Ok(bytes) = &mut self.bytes else { return };
        let length = bytes.len() + chunk.len();
        if length > self.reserved && length > FREE_BYTES {
            let wanted = length.next_power_of_two().min(self.bounds.bytes);
            match self.space.take_many(self.client, wanted - self.reserved) {
                Ok(space) => self.held.push(space),
                Err(in_use) => {
                    self.bytes = Err(in_use);
                    self.held.clear();
                    return;
                }
            }
            self.reserved = wanted;
            bytes.reserve_exact(wanted - bytes.len());
        }
        bytes.extend_from_slice(chunk);
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, InUse> {
        self.bytes
    }
}
