//! From points with their context to series.

use super::RequestError;
use super::attributes::Attributes;
use super::labels::{self, LabelMap};
use super::names::{self, Suffix};
use crate::series::shortened;
use crate::{
    HistogramPoint, Integer, Labels, Limits, METRIC_NAME, Meaning, Point, STALE_MARKER, Series, SeriesError,
    SeriesFault,
};

/// What a request does with its points.
pub(super) struct Points<'t> {
    pub(super) limits: &'t Limits,
    take: &'t mut dyn FnMut(Result<Series<'_>, SeriesError>),
    metrics: usize,
    seen: usize,
    resource: Level,
    /// `job` and `instance`.
    target: LabelMap,
    scope: Level,
    metric: Metric,
}

/// The labels of a resource or of a scope.
#[derive(Default)]
struct Level {
    labels: LabelMap,
    count: usize,
    fault: Option<SeriesFault>,
}

impl Level {
    /// The level of attributes and the labels that they make. Each of its points copies the labels, so labels beyond
    /// the limits are refused here, once, and not kept.
    fn new(labels: LabelMap, attributes: Attributes, limits: &Limits) -> Self {
        let fault = attributes.fault.or_else(|| fault_in(&labels, limits));
        let labels = if fault.is_some() { LabelMap::new() } else { labels };
        Self { labels, count: attributes.count, fault }
    }
}

/// What the points of a metric have in common.
#[derive(Clone, Debug, Default)]
struct Metric {
    name: String,
    meaning: Option<Meaning>,
    fault: Option<SeriesFault>,
}

/// The type of a metric, with its temporality as the request numbers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Gauge,
    Histogram { temporality: u64 },
    Sum { temporality: u64, is_monotonic: bool },
    Summary,
}

/// A point of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DataPoint {
    pub(super) attributes: Attributes,
    /// In nanoseconds, as is `time`; 0 if it is not stated.
    pub(super) start: u64,
    pub(super) time: u64,
    pub(super) flags: u64,
    pub(super) value: Option<f64>,
    /// The integer that `value` has rounded.
    pub(super) integer: Option<Integer>,
    pub(super) count: u64,
    /// `None` if there is none, as for values of both signs.
    pub(super) sum: Option<f64>,
}

/// The flag of a point for no recorded value.
pub(super) const NO_RECORDED_VALUE: u64 = 1;

impl Kind {
    /// What the values are; `None` for a temporality that is not stated.
    fn meaning(self) -> Option<Meaning> {
        match self {
            Self::Gauge => Some(Meaning::Unstated),
            Self::Summary | Self::Histogram { temporality: 2 } => Some(Meaning::Counter),
            Self::Sum { temporality: 2, is_monotonic } => {
                Some(if is_monotonic { Meaning::Counter } else { Meaning::Level })
            }
            Self::Sum { temporality: 1, .. } | Self::Histogram { temporality: 1 } => Some(Meaning::Change),
            Self::Sum { .. } | Self::Histogram { .. } => None,
        }
    }

    fn suffix(self, unit: &str) -> Suffix {
        match self {
            Self::Gauge if unit == "1" => Suffix::Ratio,
            Self::Sum { is_monotonic: true, .. } => Suffix::Total,
            _ => Suffix::None,
        }
    }

    /// Whether its points have a count and a sum in place of a value.
    pub(super) fn is_distribution(self) -> bool {
        matches!(self, Self::Histogram { .. } | Self::Summary)
    }
}

