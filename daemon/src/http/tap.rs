//! `GET /api/v1/tap`: the samples of a stream or of an object as they are applied or rejected, each with its outcome,
//! and their results, as lines of JSON.
//!
//! ```text
//! {"sample":{"stream":"S-a","partition":0,"offset":7,"key":"T:x","ts":1488000000,"value":3,"outcome":"aggregated"}}
//! {"sample":{"stream":"S-a","key":"T:x","ts":1488000000,"value":-3,"outcome":"rejected","reason":"…"}}
//! {"result":{"key":"T:x","uve":"Sum-S-a",…}}
//! {"lost":17}
//! ```
//!
//! Workers and sinks never wait for a client: what does not fit into its queue is lost, and counted in the next line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::{Client, STALLED};
use daemon_partition::{RejectedSample, Tapped, TappedRecord};
use derived_stats::Number;
use proxy_uve::key::ObjectKey;
use proxy_uve::{Fate, wire};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_stream::StreamExt as _;

use crate::http::queue::{LineQueue, line_queue};
use crate::http::stream::head_of;
use crate::http::{Shared, problem};
use daemon_view::{Lagged, Subscription};

/// The lines that wait for a client; their bytes are bounded by the queue.
const QUEUE: usize = 1024;

/// How often a client gets an empty line, by which one that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The query of a tap.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TapQuery {
    stream: Option<String>,
    key: Option<String>,
}

/// What a client wants of all samples and results.
struct Wanted {
    stream: Option<String>,
    key: Option<String>,
    /// How the lines of the object's results begin; empty for all.
    head: Vec<u8>,
    /// The UVEs of the stream; empty for all.
    uves: Vec<Vec<u8>>,
}

/// The queue to one client.
#[derive(Clone)]
struct Queue {
    lines: LineQueue<Bytes>,
    lost: Arc<AtomicU64>,
    /// Whether the last line had no room.
    is_full: Arc<AtomicBool>,
}

