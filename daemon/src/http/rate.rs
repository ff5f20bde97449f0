//! The rate of requests that a client may send: `http.max_requests_per_second`.
//!
//! Each client has the generic cell rate algorithm: the time at which its requests are paid off. A request moves it by one
//! interval, and is refused if it is more than [`BURST`] ahead.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;

use crate::http::access::PROBES;
use crate::http::{Shared, busy};

/// How many seconds' requests a client may send at once.
const BURST: Duration = Duration::from_secs(5);

/// The most clients that are counted; each takes some 50 bytes. Beyond them a new client is not limited, until others
/// have paused.
const MAX_CLIENTS: usize = 16_384;

/// How often clients that have paused are dropped while all are in use.
const SWEEP: Duration = Duration::from_secs(1);

/// The requests of each client.
pub(crate) struct Rates {
    /// Between two requests; `None` without a limit.
    interval: Option<Duration>,
    state: Mutex<RateState>,
}

#[derive(Default)]
struct RateState {
    /// When the requests of each client are paid off, by the monotonic clock.
    clients: HashMap<IpAddr, Duration>,
    swept: Duration,
}

impl Rates {
    /// So many requests a second of each client; 0 is no limit.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = (per_second > 0).then(|| Duration::from_secs(1) / per_second);
        Self { interval, state: Mutex::default() }
    }

    /// Counts a request at monotonic time `now`.
    ///
    /// # Errors
    ///
    /// When the client has sent too many: after which time it may send the next.
    pub(super) fn count(&self, Client(client): Client, now: Duration) -> Result<(), Duration> {
        let Some(interval) = self.interval else { return Ok(()) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = state.clients.get(&client).copied().unwrap_or_default().max(now);
        if let Some(early) = paid.checked_sub(now + BURST).filter(|early| !early.is_zero()) {
            return Err(early);
        }
        if state.clients.len() >= MAX_CLIENTS && !state.clients.contains_key(&client) {
            if now < state.swept + SWEEP {
                return Ok(());
            }
            state.swept = now;
            state.clients.retain(|_, paid| *paid > now);
            if state.clients.len() >= MAX_CLIENTS {
                return Ok(());
            }
        }
        state.clients.insert(client, paid + interval);
        Ok(())
    }
}

/// Responds with 429 to a request beyond the rate of its client. Probes are not counted.
pub(super) async fn limit(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if PROBES.contains(&path) {
        return next.run(request).await;
    }
    match shared.permits.rates.count(client, shared.clock.monotonic()) {
        Ok(()) => next.run(request).await,
        Err(early) => {
            let mut response = busy("this address sends more than http.max_requests_per_second; raise it for a proxy");
            let seconds = early.as_secs().saturating_add(1);
            response.headers_mut().remove(header::RETRY_AFTER);
            ([(header::RETRY_AFTER, seconds.to_string())], response).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        Client(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn a_client_may_send_a_burst_and_then_its_rate() {
        let rates = Rates::new(2);
        let at = Duration::from_millis;
        let burst = (0..20).take_while(|_| rates.count(client(1), at(1_000)).is_ok()).count();
        assert_eq!(burst, 11, "five seconds' requests, and the one that is due");
        assert_eq!(rates.count(client(1), at(1_000)), Err(at(500)));
        assert_eq!(rates.count(client(2), at(1_000)), Ok(()), "another client has its own");
        assert_eq!((rates.count(client(1), at(1_500)), rates.count(client(1), at(1_500))), (Ok(()), Err(at(500))));
        let unlimited = Rates::new(0);
        assert!((0..1_000).all(|_| unlimited.count(client(1), at(0)).is_ok()));
    }

    #[test]
    fn the_clients_that_are_counted_are_bounded() {
        let rates = Rates::new(1);
        let now = Duration::from_secs(10);
        for number in 0..20_000 {
            assert_eq!(rates.count(client(number), now), Ok(()));
        }
        let known = || rates.state.lock().unwrap().clients.len();
        assert_eq!(known(), MAX_CLIENTS);
        assert_eq!(rates.count(client(30_000), now + Duration::from_secs(2)), Ok(()));
        assert_eq!(known(), 1, "those that have paused are forgotten");
    }
}
