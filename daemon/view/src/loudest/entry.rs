//! An entry of the list of the loudest objects.

use std::collections::VecDeque;

use daemon_results::block::Row;
use daemon_results::reading::Reading;
use serde::{Deserialize, Serialize};

/// One scored attribute of an object.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Loud {
    /// The key of the object, `table:name`.
    pub key: Box<str>,
    /// The name of the UVE.
    pub uve: Box<str>,
    /// The stream.
    pub proxy: Box<str>,
    /// The scored attribute.
    pub attribute: Box<str>,
    /// Its newest result.
    pub reading: Reading,
    /// The start of the window of that result, in microseconds since the epoch.
    pub start: u64,
    /// The end of that window.
    pub end: u64,
    /// Whether nobody observed a part of that window.
    pub partial: bool,
    /// The start of the first of the anomalous results that end with the newest one; of those since the entry exists.
    pub since: Option<u64>,
    /// The recent values, the newest one last.
    pub values: VecDeque<f64>,
    /// With the seed of this process.
    #[serde(skip)]
    pub(super) hash: u64,
}

/// The order of the list: anomalies first, then the size of the score, whose bits have its order because it is not
/// negative. A score that is not a number ranks as 0.
pub(super) type Rank = (bool, u64);

pub(super) fn rank(is_anomaly: bool, score: Option<f64>) -> Rank {
    let size = score.map(f64::abs).filter(|size| !size.is_nan());
    (is_anomaly, size.unwrap_or(0.0).to_bits())
}

impl Loud {
    /// The first result of an attribute in the list.
    pub(super) fn new(hash: u64, row: &Row<'_>, attribute: &str, reading: Reading) -> Self {
        Self {
            key: row.key.into(),
            uve: row.shape.uve.clone(),
            proxy: row.shape.proxy.clone(),
            attribute: attribute.into(),
            reading,
            start: row.start,
            end: row.end,
            partial: row.partial,
            since: reading.is_anomaly.then_some(row.start),
            values: reading.value.into_iter().collect(),
            hash,
        }
    }

    pub(super) fn rank(&self) -> Rank {
        rank(self.reading.is_anomaly, self.reading.score)
    }

    /// The length of its window.
    pub(super) fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}
