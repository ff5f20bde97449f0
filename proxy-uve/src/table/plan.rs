//! What a table computes: the proxy types of one stream, arranged so that nothing is done twice.
//!
//! * A *group* is the proxy types with the same period, timeout and rule for silence. They open, close and expire
//!   together, so an object's liveness is kept once for all of them.
//! * A *lane* is what an open window accumulates. Attributes that accumulate the same (both built-in types sum the
//!   same samples) share a lane; a lane with `N-` has windows of N periods.
//! * Each *attribute* reads a lane, directly or through a detector, which attributes with the same annotation share; an
//!   inline one has a state of its own.
//!
//! The [names of state](identity) decide what is the same, here as in a snapshot.

use std::sync::Arc;

use derived_stats::{Description, MetricKind, Number, Silence, Spec, ValueType};

use crate::json::JsonTemplate;
use crate::schema::ProxyType;
use crate::stream::StreamName;
use crate::table::group::MAX_SILENT;
use crate::table::identity::{self, GroupKey};

/// The compiled form of one entry of a proxy list. Shared by the tables of all partitions.
#[derive(Debug)]
pub struct Plan {
    pub(crate) stream: StreamName,
    pub(crate) groups: Vec<GroupPlan>,
    pub(crate) lanes: Vec<LanePlan>,
    pub(crate) types: Vec<TypePlan>,
    /// The specs with a detector behind their lane, in the order of [`Reading::Detector`].
    pub(crate) detectors: Vec<DetectorPlan>,
    /// The specs of inline attributes.
    pub(crate) inline: Vec<InlinePlan>,
    /// The types of the values that the specs take, each once.
    value_types: Vec<ValueType>,
}

#[derive(Debug)]
pub(crate) struct GroupPlan {
    /// Length of a window in microseconds.
    pub(crate) period: u64,
    /// Silent periods before deletion; 0 for never.
    pub(crate) timeout: u32,
    pub(crate) silence: Silence,
    pub(crate) lanes: Vec<usize>,
    pub(crate) types: Vec<usize>,
    /// The name of its state.
    pub(crate) identity: String,
}

#[derive(Debug)]
pub(crate) struct LanePlan {
    pub(crate) spec: Arc<Spec>,
    pub(crate) group: usize,
    /// Length of a window in microseconds: a multiple of the group's period.
    pub(crate) window: u64,
    /// The name of its state.
    pub(crate) identity: String,
}

#[derive(Debug)]
pub(crate) struct DetectorPlan {
    pub(crate) spec: Arc<Spec>,
    pub(crate) lane: usize,
    /// The name of its state.
    pub(crate) identity: String,
}

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

#[derive(Debug)]
pub(crate) struct AttributePlan {
    pub(crate) name: String,
    spec: Arc<Spec>,
    pub(crate) template: JsonTemplate,
    pub(crate) reading: Reading,
    /// The lane that it reads, directly or through its detector, and the length of that lane's windows in microseconds.
    pub(crate) lane: usize,
    pub(crate) window: u64,
    /// Its index among all attributes of its group.
    pub(crate) index: usize,
}

impl AttributePlan {
    /// What its results mean.
    pub(crate) fn description(&self) -> &Description {
        self.spec.description()
    }
}

/// Where an attribute's result comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    /// The value of a window, shown as `{"value": …}`.
    Lane(usize),
    /// A detector that saw the window.
    Detector(usize),
}

impl Plan {
    /// Arranges `types` for the samples of `stream`. Types are told apart by name, attributes by order.
    pub fn new(stream: StreamName, types: &[Arc<ProxyType>]) -> Self {
        let mut plan = Self {
            stream,
            groups: Vec::new(),
            lanes: Vec::new(),
            types: Vec::new(),
            detectors: Vec::new(),
            inline: Vec::new(),
            value_types: Vec::new(),
        };
        for proxy_type in types {
            plan.add(proxy_type);
        }
        plan
    }

