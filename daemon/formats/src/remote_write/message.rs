//! The protobuf messages of both versions for prost, which encodes the requests of the tests: an implementation that the
//! decoder does not share.
//!
//! Written by hand after the definitions:
//!
//! * <https://github.com/prometheus/prometheus/blob/main/prompb/types.proto>
//! * <https://github.com/prometheus/prometheus/blob/main/prompb/io/prometheus/write/v2/types.proto>

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TimeSeries1 {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) histograms: Vec<Histogram>,
}

/// `prometheus.Label`. Bytes, as a test sends texts that are not UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Label {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `io.prometheus.write.v2.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TimeSeries2 {
    /// Indices of symbols: name, value, name, value.
    #[prost(uint32, repeated, tag = "1")]
    pub(crate) label_references: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) histograms: Vec<Histogram>,
    /// Release candidates up to 3 have the start of the counter here, for all samples.
    #[prost(int64, tag = "6")]
    pub(crate) created_timestamp: i64,
}

/// `Sample` of both versions.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    #[prost(int64, tag = "2")]
    pub(crate) timestamp: i64,
    /// Version 2 only, since release candidate 4.
    #[prost(int64, tag = "3")]
    pub(crate) start_timestamp: i64,
}

/// `Histogram` of both versions.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Histogram {
    #[prost(oneof = "Count", tags = "1, 2")]
    pub(crate) count: Option<Count>,
    #[prost(double, tag = "3")]
    pub(crate) sum: f64,
    #[prost(int64, tag = "15")]
    pub(crate) timestamp: i64,
    /// Version 2 only, since release candidate 4.
    #[prost(int64, tag = "17")]
    pub(crate) start_timestamp: i64,
}

/// The number of observations of a histogram.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub(crate) enum Count {
    #[prost(uint64, tag = "1")]
    Integer(u64),
    #[prost(double, tag = "2")]
    Float(f64),
}
