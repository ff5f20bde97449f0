//! A detector over a series.

use std::sync::Arc;

use derived_stats::entry::{Argument, ArgumentKind, Entry, Role};
use derived_stats::{
    Annotation, AnnotationError, Context, DETECTOR_CALL, Number, Output, Periods, Registry, Report, Silence, Spec,
    SpecLink, ValueType,
};

use crate::labels::Range;
use crate::series::Point;

/// The field with the measure that a detector compares with its threshold, without the gate of its score.
const STRANGENESS: &str = "strangeness";

/// The argument of a detector with the least score of an alarm.
const THRESHOLD: &str = "threshold";

/// The longest period.
pub const MAX_PERIOD_SECONDS: u64 = 366 * 86_400;

/// A compiled detector.
#[derive(Clone, Debug)]
pub struct Detector {
    spec: Arc<Spec>,
    period: u64,
    threshold: Option<f64>,
}

/// What a detector computed for one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The time of the value, or the start of its period, in microseconds since 1970.
    pub at: u64,
    /// The value, or the value of the period.
    pub value: f64,
    /// The score; `None` in the warm-up.
    pub score: Option<f64>,
    /// The strangeness behind the score, without a gate: the larger, the more unusual. 0 in the warm-up.
    pub strangeness: f64,
    /// The strangeness above which the detector raises an alarm, or the threshold that was given in its place.
    pub threshold: Option<f64>,
    /// The value that was expected.
    pub expected: Option<f64>,
    /// The lower bound of normal values.
    pub low: Option<f64>,
    /// The upper bound of normal values.
    pub high: Option<f64>,
    /// Whether the value raises an alarm.
    pub is_alarm: bool,
}

/// The reason why there is no detector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetectorError {
    /// The annotation is wrong.
    #[error("{0}")]
    Annotation(#[from] AnnotationError),
    /// The period is too long.
    #[error("a period of {seconds} s is longer than a year ({MAX_PERIOD_SECONDS} s); choose a shorter one")]
    Period {
        /// The period.
        seconds: u64,
    },
    /// No score reaches the threshold.
    #[error("no score of `{detector}` is as large as {found}; choose a threshold of at most {most}")]
    Threshold {
        /// The threshold.
        found: f64,
        /// The largest one.
        most: f64,
        /// The detector.
        detector: &'static str,
    },
    /// The algorithm has no score.
    #[error(
        "`{found}` gives no score; choose a detector such as `Seasonal` or `1.DSSum-value:{DETECTOR_CALL}:Seasonal`"
    )]
    NoScore {
        /// The annotation.
        found: String,
    },
}

impl Detector {
    /// The detector `algorithm`: its name and arguments, such as `Seasonal:alarms=2`, which score every value; or an
    /// annotation, such as `1.DSSum-value:DSAnomaly:EWM:0.1`, which scores the value of each period of
    /// `period_seconds`.
    ///
    /// # Errors
    ///
    /// When the annotation is wrong, or its algorithm has no score.
    pub fn compile(algorithm: &str, period_seconds: u32, registry: &Registry) -> Result<Self, DetectorError> {
        let calls_detector = algorithm.contains(&format!(":{DETECTOR_CALL}:"));
        // That of an annotation is in front of the first colon; an argument may be a number such as 1e-2.
        let has_period = algorithm.split(':').next().is_some_and(|head| head.contains('-'));
        let text = match calls_detector || has_period || algorithm.starts_with("value:") {
            true => algorithm.to_owned(),
            false if algorithm.split(':').next() == Some(DETECTOR_CALL) => format!("value:{algorithm}"),
            false => format!("value:{DETECTOR_CALL}:{algorithm}"),
        };
        let detector = Self::of_annotation(&text, period_seconds, registry)?;
        if detector.spec.description().of_role(Role::Score).is_none() {
            return Err(DetectorError::NoScore { found: text });
        }
        Ok(detector)
    }

    /// A complete annotation, also one without a score, such as `1-value:DSSum`: then a run gives the values alone.
    ///
    /// # Errors
    ///
    /// When the annotation is wrong, or its period is too long.
    pub fn of_annotation(text: &str, period_seconds: u32, registry: &Registry) -> Result<Self, DetectorError> {
        let annotation = Annotation::parse(text)?;
        let periods = match annotation.period() {
            Some(period) if period.every() > 0 => Periods::Every { seconds: period_seconds },
            _ => Periods::Plain,
        };
        let context = Context::new(ValueType::F64).with_periods(periods).with_registry(registry);
        let spec = Spec::compile(&annotation, context)?;
        let seconds = u64::from(spec.every()) * u64::from(period_seconds);
        if seconds > MAX_PERIOD_SECONDS {
            return Err(DetectorError::Period { seconds });
        }
        let period = seconds * 1_000_000;
        Ok(Self { spec: Arc::new(spec), period, threshold: None })
    }

