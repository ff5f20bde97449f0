//! The numbers of alarms of the partitions of this process.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::streams::StreamTotals;

pub(super) fn encode(streams: &BTreeMap<String, StreamTotals>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = ConstGauge::new(0u64).metric_type();
    let mut alarms = encoder.encode_descriptor("alarms", "Alarms by state.", None, kind)?;
    for (stream, totals) in streams {
        for (state, count) in [("firing", totals.alarms.firing), ("pending", totals.alarms.pending)] {
            let labels = [("stream", stream.as_str()), ("state", state)];
            ConstGauge::new(count).encode(alarms.encode_family(&labels)?)?;
        }
    }
    let kind = ConstCounter::new(0u64).metric_type();
    let help = "Alarms that were not made, because their object or partition has too many.";
    let mut limited = encoder.encode_descriptor("alarms_limited", help, None, kind)?;
    for (stream, totals) in streams {
        ConstCounter::new(totals.alarms.limited).encode(limited.encode_family(&[("stream", stream.as_str())])?)?;
    }
    Ok(())
}