    /// The stream whose samples this is for.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The names under which results appear in an object's UVE, `<Type>-<Struct>-<attribute>`.
    pub fn uve_names(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|plan| plan.uve_name.as_str())
    }

    /// The longest window, in microseconds; windows of all lengths are aligned to the epoch.
    pub fn longest_window(&self) -> u64 {
        let lanes = self.lanes.iter().map(|lane| lane.window);
        lanes.chain(self.groups.iter().map(|group| group.period)).max().unwrap_or(1)
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

    /// The first end of a window after `time`, both in microseconds: between two of them no window becomes due.
    pub fn next_window_end(&self, time: u64) -> u64 {
        let ends = self.groups.iter().map(|group| (time - time % group.period).saturating_add(group.period));
        ends.min().unwrap_or(u64::MAX)
    }

    /// The lane that an attribute reads, directly or through its detector.
    pub(crate) fn lane_of(&self, reading: Reading) -> usize {
        match reading {
            Reading::Detector(index) => self.detectors[index].lane,
            Reading::Lane(lane) => lane,
        }
    }

    /// Whether all results are of windows, and made of values of one type.
    pub(crate) fn has_one_value_type(&self) -> bool {
        self.inline.is_empty() && self.value_types.len() == 1
    }

    /// Whether a window may close in parts while samples come. A counter's reading and an inline state are not of a
    /// window: a sample that comes between the end of the window and the object's own share of the close would be part
    /// of what an expired object leaves behind.
    pub(crate) fn may_close_in_parts(&self) -> bool {
        self.inline.is_empty() && !self.lanes.iter().any(LanePlan::has_counters)
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
            let lane = self.lane(group, &spec);
            let reading = if spec.restarts_with_period() {
                Reading::Lane(lane)
            } else {
                Reading::Detector(self.detector(lane, spec))
            };
            if !attribute.hidden {
                let index = self.attributes_of(group);
                let (spec, template) = (Arc::clone(&attribute.spec), JsonTemplate::new(attribute.spec.description()));
                let window = self.lanes[lane].window;
                let attribute = AttributePlan { name, spec, template, reading, lane, window, index };
                self.types[type_index].attributes.push(attribute);
            }
        }
    }

    /// How many attributes the types of a group have so far.
    fn attributes_of(&self, group: usize) -> usize {
        self.groups[group].types.iter().map(|&type_index| self.types[type_index].attributes.len()).sum()
    }

    fn group(&mut self, proxy_type: &ProxyType) -> usize {
        // A type without period has inline results only. Its windows produce nothing; they are there so that an
        // object has a liveness like every other.
        let period = u64::from(proxy_type.period_seconds().unwrap_or(INLINE_PERIOD_SECONDS)) * 1_000_000;
        let (timeout, silence) = (proxy_type.timeout().min(MAX_SILENT), proxy_type.silence());
        let same = |group: &GroupPlan| (group.period, group.timeout, group.silence) == (period, timeout, silence);
        self.groups.iter().position(same).unwrap_or_else(|| {
            let (lanes, types, identity) = (Vec::new(), Vec::new(), identity::group(period));
            self.groups.push(GroupPlan { period, timeout, silence, lanes, types, identity });
            self.groups.len() - 1
        })
    }

    fn lane(&mut self, group: usize, spec: &Arc<Spec>) -> usize {
        let window = self.groups[group].period * u64::from(spec.every());
        let identity = identity::window(window, spec);
        let shared = self.groups[group].lanes.iter().copied().find(|&lane| self.lanes[lane].identity == identity);
        shared.unwrap_or_else(|| {
            self.lanes.push(LanePlan { spec: Arc::clone(spec), group, window, identity });
            let lane = self.lanes.len() - 1;
            self.groups[group].lanes.push(lane);
            lane
        })
    }

    fn detector(&mut self, lane: usize, spec: Arc<Spec>) -> usize {
        let LanePlan { group, window, .. } = self.lanes[lane];
        let identity = identity::detector(window, &spec, self.groups[group].silence);
        let same = |detector: &DetectorPlan| detector.lane == lane && detector.identity == identity;
        self.detectors.iter().position(same).unwrap_or_else(|| {
            self.detectors.push(DetectorPlan { spec, lane, identity });
            self.detectors.len() - 1
        })
    }
}

impl LanePlan {
    /// Whether the samples are readings of a cumulative counter, so that the last of each object is kept.
    pub(crate) fn has_counters(&self) -> bool {
        self.spec.metric() == MetricKind::Agg
    }
}

impl GroupPlan {
    pub(crate) fn key(&self) -> GroupKey {
        let &Self { period, timeout, silence, .. } = self;
        GroupKey { period, timeout, silence }
    }
}

/// The windows of a type without period.
const INLINE_PERIOD_SECONDS: u32 = 60;
