//! Bodies of Prometheus remote write.

use daemon_formats::remote_write::{Version, decode, decompress};
use daemon_formats::{Labels, Limits};

/// Limits that small inputs reach.
pub(crate) const TIGHT: Limits = Limits {
    body_bytes: 200,
    series: 3,
    labels: 4,
    label_name_bytes: 8,
    label_value_bytes: 8,
    nesting: 2,
    samples: 4,
    series_bytes: 64,
    symbols: 4,
};

/// Decodes the input as a body and as a decompressed request of both versions, within usual and within tight limits.
pub fn remote_write(data: &[u8]) {
    for limits in [Limits::default(), TIGHT] {
        match decompress(data, &limits) {
            Ok(body) => assert!(body.len() <= limits.body_bytes),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        for version in [Version::V1, Version::V2] {
            check(version, data, limits);
        }
    }
}

fn check(version: Version, data: &[u8], limits: Limits) {
    let request = match decode(version, data, limits) {
        Ok(request) => request,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let (mut series_seen, mut points) = (0, 0);
    let read = request.series(|series| {
        series_seen += 1;
        match series {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(series) => {
                let pairs: Vec<_> = series.labels.iter().collect();
                assert!(pairs.is_sorted_by(|(one, _), (next, _)| one < next), "{pairs:?}");
                assert!(pairs.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{pairs:?}");
                assert!(pairs.len() <= limits.labels && !series.labels.metric().is_empty(), "{pairs:?}");
                assert_eq!(Labels::new(pairs.clone(), &limits).as_ref(), Ok(series.labels));
                points += series.samples.len() + series.histograms.len();
            }
        }
    });
    assert!(series_seen <= limits.series, "{series_seen} series");
    if read.is_ok() {
        assert!(points <= limits.samples, "{points} points");
    }
}
