//! The metrics of streams and their proxy types: those of their tables, added up over the partitions of this process.

use std::collections::BTreeMap;
use std::fmt;

use daemon_alarms::AlarmCounts;
use daemon_log::LogStats;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use proxy_uve::Fate;

use super::{Gathered, alarms};

/// The partitions of one stream, added up.
#[derive(Default)]
pub(super) struct StreamTotals {
    fates: BTreeMap<&'static str, u64>,
    objects: u64,
    by_type: BTreeMap<String, u64>,
    pub(super) alarms: AlarmCounts,
    oldest_watermark: Option<u64>,
}

impl Gathered {
    fn by_stream(&self) -> BTreeMap<String, StreamTotals> {
        let mut streams: BTreeMap<String, StreamTotals> = BTreeMap::new();
        for status in self.telemetry.workers.tables().into_values() {
            let totals = streams.entry(status.stream).or_default();
            for &fate in Fate::ALL {
                *totals.fates.entry(fate.name()).or_default() += status.fates.count(fate);
            }
            totals.objects += status.objects as u64;
            for (name, objects) in status.types.iter().zip(status.objects_by_type) {
                *totals.by_type.entry(name.clone()).or_default() += objects as u64;
            }
            totals.alarms.firing += status.alarms.firing;
            totals.alarms.pending += status.alarms.pending;
            totals.alarms.limited += status.alarms.limited;
            if status.watermark > 0 {
                let oldest = totals.oldest_watermark.unwrap_or(u64::MAX);
                totals.oldest_watermark = Some(oldest.min(status.watermark));
            }
        }
        streams
    }

    /// What the tables hold.
    pub(super) fn encode_streams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let streams = self.by_stream();
        let kind = ConstCounter::new(0u64).metric_type();
        let mut records = encoder.encode_descriptor("records", "Records by outcome.", None, kind)?;
        for (stream, totals) in &streams {
            for (fate, count) in &totals.fates {
                let labels = [("stream", stream.as_str()), ("fate", fate)];
                ConstCounter::new(*count).encode(records.encode_family(&labels)?)?;
            }
        }
        let kind = ConstGauge::new(0u64).metric_type();
        let mut objects = encoder.encode_descriptor("objects", "Objects with state.", None, kind)?;
        for (stream, totals) in &streams {
            ConstGauge::new(totals.objects).encode(objects.encode_family(&[("stream", stream.as_str())])?)?;
        }
        let help = "Objects with results of a proxy type, which share the state of the stream's objects.";
        let mut objects = encoder.encode_descriptor("proxy_type_objects", help, None, kind)?;
        for (stream, totals) in &streams {
            for (name, count) in &totals.by_type {
                let labels = [("stream", stream.as_str()), ("type", name.as_str())];
                ConstGauge::new(*count).encode(objects.encode_family(&labels)?)?;
            }
        }
        alarms::encode(&streams, encoder)?;
        let help = "Event time up to which every partition of the stream has closed its windows.";
        let mut watermark = encoder.encode_descriptor("watermark", help, Some(&Unit::Seconds), kind)?;
        for (stream, oldest) in streams.iter().filter_map(|(stream, totals)| Some((stream, totals.oldest_watermark?))) {
            let seconds = oldest as f64 / 1e6;
            ConstGauge::new(seconds).encode(watermark.encode_family(&[("stream", stream.as_str())])?)?;
        }
        Ok(())
    }

    /// The sizes of the committed states, which the embedded log knows, and on Kafka their tables. A stream of which a
    /// size is not known is omitted.
    pub(super) fn encode_states(&self, log: Option<&LogStats>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let sizes = |stats: &LogStats| stats.partitions.iter().map(|it| (it.partition, it.state_bytes)).collect();
        let in_log: Option<BTreeMap<_, u64>> = log.map(sizes);
        let mut streams: BTreeMap<String, Option<u64>> = BTreeMap::new();
        for (id, status) in self.telemetry.workers.tables() {
            let of_log = || Some(in_log.as_ref()?.get(&id).copied().unwrap_or(0));
            let bytes = status.state_bytes.or_else(of_log);
            let total = streams.entry(status.stream).or_insert(Some(0));
            *total = total.zip(bytes).map(|(total, bytes)| total + bytes);
        }
        let (help, kind) = ("Size of the committed states.", ConstGauge::new(0u64).metric_type());
        let mut state = encoder.encode_descriptor("state", help, Some(&Unit::Bytes), kind)?;
        for (stream, bytes) in streams.iter().filter_map(|(stream, bytes)| Some((stream, (*bytes)?))) {
            ConstGauge::new(bytes).encode(state.encode_family(&[("stream", stream.as_str())])?)?;
        }
        Ok(())
    }
}
