//! `GET /api/v1/results/stream`: results as server-sent events.
//!
//! Each event's data is one line of [`result_line`](daemon_results::line), and its `id` is where that stands
//! ([`ResultPlace`]). A client that reconnects sends `Last-Event-ID`, as browsers do, and goes on after it as long as
//! the log retains it; a new one gets what comes from now on, or with `?from=OFFSET` from there. A client that reads
//! too slowly is read to from the log again, so it misses nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use daemon_log::{LogError, RecordBatch};
use daemon_results::record::RecordReader;
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::http::Shared;
use crate::view::ResultPlace;

/// Events on their way to one client.
const QUEUE: usize = 256;

/// How much is read from the log at a time for a client that is behind.
const READ_BYTES: usize = 256 * 1024;

/// The query of the stream.
#[derive(Debug, Deserialize)]
pub(super) struct From {
    from: Option<u64>,
}

/// Starts a stream.
pub(super) async fn get(State(shared): State<Arc<Shared>>, Query(query): Query<From>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let from = last.map(ResultPlace::next).or_else(|| query.from.map(ResultPlace::of_record));
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(feed(shared, from, sender));
    Sse::new(Receiver(receiver)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

/// Sends a client everything from `from` on, until it leaves or the daemon stops.
async fn feed(shared: Arc<Shared>, from: Option<ResultPlace>, sender: mpsc::Sender<Event>) {
    let mut live = shared.events.subscribe();
    let mut next = from;
    let mut stopping = shared.stopping.clone();
    let mut is_behind = true;
    loop {
        if is_behind && let Some(from) = next {
            match catch_up(&shared, from, &sender).await {
                Some(reached) => next = Some(reached),
                None => return,
            }
            is_behind = false;
        }
        let received = tokio::select! {
            received = live.recv() => received,
            () = sender.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match received {
            // Read from the log meanwhile.
            Ok(event) if next.is_some_and(|next| event.place < next) => {}
            Ok(event) => {
                next = Some(event.place.next());
                if send(&sender, event.place, &event.line).await.is_none() {
                    return;
                }
            }
            Err(RecvError::Lagged(missed)) => {
                debug!(missed, "A reader of the event stream is read to from the log.");
                is_behind = true;
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Reads the log from `from` to its end; `None` when the client is gone.
async fn catch_up(shared: &Arc<Shared>, from: ResultPlace, sender: &mpsc::Sender<Event>) -> Option<ResultPlace> {
    let mut next = from;
    let mut reader = RecordReader::default();
    loop {
        let log = Arc::clone(&shared.log);
        let read = tokio::task::spawn_blocking(move || log.read_results(next.record, READ_BYTES)).await.ok()?;
        let batch = match read {
            Ok(batch) => batch,
            // Ahead of the log or behind its retention: go on with what there is.
            Err(LogError::OffsetOutOfRange { bounds, .. }) => {
                next = ResultPlace::of_record(next.record.clamp(bounds.first, bounds.next));
                continue;
            }
            Err(_) => return None,
        };
        if batch.is_empty() {
            return Some(next);
        }
        for (place, line) in lines(&mut reader, &batch).into_iter().filter(|(place, _)| *place >= next) {
            send(sender, place, &line).await?;
        }
        next = ResultPlace::of_record(batch.next_offset());
    }
}

/// The results of a batch as lines, in order.
fn lines(reader: &mut RecordReader, batch: &RecordBatch) -> Vec<(ResultPlace, Vec<u8>)> {
    let mut lines = Vec::new();
    for record in batch.records() {
        let read = reader.each(record.offset, record.payload, |number, result| {
            let mut line = Vec::new();
            result.write_line(&mut line);
            lines.push((ResultPlace { record: record.offset, line: number }, line));
        });
        if let Err(error) = read {
            warn!(offset = record.offset, %error, "The event stream leaves out results that cannot be read.");
        }
    }
    lines
}

async fn send(sender: &mpsc::Sender<Event>, place: ResultPlace, line: &[u8]) -> Option<()> {
    let event = Event::default().id(place.to_string()).data(String::from_utf8_lossy(line));
    sender.send(event).await.ok()
}

/// The queue of one client as the stream that the response reads.
struct Receiver(mpsc::Receiver<Event>);

impl Stream for Receiver {
    type Item = Result<Event, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}
