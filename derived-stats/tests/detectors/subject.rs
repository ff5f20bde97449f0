//! A detector under test.

use std::sync::Arc;

use derived_stats::entry::{Entry, Role};
use derived_stats::{Context, DETECTOR_CALL, Number, Output, Report, Spec, State, ValueType, menu};

/// A Monday.
pub(crate) const START: u64 = 1_700_438_400;
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const WEEK: u64 = 7 * DAY;

/// The detectors whose result has an alarm.
pub(crate) fn detectors() -> Vec<&'static Entry> {
    let has_alarm = |entry: &&&Entry| {
        let spec = compile(entry, "");
        spec.description().of_role(Role::Alarm).is_some()
    };
    let detectors: Vec<_> = menu().iter().filter(|entry| entry.roles().detector).filter(has_alarm).copied().collect();
    assert!(detectors.len() > 1, "the menu has detectors with alarms");
    detectors
}

/// Each detector with each case.
pub(crate) fn pairs<C: Clone>(cases: impl Iterator<Item = C> + Clone) -> impl Iterator<Item = (&'static Entry, C)> {
    detectors().into_iter().flat_map(move |entry| cases.clone().map(move |case| (entry, case)))
}

/// A detector with its required arguments and `options`, such as `:alarms=2`.
fn compile(entry: &Entry, options: &str) -> Arc<Spec> {
    let example = entry.example();
    let separator = if example.is_empty() { "" } else { ":" };
    let text = format!("raw:{DETECTOR_CALL}:{}{separator}{example}{options}", entry.name());
    Arc::new(Spec::parse(&text, Context::new(ValueType::F64)).unwrap())
}

/// One object, and its alarms.
pub(crate) struct Subject {
    pub(crate) name: String,
    spec: Arc<Spec>,
    state: State,
    /// The starts of alarms that are more than an hour apart, in seconds.
    pub(crate) alarms: Vec<u64>,
    /// The number of values with an alarm.
    pub(crate) alarm_values: u64,
    newest_alarm: u64,
}

impl Subject {
    pub(crate) fn new(entry: &Entry, options: &str) -> Self {
        let spec = compile(entry, options);
        let state = spec.start();
        let name = format!("{}{options}", entry.name());
        Self { name, spec, state, alarms: Vec::new(), alarm_values: 0, newest_alarm: 0 }
    }

    /// Takes a value; returns whether it raises an alarm.
    pub(crate) fn update(&mut self, seconds: u64, value: f64) -> bool {
        self.spec.update(&mut self.state, seconds * 1_000_000, Number::F64(value)).unwrap();
        let is_alarm = self.number(Role::Alarm) == 1.0;
        if is_alarm {
            self.alarm_values += 1;
            if seconds.abs_diff(self.newest_alarm) > HOUR {
                self.alarms.push(seconds);
            }
            self.newest_alarm = seconds;
        }
        is_alarm
    }

    /// Takes a value every `interval` seconds until `end`.
    pub(crate) fn run(&mut self, (start, end): (u64, u64), interval: u64, mut value: impl FnMut(u64) -> f64) {
        for seconds in (start..end).step_by(interval as usize) {
            self.update(seconds, value(seconds));
        }
    }

    /// The number of values until the first alarm of two hours of 250: 15 deviations of
    /// [`Kind::Level`](crate::series::Kind::Level).
    pub(crate) fn until_alarm(&mut self, start: u64, interval: u64) -> Option<u64> {
        let mut values = (start..start + 2 * HOUR).step_by(interval as usize);
        values.position(|seconds| self.update(seconds, 250.0)).map(|index| index as u64 + 1)
    }

    /// The number of alarms from `start` to before `end`.
    pub(crate) fn alarms_in(&self, (start, end): (u64, u64)) -> usize {
        self.alarms.iter().filter(|seconds| (start..end).contains(*seconds)).count()
    }

    pub(crate) fn report(&self) -> Report<Output<'_>> {
        self.spec.report(&self.state, 0)
    }

    /// The measure that the threshold of alarms applies to.
    pub(crate) fn strangeness(&self) -> f64 {
        self.report().any().unwrap().number("strangeness").unwrap().as_f64()
    }

    pub(crate) fn number(&self, role: Role) -> f64 {
        self.report().any().unwrap().role(role).unwrap().as_f64()
    }
}
