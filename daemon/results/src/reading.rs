//! The numbers of a result by their roles: what lists and charts show of any algorithm.

use derived_stats::entry::Role;
use derived_stats::{Number, Record};
use serde::{Deserialize, Serialize};

use crate::block::AttributeShape;

/// The size of a score that is an anomaly, for a detector without alarms of its own. The score of EWM with alpha 0.1 is
/// at most 3.
pub const LOUD: f64 = 2.5;

/// The numbers of one result of one attribute.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Reading {
    /// The value itself.
    pub value: Option<f64>,
    /// The score of the detector.
    pub score: Option<f64>,
    /// The value that the detector expects.
    pub expected: Option<f64>,
    /// The lower end of the band.
    pub low: Option<f64>,
    /// The upper end of the band.
    pub high: Option<f64>,
    /// Whether the detector raises an alarm; without alarms of its own, whether the score is [`LOUD`].
    pub is_anomaly: bool,
}

impl Reading {
    /// The reading of a decoded result.
    pub fn of(attribute: &AttributeShape, record: &Record) -> Self {
        let number = |role| attribute.of_role(role, record).map(Number::as_f64);
        let (value, score, expected) = (number(Role::Value), number(Role::Score), number(Role::Expected));
        let alarm = number(Role::Alarm);
        let is_anomaly = is_anomaly(score, alarm);
        let (low, high) = (number(Role::Low), number(Role::High));
        let reading = Self { value, score, expected, low, high, is_anomaly };
        if alarm.is_none() { reading.with_band() } else { reading }
    }

    /// Adds the band of a detector that states none: the values whose score would be [`LOUD`] with the deviation behind
    /// the newest score. Without it nobody sees how far a value is from an anomaly.
    #[must_use]
    pub fn with_band(mut self) -> Self {
        let (Some(value), Some(score), Some(expected)) = (self.value, self.score, self.expected) else { return self };
        let half = LOUD * ((value - expected) / score).abs();
        if self.low.is_none() && self.high.is_none() && half.is_finite() {
            (self.low, self.high) = (Some(expected - half), Some(expected + half));
        }
        self
    }
}

/// Whether a detector raises an alarm; without alarms of its own, whether the score is [`LOUD`].
pub fn is_anomaly(score: Option<f64>, alarm: Option<f64>) -> bool {
    alarm.map_or_else(|| score.is_some_and(|score| score.abs() >= LOUD), |alarm| alarm == 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_of_a_detector_without_one_is_where_the_score_would_be_loud() {
        let reading =
            Reading { value: Some(14.0), score: Some(2.0), expected: Some(10.0), ..Reading::default() }.with_band();
        assert_eq!((reading.low, reading.high), (Some(5.0), Some(15.0)));
        let flat = Reading { value: Some(10.0), score: Some(0.0), expected: Some(10.0), ..Reading::default() };
        assert_eq!(flat.with_band(), flat, "a score of 0 has no deviation");
        let own = Reading { low: Some(1.0), ..reading };
        assert_eq!(own.with_band(), own);
    }
}
