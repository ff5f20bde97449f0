//! Bodies of InfluxDB line protocol.

use daemon_formats::Limits;
use daemon_formats::line_protocol::{Precision, Request};

use crate::remote_write::TIGHT;

/// Reads the input as a body of each precision, within usual and within tight limits.
pub fn line_protocol(data: &[u8]) {
    let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 1;
    for limits in [Limits::default(), TIGHT] {
        for precision in ["h", "m", "ms", "n", "s", "us"].map(Precision::of).into_iter().flatten() {
            let request = Request { body: data, precision, now_ms: 0, limits };
            let (mut points, mut faults) = (0, 0);
            let _ = request.series(|series| match series {
                Ok(series) => {
                    assert!(series.labels.metric().contains('.') && series.samples.len() == 1, "{series:?}");
                    assert!(series.samples.iter().all(|point| point.value.is_finite()), "{series:?}");
                    points += 1;
                }
                Err(fault) => {
                    assert!(fault.line <= lines && !fault.to_string().is_empty(), "{fault:?}");
                    faults += 1;
                }
            });
            assert!(points <= limits.samples && faults <= lines, "{points} points, {faults} faults");
        }
    }
}
