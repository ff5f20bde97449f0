//! The memory of the whole daemon at its peak, for each object.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write as _;

use tempfile::TempDir;

use crate::support::Daemon;

/// One stream with both built-in types.
const STREAM: &str = "UveVirtualNetworkAgent-egress_flow_count";

const START: u64 = 1_490_000_000_000_000;

const PERIOD: u64 = 60_000_000;

/// The limit that the documentation of `aggregation.max_objects_per_partition` names.
const BYTES_PER_OBJECT: u64 = 500;

/// What does not grow with the objects: buffers of requests, reads and commits. A million objects keep the limit with
/// it, a test of fewer does not.
const FIXED_BYTES: u64 = 24 << 20;

fn body(objects: std::ops::Range<u64>, window: u64) -> String {
    let ts = START + window * PERIOD + PERIOD / 2;
    objects.fold(String::new(), |mut body, object| {
        let project = object % 1000;
        let key = format!("ObjectVNTable:default-domain:project-{project:05}:vn-{object:09}");
        let value = object % 977 + window;
        writeln!(body, r#"{{"stream":"{STREAM}","key":"{key}","ts":{ts},"value":{value}}}"#).unwrap();
        body
    })
}

/// Windows as fast as they are taken, which is harder than in real time: closing, commits and requests overlap.
#[test]
fn the_daemon_takes_at_most_500_bytes_an_object() {
    let objects = std::env::var("MEMORY_TEST_OBJECTS").map_or(300_000, |objects| objects.parse().unwrap());
    let fixed = if objects < 1_000_000 { FIXED_BYTES } else { 0 };
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let empty = daemon.peak_resident_bytes();
    for window in 0..8 {
        for from in (0..objects).step_by(10_000) {
            let body = body(from..objects.min(from + 10_000), window);
            assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
        }
    }
    daemon.wait_until_applied();
    let taken = daemon.peak_resident_bytes() - empty;
    let limit = objects * BYTES_PER_OBJECT + fixed;
    assert!(taken <= limit, "{taken} bytes, {} an object; at most {limit}", taken / objects);
    println!("{} bytes an object at the peak", taken / objects);
    daemon.stop();
}
