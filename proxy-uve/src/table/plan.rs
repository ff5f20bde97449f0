//! The plan of a table: the proxy types of one stream, arranged so that nothing is computed twice.
//!
//! * A *window group* is the proxy types with the same period, timeout and rule for silence. They open, close and
//!   expire at the same time, so an object has one liveness for all of them.
//! * A *window column* is what the windows of one length accumulate. Attributes that accumulate the same (both built-in
//!   types sum the same samples) share a window column; one with `N-` has windows of N periods.
//! * Each *attribute* reads a window column, directly or through a detector, which attributes with the same annotation
//!   share; an inline one has a state of its own.
//!
//! The [names of state](identity) decide what is the same, here as in a snapshot.

mod partial;
mod parts;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use derived_stats::{Number, Spec, ValueType};

pub use self::partial::{NotMergeable, PartialFault};
pub(crate) use self::parts::{
    AttributePlan, DetectorPlan, GroupPlan, InlinePlan, KeptOfSource, Reading, TypePlan, WindowColumnPlan,
};
use crate::json::JsonTemplate;
use crate::schema::ProxyType;
use crate::stream::StreamName;
use crate::table::identity;
use crate::table::objects::MAX_SILENT;
use crate::table::window::window_end;

/// The compiled form of one entry of a proxy list. Shared by the tables of all partitions.
#[derive(Debug)]
pub struct Plan {
    pub(crate) stream: StreamName,
    pub(crate) groups: Vec<GroupPlan>,
    pub(crate) window_columns: Vec<WindowColumnPlan>,
    pub(crate) types: Vec<TypePlan>,
    /// The specs with a detector behind their window column, in the order of [`Reading::Detector`].
    pub(crate) detectors: Vec<DetectorPlan>,
    /// The specs of inline attributes.
    pub(crate) inline: Vec<InlinePlan>,
    /// The types of the values that the specs take, each once.
    value_types: Vec<ValueType>,
    /// The samples are texts.
    takes_texts: bool,
    /// How many window columns and inline attributes keep something of each source, and whether any of it is a counter.
    by_source: usize,
    has_counters: bool,
    longest_window: u64,
    /// Every window is a single period, also for results of several.
    single_periods: bool,
}

impl Plan {
    /// Arranges `types` for the samples of `stream`. Types are distinguished by name, attributes by order. All of them
    /// take numbers, or all of them texts.
    pub fn new(stream: StreamName, types: &[Arc<ProxyType>]) -> Self {
        Self::arranged(stream, types, false)
    }

    fn arranged(stream: StreamName, types: &[Arc<ProxyType>], single_periods: bool) -> Self {
        let mut plan = Self {
            stream,
            groups: Vec::new(),
            window_columns: Vec::new(),
            types: Vec::new(),
            detectors: Vec::new(),
            inline: Vec::new(),
            value_types: Vec::new(),
            takes_texts: types.first().is_some_and(|proxy_type| proxy_type.raw().texts),
            by_source: 0,
            has_counters: false,
            longest_window: 1,
            single_periods,
        };
        for proxy_type in types {
            plan.add(proxy_type);
        }
        let kept: Vec<KeptOfSource> = plan.kept_of_sources().flatten().collect();
        plan.by_source = kept.len();
        plan.has_counters = kept.iter().any(|kept| matches!(kept, KeptOfSource::LastReading(_)));
        let lengths = plan.window_columns.iter().map(|column| column.length);
        plan.longest_window = lengths.chain(plan.groups.iter().map(|group| group.period)).max().unwrap_or(1);
        plan
    }

