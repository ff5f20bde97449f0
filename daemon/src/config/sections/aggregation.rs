//! The section `[aggregation]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::duration;
use proxy_uve::TableSettings;
use serde::Deserialize;

/// `[aggregation]` selects the streams and their proxy types, and sets the rules of event time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Aggregation {
    /// The streams and their proxy types: `Struct-attribute:Type[:Type…]`, separated by blanks. Default: the two flow
    /// counts of virtual networks with both built-in types, as in Contrail. Change it to aggregate other metrics.
    pub uve_proxy_list: String,
    /// Files that define further proxy types in Sandesh struct syntax. Default: none.
    pub schema_files: Vec<PathBuf>,
    /// The period of the built-in types in seconds, 1 to 86,400, instead of their own 60. Default: unset. It is meant
    /// for demonstrations and tests; results of another period are not comparable with Contrail's.
    pub period: Option<u32>,
    /// The allowed lateness: a window closes once the newest timestamp of its partition is this far after its end. A
    /// sample counts as long as a window that it is of is open. Raise it for slow sources, lower it for earlier
    /// results. Default `"30s"`; `"0s"` accepts samples in timestamp order only. At most `"1d"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub allowed_lateness: Duration,
    /// The allowed clock skew: a sample whose timestamp is further ahead of its arrival is rejected, because one clock
    /// that is hours ahead would close the windows of all other sources. Default `"10s"`; `"0s"` accepts no timestamp
    /// in the future. At most `"1d"`; keep it below the lateness.
    #[serde(deserialize_with = "duration::deserialize")]
    pub allowed_skew: Duration,
    /// The idle timeout: a partition that receives no sample for this long closes its windows by the daemon's clock.
    /// Default `"60s"`, from `"1ms"` to `"1d"`. Lower it if the last window of a stream must close soon.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_timeout: Duration,
    /// The maximum number of objects in one partition; samples of a further object are rejected and counted. Default
    /// 1,000,000 (up to 500 MB with both built-in types), from 1 to 1,000,000,000. Lower it to bound memory.
    pub max_objects_per_partition: usize,
    /// The maximum number of sources of one object in a stream whose types read counters (`metric="agg"`); readings of
    /// a further source are rejected and counted. Default 10,000 (40 bytes each, and the name), from 1 to 1,000,000. 256
    /// neighbouring objects share 5 MiB for their sources, of which each can have 8 in any case.
    pub max_sources_per_object: usize,
    /// How long a source of counters may be silent, unknown time not counted: then its next reading is a
    /// baseline, which adds nothing. Default `"1h"`, from `"1s"` to `"30d"`. Raise it for sources that report less often.
    #[serde(deserialize_with = "duration::deserialize")]
    pub source_timeout: Duration,
    /// How long the elected replica of a pair of senders may send nothing until another one is elected. Default `"90s"`, from
    /// `"1s"` to `"1d"`. Set it to more than the scrape interval of the senders, or both replicas count in turn.
    #[serde(deserialize_with = "duration::deserialize")]
    pub replica_timeout: Duration,
    /// The cluster id that prefixes topic names, `<cluster_id>-uve-agg-…`. Default: empty, as in Contrail. It consists
    /// of letters, digits, `.`, `_` and `-`.
    pub cluster_id: String,
}

impl Default for Aggregation {
    fn default() -> Self {
        let table = TableSettings::default();
        Self {
            uve_proxy_list: proxy_uve::proxy_list::DEFAULT_PROXY_LIST.to_owned(),
            schema_files: Vec::new(),
            period: None,
            allowed_lateness: table.allowed_lateness,
            allowed_skew: table.allowed_skew,
            idle_timeout: Duration::from_secs(60),
            max_objects_per_partition: table.max_objects,
            max_sources_per_object: table.max_sources,
            source_timeout: table.source_timeout,
            replica_timeout: Duration::from_secs(90),
            cluster_id: String::new(),
        }
    }
}
