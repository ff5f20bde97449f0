//! What all requests with labelled series have in common: the mapping to samples, the durable write, and the idempotency
//! of a request that is sent again.

use std::fmt::Write as _;

use daemon_log::{AppendBatch, Appended, Idempotency};
use daemon_sources::mapping::{Tally, Writer};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::http::Shared;
use crate::http::ingest::Failure;

/// The bytes of the digest that are part of an idempotency key: 128 bits, of which no two bodies have the same.
const KEY_BYTES: usize = 16;

/// What makes two requests the same one: the body, and the parameters that change its meaning.
pub(super) struct Identity<'b> {
    pub(super) parameters: &'b str,
    pub(super) body: &'b [u8],
}

/// Passes the series of a request to the streams that take them, and writes the samples. The same request counts once
/// within the age of idempotency keys, if it has an identity: without one, the same bytes may be other data.
///
/// # Errors
///
/// Fails if the request is not of the format, of which then nothing is stored, or the log does not take the samples.
pub(super) fn store<'b>(
    shared: &Shared,
    format: &'static str,
    read: impl FnOnce(&mut Writer<'_>) -> Result<Option<Identity<'b>>, Failure>,
) -> Result<Tally, Failure> {
    let mut batch = AppendBatch::new(shared.log.arrival(shared.clock.now_micros()));
    let mut writer = Writer::new(&shared.mapping, &shared.intake, &mut batch);
    let identity = read(&mut writer)?;
    let tally = writer.finish();
    let mut is_new = true;
    if !batch.is_empty() {
        if let Some(identity) = identity.filter(|_| shared.remembers_keys) {
            batch = batch.idempotent(identity.key(format));
        }
        is_new = matches!(shared.log.append(batch).map_err(Failure::Log)?, Appended::Written(_));
    }
    if is_new {
        shared.telemetry.http.mapped(format, &tally);
    }
    if let Some(reason) = tally.reasons.first() {
        warn!(format, rejected = tally.rejected, %reason, "Samples were rejected.");
    }
    Ok(tally)
}

impl Identity<'_> {
    fn key(&self, format: &str) -> Idempotency {
        // The length keeps parameters and body apart.
        let length = self.parameters.len().to_le_bytes();
        let digest =
            Sha256::new().chain_update(length).chain_update(self.parameters).chain_update(self.body).finalize();
        let mut key = format!("{format}-");
        for byte in digest.iter().take(KEY_BYTES) {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        Idempotency { key, body_crc: crc32fast::hash(self.body), outcome: Vec::new() }
    }
}

/// What is rejected, in a sentence for the answer; `None` if nothing is.
pub(super) fn rejections(tally: &Tally) -> Option<String> {
    if tally.rejected == 0 {
        return None;
    }
    let more = tally.rejected.saturating_sub(tally.reasons.len() as u64);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Some(format!("{} rejected, all others stored: {}{more}", tally.rejected, tally.reasons.join("; ")))
}
