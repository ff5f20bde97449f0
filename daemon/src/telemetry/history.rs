//! The index of the results.

use std::fmt;

use daemon_log::Bounds;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use daemon_view::UveView;

pub(super) fn encode(view: &UveView, results: Bounds, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (memory, missing) = {
        let index = view.index();
        (index.memory() as u64, index.missing(results.first..results.next))
    };
    let gauges = [
        ("history_index", "Memory of the index of the results.", Some(&Unit::Bytes), memory),
        (
            "history_unindexed_records",
            "Records of results that are kept and not in the index: histories read all of them.",
            None,
            missing,
        ),
    ];
    for (name, help, unit, value) in gauges {
        let gauge = ConstGauge::new(value);
        gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)?;
    }
    Ok(())
}