impl<'t> Points<'t> {
    pub(super) fn new(limits: &'t Limits, take: &'t mut dyn FnMut(Result<Series<'_>, SeriesError>)) -> Self {
        let (resource, scope) = (Level::default(), Level::default());
        let (target, metric) = (LabelMap::new(), Metric::default());
        Self { limits, take, metrics: 0, seen: 0, resource, target, scope, metric }
    }

    /// The resource of the metrics that follow.
    pub(super) fn resource(&mut self, attributes: Attributes) {
        let (target, labels) = labels::of_resource(&attributes);
        let fault = attributes.fault.clone().or_else(|| fault_in(&target, self.limits));
        self.resource = Level::new(labels, Attributes { fault, ..attributes }, self.limits);
        self.target = target;
    }

    /// The scope of the metrics that follow.
    pub(super) fn scope(&mut self, name: &str, version: &str, attributes: Attributes) {
        let labels = labels::of_scope(name, version, &attributes);
        self.scope = Level::new(labels, attributes, self.limits);
    }

    /// The metric of the points that follow.
    pub(super) fn metric(&mut self, name: &str, unit: &str, kind: Kind) -> Result<(), RequestError> {
        self.metrics += 1;
        if self.metrics > self.limits.series {
            return Err(RequestError::TooMany { what: "metrics", limit: self.limits.series });
        }
        let (length, limit, meaning) = (name.len() + unit.len(), self.limits.label_value_bytes, kind.meaning());
        self.metric = if length > limit {
            // Each point names the metric in its error: no point may copy a name of any length.
            let fault = SeriesFault::LongLabelValue { name: METRIC_NAME.to_owned(), length, limit };
            Metric { name: shortened(name), meaning, fault: Some(fault) }
        } else {
            Metric { name: names::metric(name, unit, kind.suffix(unit)), meaning, fault: None }
        };
        Ok(())
    }

    /// Counts a point before it is decoded. Whether it is: one that is too large is refused.
    pub(super) fn count(&mut self, encoded: usize) -> Result<bool, RequestError> {
        self.seen += 1;
        if self.seen > self.limits.samples {
            return Err(RequestError::TooMany { what: "points", limit: self.limits.samples });
        }
        let limit = self.limits.series_bytes;
        if encoded > limit {
            let fault = SeriesFault::TooLarge { length: encoded, limit };
            (self.take)(Err(SeriesError { series: shortened(&self.metric.name), fault }));
        }
        Ok(encoded <= limit)
    }

    /// Passes a point on.
    pub(super) fn point(&mut self, point: DataPoint, kind: Kind) {
        let metric = self.metric.name.clone();
        if let Err(fault) = self.pass(&metric, &point, kind) {
            // Those of the resource where the others are not known.
            let labels = self.labels(&point.attributes).unwrap_or_else(|_| self.target.clone());
            let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let pairs: Vec<_> = [(METRIC_NAME, &*metric)].into_iter().chain(pairs).collect();
            (self.take)(Err(SeriesError::of(&pairs, fault)));
        }
    }

    fn pass(&mut self, metric: &str, point: &DataPoint, kind: Kind) -> Result<(), SeriesFault> {
        if let Some(fault) = &self.metric.fault {
            return Err(fault.clone());
        }
        let meaning = self.metric.meaning.ok_or(SeriesFault::NoTemporality)?;
        let labels = self.labels(&point.attributes)?;
        let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs = [(METRIC_NAME, metric)].into_iter().chain(pairs).collect();
        let labels = Labels::new(pairs, self.limits).map_err(|error| error.fault)?;
        let (timestamp_ms, start_ms) = (milliseconds(point.time), start_ms(point));
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        let marker = is_stale.then_some(f64::from_bits(STALE_MARKER));
        if kind.is_distribution() {
            // Values of both signs have no sum; what is not finite is left out by its stream.
            let sum = marker.or(point.sum).unwrap_or(f64::NAN);
            let histograms = [HistogramPoint { timestamp_ms, start_ms, count: point.count as f64, sum }];
            (self.take)(Ok(Series { labels: &labels, meaning, samples: &[], histograms: &histograms }));
        } else {
            let value = marker.or(point.value).ok_or(SeriesFault::NoValue)?;
            let integer = point.integer.filter(|_| !is_stale);
            let samples = [Point { timestamp_ms, start_ms, value, integer }];
            (self.take)(Ok(Series { labels: &labels, meaning, samples: &samples, histograms: &[] }));
        }
        Ok(())
    }

    /// What is wrong with the resource or the scope.
    #[cfg(test)]
    pub(super) fn refused(&self) -> Option<&SeriesFault> {
        assert!(self.resource.fault.is_none() || self.resource.labels.is_empty(), "labels of no use are kept");
        self.resource.fault.as_ref().or(self.scope.fault.as_ref())
    }

    /// The labels of a point, with those of its resource and of its scope.
    fn labels(&self, point: &Attributes) -> Result<LabelMap, SeriesFault> {
        let faults = [&self.resource.fault, &self.scope.fault, &point.fault];
        if let Some(fault) = faults.into_iter().flatten().next() {
            return Err(fault.clone());
        }
        let found = self.resource.count + self.scope.count + point.count;
        if found > self.limits.labels {
            return Err(SeriesFault::TooManyLabels { found, limit: self.limits.labels });
        }
        let mut labels = self.resource.labels.clone();
        labels.extend(self.scope.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
        labels.extend(labels::of(&point.pairs, ""));
        labels.extend(self.target.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(labels)
    }
}

/// What is wrong with the length of one of the labels.
fn fault_in(labels: &LabelMap, limits: &Limits) -> Option<SeriesFault> {
    labels.iter().find_map(|(name, value)| {
        let (length, limit) = (name.len(), limits.label_name_bytes);
        if length > limit {
            return Some(SeriesFault::LongLabelName { name: shortened(name), length, limit });
        }
        let (length, limit) = (value.len(), limits.label_value_bytes);
        (length > limit).then(|| SeriesFault::LongLabelValue { name: shortened(name), length, limit })
    })
}

/// The start of a point in milliseconds. One in the millisecond of the point is put before it, because equal times mean
/// that the true start is not known.
fn start_ms(point: &DataPoint) -> i64 {
    let (time, start) = (milliseconds(point.time), milliseconds(point.start));
    if start == time && point.start < point.time { start.saturating_sub(1) } else { start }
}

fn milliseconds(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX)
}
