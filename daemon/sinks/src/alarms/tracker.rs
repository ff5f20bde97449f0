//! What fires, from the rows of the results log, and what changed since it was last sent.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use daemon_alarms::row::{Alarm, AlarmRow};
use daemon_base::outbound::{RESERVED, percent_encoded};
use daemon_results::object_labels::ObjectLabels;
use serde_json::{Map, Value};

/// The annotations of alerts that have another meaning than the labels of objects.
const ANNOTATIONS: [&str; 5] = ["alarms", "firing", "page", "reason", "summary"];

/// The labels of objects under the names that they have as annotations: those of [results](ObjectLabels), and others for
/// names that alerts use.
pub(super) fn of_alerts(objects: ObjectLabels) -> ObjectLabels {
    objects.without(ANNOTATIONS)
}

/// An alarm of an object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Id {
    pub rule: String,
    pub key: String,
    pub stream: String,
    pub uve: String,
}

/// An alarm that fires or did.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub severity: u8,
    /// Microseconds since the epoch.
    pub fired: u64,
    pub resolved: Option<u64>,
    /// Why it ended, if its condition did not.
    pub reason: Option<String>,
    pub text: String,
    /// The attribute of the first comparison of the rule.
    pub attribute: Option<String>,
    /// The range of the chart that explains it, in seconds since the epoch.
    pub chart: (u64, u64),
    /// Whether it ended in a row that a process before may have read: that one may have sent its start.
    pub in_doubt: bool,
    /// The offset of its newest row.
    offset: u64,
}

/// The alarms of one rule in one table.
pub(super) type Group = (String, String, u8);

/// What fires, and the changes.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    firing: BTreeMap<Id, Tracked>,
    /// The ids of each object and stream.
    by_object: BTreeMap<(String, String), Vec<Id>>,
    fired: Vec<(Id, Tracked)>,
    resolved: Vec<(Id, Tracked)>,
    /// The end of the rows that a process before may have read.
    doubtful_to: u64,
}

impl Tracked {
    /// The alarm of a row that it fires in.
    fn begun(row: &AlarmRow, alarm: &Alarm, offset: u64) -> Self {
        Self {
            severity: alarm.severity,
            fired: alarm.timestamp,
            resolved: None,
            reason: None,
            text: alarm.description.clone(),
            attribute: alarm.attribute.clone(),
            chart: chart(row, alarm),
            in_doubt: false,
            offset,
        }
    }
}

impl Tracker {
    /// A tracker of rows of which a process before may have read those in front of this offset.
    pub(super) fn new(doubtful_to: u64) -> Self {
        Self { doubtful_to, ..Self::default() }
    }

    /// The end of the rows that a process before may have read.
    pub(super) fn doubtful_to(&self) -> u64 {
        self.doubtful_to
    }

    /// Takes a row: it replaces the one before. `is_known` if it was sent already.
    pub(super) fn apply(&mut self, row: &AlarmRow, offset: u64, is_known: bool) {
        let object = (row.key.clone(), row.data.proxy.clone());
        let before = self.by_object.remove(&object).unwrap_or_default();
        let id = |alarm: &Alarm| Id {
            rule: alarm.rule.clone(),
            key: row.key.clone(),
            stream: row.data.proxy.clone(),
            uve: alarm.uve.clone(),
        };
        let now: BTreeMap<Id, &Alarm> = row.data.alarms.iter().map(|alarm| (id(alarm), alarm)).collect();
        for ended in before.into_iter().filter(|id| !now.contains_key(id)) {
            let Some(tracked) = self.firing.remove(&ended) else { continue };
            let end = row.data.resolved.iter().find(|alarm| id(alarm) == ended);
            let at = end.and_then(|alarm| alarm.resolved);
            let (chart, reason) =
                (end.map_or(tracked.chart, |alarm| chart(row, alarm)), end.and_then(|it| it.reason.clone()));
            let (resolved, in_doubt) = (Some(at.unwrap_or(row.end)), offset < self.doubtful_to);
            let tracked = Tracked { resolved, reason, chart, in_doubt, ..tracked };
            if !is_known {
                self.resolved.push((ended, tracked));
            }
        }
        for (id, alarm) in &now {
            let tracked = Tracked::begun(row, alarm, offset);
            let is_new = self.firing.get(id).is_none_or(|known| known.fired != tracked.fired);
            if is_new && !is_known {
                self.fired.push((id.clone(), tracked.clone()));
            }
            self.firing.insert(id.clone(), tracked);
        }
        if !now.is_empty() {
            self.by_object.insert(object, now.into_keys().collect());
        }
    }

    /// Makes what fires the changes, for a receiver that was sent nothing yet.
    pub(super) fn announce(&mut self) {
        self.clear_changes();
        self.fired.extend(self.firing.iter().map(|(id, tracked)| (id.clone(), tracked.clone())));
    }

