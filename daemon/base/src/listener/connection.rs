//! One connection: its requests and its timeouts.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use super::progress::TimedStream;
use super::requests::Requests;
use super::socket::Stream;
use super::tls::ServerTls;
use super::{Closed, Limits, READING_AFTER_STOP};

/// The most bytes that are buffered in each direction. A head of which so much is there without its end is refused; one
/// of up to twice as much may pass, as a read may go beyond it.
const BUFFER_BYTES: usize = 64 * 1024;

/// Serves the requests of a connection until it ends. Returns why it was closed, unless its client closed it or a stop
/// did.
///
/// The handshake of TLS has the time of the first head, which then has it once more. Until it is complete, the connection
/// is one without a request, of those that are closed first for others.
pub(super) async fn serve(
    stream: Stream,
    tls: Option<&ServerTls>,
    router: Router,
    limits: Limits,
    requests: Arc<Requests>,
    mut stopping: watch::Receiver<bool>,
) -> Option<Closed> {
    let stream = TimedStream::new(stream, Arc::clone(&requests));
    let Some(tls) = tls else { return serve_requests(stream, router, limits, requests, stopping).await };
    let handshake = TlsAcceptor::from(tls.config()).accept(stream);
    let accepted = tokio::select! {
        accepted = timeout(limits.header_timeout, handshake) => accepted,
        () = requests.closed() => return Some(Closed::ForAnother),
        _ = stopping.wait_for(|stop| *stop) => return None,
    };
    match accepted {
        Ok(Ok(stream)) => serve_requests(stream, router, limits, requests, stopping).await,
        Ok(Err(error)) => {
            info!(client = %requests.client(), %error, "A client could not connect: its TLS handshake failed.");
            Some(Closed::Handshake)
        }
        Err(_) => Some(Closed::HeaderTimeout),
    }
}

async fn serve_requests(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    limits: Limits,
    requests: Arc<Requests>,
    mut stopping: watch::Receiver<bool>,
) -> Option<Closed> {
    let (service, of_service) = (TowerToHyperService::new(router), Arc::clone(&requests));
    let service = service_fn(move |request: Request<Incoming>| {
        let (in_flight, request) = of_service.begin(request);
        let response = service.call(request);
        async move { response.await.map(|response| response.map(|body| in_flight.until_end_of(body))) }
    });
    let mut builder = http1::Builder::new();
    // hyper's timer also runs while no request has begun, which makes it the idle timeout.
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle_timeout).max_buf_size(BUFFER_BYTES);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut first_head = pin!(sleep(limits.header_timeout));
    let ended = loop {
        let is_stop = tokio::select! {
            ended = serving.as_mut() => break ended,
            () = first_head.as_mut(), if !first_head.is_elapsed() => {
                if !requests.has_begun() {
                    return Some(Closed::HeaderTimeout);
                }
                continue;
            }
            () = requests.closed() => false,
            _ = stopping.wait_for(|stop| *stop) => true,
        };
        requests.set_stopping(is_stop);
        serving.as_mut().graceful_shutdown();
        // The rest of a head that is on its way.
        if is_stop
            && !requests.has_begun()
            && let Ok(ended) = timeout(READING_AFTER_STOP, serving.as_mut()).await
        {
            break ended;
        }
        // What was sent of a head or of a body is dropped: no part of it was processed, and every response is sent. A
        // request that has just begun is finished, and its connection counts until then.
        if requests.can_be_dropped(is_stop) {
            return (!is_stop).then_some(Closed::ForAnother);
        }
        break serving.await;
    };
    broken_off(&ended.err()?, &requests)
}

/// Why a connection was closed that ended with an error; `None` if its client broke it off.
fn broken_off(error: &hyper::Error, requests: &Requests) -> Option<Closed> {
    debug!(%error, "A connection broke off.");
    match () {
        () if requests.has_stalled() => Some(Closed::NotRead),
        () if error.is_timeout() => Some(Closed::IdleTimeout),
        () => None,
    }
}
