//! A server of HTTP that ends in time.
//!
//! A graceful stop waits for the requests in flight. A connection on which only a part of a request has come looks to
//! the HTTP library like a request in flight, and its client may never send the rest. [`serve`] therefore reads for
//! [`READING_AFTER_STOP`] after the stop has begun, and from then on waits only for requests that have come as a whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long the rest of a request may take after the stop has begun.
pub const READING_AFTER_STOP: Duration = Duration::from_secs(1);

/// Waits until `stopping` is true and nothing more is read.
///
/// A handler that reads a body gives up then.
pub async fn end_of_reading(stopping: watch::Receiver<bool>) {
    stopped(stopping).await;
    tokio::time::sleep(READING_AFTER_STOP).await;
}

/// Serves until `stopping` is true, then finishes the requests in flight, their responses included.
///
/// # Errors
///
/// When the server fails.
pub async fn serve(listener: TcpListener, router: Router, stopping: watch::Receiver<bool>) -> std::io::Result<()> {
    let in_flight = InFlight::default();
    let router = router.layer(middleware::from_fn_with_state(in_flight.clone(), count));
    let served = axum::serve(listener, router).with_graceful_shutdown(stopped(stopping.clone())).into_future();
    let only_parts_left = async {
        end_of_reading(stopping).await;
        in_flight.none().await;
    };
    tokio::select! {
        served = served => served,
        () = only_parts_left => Ok(()),
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender was dropped, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The number of requests whose head has come and whose response is not sent yet.
#[derive(Clone)]
struct InFlight(Arc<watch::Sender<usize>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl InFlight {
    fn begin(&self) -> Entry {
        self.0.send_modify(|count| *count += 1);
        Entry(self.clone())
    }

    /// Waits until no request is in flight.
    async fn none(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// A request in flight.
struct Entry(InFlight);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

async fn count(State(in_flight): State<InFlight>, request: Request, next: Next) -> Response {
    let entry = in_flight.begin();
    next.run(request).await.map(|body| Body::new(Counted { body, _entry: entry }))
}

/// The body of a response whose request is in flight until all of the body is passed on.
struct Counted {
    body: Body,
    _entry: Entry,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
