//! The metrics of the elected replicas of senders.

use std::fmt;

use daemon_log::ElectionCounts;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Gathered;

impl Gathered {
    /// The clusters, and how often another replica took over. What is left out is an outcome of points.
    pub(super) fn encode_elections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let ElectionCounts { clusters, takeovers } = self.elections.counts();
        let clusters = ConstGauge::new(clusters as u64);
        let help = "Clusters of senders that have an elected replica, silent ones included.";
        clusters.encode(encoder.encode_descriptor("replica_clusters", help, None, clusters.metric_type())?)?;
        let takeovers = ConstCounter::new(takeovers);
        let help = "Times that another replica of a cluster took the place of a silent one.";
        takeovers.encode(encoder.encode_descriptor("replica_takeovers", help, None, takeovers.metric_type())?)
    }
}
