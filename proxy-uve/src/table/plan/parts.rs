//! The parts of a plan.

use std::sync::Arc;

use derived_stats::{Description, MetricKind, Silence, Spec, ValueType};

use crate::json::JsonTemplate;
use crate::table::identity::GroupKey;

/// A window group.
#[derive(Debug)]
pub(crate) struct GroupPlan {
    /// Length of a window in microseconds.
    pub(crate) period: u64,
    /// Silent periods before deletion; 0 for never.
    pub(crate) timeout: u32,
    pub(crate) silence: Silence,
    pub(crate) window_columns: Vec<usize>,
    pub(crate) types: Vec<usize>,
    /// The name of its state.
    pub(crate) identity: String,
}

/// A window column.
#[derive(Debug)]
pub(crate) struct WindowColumnPlan {
    pub(crate) spec: Arc<Spec>,
    pub(crate) group: usize,
    /// Length of a window in microseconds: a multiple of the group's period.
    pub(crate) length: u64,
    /// The name of its state.
    pub(crate) identity: String,
    /// The name without the length, which a partial state has.
    pub(crate) window_identity: String,
}

/// A detector behind a window column.
#[derive(Debug)]
pub(crate) struct DetectorPlan {
    pub(crate) spec: Arc<Spec>,
    pub(crate) window_column: usize,
    /// The name of its state.
    pub(crate) identity: String,
}

/// An inline attribute.
#[derive(Debug)]
pub(crate) struct InlinePlan {
    pub(crate) spec: Arc<Spec>,
    pub(crate) group: usize,
    pub(crate) type_index: usize,
    pub(crate) name: String,
    pub(crate) hidden: bool,
    /// The name of its state.
    pub(crate) identity: String,
}

/// One proxy type.
#[derive(Debug)]
pub(crate) struct TypePlan {
    /// `<Type>-<Struct>-<attribute>`, as the object's UVE shows it.
    pub(crate) uve_name: String,
    /// The periodic attributes that are sent.
    pub(crate) attributes: Vec<AttributePlan>,
}

/// A periodic attribute.
#[derive(Debug)]
pub(crate) struct AttributePlan {
    pub(crate) name: String,
    pub(super) spec: Arc<Spec>,
    pub(crate) template: JsonTemplate,
    pub(crate) reading: Reading,
    /// The window column that it reads, directly or through its detector, and the length of its windows in
    /// microseconds.
    pub(crate) window_column: usize,
    pub(crate) window_length: u64,
    /// How long before the window the samples begin that its value depends on, in microseconds: sources that are silent
    /// count with values of earlier windows.
    pub(crate) looks_back: u64,
    /// Its index among all attributes of its group.
    pub(crate) index: usize,
}

impl AttributePlan {
    /// The names and types of its results.
    pub(crate) fn description(&self) -> &Description {
        self.spec.description()
    }
}

/// The source of a periodic attribute's result. (An inline attribute has an [`InlinePlan`] instead.)
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    /// A detector that was fed the window.
    Detector(usize),
    /// The value of the window, shown as `{"value": …}`.
    Window,
}

/// What is kept of each source of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeptOfSource {
    /// The last reading of a cumulative counter of this type; windows take increases.
    LastReading(ValueType),
    /// The last values, for an algorithm that counts them.
    LastValues {
        value_type: ValueType,
        /// Length of a window in microseconds.
        length: u64,
        /// The number of windows in which a source counts.
        periods: u32,
    },
}

impl KeptOfSource {
    /// The readings of cumulative counters: of a metric that is declared as one, or for an algorithm that compares them.
    pub(crate) fn reading(spec: &Spec) -> Option<Self> {
        (spec.metric() == MetricKind::Agg || spec.takes_increases()).then(|| Self::LastReading(spec.value_type()))
    }
}

impl WindowColumnPlan {
    /// What is kept of each source.
    pub(crate) fn kept_of_sources(&self) -> Option<KeptOfSource> {
        let (value_type, length) = (self.spec.value_type(), self.length);
        let values = self.spec.last_values().map(|periods| KeptOfSource::LastValues { value_type, length, periods });
        // The compiler refuses last values of a counter.
        KeptOfSource::reading(&self.spec).or(values)
    }
}

impl GroupPlan {
    pub(crate) fn key(&self) -> GroupKey {
        let &Self { period, timeout, silence, .. } = self;
        GroupKey { period, timeout, silence }
    }
}
