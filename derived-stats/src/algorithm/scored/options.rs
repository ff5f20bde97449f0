//! The arguments that all scored detectors have.

use alloc::format;

use crate::algorithm::scored::{Alarms, Clock, WEEK};
use crate::entry::{Argument, ArgumentKind, Explanation, Given};
use crate::number::Number;

/// One alarm in 19 years: no object lives long enough to learn a smaller rate.
const LEAST_ALARMS: f64 = 0.001;

/// Alarms are at least an hour apart, so that more than 84 a week cannot be a matter of chance.
const MOST_ALARMS: f64 = 84.0;

/// `alarms=`.
pub(crate) const ALARMS: Argument = Argument::optional(
    "alarms",
    ArgumentKind::Decimal { above: LEAST_ALARMS, most: MOST_ALARMS },
    "alarms a week for each object when nothing happens, a decimal number above 0.001 and at most 84 such as `alarms=1`",
    "2",
)
.absent_is_decimal(DEFAULT_ALARMS)
.named();

/// `alarms=` without an argument.
const DEFAULT_ALARMS: f64 = 1.0;

/// `threshold=`, for a score of at most 2000 by size.
pub(crate) const THRESHOLD: Argument = threshold(
    2000.0,
    "threshold, the least score of an alarm, a decimal number above 0 and at most 2000 (no score is larger) such as \
     `threshold=3`",
    "3",
);

/// `threshold=`, for a score of at most `most` by size.
pub(crate) const fn threshold(most: f64, expected: &'static str, example: &'static str) -> Argument {
    Argument::optional("threshold", ArgumentKind::Decimal { above: 0.0, most }, expected, example).named()
}

/// `span=` with its default, which is the example.
pub(crate) const fn span(default: u64, expected: &'static str, example: &'static str) -> Argument {
    Argument::optional("span", ArgumentKind::Whole { least: 60, most: 31_536_000 }, expected, example)
        .absent_is(default)
        .named()
}

/// `warmup=`, without its default.
pub(crate) const WARM_UP: Argument = Argument::optional(
    "warmup",
    ArgumentKind::Whole { least: 0, most: 31_536_000 },
    "warmup in whole seconds, 0 to 31536000 (a year), such as `warmup=86400`",
    "3600",
)
.named();

/// The parameters that all scored detectors have.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    alarms: Alarms,
    threshold: f64,
    /// In microseconds.
    warm_up: u64,
}

impl Options {
    /// The warm-up is over after more than this number of values, whatever the time is.
    pub(crate) const LEAST_SAMPLES: u64 = Clock::WARM;

    /// The options of an entry whose arguments from `first` on are [`ALARMS`], a threshold and [`WARM_UP`]. `warm_up` is
    /// the default in seconds.
    pub(crate) fn of(given: &Given<'_>, first: usize, warm_up: u64) -> Self {
        let seconds = given.whole(first + 2).unwrap_or(warm_up);
        Self {
            alarms: Alarms::new(given.decimal(first).unwrap_or(DEFAULT_ALARMS), given.period_seconds()),
            threshold: given.decimal(first + 1).unwrap_or(0.0),
            warm_up: seconds.saturating_mul(1_000_000),
        }
    }

    pub(crate) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The least score of an alarm.
    pub(crate) fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The warm-up in microseconds.
    pub(crate) fn warm_up(&self) -> u64 {
        self.warm_up
    }
}

/// Adds the lines of `explain` about the options; the arguments are as for [`Options::of`].
pub(crate) fn explain_options(
    explanation: Explanation,
    given: &Given<'_>,
    first: usize,
    warm_up: u64,
    seconds: Option<u64>,
) -> Explanation {
    let (alarms, warm_up) = (given.decimal(first).unwrap_or(DEFAULT_ALARMS), given.whole(first + 2).unwrap_or(warm_up));
    let least = Options::LEAST_SAMPLES + 1;
    let rate = seconds.filter(|seconds| *seconds > 0).map_or_else(Default::default, |seconds| {
        format!(", one in {:.0} values", (WEEK / (seconds as f64 * alarms)).max(1.0))
    });
    let mut explanation = explanation
        .line("alarms", format!("about {alarms} a week for each object when nothing happens{rate}"))
        .line("warm-up", format!("not ready before {warm_up} s and {least} values"));
    if let Some(threshold) = given.decimal(first + 1) {
        explanation = explanation.line("threshold", format!("an alarm has a score of {threshold} by size at least"));
    }
    explanation.fact("alarms", "per_week", Number::F64(alarms)).fact("alarms", "warm_up_seconds", Number::U64(warm_up))
}