    /// The same detector, whose alarms are the scores of this size and above instead of the detector's own.
    ///
    /// # Errors
    ///
    /// When it is above the bound of the scores: that of the detector's argument for the threshold, or of its formula.
    pub fn with_threshold(self, threshold: Option<f64>) -> Result<Self, DetectorError> {
        let entry = self.spec.links().last().map(SpecLink::entry);
        let argument =
            entry.and_then(|entry| entry.argument_list().iter().find(|argument| argument.name() == THRESHOLD));
        let of_argument = match argument.map(Argument::kind) {
            Some(ArgumentKind::Decimal { most, .. }) => Some(most),
            _ => None,
        };
        match (threshold, of_argument.or_else(|| self.spec.largest_score())) {
            (Some(found), Some(most)) if found > most => {
                Err(DetectorError::Threshold { found, most, detector: entry.map_or("", Entry::name) })
            }
            _ => Ok(Self { threshold, ..self }),
        }
    }

    /// The compiled annotation.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Whether it scores periods, not single values.
    pub fn has_periods(&self) -> bool {
        self.period > 0
    }

    /// A time range as that of the scored values: with whole periods, if it scores periods.
    pub fn widen(&self, (start, end): Range) -> Range {
        (start - start.checked_rem(self.period).unwrap_or(0), end)
    }

    /// Whether the detector has alarms: its own, or those of a threshold.
    pub fn has_alarms(&self) -> bool {
        self.threshold.is_some() || self.spec.description().of_role(Role::Alarm).is_some()
    }

    /// Scores the values in order. Also returns the number of values that the detector refused, because their time was
    /// too far back.
    ///
    /// A period without a value is unknown, not 0.
    pub fn run(&self, points: &[Point]) -> (Vec<Scored>, u64) {
        match self.period {
            0 => self.run_inline(points),
            _ => self.run_periods(points),
        }
    }

    fn run_inline(&self, points: &[Point]) -> (Vec<Scored>, u64) {
        let (mut state, mut refused) = (self.spec.start(), 0);
        let mut score = |point: &Point| match self.spec.update(&mut state, point.at, Number::F64(point.value)) {
            Ok(()) => self.scored(point.at, self.spec.report(&state, point.at)),
            Err(_) => {
                refused += 1;
                None
            }
        };
        let scored = points.iter().filter_map(&mut score).collect();
        (scored, refused)
    }

    fn run_periods(&self, points: &[Point]) -> (Vec<Scored>, u64) {
        let (mut state, mut scored, mut refused) = (self.spec.start(), Vec::new(), 0);
        let mut open = None;
        for point in points {
            let start = point.at - point.at % self.period;
            match open {
                Some(open) if start < open => {
                    refused += 1;
                    continue;
                }
                Some(earlier) if start > earlier => scored.extend(self.close(&mut state, earlier)),
                _ => {}
            }
            open = Some(start);
            refused += u64::from(self.spec.update(&mut state, point.at, Number::F64(point.value)).is_err());
        }
        scored.extend(open.and_then(|open| self.close(&mut state, open)));
        (scored, refused)
    }

    fn close(&self, state: &mut derived_stats::State, start: u64) -> Option<Scored> {
        let report = self.spec.close(state, start + self.period, Silence::Skip)?;
        self.scored(start, report)
    }

    fn scored(&self, at: u64, report: Report<Output<'_>>) -> Option<Scored> {
        let is_ready = report.as_ref().forced().is_some();
        let output = report.any()?;
        let number = |role| output.role(role).map(Number::as_f64);
        let score = number(Role::Score).filter(|_| is_ready);
        let strangeness = output.number(STRANGENESS).map(Number::as_f64).filter(|_| is_ready);
        let own = number(Role::Alarm) == Some(1.0);
        Some(Scored {
            at,
            value: number(Role::Value)?,
            score,
            strangeness: strangeness.or(score).unwrap_or(0.0).abs(),
            threshold: self.threshold.or_else(|| output.number(THRESHOLD).map(Number::as_f64)),
            expected: number(Role::Expected),
            low: number(Role::Low),
            high: number(Role::High),
            is_alarm: self.threshold.map_or(own && is_ready, |least| score.is_some_and(|score| score.abs() >= least)),
        })
    }
}

/// The time between two alarms that count as two, in microseconds.
pub const APART: u64 = 3_600_000_000;

