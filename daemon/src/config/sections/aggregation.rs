//! `[aggregation]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::duration;
use proxy_uve::TableSettings;
use serde::Deserialize;

/// `[aggregation]`: which streams are aggregated by which proxy types, and the rules of time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Aggregation {
    /// The streams and their proxy types: `Struct-attribute:Type[:Type…]`, separated by blanks. Default: the two flow
    /// counts of Virtual Networks with both built-in types, as in Contrail. Change it to aggregate other metrics.
    pub uve_proxy_list: String,
    /// Files that define further proxy types in Sandesh struct syntax. Default none.
    pub schema_files: Vec<PathBuf>,
    /// The period of the built-in types in seconds, 1 to 86,400, instead of their own 60. Default unset. For
    /// demonstrations and tests; the results of another period do not compare with Contrail's.
    pub period: Option<u32>,
    /// How far behind the newest timestamp of its partition a sample may be and still count. A window closes this long
    /// after its end: raise it for slow sources, lower it for earlier results. Default `"30s"`; `"0s"` takes samples
    /// in order of time only. At most `"1d"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub allowed_lateness: Duration,
    /// How far ahead of its arrival a timestamp may be. Beyond it the sample is refused: one clock that is hours ahead
    /// would close every other source's windows. Default `"10s"`; `"0s"` takes no future. At most `"1d"`; keep it
    /// below the lateness.
    #[serde(deserialize_with = "duration::deserialize")]
    pub allowed_skew: Duration,
    /// How long a partition may get no sample before the daemon's clock closes its windows. Default `"60s"`, from
    /// `"1ms"` to `"1d"`. Lower it where results of objects that went silent are urgent.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_timeout: Duration,
    /// Objects in one partition at most; a further one is refused and counted. Default 1,000,000 (about 200 MB), at
    /// least 1. Lower it to bound memory.
    pub max_objects_per_partition: usize,
    /// The cluster's name in front of topic names, `<cluster_id>-uve-agg-…`. Default empty, as Contrail's. Letters,
    /// digits, `.`, `_` and `-`.
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
            cluster_id: String::new(),
        }
    }
}
