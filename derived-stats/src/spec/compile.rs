//! The compiler: it makes a spec of an annotation, and checks the combination of its parts.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::algorithm::scored::WEEK;
use crate::annotation::{Annotation, AnnotationError, Call, ErrorKind};
use crate::description::Description;
use crate::fnv::{OFFSET_BASIS, fnv_1a};
use crate::menu::{self, Resolved, Scope};
use crate::number::ValueType;
use crate::spec::{Context, Form, MetricKind, Periods, Spec, SpecLink};
use crate::state::Layout;

/// Compiles an annotation.
pub(super) fn spec(annotation: &Annotation, context: Context<'_>) -> Result<Spec, AnnotationError> {
    let every = every(annotation, context.periods)?;
    let compiler = Compiler { annotation, context, every };
    let mut layout = Layout::default();
    let reading = (context.metric == MetricKind::Agg).then(|| layout.word());
    let form = compiler.form(&mut layout)?;
    let Context { value: value_type, metric, .. } = context;
    let annotation = annotation.clone();
    let start = layout.state(0);
    let mut spec = Spec { annotation, value_type, metric, every, form, layout, reading, start };
    spec.start = start_state(&spec);
    Ok(spec)
}

/// The period: as written, or the default of the context; 0 for inline.
fn every(annotation: &Annotation, periods: Periods) -> Result<u32, AnnotationError> {
    let written = annotation.period().map(crate::annotation::Period::every);
    match (periods, written) {
        (Periods::Every { .. }, None) => Ok(1),
        (Periods::AsWritten | Periods::Plain, None) => Ok(0),
        (Periods::Plain, Some(period @ 1..)) => {
            let span = annotation.period().map_or_else(|| annotation.source().span(), crate::annotation::Period::span);
            Err(annotation.error_at(span, ErrorKind::PeriodInPlainStruct { period }))
        }
        (_, Some(period)) => Ok(period),
    }
}

/// The state before the first sample, in which all cells are started.
fn start_state(spec: &Spec) -> crate::state::State {
    let mut state = spec.layout.state(tag(spec));
    let links: Vec<&SpecLink> = spec.links().collect();
    let cells: Vec<&SpecLink> = match spec.form {
        Form::Window { .. } => alloc::vec![links[0], links[0]],
        Form::Chain { .. } | Form::Inline(_) => links,
    };
    for (index, link) in cells.into_iter().enumerate() {
        state.start_cell(&spec.layout, index, link.link());
    }
    state
}

/// The tag of the states of a spec: FNV-1a over its identity and its entries, because two registries may have different
/// algorithms of one name.
fn tag(spec: &Spec) -> u64 {
    let entries = spec.links().map(|link| core::ptr::from_ref(link.entry()) as usize as u64);
    entries.fold(fnv_1a(OFFSET_BASIS, spec.identity().as_bytes()), |hash, entry| fnv_1a(hash, &entry.to_le_bytes()))
}

struct Compiler<'a> {
    annotation: &'a Annotation,
    context: Context<'a>,
    every: u32,
}

