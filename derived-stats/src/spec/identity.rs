//! Identities: texts of what a spec computes. The states and windows of specs with equal identities are
//! interchangeable.

use alloc::string::String;
use core::fmt;

use crate::spec::{Form, Spec};

impl Spec {
    /// The identity of an open window: the first link with its arguments, the element type and the kind of metric. Two
    /// specs with equal window identities, and windows of the same length over the same metric, have equal windows.
    /// `None` for an inline spec.
    pub fn window_identity(&self) -> Option<String> {
        Some(alloc::format!("{} {}{}", self.window_link()?.call(), self.value_type, self.metric.suffix()))
    }

    /// The identity of the links after the window: all links with their arguments, the element type and the kind of
    /// metric. `None` if no link follows the window.
    pub fn downstream_identity(&self) -> Option<String> {
        match &self.form {
            Form::Chain { .. } => Some(self.calls()),
            Form::Inline(_) | Form::Window { .. } => None,
        }
    }

    /// The identity of an inline pipeline; `None` for a periodic one.
    pub fn inline_identity(&self) -> Option<String> {
        self.inline_link().map(|_| self.calls())
    }

    fn calls(&self) -> String {
        let mut text = String::new();
        for link in self.links() {
            text.push_str(link.call());
            text.push(' ');
        }
        alloc::format!("{text}{}{}", self.value_type, self.metric.suffix())
    }

    /// The identity of the pipeline, which a saved state contains: period, source, links with their arguments in
    /// canonical form, element type and metric kind. `EWM:0.10` and `EWM:0.1` have the same identity.
    pub fn identity(&self) -> String {
        alloc::format!("{}-{} {}", self.every, self.annotation.source(), self.calls())
    }

    /// Whether the windows of both specs are equal, so that they can share one
    /// [`WindowColumn`](crate::column::WindowColumn).
    pub fn shares_window(&self, other: &Self) -> bool {
        let entry = |spec: &Self| spec.window_link().map(|link| core::ptr::from_ref(link.entry()));
        self.every == other.every
            && self.annotation.source() == other.annotation.source()
            && entry(self).is_some()
            && entry(self) == entry(other)
            && self.window_identity() == other.window_identity()
    }
}

/// Specs are equal if they were compiled from equal annotations in equal contexts. Compare the results of
/// [`identity`](Spec::identity) to compare pipelines.
impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.annotation == other.annotation
            && self.value_type == other.value_type
            && self.metric == other.metric
            && self.every == other.every
            && self.form == other.form
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.annotation, self.value_type, self.metric.suffix())
    }
}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use super::*;
    use crate::algorithm::Sum;
    use crate::entry::{Argument, ArgumentKind, Built, Entry, Roles};
    use crate::number::ValueType;
    use crate::registry::Registry;
    use crate::spec::{Context, MetricKind};

    fn spec(annotation: &str, value: ValueType) -> Spec {
        Spec::parse(annotation, Context::new(value)).expect("a good annotation")
    }

    #[test]
    fn specs_share_equal_windows() {
        let sum = spec("1-raw:DSSum", ValueType::U64);
        assert!(sum.shares_window(&spec("1.DSSum-raw:DSAnomaly:EWM:0.1", ValueType::U64)));
        assert!(!sum.shares_window(&spec("1-raw:DSAvg", ValueType::U64)));
        assert!(!sum.shares_window(&spec("2-raw:DSSum", ValueType::U64)), "another period");
        assert!(!sum.shares_window(&spec("1-other:DSSum", ValueType::U64)), "another metric");
        assert!(!sum.shares_window(&spec("1-raw:DSSum", ValueType::F64)), "another type");
        assert!(!sum.shares_window(&spec("1-raw:DSSum:1", ValueType::U64)), "another window");
        assert!(!spec("raw:DSSum", ValueType::U64).shares_window(&spec("raw:DSSum", ValueType::U64)), "no window");
    }

    static NOTE: Entry = Entry::new("Note", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum)))
        .arguments(&[Argument::optional("note", ArgumentKind::Text, "a text", "x")]);

    #[test]
    fn a_text_argument_cannot_look_like_another_pipeline() {
        let mut registry = Registry::new();
        registry.register(&NOTE).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let spec = |annotation: &str| Spec::parse(annotation, context).expect("a good annotation");
        let chain = |chain: &str| spec(&alloc::format!("1.{chain}-raw:DSAnomaly:EWM:0.1"));
        for (one, other) in [
            ("Note(a Note:b)", "Note(a).Note(b)"),
            (r"Note(a\ Note:b)", r"Note(a\).Note(b)"),
            (r"Note(a\ b)", "Note(a b)"),
        ] {
            assert_ne!(chain(one).identity(), chain(other).identity());
            assert_ne!(chain(one).downstream_identity(), chain(other).downstream_identity());
        }
        let mut agg = context;
        agg.metric = MetricKind::Agg;
        let counter = Spec::parse("1-raw:Note:a u64", agg).expect("a good annotation");
        assert_ne!(spec("1-raw:Note:a u64 agg").window_identity(), counter.window_identity());
        assert_eq!(spec("raw:Note:a:b").identity(), "0-raw Note:a:b u64");
    }

    #[test]
    fn an_identity_contains_all_that_changes_the_results() {
        let detector = spec("1.DSSum-raw:DSAnomaly:EWM:0.10", ValueType::U64);
        assert_eq!(detector.identity(), "1-raw DSSum DSAnomaly:EWM:0.1 u64");
        assert_eq!(detector.window_identity().as_deref(), Some("DSSum u64"));
        assert_eq!(detector.downstream_identity().as_deref(), Some("DSSum DSAnomaly:EWM:0.1 u64"));
        assert_eq!(spec("1-raw:DSSum:007", ValueType::F64).identity(), "1-raw DSSum:7 f64");
        assert_eq!(spec("1-raw:DSSum:0", ValueType::F64).identity(), "1-raw DSSum f64");
        let [counter, differences] = [MetricKind::Agg, MetricKind::Diff].map(|metric| {
            Spec::parse("1-raw:DSSum", Context::new(ValueType::U64).with_metric(metric)).expect("a good annotation")
        });
        assert_eq!(counter.identity(), "1-raw DSSum u64 agg");
        assert_eq!(counter.window_identity().as_deref(), Some("DSSum u64 agg"));
        assert_eq!(differences.identity(), spec("1-raw:DSSum", ValueType::U64).identity());
    }
}
