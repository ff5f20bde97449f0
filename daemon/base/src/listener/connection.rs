//! One connection: its requests and its timeouts.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use super::Limits;
use super::open::{Counted, Idle};
use super::progress::Progressing;

/// The most bytes that are buffered in each direction; also the largest head of a request.
const BUFFER_BYTES: usize = 64 * 1024;

/// The requests of a connection, which follow each other.
struct Requests {
    connection: Counted,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    has_begun: bool,
    /// While no request is in flight.
    idle: Option<Idle>,
}

impl Requests {
    fn new(connection: Counted) -> Arc<Self> {
        let idle = Some(connection.idle(false));
        Arc::new(Self { connection, state: Mutex::new(State { has_begun: false, idle }) })
    }

    /// Begins a request, which ends when the value is dropped.
    fn begin(self: &Arc<Self>) -> InFlight {
        *self.lock() = State { has_begun: true, idle: None };
        InFlight(Arc::clone(self))
    }

    fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose response is not complete.
struct InFlight(Arc<Requests>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let idle = self.0.connection.idle(true);
        self.0.lock().idle = Some(idle);
    }
}

/// Serves the requests of a connection until it ends.
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    connection: Counted,
    mut stopping: watch::Receiver<bool>,
) {
    let requests = Requests::new(connection);
    let (service, of_service) = (TowerToHyperService::new(router), Arc::clone(&requests));
    let service = service_fn(move |request| {
        let in_flight = of_service.begin();
        let response = service.call(request);
        async move { response.await.map(|response| response.map(|body| Answer { body, _in_flight: in_flight })) }
    });
    let mut builder = http1::Builder::new();
    // hyper's timer also runs while no request has begun, which makes it the idle timeout.
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle_timeout).max_buf_size(BUFFER_BYTES);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(Progressing::new(stream)), service));
    let mut first_head = pin!(sleep(limits.header_timeout));
    let ended = loop {
        tokio::select! {
            ended = serving.as_mut() => break ended,
            () = first_head.as_mut(), if !first_head.is_elapsed() => {
                if !requests.has_begun() {
                    return debug!("A client sent no request in time.");
                }
                continue;
            }
            () = requests.connection.closed() => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        // What was sent of a first request is dropped: no part of it was processed.
        if !requests.has_begun() {
            return;
        }
        serving.as_mut().graceful_shutdown();
        break serving.await;
    };
    if let Err(error) = ended {
        debug!(%error, "A connection broke off.");
    }
}

/// The body of a response, at whose end the request is no longer in flight.
struct Answer {
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