impl Compiler<'_> {
    fn form(&self, layout: &mut Layout) -> Result<Form, AnnotationError> {
        let chain = self.annotation.period().map(|period| period.chain()).unwrap_or_default();
        let last = self.annotation.algorithm();
        match chain.split_first() {
            Some((first, later)) => self.chain(first, later, layout),
            None => {
                let resolved = menu::algorithm(self.annotation, last, self.scope())?;
                if self.every == 0 {
                    self.runs_inline(&resolved)?;
                    self.takes_samples(&resolved, last)?;
                    let link = self.link(&resolved, self.context.value);
                    layout.cell(link.link());
                    return Ok(Form::Inline(Arc::new(link)));
                }
                self.window(&resolved, layout)
            }
        }
    }

    /// The known algorithms, and the length of the period.
    fn scope(&self) -> Scope<'_> {
        let period = match self.context.periods {
            Periods::Every { seconds } if self.every > 0 => Some(u64::from(seconds) * u64::from(self.every)),
            Periods::AsWritten | Periods::Every { .. } | Periods::Plain => None,
        };
        Scope { registry: self.context.registry, period }
    }

    fn runs_inline(&self, resolved: &Resolved<'_>) -> Result<(), AnnotationError> {
        if resolved.entry.roles().inline {
            return Ok(());
        }
        let name = self.annotation.algorithm().name();
        let kind = ErrorKind::NotInline { algorithm: name.as_str().to_owned() };
        Err(self.annotation.error_at(name.span(), kind))
    }

    /// `1-raw:ALGO`.
    fn window(&self, resolved: &Resolved<'_>, layout: &mut Layout) -> Result<Form, AnnotationError> {
        let call = self.annotation.algorithm();
        let (entry, algorithm) = (resolved.entry, call.name().as_str().to_owned());
        if !entry.roles().period {
            let kind = match entry.roles().detector {
                true => ErrorKind::NeedsPre { period: self.every },
                false => ErrorKind::NotPeriodic { algorithm },
            };
            return Err(self.annotation.error_at(call.name().span(), kind));
        }
        self.takes_samples(resolved, call)?;
        self.window_fits(resolved)?;
        let link = self.link(resolved, self.context.value);
        let closed_at = layout.word();
        layout.cell(link.link());
        layout.cell(link.link());
        Ok(Form::Window { link: Arc::new(link), closed_at })
    }

    /// `1.FIRST.LATER-raw:DSAnomaly:…`.
    fn chain(&self, first: &Call, later: &[Call], layout: &mut Layout) -> Result<Form, AnnotationError> {
        let scope = self.scope();
        if self.every == 0 {
            let kind = ErrorKind::PreNeedsPeriod { pre: first.name().as_str().to_owned() };
            return Err(self.annotation.error_at(first.name().span(), kind));
        }
        let last = menu::algorithm(self.annotation, self.annotation.algorithm(), scope)?;
        if !last.entry.roles().detector {
            let kind =
                ErrorKind::ChainWithoutDetector { algorithm: self.annotation.algorithm().name().as_str().to_owned() };
            return Err(self.annotation.error_at(first.name().span(), kind));
        }
        self.period_fits(&last)?;
        self.alarms_fit(&last)?;
        let resolved = menu::pre_aggregation(self.annotation, first, scope)?;
        self.takes_samples(&resolved, first)?;
        self.window_fits(&resolved)?;
        let window = self.link(&resolved, self.context.value);
        layout.cell(window.link());
        let mut value_type = self.value_type_of(&window, first)?;
        let mut downstream = Vec::with_capacity(later.len() + 1);
        for call in later {
            let link = self.link(&menu::pre_aggregation(self.annotation, call, scope)?, value_type);
            value_type = self.value_type_of(&link, call)?;
            layout.cell(link.link());
            downstream.push(Arc::new(link));
        }
        let detector = self.link(&last, value_type);
        layout.cell(detector.link());
        downstream.push(Arc::new(detector));
        Ok(Form::Chain { window: Arc::new(window), downstream: downstream.into() })
    }

    fn link(&self, resolved: &Resolved<'_>, value_type: ValueType) -> SpecLink {
        let Resolved { entry, given, built, call, .. } = resolved;
        let written: Box<[Box<str>]> = resolved.texts.iter().map(|text| Box::from(*text)).collect();
        let text_at = |index: usize| written.get(index).cloned().unwrap_or_default();
        let description = Description::new(entry, entry.fields(given, value_type), value_type, text_at);
        let link = built.link(entry, value_type, description.value_index().zip(description.value_type()));
        let (last_values, takes_increases) = (built.last_values(), built.takes_increases());
        let call = call.as_str().into();
        let largest_score = built.largest_score();
        SpecLink { entry, call, written, value_type, description, link, last_values, takes_increases, largest_score }
    }

    /// The type of the value that a link of a chain passes to the next.
    fn value_type_of(&self, link: &SpecLink, call: &Call) -> Result<ValueType, AnnotationError> {
        link.description().value_type().ok_or_else(|| {
            let kind = ErrorKind::NoValue { algorithm: call.name().as_str().to_owned() };
            self.annotation.error_at(call.name().span(), kind)
        })
    }

    /// Checks that an algorithm for the readings of a counter does not get differences, of which it would make
    /// differences again.
    fn takes_samples(&self, resolved: &Resolved<'_>, call: &Call) -> Result<(), AnnotationError> {
        let metric = match self.context.metric {
            MetricKind::Agg => "agg",
            MetricKind::Diff => "diff",
            MetricKind::Plain => return Ok(()),
        };
        if !resolved.entry.takes_readings() {
            return Ok(());
        }
        let kind = ErrorKind::ReadingsOfDifferences { algorithm: call.name().as_str().to_owned(), metric };
        Err(self.annotation.error_at(call.name().span(), kind))
    }

    /// Checks that a detector gets enough values in its season.
    fn period_fits(&self, resolved: &Resolved<'_>) -> Result<(), AnnotationError> {
        let (Periods::Every { seconds }, Some(longest)) = (self.context.periods, resolved.built.longest_period())
        else {
            return Ok(());
        };
        let period = u64::from(seconds) * u64::from(self.every);
        if period <= longest {
            return Ok(());
        }
        let kind = ErrorKind::PeriodTooLong { detector: resolved.entry.name().to_owned(), period, longest };
        Err(self.annotation.error_at(resolved.span, kind))
    }

    /// Checks the number of alarms: at most a fifth of the values can raise one.
    fn alarms_fit(&self, resolved: &Resolved<'_>) -> Result<(), AnnotationError> {
        let (Periods::Every { seconds }, Some(alarms)) = (self.context.periods, resolved.built.alarms_per_week())
        else {
            return Ok(());
        };
        let period = u64::from(seconds) * u64::from(self.every);
        let most = WEEK / (5.0 * period as f64);
        if alarms <= most {
            return Ok(());
        }
        // Three digits, rounded down.
        let most = alloc::format!("{:.3}", crate::math::floor(most * 1e3) / 1e3);
        let kind = ErrorKind::AlarmsOverPeriods { alarms: alloc::format!("{alarms}"), period, most };
        Err(self.annotation.error_at(resolved.span, kind))
    }

    /// Checks the length of a window: every period of the struct resets it, so a longer one never fills.
    fn window_fits(&self, resolved: &Resolved<'_>) -> Result<(), AnnotationError> {
        let (Periods::Every { seconds }, Some(range)) = (self.context.periods, resolved.built.window_seconds()) else {
            return Ok(());
        };
        if range <= u64::from(seconds) {
            return Ok(());
        }
        let kind = ErrorKind::RangeOverPeriod { range, period: u64::from(seconds) };
        Err(self.annotation.error_at(resolved.span, kind))
    }
}

