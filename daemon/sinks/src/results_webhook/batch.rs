//! The results that wait for a request.

use std::ops::Range;

use daemon_alarms::row::is_alarms;
use daemon_base::setting::Secret;
use daemon_results::record::Stored;

use crate::alarms::hmac;
use crate::post::{Added, Payload, Request};

/// Lines of JSON.
pub(super) struct Batch {
    secret: Option<Secret>,
    lines: Vec<u8>,
    /// The end of each line.
    ends: Vec<usize>,
}

impl Batch {
    pub(super) fn new(secret: Option<Secret>) -> Self {
        Self { secret, lines: Vec::new(), ends: Vec::new() }
    }

    fn line(&self, item: usize) -> &[u8] {
        let end = |item: usize| self.ends.get(item).copied().unwrap_or_default();
        let start = item.checked_sub(1).map_or(0, end);
        self.lines.get(start..end(item)).unwrap_or_default()
    }
}

impl Payload for Batch {
    fn add(&mut self, result: &Stored<'_>) -> Result<Added, String> {
        // Alarms have a webhook of their own.
        if !matches!(result, Stored::Line(line) if is_alarms(line)) {
            result.write_line(&mut self.lines);
            self.ends.push(self.lines.len());
        }
        Ok(Added::Taken { left_out: 0 })
    }

    fn items(&self) -> usize {
        self.ends.len()
    }

    fn bytes(&self) -> usize {
        self.lines.len()
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.ends.clear();
    }

    fn request(&self, items: Range<usize>, now: u64) -> Request {
        let mut body = b"{\"version\":1,\"results\":[".to_vec();
        for (index, item) in items.enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(self.line(item));
        }
        body.extend_from_slice(b"]}");
        let timestamp = (now / 1_000_000).to_string();
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("x-derived-statsd-timestamp", timestamp.clone())];
        if let Some(secret) = &self.secret {
            let signature = hmac::hex(secret.reveal().as_bytes(), &[timestamp.as_bytes(), b".", &body]);
            headers.push(("x-derived-statsd-signature", format!("sha256={signature}")));
        }
        Request { headers, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_results_of_its_range_and_their_signature() {
        let secret: Secret =
            toml::from_str::<std::collections::BTreeMap<String, Secret>>("s = \"Jefe\"").unwrap()["s"].clone();
        let mut batch = Batch::new(Some(secret));
        let alarms = br#"{"key":"T:a","uve":"UVEAlarms","start":0,"end":1,"data":{}}"#;
        for line in [&br#"{"a":1}"#[..], br#"{"b":2}"#, alarms, br#"{"c":3}"#] {
            assert_eq!(batch.add(&Stored::Line(line)), Ok(Added::Taken { left_out: 0 }));
        }
        assert_eq!(batch.items(), 3, "without the alarms");
        let Request { headers, body } = batch.request(1..2, 7_000_000);
        assert_eq!(body, br#"{"version":1,"results":[{"b":2}]}"#);
        let expected = format!("sha256={}", hmac::hex(b"Jefe", &[b"7.", &body]));
        assert_eq!(
            headers[1..],
            [("x-derived-statsd-timestamp", "7".to_owned()), ("x-derived-statsd-signature", expected)]
        );
        assert_eq!(batch.request(0..2, 0).body, br#"{"version":1,"results":[{"a":1},{"b":2}]}"#);
    }
}