    /// Ends what fires in other streams than these at `now`: no row would end it. With `in_doubt` a process before may have
    /// sent its start.
    pub(super) fn end_others(&mut self, streams: &BTreeSet<String>, now: u64, in_doubt: bool) {
        let others: Vec<Id> = self.firing.keys().filter(|id| !streams.contains(&id.stream)).cloned().collect();
        for id in others {
            self.by_object.remove(&(id.key.clone(), id.stream.clone()));
            if let Some(tracked) = self.firing.remove(&id) {
                let reason = Some("the stream is not configured any more".to_owned());
                self.resolved.push((id, Tracked { resolved: Some(now), reason, in_doubt, ..tracked }));
            }
        }
    }

    /// What fires.
    pub(super) fn firing(&self) -> &BTreeMap<Id, Tracked> {
        &self.firing
    }

    /// What fired since the last [`clear_changes`](Self::clear_changes), in order.
    pub(super) fn fired(&self) -> &[(Id, Tracked)] {
        &self.fired
    }

    /// What ended since then, in order.
    pub(super) fn resolved(&self) -> &[(Id, Tracked)] {
        &self.resolved
    }

    pub(super) fn has_changes(&self) -> bool {
        self.waiting() > 0
    }

    /// The number of changes.
    pub(super) fn waiting(&self) -> usize {
        self.fired.len() + self.resolved.len()
    }

    pub(super) fn clear_changes(&mut self) {
        self.fired.clear();
        self.resolved.clear();
    }

    /// The offset of the oldest row of an alarm that fires.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.firing.values().map(|tracked| tracked.offset).min()
    }

    /// What fires by rule, table and severity, the oldest first.
    pub(super) fn groups(&self) -> BTreeMap<Group, Vec<(&Id, &Tracked)>> {
        let mut groups: BTreeMap<Group, Vec<(&Id, &Tracked)>> = BTreeMap::new();
        for (id, tracked) in &self.firing {
            groups.entry(group_of(id, tracked)).or_default().push((id, tracked));
        }
        // A later alarm never takes the place of an earlier one.
        groups.values_mut().for_each(|group| group.sort_by_key(|(id, tracked)| (tracked.fired, *id)));
        groups
    }
}

/// The range of the chart that explains an alarm of a row, in seconds.
fn chart(row: &AlarmRow, alarm: &Alarm) -> (u64, u64) {
    let range = row.explained_in(alarm);
    (range.start / 1_000_000, range.end.div_ceil(1_000_000))
}

/// The group of an alarm.
pub(super) fn group_of(id: &Id, tracked: &Tracked) -> Group {
    (id.rule.clone(), id.table().to_owned(), tracked.severity)
}

impl Id {
    /// The table of the object.
    pub(super) fn table(&self) -> &str {
        self.key.split_once(':').map_or(&*self.key, |(table, _)| table)
    }

    /// The name of the object.
    pub(super) fn name(&self) -> &str {
        self.key.split_once(':').map_or(&*self.key, |(_, name)| name)
    }

    /// The labels that make the name of the object.
    pub(super) fn labels(&self, objects: &ObjectLabels) -> Map<String, Value> {
        let labels = objects.of(&self.stream, self.table(), self.name());
        labels.into_iter().map(|(label, value)| (label.to_owned(), value.into())).collect()
    }

    /// The fragment of the page with the object; the chart that explains an alarm is the first one.
    pub(super) fn page(&self, tracked: &Tracked) -> String {
        let encoded = |text| percent_encoded(text, RESERVED);
        let ((from, to), name, uve) = (tracked.chart, encoded(self.name()), encoded(&self.uve));
        let attribute = tracked.attribute.as_deref().map(|attribute| format!("&attribute={}", encoded(attribute)));
        let attribute = attribute.unwrap_or_default();
        format!("/#/object/{}/{name}?from={from}&to={to}&uve={uve}{attribute}", encoded(type_in_link(self.table())))
    }
}

/// What leads to a table for good: Contrail's type of it, else its name. A type in lower case may lead to another table.
fn type_in_link(table: &str) -> &str {
    match proxy_uve::uve_type_of_table(table) {
        Cow::Borrowed(uve_type) => uve_type,
        Cow::Owned(_) => table,
    }
}

/// The fragment of the page with the objects of a table that have an alarm of a rule.
pub(super) fn page_of_group((rule, table, _): &Group) -> String {
    let (uve_type, rule) = (percent_encoded(type_in_link(table), RESERVED), percent_encoded(rule, RESERVED));
    format!("/#/objects?type={uve_type}s&alarm=rule%3A{rule}")
}

/// The name of a severity.
pub(super) fn severity(code: u8) -> &'static str {
    daemon_alarms::Severity::from_code(code.into()).map_or("minor", daemon_alarms::Severity::name)
}

/// A time in microseconds as RFC 3339.
pub(super) fn rfc3339(micros: u64) -> String {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX).to_string()
}
