//! Bodies of OTLP.

use daemon_formats::otlp::{Encoding, read};
use daemon_formats::{Labels, Limits};

use crate::remote_write::TIGHT;

/// Reads the input as a body of both encodings, within usual and within tight limits.
pub fn otlp(data: &[u8]) {
    for limits in [Limits::default(), TIGHT] {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let mut points = 0;
            let read = read(encoding, data, &limits, |series| {
                points += 1;
                match series {
                    Err(error) => assert!(!error.to_string().is_empty()),
                    Ok(series) => {
                        let pairs: Vec<_> = series.labels.iter().collect();
                        assert!(pairs.len() <= limits.labels && !series.labels.metric().is_empty(), "{pairs:?}");
                        assert_eq!(Labels::new(pairs, &limits).as_ref(), Ok(series.labels));
                        assert_eq!(series.samples.len() + series.histograms.len(), 1);
                    }
                }
            });
            assert!(points <= limits.samples, "{points} points");
            assert!(read.map_or_else(|error| !error.to_string().is_empty(), |()| true));
        }
    }
}