/// Starts a tap.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<TapQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
) -> Response {
    let wanted = match query.map_err(|rejection| rejection.body_text()).and_then(|Query(query)| query.wanted(&shared)) {
        Ok(wanted) => Arc::new(wanted),
        Err(text) => return problem(StatusCode::BAD_REQUEST, &text),
    };
    let permit = match shared.permits.streams.take(client) {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    let (lines, waiting) = line_queue(QUEUE);
    let queue = Queue { lines, lost: Arc::default(), is_full: Arc::default() };
    let lost = Arc::clone(&queue.lost);
    let tap = {
        let (wanted, queue) = (Arc::clone(&wanted), queue.clone());
        shared.taps.add(move |tapped| {
            if wanted.has_sample(tapped) {
                queue.push(|| match tapped {
                    Tapped::Record(record) => sample(record),
                    Tapped::Rejected(rejected) => rejection(rejected),
                });
            }
        })
    };
    let (results, stopping) = (shared.events.subscribe(), shared.stopping.clone());
    tokio::spawn(async move {
        let _held = (permit, tap);
        feed(results, stopping, &wanted, &queue).await;
    });
    let lines = waiting.map(move |line: Bytes| Ok::<_, std::io::Error>(with_lost(&lost, line)));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

impl TapQuery {
    /// What the query selects.
    ///
    /// # Errors
    ///
    /// When it selects nothing, or a stream that is not configured.
    fn wanted(self, shared: &Shared) -> Result<Wanted, String> {
        let Self { stream, key } = self;
        if stream.is_none() && key.is_none() {
            return Err(
                "`stream` or `key` is required: a stream such as Struct-attribute, an object as table:name".into()
            );
        }
        let fault = match key.as_deref().map(|key| ObjectKey::parse(key.as_bytes())) {
            Some(Err(fault)) => Some(fault.to_string()),
            Some(Ok(key)) if key.name.is_empty() => {
                Some("the key has no name behind its `:`; expected `table:name`".to_owned())
            }
            Some(Ok(_)) | None => None,
        };
        if let Some(fault) = fault {
            return Err(format!("`key` is of no object, so no sample can have it: {fault}"));
        }
        let plan = |name: &String| {
            let found = shared.plans.iter().find(|plan| plan.stream().to_string() == *name);
            found.ok_or_else(|| {
                let known: Vec<_> = shared.plans.iter().map(|plan| plan.stream().to_string()).collect();
                format!("no stream `{name}` is configured; expected one of {}", known.join(", "))
            })
        };
        let plan = stream.as_ref().map(plan).transpose()?;
        let uves = plan.iter().flat_map(|plan| plan.uve_names()).map(|name| format!("\"uve\":\"{name}\"").into_bytes());
        let (uves, head) = (uves.collect(), key.as_deref().map(head_of).unwrap_or_default());
        Ok(Wanted { stream, key, head, uves })
    }
}

impl Wanted {
    fn has_sample(&self, tapped: &Tapped<'_>) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream == tapped.stream())
            && self.key.as_ref().is_none_or(|key| key.as_bytes() == tapped.key())
    }

    fn has_result(&self, line: &[u8]) -> bool {
        let names = |uve: &Vec<u8>| line.windows(uve.len()).any(|part| part == uve.as_slice());
        line.starts_with(&self.head) && (self.uves.is_empty() || self.uves.iter().any(names))
    }
}

impl Queue {
    /// Adds a line, or counts it as lost.
    fn push(&self, line: impl FnOnce() -> Vec<u8>) {
        // Without a line to be sent none is made.
        let line = (!self.lines.is_full()).then(line);
        if !line.is_some_and(|line| self.try_send(line.into())) {
            self.is_full.store(true, Ordering::Relaxed);
            self.count_lost(1);
        }
    }

    fn try_send(&self, line: Bytes) -> bool {
        let has_room = self.lines.try_send(line.len(), || line);
        self.is_full.store(!has_room, Ordering::Relaxed);
        has_room
    }

    fn count_lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Sends the results until the client leaves or stalls, or the daemon stops.
async fn feed(mut results: Subscription, mut stopping: watch::Receiver<bool>, wanted: &Wanted, queue: &Queue) {
    let mut ticks = interval(KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stalled_at = Instant::now() + STALLED;
    loop {
        if !queue.is_full.load(Ordering::Relaxed) {
            stalled_at = Instant::now() + STALLED;
        }
        let received = tokio::select! {
            received = timeout_at(stalled_at, results.recv()) => received,
            _ = ticks.tick() => {
                // A client whose queue is full needs no keep-alive.
                queue.try_send(Bytes::from_static(b"\n"));
                continue;
            }
            () = queue.lines.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match received {
            Ok(Ok(event)) if wanted.has_result(&event.line) => {
                queue.push(|| [b"{\"result\":", event.line.trim_ascii_end(), b"}\n"].concat());
            }
            Ok(Ok(_)) => {}
            Ok(Err(Lagged(missed))) => queue.count_lost(missed),
            Err(_) if queue.is_full.load(Ordering::Relaxed) => return,
            Err(_) => {}
        }
    }
}

/// The line, after a line about those that were lost before it.
fn with_lost(lost: &AtomicU64, line: Bytes) -> Bytes {
    match lost.swap(0, Ordering::Relaxed) {
        0 => line,
        lines => [format!("{{\"lost\":{lines}}}\n").as_bytes(), &line[..]].concat().into(),
    }
}

fn sample(tapped: &TappedRecord<'_>) -> Vec<u8> {
    let TappedRecord { stream, partition, record, fate, reason } = *tapped;
    let mut sample = json!({
        "stream": stream,
        "partition": partition,
        "offset": record.position.get(),
        "key": String::from_utf8_lossy(record.key),
        "arrived": record.arrived,
        "outcome": fate.name(),
    });
    if let (Some(fields), Ok(decoded)) = (sample.as_object_mut(), wire::decode(record.payload)) {
        fields.insert("ts".to_owned(), decoded.timestamp.into());
        fields.insert("value".to_owned(), number(decoded.value));
        if let Some(source) = decoded.source {
            fields.insert("source".to_owned(), source.into_owned().into());
        }
    }
    if let (Some(fields), Some(reason)) = (sample.as_object_mut(), reason.or_else(|| meaning(fate))) {
        fields.insert("reason".to_owned(), reason.into());
    }
    line_of(&sample)
}

fn rejection(rejected: &RejectedSample<'_>) -> Vec<u8> {
    let RejectedSample { stream, key, sample, reason } = *rejected;
    let mut shown = json!({
        "stream": stream,
        "key": String::from_utf8_lossy(key),
        "ts": sample.timestamp,
        "value": sample.text.as_deref().map_or_else(|| number(sample.value), Value::from),
        "outcome": "rejected",
        "reason": reason.to_string(),
    });
    if let Some(source) = &sample.source {
        shown["source"] = source.as_ref().into();
    }
    line_of(&shown)
}

fn line_of(sample: &Value) -> Vec<u8> {
    let mut line = json!({ "sample": sample }).to_string().into_bytes();
    line.push(b'\n');
    line
}

fn number(value: Number) -> Value {
    match value {
        Number::U64(value) => value.into(),
        Number::I64(value) => value.into(),
        value => value.as_f64().into(),
    }
}

/// Why a sample with this outcome does not count; `None` if it does.
fn meaning(fate: Fate) -> Option<&'static str> {
    Some(match fate {
        Fate::Aggregated => return None,
        Fate::Duplicate => "its log position was applied before",
        Fate::Future => "its timestamp is further ahead of its arrival than aggregation.allowed_skew",
        Fate::Late => "all its windows are closed; see aggregation.allowed_lateness",
        Fate::MalformedKey => "the key is not `table:name`",
        Fate::MalformedPayload => "the payload is not a sample",
        Fate::MalformedValue => "the value does not fit the raw field of any proxy type of the stream",
        Fate::OverLimit => {
            "beyond aggregation.max_objects_per_partition, or of a source beyond aggregation.max_sources_per_object or \
             the 5 MiB of names of the sources of 256 neighbouring objects"
        }
        Fate::Refused => "time went back within a window of seconds, or a difference overflowed",
        // The outcomes of a later version of the library.
        _ => "left out",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_full_queue_loses_is_counted_in_the_next_line() {
        let (lines, waiting) = line_queue(2);
        let mut waiting = Box::pin(waiting);
        let queue = Queue { lines, lost: Arc::default(), is_full: Arc::default() };
        (0..5).for_each(|line| queue.push(|| format!("{line}\n").into_bytes()));
        assert!(queue.is_full.load(Ordering::Relaxed));
        for expected in [&b"{\"lost\":3}\n0\n"[..], b"1\n"] {
            let line = waiting.next().await.unwrap();
            assert_eq!(with_lost(&queue.lost, line), expected);
        }
        queue.push(|| b"5\n".to_vec());
        assert_eq!(with_lost(&queue.lost, waiting.next().await.unwrap()), &b"5\n"[..]);
        queue.push(|| vec![b'6'; 3 << 20]);
        queue.push(|| b"7\n".to_vec());
        assert!(queue.is_full.load(Ordering::Relaxed), "a line of 3 MiB waits alone");
        assert_eq!(waiting.next().await.map(|line| line.len()), Some(3 << 20));
        queue.push(|| b"8\n".to_vec());
        assert!(!queue.is_full.load(Ordering::Relaxed));
        assert_eq!(with_lost(&queue.lost, waiting.next().await.unwrap()), &b"{\"lost\":1}\n8\n"[..]);
    }
}