#[cfg(all(test, feature = "parser"))]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_at_most_as_long_as_the_period_of_the_struct() {
        let context = Context::new(ValueType::U64).with_periods(Periods::Every { seconds: 60 });
        for good in ["raw:DSSum:60", "0-raw:DSSum:60", "1.DSSum(60)-raw:DSAnomaly:EWM:0.1"] {
            assert!(Spec::parse(good, context).is_ok(), "{good}");
        }
        for long in ["raw:DSSum:61", "1.DSSum(61)-raw:DSAnomaly:EWM:0.1"] {
            let error = Spec::parse(long, context).expect_err("too long a window");
            assert_eq!(*error.kind(), ErrorKind::RangeOverPeriod { range: 61, period: 60 }, "{error}");
        }
    }

    #[test]
    fn differences_of_differences_are_refused() {
        for (metric, name) in [(MetricKind::Agg, "agg"), (MetricKind::Diff, "diff")] {
            let context = Context::new(ValueType::U64).with_metric(metric);
            for bad in
                ["raw:DSRate", "1-raw:DSIncrease:60", "1.DSRate.DSMax-raw:DSAnomaly:EWM:0.1", "1-raw:DSSumLast:3"]
            {
                let error = Spec::parse(bad, context).expect_err("increases for readings");
                let is_kind =
                    matches!(error.kind(), ErrorKind::ReadingsOfDifferences { metric, .. } if *metric == name);
                assert!(is_kind && bad[error.span().range()].starts_with("DS"), "{error}");
            }
            // The values that a later link takes are not the samples of the metric.
            let later = "1.DSSum.DSRate-raw:DSAnomaly:EWM:0.1";
            assert!(Spec::parse(later, context).is_ok() && Spec::parse("raw:DSMax", context).is_ok());
        }
        assert!(Spec::parse("raw:DSRate", Context::new(ValueType::U64)).is_ok());
    }

    #[test]
    fn a_season_has_at_least_four_values_and_a_span_one() {
        let context = |seconds| Context::new(ValueType::U64).with_periods(Periods::Every { seconds });
        for (seconds, good) in [
            (21_600, "1.DSSum-raw:DSAnomaly:HoltWinters"),
            (60, "1.DSSum-raw:DSAnomaly:HoltWinters:600"),
            (150, "1.DSSum-raw:DSAnomaly:HoltWinters:season=600"),
            (86_400, "1.DSSum-raw:DSAnomaly:HoltWinters:604800"),
            (86_400, "1.DSSum-raw:DSAnomaly:MAD"),
        ] {
            assert!(Spec::parse(good, context(seconds)).is_ok(), "{good} every {seconds} s");
        }
        for (seconds, bad, longest) in [
            (21_601, "1.DSSum-raw:DSAnomaly:HoltWinters", 21_600),
            (300, "1.DSSum-raw:DSAnomaly:HoltWinters:600", 150),
            (100, "2.DSSum-raw:DSAnomaly:HoltWinters:600", 150),
            (600, "1.DSSum-raw:DSAnomaly:MAD:span=60", 60),
        ] {
            let error = Spec::parse(bad, context(seconds)).expect_err("too few values in a season");
            let is_kind = matches!(error.kind(), ErrorKind::PeriodTooLong { longest: found, .. } if *found == longest);
            assert!(is_kind, "{error}");
        }
        let error = Spec::parse("2.DSSum-raw:DSAnomaly:HoltWinters:600", context(100)).expect_err("too few values");
        assert_eq!(
            error.kind().to_string(),
            "`HoltWinters` with these arguments takes a value every 150 s at least, and a period of 200 s gives \
             fewer; lengthen its season or span, or shorten the period"
        );
    }

    #[test]
    fn a_detector_has_at_most_a_fifth_of_its_values_as_alarms() {
        let context = |seconds| Context::new(ValueType::U64).with_periods(Periods::Every { seconds });
        for (seconds, good) in [
            (60, "1.DSSum-raw:DSAnomaly:MAD:alarms=84"),
            (3600, "1.DSSum-raw:DSAnomaly:MAD:alarms=33"),
            (86_400, "1.DSSum-raw:DSAnomaly:Seasonal"),
            (604_800, "raw:DSSum"),
        ] {
            assert!(Spec::parse(good, context(seconds)).is_ok(), "{good} every {seconds} s");
        }
        for (seconds, bad, sentence) in [
            (
                3600,
                "2.DSSum-raw:DSAnomaly:MAD:alarms=17",
                "17 alarms a week cannot be reached: a period of 7200 s gives too few values a week; write \
                 `alarms=16.800` or less, or shorten the period",
            ),
            (
                604_800,
                "1.DSSum-raw:DSAnomaly:SeasonalSmall",
                "1 alarms a week cannot be reached: a period of 604800 s gives too few values a week; write \
                 `alarms=0.200` or less, or shorten the period",
            ),
        ] {
            let error = Spec::parse(bad, context(seconds)).expect_err("too many alarms");
            assert_eq!(error.kind().to_string(), sentence);
        }
    }
}