    /// The stream whose samples it takes.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The names under which results appear in an object's UVE, `<Type>-<Struct>-<attribute>`.
    pub fn uve_names(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|plan| plan.uve_name.as_str())
    }

    /// What it computes and how the results are named, as texts by name: one for each proxy type, and one for the
    /// detectors of the stream. Plans with the same texts give the same results, whatever the order of their types.
    pub fn identities(&self) -> BTreeMap<String, String> {
        let mut identities: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (index, proxy_type) in self.types.iter().enumerate() {
            let groups = self.groups.iter().filter(|group| group.types.contains(&index));
            let periodic = proxy_type.attributes.iter().map(|it| format!("{}={}", it.name, it.spec.identity()));
            let inline = self.inline.iter().filter(|inline| inline.type_index == index);
            let inline = inline.map(|it| format!("{}={} hidden={}", it.name, it.spec.identity(), it.hidden));
            let settings = groups.map(|group| group.key().to_string()).chain(periodic).chain(inline);
            identities.entry(proxy_type.uve_name.clone()).or_default().extend(settings);
        }
        // Those of hidden attributes, too; their order is that of the types.
        let detectors: BTreeSet<_> = self.detectors.iter().map(|detector| detector.identity.clone()).collect();
        identities.insert(format!("detectors of {}", self.stream), detectors.into_iter().collect());
        identities.into_iter().map(|(name, settings)| (name, settings.join("; "))).collect()
    }

    /// The periods of the proxy types, in microseconds, each once and in order.
    pub fn periods(&self) -> impl Iterator<Item = u64> {
        self.groups.iter().map(|group| group.period).collect::<BTreeSet<_>>().into_iter()
    }

    /// The longest window, in microseconds; windows of all lengths are aligned to the epoch.
    pub fn longest_window(&self) -> u64 {
        self.longest_window
    }

    /// The first time at which every window that contains `time` or an earlier time has ended; both in microseconds.
    pub fn last_window_end(&self, time: u64) -> u64 {
        let lengths = self.window_columns.iter().map(|column| column.length);
        let lengths = lengths.chain(self.groups.iter().map(|group| group.period));
        lengths.map(|length| window_end(time, length)).max().unwrap_or(time)
    }

    /// The types of the values that the proxy types take, each once, in the order of their first results.
    pub fn value_types(&self) -> &[ValueType] {
        &self.value_types
    }

    /// Whether any proxy type can take the value.
    #[inline]
    pub fn accepts(&self, value: Number) -> bool {
        self.value_types.iter().any(|value_type| value_type.accepts(value))
    }

    /// Whether the samples are texts; all types of a stream agree.
    #[inline]
    pub fn takes_texts(&self) -> bool {
        self.takes_texts
    }

    /// The number as the proxy types take it; `None` if none of them can. A double that is an integer counts as that
    /// integer where more of them take it: `36.0` and `3e2` are 36 and 300 for a `u64`; not from 2^53 on, where doubles
    /// are not exact. For callers that check samples first: a table takes every number that this returns.
    #[inline]
    pub fn fit(&self, value: Number) -> Option<Number> {
        if value.value_type() != ValueType::F64 {
            return self.accepts(value).then_some(value);
        }
        let takers = |number: Number| self.value_types.iter().filter(|it| it.accepts(number)).count();
        let whole = integer(value.as_f64()).filter(|&integer| takers(integer) > takers(value));
        whole.or_else(|| self.accepts(value).then_some(value))
    }

    /// The first end of a window after `time`, both in microseconds: between two of them no window becomes due.
    pub fn next_window_end(&self, time: u64) -> u64 {
        let ends = self.groups.iter().map(|group| window_end(time, group.period));
        ends.min().unwrap_or(u64::MAX)
    }

    /// The type of all values, if the results are all of windows and made of values of one type.
    pub(crate) fn only_value_type(&self) -> Option<ValueType> {
        match self.value_types[..] {
            [value_type] if self.inline.is_empty() => Some(value_type),
            _ => None,
        }
    }

    /// Whether a window may close in parts while samples come. What is kept of a source and an inline state are not of a
    /// window: a sample between the end of the window and the close of the object would remain in its state after it
    /// expired.
    pub(crate) fn may_close_in_parts(&self) -> bool {
        self.inline.is_empty() && !self.keeps_sources()
    }

    /// Whether it matters which source a sample is from: a proxy type takes its samples as readings of cumulative
    /// counters (`metric="agg"`, `DSRate`), or counts the last value of each source (`DSSumLast`).
    #[inline]
    pub fn keeps_sources(&self) -> bool {
        self.by_source > 0
    }

    /// Whether any proxy type takes its samples as readings of cumulative counters.
    pub(crate) fn has_counters(&self) -> bool {
        self.has_counters
    }

    /// How many window columns and inline attributes keep something of each source.
    pub(crate) fn by_source(&self) -> usize {
        self.by_source
    }

    /// What each window column, and then each inline attribute, keeps of each source; `None` where sources make no
    /// difference.
    pub(crate) fn kept_of_sources(&self) -> impl Iterator<Item = Option<KeptOfSource>> {
        let windows = self.window_columns.iter().map(WindowColumnPlan::kept_of_sources);
        windows.chain(self.inline.iter().map(|inline| KeptOfSource::reading(&inline.spec)))
    }

    fn add(&mut self, proxy_type: &ProxyType) {
        let group = self.group(proxy_type);
        let type_index = self.types.len();
        let uve_name = format!("{}-{}", proxy_type.name(), self.stream);
        self.types.push(TypePlan { uve_name, attributes: Vec::new() });
        self.groups[group].types.push(type_index);
        for attribute in proxy_type.attributes() {
            let spec = Arc::clone(&attribute.spec);
            if !self.value_types.contains(&spec.value_type()) {
                self.value_types.push(spec.value_type());
            }
            let name = attribute.name.clone();
            if !spec.is_periodic() {
                let (identity, hidden) = (identity::inline(&spec), attribute.hidden);
                self.inline.push(InlinePlan { spec, group, type_index, name, hidden, identity });
                continue;
            }
            let window_column = self.window_column(group, &spec);
            let reading = if spec.restarts_with_period() {
                Reading::Window
            } else {
                Reading::Detector(self.detector(window_column, spec))
            };
            if !attribute.hidden {
                let index = self.attributes_of(group);
                let (spec, template) = (Arc::clone(&attribute.spec), JsonTemplate::new(attribute.spec.description()));
                let window_length = self.window_columns[window_column].length;
                let looks_back = window_length * u64::from(spec.last_values().map_or(0, |periods| periods - 1));
                let attribute =
                    AttributePlan { name, spec, template, reading, window_column, window_length, looks_back, index };
                self.types[type_index].attributes.push(attribute);
            }
        }
    }

    /// How many attributes the types of a group have so far.
    fn attributes_of(&self, group: usize) -> usize {
        self.groups[group].types.iter().map(|&type_index| self.types[type_index].attributes.len()).sum()
    }

    fn group(&mut self, proxy_type: &ProxyType) -> usize {
        // A type without period has inline results only. Its windows produce no results; they only give its objects a
        // liveness.
        let period = u64::from(proxy_type.period_seconds().unwrap_or(INLINE_PERIOD_SECONDS)) * 1_000_000;
        let (timeout, silence) = (proxy_type.timeout().min(MAX_SILENT), proxy_type.silence());
        let same = |group: &GroupPlan| (group.period, group.timeout, group.silence) == (period, timeout, silence);
        self.groups.iter().position(same).unwrap_or_else(|| {
            let (window_columns, types, identity) = (Vec::new(), Vec::new(), identity::group(period));
            self.groups.push(GroupPlan { period, timeout, silence, window_columns, types, identity });
            self.groups.len() - 1
        })
    }

    fn window_column(&mut self, group: usize, spec: &Arc<Spec>) -> usize {
        let every = if self.single_periods { 1 } else { u64::from(spec.every()) };
        let length = self.groups[group].period * every;
        let identity = identity::window(length, spec);
        let mut columns = self.groups[group].window_columns.iter().copied();
        columns.find(|&column| self.window_columns[column].identity == identity).unwrap_or_else(|| {
            let (spec, window_identity) = (Arc::clone(spec), spec.window_identity().unwrap_or_default());
            self.window_columns.push(WindowColumnPlan { spec, group, length, identity, window_identity });
            let column = self.window_columns.len() - 1;
            self.groups[group].window_columns.push(column);
            column
        })
    }

    fn detector(&mut self, window_column: usize, spec: Arc<Spec>) -> usize {
        let WindowColumnPlan { group, length, .. } = self.window_columns[window_column];
        let identity = identity::detector(length, &spec, self.groups[group].silence);
        let same = |detector: &DetectorPlan| detector.window_column == window_column && detector.identity == identity;
        self.detectors.iter().position(same).unwrap_or_else(|| {
            self.detectors.push(DetectorPlan { spec, window_column, identity });
            self.detectors.len() - 1
        })
    }
}

/// The integer that a double is, if the double is exact.
fn integer(value: f64) -> Option<Number> {
    const EXACT_BELOW: f64 = (1u64 << 53) as f64;
    let is_integer = value.abs() < EXACT_BELOW && value.trunc() == value;
    is_integer.then_some(if value < 0.0 { Number::I64(value as i64) } else { Number::U64(value as u64) })
}

/// The windows of a type without period.
const INLINE_PERIOD_SECONDS: u32 = 60;
