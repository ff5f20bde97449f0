//! The requests of a connection, which follow each other: whether one is in flight, or the connection waits for its client.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::Request;
use hyper::body::Incoming;

use super::Client;
use super::open::{Counted, Wait, WaitsFor};

/// The requests of a connection.
pub(super) struct Requests {
    connection: Counted,
    state: Mutex<State>,
    is_stopping: AtomicBool,
    has_stalled: AtomicBool,
}

#[derive(Default)]
struct State {
    has_begun: bool,
    /// Whether the last response has ended and may not be sent yet.
    has_ended: bool,
    /// Whether the body of the last request was dropped before its end.
    is_cut: bool,
    /// What the connection waits for; `None` while a request is processed or its response is sent.
    wait: Option<Wait>,
}

impl Requests {
    pub(super) fn new(connection: Counted) -> Arc<Self> {
        let wait = Some(connection.wait(WaitsFor::FirstRequest));
        let state = Mutex::new(State { wait, ..State::default() });
        Arc::new(Self { connection, state, is_stopping: AtomicBool::default(), has_stalled: AtomicBool::default() })
    }

    /// The client of the connection.
    pub(super) fn client(&self) -> std::net::IpAddr {
        self.connection.client()
    }

    /// Notes whether the connection ends because the server stops.
    pub(super) fn set_stopping(&self, is_stopping: bool) {
        self.is_stopping.store(is_stopping, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Notes that the client does not read a response.
    pub(super) fn stall(&self) {
        self.has_stalled.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_stalled(&self) -> bool {
        self.has_stalled.load(Ordering::Relaxed)
    }

    /// Begins a request, with a body that shows when it is complete.
    pub(super) fn begin(self: &Arc<Self>, mut request: Request<Incoming>) -> (InFlight, Request<Upload>) {
        request.extensions_mut().insert(Client(self.connection.client()));
        let is_complete = request.body().is_end_stream();
        let wait = (!is_complete).then(|| self.connection.wait(WaitsFor::Body));
        *self.lock() = State { has_begun: true, wait, ..State::default() };
        let requests = (!is_complete).then(|| Arc::clone(self));
        (InFlight(Arc::clone(self)), request.map(|body| Upload { body, requests }))
    }

    pub(super) fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    /// Waits until the connection should end, because it waits and another one has come.
    pub(super) async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Whether nothing is lost if the connection is dropped. At a stop the handler responds to incomplete bodies.
    pub(super) fn can_be_dropped(&self, is_stop: bool) -> bool {
        let state = self.lock();
        !state.has_begun || !is_stop && state.wait.is_some()
    }

    /// Everything that was written is sent: after a response, the connection waits for the next request.
    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        if state.has_ended {
            state.has_ended = false;
            state.wait = Some(self.connection.wait(WaitsFor::NextRequest));
        }
    }

    /// Whether the client may still send a body that is dropped.
    pub(super) fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    fn end_body(&self, is_cut: bool) {
        let mut state = self.lock();
        state.is_cut |= is_cut;
        // The response may have ended before the body.
        if state.waits_for_body() {
            state.wait = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waits_for_body(&self) -> bool {
        self.wait.as_ref().is_some_and(|wait| wait.kind() == WaitsFor::Body)
    }
}

/// A request whose response is not complete.
pub(super) struct InFlight(Arc<Requests>);

impl InFlight {
    /// Ends the request with the body of its response.
    pub(super) fn until_end_of(self, body: Body) -> Answer {
        Answer { body, _in_flight: self }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.wait = None;
        state.has_ended = true;
    }
}

/// The body of a request.
pub(super) struct Upload {
    body: Incoming,
    /// `None` once the body is complete.
    requests: Option<Arc<Requests>>,
}

impl Upload {
    fn end(&mut self, is_cut: bool) {
        if let Some(requests) = self.requests.take() {
            requests.end_body(is_cut);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl HttpBody for Upload {
    type Data = <Incoming as HttpBody>::Data;
    type Error = <Incoming as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if self.body.is_end_stream() || matches!(polled, Poll::Ready(None)) {
            self.end(false);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, at whose end the request is no longer in flight.
pub(super) struct Answer {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for Answer {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

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
