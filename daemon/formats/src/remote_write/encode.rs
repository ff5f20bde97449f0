//! Requests for tests, with any fault that a sender may make.

use prost::Message;

use super::message::{Count, Histogram, Label, Sample, TimeSeries1, TimeSeries2};
use crate::{HistogramPoint, Point};

/// A series to encode: labels as they are, and points.
#[derive(Clone, Debug, Default)]
pub struct Written<'t> {
    /// The labels, in this order.
    pub labels: Vec<(&'t str, &'t str)>,
    /// The samples.
    pub samples: Vec<Point>,
    /// The histograms.
    pub histograms: Vec<HistogramPoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Request1 {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries1>,
}

#[derive(Clone, PartialEq, Message)]
struct Request2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeries2>,
}

impl Written<'_> {
    fn samples(&self) -> Vec<Sample> {
        let sample = |point: &Point| Sample {
            value: point.value,
            timestamp: point.timestamp_ms,
            start_timestamp: point.start_ms,
        };
        self.samples.iter().map(sample).collect()
    }

    fn histograms(&self) -> Vec<Histogram> {
        let histogram = |point: &HistogramPoint| Histogram {
            count: Some(if point.count.fract() == 0.0 {
                Count::Integer(point.count as u64)
            } else {
                Count::Float(point.count)
            }),
            sum: point.sum,
            timestamp: point.timestamp_ms,
            start_timestamp: point.start_ms,
        };
        self.histograms.iter().map(histogram).collect()
    }
}

/// An uncompressed request of version 1.
pub fn request_1(series: &[Written<'_>]) -> Vec<u8> {
    let label =
        |(name, value): &(&str, &str)| Label { name: name.as_bytes().to_vec(), value: value.as_bytes().to_vec() };
    let encoded = series.iter().map(|written| TimeSeries1 {
        labels: written.labels.iter().map(label).collect(),
        samples: written.samples(),
        histograms: written.histograms(),
    });
    Request1 { timeseries: encoded.collect() }.encode_to_vec()
}

/// An uncompressed request of version 2.
pub fn request_2(series: &[Written<'_>]) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut reference = |text: &str| {
        let index = symbols.iter().position(|symbol| symbol == text).unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    };
    let encoded = series.iter().map(|written| TimeSeries2 {
        label_references: written.labels.iter().flat_map(|(name, value)| [reference(name), reference(value)]).collect(),
        samples: written.samples(),
        histograms: written.histograms(),
        created_timestamp: 0,
    });
    let timeseries = encoded.collect();
    Request2 { symbols, timeseries }.encode_to_vec()
}

/// The body in the block format of snappy.
pub fn compress(body: &[u8]) -> Vec<u8> {
    // It fails for bodies above 4 GiB only.
    snap::raw::Encoder::new().compress_vec(body).unwrap_or_default()
}
