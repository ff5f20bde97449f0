//! The memory that a hostile body takes while it is decoded.

use allocation_counter::measure;
use netplugin_adapter::{Limits, decode};

/// A body of endpoints with as many services each.
fn body(endpoints: usize, services: usize, service: &str) -> String {
    let services: Vec<_> = (0..services).map(|number| format!("\"{number}\":{service}")).collect();
    let endpoint = format!("{{\"SvcStats\":{{{}}}}}", services.join(","));
    let endpoints: Vec<_> = (0..endpoints).map(|number| format!("\"{number}\":{endpoint}")).collect();
    format!("{{{}}}", endpoints.join(","))
}

#[test]
fn a_body_of_many_short_entries_is_rejected_before_it_takes_many_times_its_size() {
    let entries: Vec<_> = (0..9_000).map(|number| format!("\"{number}\":{{}}")).collect();
    let entries = format!("{{\"ProvStats\":{{{}}}}}", entries.join(","));
    for (name, body) in [
        ("entries of many endpoints", body(160, 1, &entries)),
        ("entries of one endpoint", body(1, 160, &entries)),
        ("services", body(160, 9_000, "{}")),
    ] {
        assert!((12 << 20..16 << 20).contains(&body.len()), "{name}: {}", body.len());
        let mut outcome = None;
        let memory = measure(|| outcome = Some(decode(body.as_bytes(), &Limits::default()))).bytes_max;
        assert!(memory < 48 << 20, "{name}: {memory} bytes");
        let kind = outcome.and_then(Result::err).map(|error| error.kind());
        assert_eq!(kind, Some("too_many_entries"), "{name}");
    }
}
