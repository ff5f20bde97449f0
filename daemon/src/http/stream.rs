//! `GET /api/v1/results/stream`: results as server-sent events.
//!
//! The data of each event is one [result line](daemon_results::line), and its `id` is an [`EventId`]. A client that
//! reconnects with `Last-Event-ID`, as browsers do, receives all later results that the log retains. A new client
//! receives new results, or with `?from=OFFSET` all results from that offset on. If a client lags behind the live
//! channel, the stream catches up from the log, so the client misses no result. With
//! `?key=KEY` the stream has the results of one object only.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use daemon_base::listener::{Client, STALLED};
use daemon_log::{Log, LogError, RecordBatch};
use daemon_results::record::RecordReader;
use proxy_uve::json::write_text;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tracing::{debug, warn};

use crate::http::queue::{LineQueue, line_queue};
use crate::http::{Shared, problem};
use daemon_view::{EventHub, EventId, Lagged};

/// The capacity of the queue to one client, in events; that in bytes is the queue's own.
const QUEUE: usize = 256;

/// The bytes of one read from the log for a client that lags: a block of results, which are several times as large as
/// lines. All clients may lag at once.
const READ_BYTES: usize = 64 * 1024;

/// The query of the stream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    from: Option<u64>,
    key: Option<String>,
}

/// Starts a stream.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<From>, QueryRejection>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(rejection) => {
            let text = format!(
                "{}; `from`, given once, is an offset of the results log, from 0, and `key` is that of an object",
                rejection.body_text()
            );
            return problem(StatusCode::BAD_REQUEST, &text);
        }
    };
    let permit = match shared.permits.streams.take(client) {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let from = last.map(EventId::next).or_else(|| query.from.map(EventId::of_record));
    let head = query.key.as_deref().map(head_of).unwrap_or_default();
    let (queue, waiting) = line_queue(QUEUE);
    // Not the whole state, which another configuration may replace meanwhile.
    let feed_of =
        Feed { log: Arc::clone(&shared.log), events: Arc::clone(&shared.events), stopping: shared.stopping.clone() };
    tokio::spawn(async move {
        let _held = permit;
        feed(feed_of, from, Receiver { queue, head }).await;
    });
    let events = waiting.map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

/// What a stream is fed from.
struct Feed {
    log: Arc<dyn Log>,
    events: Arc<EventHub>,
    stopping: watch::Receiver<bool>,
}

/// The client of a stream.
struct Receiver {
    queue: LineQueue<Event>,
    /// How the lines begin that the client wants; empty for all.
    head: Vec<u8>,
}

/// How the lines of an object begin.
pub(super) fn head_of(key: &str) -> Vec<u8> {
    let mut head = b"{\"key\":".to_vec();
    write_text(key, &mut head);
    head
}

/// Sends all results from `from` on, or new ones without it, until the client disconnects or the daemon stops.
async fn feed(feed: Feed, from: Option<EventId>, client: Receiver) {
    let mut live = feed.events.subscribe();
    // Where a client without `from` catches up from, should it lag before its first event.
    let log = Arc::clone(&feed.log);
    let end = tokio::task::spawn_blocking(move || log.results_bounds()).await;
    let end = end.ok().and_then(Result::ok).map(|bounds| EventId::of_record(bounds.next));
    let mut next = from;
    let mut stopping = feed.stopping.clone();
    let mut is_behind = true;
    loop {
        if is_behind && let Some(from) = next {
            match catch_up(&feed.log, from, &client).await {
                Some(reached) => next = Some(reached),
                None => return,
            }
            is_behind = false;
        }
        let received = tokio::select! {
            received = live.recv() => received,
            () = client.queue.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match received {
            // Already sent by `catch_up`.
            Ok(event) if next.is_some_and(|next| event.id < next) => {}
            Ok(event) => {
                next = Some(event.id.next());
                if client.send(event.id, &event.line).await.is_none() {
                    return;
                }
            }
            Err(Lagged(missed)) => {
                debug!(missed, "A client of the event stream lags; it catches up from the log.");
                next = next.or(end);
                is_behind = true;
            }
        }
    }
}

/// Sends the log from `from` to its end and returns the next event id; `None` if the client disconnected.
async fn catch_up(log: &Arc<dyn Log>, from: EventId, client: &Receiver) -> Option<EventId> {
    let mut next = from;
    let mut reader = RecordReader::default();
    loop {
        let log = Arc::clone(log);
        let read = tokio::task::spawn_blocking(move || log.read_results(next.record, READ_BYTES)).await.ok()?;
        let batch = match read {
            Ok(batch) => batch,
            // Ahead of the log or behind its retention: continue at the nearest retained offset.
            Err(LogError::OffsetOutOfRange { bounds, .. }) => {
                next = EventId::of_record(next.record.clamp(bounds.first, bounds.next));
                continue;
            }
            Err(_) => return None,
        };
        if batch.is_empty() {
            return Some(next);
        }
        for (id, line) in lines(&mut reader, &batch).into_iter().filter(|(id, _)| *id >= next) {
            client.send(id, &line).await?;
        }
        next = EventId::of_record(batch.next_offset());
    }
}

/// The results of a batch as lines, in order.
fn lines(reader: &mut RecordReader, batch: &RecordBatch) -> Vec<(EventId, Vec<u8>)> {
    let mut lines = Vec::new();
    for record in batch.records() {
        let read = reader.each(record.offset, record.payload, |number, result| {
            let mut line = Vec::new();
            result.write_line(&mut line);
            lines.push((EventId { record: record.offset, line: number }, line));
        });
        if let Err(error) = read {
            warn!(offset = record.offset, %error, "The event stream skips a results record that cannot be decoded.");
        }
    }
    lines
}

impl Receiver {
    /// Sends a result, if the client wants it; `None` if the client disconnected.
    async fn send(&self, id: EventId, line: &[u8]) -> Option<()> {
        if !line.starts_with(&self.head) {
            return Some(());
        }
        let event = || Event::default().id(id.to_string()).data(String::from_utf8_lossy(line));
        // The client may connect again, and goes on where it stopped.
        timeout(STALLED, self.queue.send(line.len(), event)).await.ok().flatten()
    }
}