/// The alarms, where those less than an hour after the one before are left out.
pub fn alarms(scored: &[Scored]) -> impl Iterator<Item = &Scored> {
    let mut newest: Option<u64> = None;
    scored.iter().filter(|scored| scored.is_alarm).filter(move |alarm| {
        let is_new = newest.is_none_or(|newest| alarm.at.saturating_sub(newest) >= APART);
        newest = Some(alarm.at);
        is_new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000;
    const START: u64 = 1_700_438_400_000_000;

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        (0u64..).zip(values).map(|(minute, value)| Point { at: START + minute * MINUTE, value }).collect()
    }

    /// Three days of minutes with a spike in the last hour.
    fn spiky() -> Vec<Point> {
        points(
            (0..4320).map(|minute| if minute == 4300 { 900.0 } else { 100.0 + f64::from(minute * 7919 % 101) / 10.0 }),
        )
    }

    fn compile(algorithm: &str) -> Detector {
        Detector::compile(algorithm, 60, &Registry::new()).unwrap()
    }

    #[test]
    fn a_spike_after_the_warm_up_is_an_alarm_outside_of_the_band() {
        // Ready 100 minutes before the spike: too short for an alarm by chance.
        for name in ["Seasonal", "DSAnomaly:Seasonal", "raw:DSAnomaly:Seasonal", "1.DSSum-value:DSAnomaly:Seasonal"] {
            let algorithm = &format!("{name}:warmup=252000");
            let detector = compile(algorithm);
            assert!(detector.has_alarms());
            let (scored, refused) = detector.run(&spiky());
            assert_eq!((scored.len(), refused), (4320, 0), "{algorithm}");
            assert_eq!((scored[100].score, scored[100].strangeness), (None, 0.0), "{algorithm}: the warm-up");
            let alarms: Vec<u64> = alarms(&scored).map(|alarm| (alarm.at - START) / MINUTE).collect();
            assert_eq!(alarms, [4300], "{algorithm}");
            let spike = scored[4300];
            assert!(spike.high.is_some_and(|high| high < spike.value) && spike.score.is_some_and(|score| score > 0.5));
        }
    }

    #[test]
    fn a_threshold_that_no_score_reaches_is_refused() {
        for (algorithm, most) in
            [("Seasonal", 0.99), ("1.DSSum-value:DSAnomaly:MAD", 2000.0), ("EWM:0.1", 3.0), ("EWM:1", 0.0)]
        {
            assert!(compile(algorithm).with_threshold(Some(most)).is_ok());
            let error = compile(algorithm).with_threshold(Some(1.001 * most + 1e-9)).unwrap_err().to_string();
            assert!(error.ends_with(&format!("choose a threshold of at most {most}")), "{error}");
        }
    }

    #[test]
    fn a_threshold_replaces_the_alarms() {
        let detector = compile("EWM:0.01");
        assert!(!detector.has_alarms());
        let detector = detector.with_threshold(Some(5.0)).unwrap();
        assert!(detector.has_alarms());
        let (scored, _) = detector.run(&spiky());
        let found: Vec<usize> = (0..scored.len()).filter(|row| scored[*row].is_alarm).collect();
        assert_eq!(found, [4300]);
    }

    #[test]
    fn a_period_is_scored_once_and_an_empty_one_is_left_out() {
        let detector = Detector::compile("2.DSSum-value:DSAnomaly:EWM:0.5", 60, &Registry::new()).unwrap();
        let mut points = points([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        points.drain(2..4);
        points.push(Point { at: START, value: 100.0 });
        let (scored, refused) = detector.run(&points);
        let rows: Vec<_> = scored.iter().map(|scored| ((scored.at - START) / MINUTE, scored.value)).collect();
        assert_eq!((rows, refused), (vec![(0, 3.0), (4, 11.0), (6, 15.0)], 1));
    }

    #[test]
    fn a_wrong_algorithm_has_an_error_with_the_remedy() {
        let error = |algorithm| Detector::compile(algorithm, 60, &Registry::new()).unwrap_err().to_string();
        assert!(error("Seasonall").contains("did you mean `Seasonal`?"), "{}", error("Seasonall"));
        let long = "4294967295.DSSum-value:DSAnomaly:EWM:0.5";
        let long = Detector::compile(long, 86_400, &Registry::new()).unwrap_err().to_string();
        assert!(long.contains("is longer than a year"), "{long}");
        assert!(Detector::compile("EWM:1e-2", 60, &Registry::new()).is_ok());
        assert!(error("value:DSSum").contains("`value:DSSum` gives no score; choose a detector such as `Seasonal`"));
    }

    #[test]
    fn alarms_in_one_hour_are_one() {
        let scored = |minute: u64| Scored {
            at: START + minute * MINUTE,
            value: 0.0,
            score: None,
            strangeness: 0.0,
            threshold: None,
            expected: None,
            low: None,
            high: None,
            is_alarm: true,
        };
        let scored = [0, 30, 80, 200].map(scored);
        let found: Vec<u64> = alarms(&scored).map(|alarm| (alarm.at - START) / MINUTE).collect();
        assert_eq!(found, [0, 200]);
    }
}
