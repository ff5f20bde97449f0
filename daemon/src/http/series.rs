//! What all requests with labelled series have in common: the mapping to samples, the durable write, and the idempotency
//! of a request that is sent again.

use std::fmt::Write as _;

use daemon_base::listener::Client;
use daemon_base::one_line::one_line;
use daemon_log::{AppendBatch, Appended, Idempotency, LogError};
use daemon_sources::mapping::{Tally, Unfinished, Writer};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::http::Shared;
use crate::http::bodies::Bounds;
use crate::http::body::Refusal;
use crate::http::ingest::Failure;
use crate::http::refusals::MAX_LOGGED;

/// The bytes of the digest that are part of an idempotency key: 128 bits, of which no two bodies have the same.
const KEY_BYTES: usize = 16;

/// How often a request is mapped. It takes two where the group has to agree on a replica, and one more for each time that
/// the replica changes meanwhile.
const MAX_ATTEMPTS: usize = 4;

/// How much larger than the largest body the samples of a request may be.
const SAMPLES_PER_BODY: usize = 4;

/// What the samples of a request may have in any case: batches of usual senders, where `http.max_body_bytes` is small.
const LEAST_SAMPLE_BYTES: usize = 16 * 1024 * 1024;

/// What makes two requests the same one: bytes of the body, and the parameters that change their meaning.
pub(super) struct Identity<'b> {
    pub(super) parameters: &'b str,
    pub(super) bytes: &'b [u8],
    /// What a later request with this identity is told.
    pub(super) outcome: Vec<u8>,
}

/// What became of a request.
pub(super) struct Stored {
    pub(super) tally: Tally,
    /// The outcome of an earlier request with the same identity. Nothing was written then.
    pub(super) earlier: Option<Vec<u8>>,
}

/// Passes the series of a request to the streams that take them, and writes the samples. The same request counts once
/// within the age of idempotency keys, if it has an identity: without one, the same bytes may be other data. `read` passes
/// the series to the writer; it is called again where the group first has to agree on a replica.
///
/// # Errors
///
/// Fails if the request is not of the format, of which then nothing is stored, if the log does not take the samples, or if
/// the group does not agree on a replica.
pub(super) fn store<'b>(
    shared: &Shared,
    (format, client): (&'static str, Client),
    mut read: impl FnMut(&mut Writer<'_>) -> Result<Option<Identity<'b>>, Failure>,
) -> Result<Stored, Failure> {
    for _ in 0..MAX_ATTEMPTS {
        let mut batch = AppendBatch::new(shared.log.arrival(shared.clock.now_micros()));
        let bounds = bounds(shared.bodies.samples, format);
        let mut writer = Writer::new(&shared.mapping, &shared.intake, &mut batch).limited(bounds.bytes);
        let identity = read(&mut writer)?;
        match writer.finish() {
            Ok(tally) => return append(shared, (format, client), batch, identity, tally),
            Err(Unfinished::Open(open)) => shared.mapping.elections().settle(open).map_err(Failure::Log)?,
            Err(Unfinished::TooLarge) => {
                let what = "the request, with the key and the labels of each sample,";
                return Err(Failure::Refused(Refusal::TooLarge { what, bounds }));
            }
        }
    }
    Err(Failure::Log(LogError::Cluster {
        operation: "elect a replica".to_owned(),
        reason: "it changed while the request was taken; send it again".to_owned(),
    }))
}

/// The texts about a bound of four times `http.max_body_bytes`, and about the least bound, which does not follow a small
/// `http.max_body_bytes`, with the sender's setting and its word for the parts of a source.
macro_rules! large {
    ($setting:literal, $parts:literal) => {
        [
            concat!(
                "four times http.max_body_bytes; lower the sender's batch (",
                $setting,
                "), drop long ",
                $parts,
                ", or raise http.max_body_bytes"
            ),
            concat!(
                "the least that samples may have; lower the sender's batch (",
                $setting,
                "), drop long ",
                $parts,
                ", or set http.max_body_bytes above 4 MiB: samples may have four times as much"
            ),
        ]
    };
}

/// What bounds the samples of a request: each is stored with its key and source, which the request may state once for all.
fn bounds(body: Bounds, format: &str) -> Bounds {
    let bytes = body.bytes.saturating_mul(SAMPLES_PER_BODY);
    let [of_body, least] = match format {
        "influx" => large!("metric_batch_size", "tags"),
        "otlp" => large!("send_batch_max_size", "attributes"),
        _ => large!("max_samples_per_send", "labels"),
    };
    let large = if bytes < LEAST_SAMPLE_BYTES { least } else { of_body };
    Bounds { bytes: bytes.max(LEAST_SAMPLE_BYTES), large, ..body }
}

/// Writes the samples of a request.
fn append(
    shared: &Shared,
    (format, client): (&'static str, Client),
    mut batch: AppendBatch,
    identity: Option<Identity<'_>>,
    tally: Tally,
) -> Result<Stored, Failure> {
    let mut earlier = None;
    if !batch.is_empty() {
        if let Some(identity) = identity.filter(|_| shared.remembers_keys) {
            batch = batch.idempotent(identity.key(format));
        }
        if let Appended::Duplicate { outcome } = shared.log.append(batch).map_err(Failure::Log)? {
            earlier = Some(outcome);
        }
    }
    if earlier.is_none() {
        shared.telemetry.http.mapped(format, &tally);
    }
    if let Some(reason) = tally.reasons.first().filter(|_| earlier.is_none()) {
        let reason = one_line(reason, MAX_LOGGED);
        warn!(format, client = %client.0, rejected = tally.rejected, reason, "Samples were rejected.");
    }
    Ok(Stored { tally, earlier })
}

impl<'b> Identity<'b> {
    /// That of a request whose whole body counts once.
    pub(super) fn of_body(parameters: &'b str, body: &'b [u8]) -> Self {
        Self { parameters, bytes: body, outcome: Vec::new() }
    }

    fn key(self, format: &str) -> Idempotency {
        let mut key = format!("{format}-");
        for byte in digest(self.parameters, self.bytes) {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        Idempotency { key, body_crc: crc32fast::hash(self.bytes), outcome: self.outcome }
    }
}

/// 128 bits of a digest that no two requests have in common.
pub(super) fn digest(parameters: &str, bytes: &[u8]) -> [u8; KEY_BYTES] {
    // The length keeps parameters and bytes apart.
    let length = parameters.len().to_le_bytes();
    let digest = Sha256::new().chain_update(length).chain_update(parameters).chain_update(bytes).finalize();
    std::array::from_fn(|index| digest[index])
}

/// What is rejected, in a sentence for the answer; `None` if nothing is. `count` is the number in the units of the format: a
/// histogram is one point and two samples.
pub(super) fn rejections(tally: &Tally, count: u64) -> Option<String> {
    if tally.rejected == 0 {
        return None;
    }
    let (reasons, samples) = tally.counted_reasons();
    let more = count.saturating_sub(samples);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Some(format!("{count} rejected, all others stored: {reasons}{more}"))
}
