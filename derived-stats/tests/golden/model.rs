//! A simple reference implementation: exact 128-bit integers, lists of samples that are iterated for each result, and
//! no code shared with the crate.
//!
//! The model defines the expected results for deviating records, and must equal the original for all others. Each
//! defect of the original can be enabled as a [`Quirk`]: with the quirks of its list, the model of a deviating record
//! must equal the original, which proves that nothing else deviates.

mod exact;
mod moments;
mod quirk;
mod run;

use derived_stats::{Number, Silence, ValueType};

use self::exact::Exact;
use self::moments::Moments;
pub(crate) use self::quirk::{Quirk, Quirks};
use self::run::{Accumulation, Run};
use crate::record::Observed;
use crate::subject::Subject;

/// What is done with the samples.
#[derive(Clone, Debug)]
enum Form {
    Detector {
        config: String,
        moments: Moments,
    },
    Ewm(Moments),
    Number(Run),
    Periodic {
        running: Option<Run>,
        closed: Option<Observed>,
        empty: Run,
    },
    /// A detector of periods.
    PeriodicDetector {
        running: Option<Run>,
        empty: Run,
        config: String,
        moments: Moments,
        fed_samples: bool,
    },
}

/// One metric of one object.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    kind: ValueType,
    is_agg: bool,
    quirks: Quirks,
    reading: Option<Exact>,
    form: Form,
    seen: bool,
}

impl Model {
    /// `class` is the name of the wrapper in the vectors.
    pub(crate) fn new(
        class: &str,
        algo: &str,
        argument: &str,
        pre: Option<&str>,
        kind: ValueType,
        is_agg: bool,
        quirks: Quirks,
    ) -> Self {
        let moments = |config: &str| Moments::new(config, quirks);
        let config = argument.strip_prefix("EWM:").unwrap_or(argument);
        let form = match (class, algo) {
            ("PeriodicIf", _) => {
                let empty = Run::new(Accumulation::named(algo, argument), kind, quirks);
                Form::Periodic { running: None, closed: None, empty }
            }
            ("PeriodicAnomalyIf", _) => Form::PeriodicDetector {
                running: None,
                empty: Run::new(Accumulation::named(pre.unwrap(), ""), kind, quirks),
                config: config.to_owned(),
                moments: moments(config),
                fed_samples: false,
            },
            (_, "DSAnomaly") => Form::Detector { config: config.to_owned(), moments: moments(config) },
            (_, "DSEWM") => Form::Ewm(moments(config)),
            _ => Form::Number(Run::new(Accumulation::named(algo, argument), kind, quirks)),
        };
        Self { kind, is_agg, quirks, reading: None, form, seen: false }
    }

    /// Deletes the key: drops the open period. Returns whether there is a closed one.
    pub(crate) fn delete(&mut self) -> bool {
        self.reading = None;
        match &mut self.form {
            Form::Periodic { running, closed, .. } => {
                *running = None;
                closed.is_some()
            }
            Form::PeriodicDetector { running, .. } if self.quirks.contains(&Quirk::DetectorOutlivesKey) => {
                *running = None;
                true
            }
            _ => false,
        }
    }

    /// The empty map, for a counter: drops all except the reading and the closed period.
    pub(crate) fn restart(&mut self) {
        self.seen = false;
        match &mut self.form {
            Form::Detector { moments, .. } | Form::Ewm(moments) => moments.restart(),
            Form::Number(run) => run.samples.clear(),
            Form::Periodic { running, .. } => *running = None,
            Form::PeriodicDetector { running, moments, fed_samples, .. } => {
                *running = None;
                if !self.quirks.contains(&Quirk::DetectorOutlivesKey) {
                    *fed_samples = false;
                    moments.restart();
                }
            }
        }
    }

    /// Whether there is a result, ready or not.
    pub(crate) fn has_result(&self) -> bool {
        match &self.form {
            Form::Periodic { closed, .. } => closed.is_some(),
            Form::PeriodicDetector { moments, .. } => moments.samples > 0,
            _ => self.seen,
        }
    }

    fn difference(&mut self, value: Exact) -> Exact {
        if !self.is_agg {
            return value;
        }
        match self.reading.replace(value) {
            Some(before) if value.double() >= before.double() || self.quirks.contains(&Quirk::Wraps) => {
                Exact::of(value.minus(before).fitted(self.kind, self.quirks).0)
            }
            _ => value,
        }
    }
}

impl Subject for Model {
    fn update(&mut self, at: u64, value: Number) -> Option<String> {
        if !value.as_f64().is_finite() && !self.quirks.contains(&Quirk::NonFinite) {
            return Some("Value".to_owned());
        }
        let value = self.difference(Exact::of(value));
        let refused = match &mut self.form {
            Form::Detector { moments, .. } | Form::Ewm(moments) => {
                moments.feed(value.number(self.kind), false);
                None
            }
            Form::Number(run) => run.update(at, value),
            Form::Periodic { empty, running, .. } | Form::PeriodicDetector { empty, running, .. } => {
                running.get_or_insert_with(|| empty.clone()).update(at, value)
            }
        };
        self.seen |= refused.is_none();
        refused
    }

    fn close(&mut self, now: u64, silence: Silence) -> Option<Observed> {
        match &mut self.form {
            Form::Periodic { running, closed, .. } => {
                let observed = running.take().map(|run| run.observed(now));
                let value = observed.clone().and_then(|observed| observed.fill(true));
                *closed = value.map(|value| Observed::new("OK", value));
                observed.map(|observed| closed.clone().unwrap_or(observed))
            }
            Form::PeriodicDetector { running, config, moments, fed_samples, .. } => {
                let value = match (running.take(), silence) {
                    (Some(run), _) => run.value(now)?,
                    (None, Silence::Once) if !*fed_samples => return None,
                    (None, Silence::Zero) if moments.samples == 0 => return None,
                    (None, Silence::Skip) => return None,
                    (None, _) => {
                        *fed_samples = false;
                        moments.feed(Exact::zero(self.kind).number(self.kind), false);
                        return Some(moments.anomaly(config));
                    }
                };
                *fed_samples = true;
                moments.feed(value.0, value.1);
                Some(moments.anomaly(config))
            }
            _ => None,
        }
    }

    fn is_active(&self) -> bool {
        match &self.form {
            Form::Periodic { running, closed, .. } => running.is_some() || closed.is_some(),
            Form::PeriodicDetector { running, fed_samples, .. } => running.is_some() || *fed_samples,
            _ => self.seen,
        }
    }

    fn report(&self, now: u64) -> Observed {
        match &self.form {
            Form::Detector { config, moments } | Form::PeriodicDetector { config, moments, .. } => {
                moments.anomaly(config)
            }
            Form::Ewm(moments) => Observed::new("OK", format!("n={} {}", moments.samples, moments.plain())),
            Form::Number(run) => run.observed(now),
            Form::Periodic { closed, .. } => closed.clone().unwrap_or_else(|| Observed::new("INVALID", None)),
        }
    }

    fn running(&self, now: u64) -> Option<Observed> {
        match &self.form {
            Form::Periodic { running, .. } => running.as_ref().map(|run| run.observed(now)),
            _ => None,
        }
    }
}
