//! The annotations of a struct: period, timeout, silence.

use std::time::Duration;

use derived_stats::annotation::nearest;
use derived_stats::{Periods, Silence};

use super::super::ast::Annotation;
use super::super::kind::SchemaErrorKind;
use super::super::proxy_type::check_period;
use super::Check;

const NAMES: [&str; 3] = ["period", "silence", "timeout"];

const SILENCES: [(&str, Silence); 3] = [("once", Silence::Once), ("skip", Silence::Skip), ("zero", Silence::Zero)];

/// The annotations of a struct.
pub(super) struct Settings {
    /// In seconds.
    pub(super) period: Option<u32>,
    /// The periods with which annotations are compiled.
    pub(super) periods: Periods,
    pub(super) timeout: u32,
    pub(super) silence: Silence,
}

impl Check<'_> {
    /// Reads the annotations of the struct; `period` overrides a period in it.
    pub(super) fn settings(&mut self, period: Option<u32>) -> Settings {
        let annotations = &self.definition.annotations;
        self.names(annotations, &NAMES, "`period`, `timeout` or `silence`");
        let find = |name| annotations.iter().find(|annotation| annotation.name.text == name);
        let (found, timeout, silence) = (find("period"), find("timeout"), find("silence"));
        for annotation in [timeout, silence].into_iter().flatten().filter(|_| found.is_none()) {
            let name = annotation.name.text.clone();
            self.error(SchemaErrorKind::NeedsPeriod { name }, &annotation.name);
        }
        let period = found.and_then(|found| self.period(found, period));
        let periods = match (found, period) {
            (_, Some(seconds)) => Periods::Every { seconds },
            (None, None) if !self.definition.broken => Periods::Plain,
            // A period that cannot be read still counts as one.
            (_, None) => Periods::AsWritten,
        };
        Settings {
            period,
            periods,
            timeout: timeout.and_then(|timeout| self.timeout(timeout)).unwrap_or(0),
            silence: silence.and_then(|silence| self.silence(silence)).unwrap_or_default(),
        }
    }

    fn period(&mut self, annotation: &Annotation, instead: Option<u32>) -> Option<u32> {
        let value = self.value(annotation, "period=\"60\"")?;
        let text = instead.map_or_else(|| value.text.clone(), |instead| instead.to_string());
        let seconds = whole(&text).map(|seconds| Duration::from_secs(seconds.into()));
        let period = seconds.and_then(|period| check_period(Some(period)).ok().flatten());
        if period.is_none() {
            let expected = "a period in whole seconds, 1 to 86400";
            self.error(SchemaErrorKind::BadValue { expected, text, nearest: None }, value);
        }
        period
    }

    fn timeout(&mut self, annotation: &Annotation) -> Option<u32> {
        let value = self.value(annotation, "timeout=\"1\"")?;
        let timeout = whole(&value.text);
        if timeout.is_none() {
            let expected = "a number of periods, 0 (never) to 4294967295";
            self.error(SchemaErrorKind::BadValue { expected, text: value.text.clone(), nearest: None }, value);
        }
        timeout
    }

    fn silence(&mut self, annotation: &Annotation) -> Option<Silence> {
        let value = self.value(annotation, "silence=\"once\"")?;
        let silence = SILENCES.iter().find(|(name, _)| *name == value.text);
        if silence.is_none() {
            let nearest = nearest(&value.text, SILENCES.iter().map(|(name, _)| *name)).map(str::to_owned);
            let expected = "`once`, `zero` or `skip`";
            self.error(SchemaErrorKind::BadValue { expected, text: value.text.clone(), nearest }, value);
        }
        silence.map(|(_, silence)| *silence)
    }
}

/// The number that decimal digits spell; `None` for any other text.
fn whole(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
