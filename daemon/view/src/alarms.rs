//! The alarms of the objects, as the newest row of each object and stream has them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};

use daemon_alarms::row::{Alarm, AlarmData, AlarmRow};
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::Structure;

/// The newest rows of an object by stream, each with the offset of its record.
type Rows = BTreeMap<Box<str>, (u64, AlarmRow)>;

/// The alarms of all objects.
#[derive(Debug, Default)]
pub struct ObjectAlarms {
    /// By object.
    rows: BTreeMap<Box<str>, Rows>,
}

/// An object with alarms.
#[derive(Debug)]
pub(super) struct Alarmed {
    pub name: String,
    /// Whether one fires; others are pending.
    pub is_firing: bool,
    /// The structure of those that fire, if it is wanted.
    pub structure: Option<Structure>,
}

/// What a reader of the alarms selects.
#[derive(Clone, Debug, Default)]
pub struct AlarmQuery {
    /// A name of a rule.
    pub rule: Option<String>,
    /// A table of keys.
    pub table: Option<String>,
    /// `firing` or `pending`.
    pub state: Option<String>,
    /// The key after which the response begins.
    pub after: Option<String>,
    /// The most objects.
    pub limit: usize,
}

/// One alarm in a list.
#[derive(Debug, Serialize)]
pub struct ShownAlarm {
    /// The object, `table:name`.
    pub key: String,
    /// The type of the object, as in the paths of UVEs; set by the reader.
    pub uve_type: String,
    /// The name of the object.
    pub name: String,
    /// The stream.
    pub proxy: String,
    /// The start of the chart that explains it, in microseconds.
    pub from: u64,
    /// The end of that chart.
    pub to: u64,
    /// The alarm.
    #[serde(flatten)]
    pub alarm: Alarm,
}

impl ShownAlarm {
    /// An alarm of a row; the type of the object is unknown here.
    pub(super) fn new(key: &str, row: &AlarmRow, alarm: &Alarm) -> Self {
        let Range { start: from, end: to } = row.explained_in(alarm);
        let (name, proxy) = (super::split_key(key).1.to_owned(), row.data.proxy.clone());
        Self { key: key.to_owned(), uve_type: String::new(), name, proxy, from, to, alarm: alarm.clone() }
    }
}

impl ObjectAlarms {
    /// Takes a row of the record at `offset`, which replaces the one before.
    pub(super) fn apply(&mut self, offset: u64, row: AlarmRow) {
        let (key, stream) = (row.key.as_str(), row.data.proxy.as_str());
        if row.data.deleted {
            if let Some(streams) = self.rows.get_mut(key) {
                streams.remove(stream);
                if streams.is_empty() {
                    self.rows.remove(key);
                }
            }
            return;
        }
        let streams = self.rows.entry(key.into()).or_default();
        streams.insert(stream.into(), (offset, row));
    }

    /// The offset of the oldest row; `None` without rows.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.rows.values().flat_map(BTreeMap::values).map(|(offset, _)| *offset).min()
    }

    /// The structure `UVEAlarms` of an object: the alarms of all its streams; `None` if none fires.
    pub(super) fn document(&self, key: &str) -> Option<Structure> {
        let rows = self.rows.get(key)?;
        let alarms: Vec<&Alarm> = rows.values().flat_map(|(_, row)| &row.data.alarms).collect();
        if alarms.is_empty() {
            return None;
        }
        let raw = to_raw_value(&alarms).ok()?;
        Some(Structure::from([("alarms".into(), raw)]))
    }

    /// The alarms that a query selects, and the key to go on after, if there are more.
    pub fn list(&self, query: &AlarmQuery) -> (Vec<ShownAlarm>, Option<String>) {
        let (mut shown, mut objects, mut last) = (Vec::new(), 0, None);
        let from = query.after.as_deref().unwrap_or_default();
        for (key, rows) in self.rows.range::<str, _>((Bound::Excluded(from), Bound::Unbounded)) {
            let is_of_table = query.is_of_table(key);
            let before = shown.len();
            for (_, row) in rows.values().filter(|_| is_of_table) {
                let selected = alarms(&row.data).filter(|alarm| query.selects(alarm));
                shown.extend(selected.map(|alarm| ShownAlarm::new(key, row, alarm)));
            }
            if shown.len() == before {
                continue;
            }
            if objects == query.limit {
                shown.truncate(before);
                return (shown, last);
            }
            objects += 1;
            last = Some(key.to_string());
        }
        (shown, None)
    }

    /// The worst alarms that a query selects, `limit` at most and whatever its `after`: by severity, those that fire before
    /// those that are pending, and the newest first. Costs a visit of each alarm, and memory for those that are returned.
    pub fn worst(&self, query: &AlarmQuery) -> Vec<ShownAlarm> {
        let rows = self.rows.iter().filter(|(key, _)| query.is_of_table(key));
        let all = rows.flat_map(|(key, rows)| rows.values().map(move |(_, row)| (key, row)));
        let all = all.flat_map(|(key, row)| alarms(&row.data).map(move |alarm| (key, row, alarm)));
        let mut worst = BTreeMap::new();
        for (key, row, alarm) in all.filter(|(_, _, alarm)| query.selects(alarm)) {
            let is_pending = alarm.state == daemon_alarms::row::State::Pending;
            let rank = (alarm.severity, is_pending, Reverse(alarm.since), &**key, &*row.data.proxy, &*alarm.rule);
            if worst.len() >= query.limit {
                match worst.last_key_value() {
                    Some((last, _)) if rank < *last => worst.pop_last(),
                    _ => continue,
                };
            }
            worst.insert(rank, (key, row, alarm));
        }
        worst.into_values().map(|(key, row, alarm)| ShownAlarm::new(key, row, alarm)).collect()
    }

    /// The alarms of a UVE of an object, of those that the query selects if there is one, with their rows.
    pub(super) fn of_uve<'a>(
        &'a self,
        key: &str,
        uve: &'a str,
        query: Option<&'a AlarmQuery>,
    ) -> impl Iterator<Item = (&'a AlarmRow, &'a Alarm)> {
        let rows = self.rows.get(key).into_iter().flat_map(BTreeMap::values);
        let all = rows.flat_map(|(_, row)| alarms(&row.data).map(move |alarm| (row, alarm)));
        let compares = move |alarm: &Alarm| alarm.uve == uve || alarm.other_uves.iter().any(|other| other == uve);
        all.filter(move |(_, alarm)| compares(alarm) && query.is_none_or(|query| query.selects(alarm)))
    }

    /// The tables of the objects with alarms. Costs a look-up for each table, whatever objects it has.
    pub(super) fn tables(&self) -> BTreeSet<String> {
        let (mut tables, mut from) = (BTreeSet::new(), Bound::Unbounded);
        while let Some((key, _)) =
            self.rows.range::<str, _>((from.as_ref().map(String::as_str), Bound::Unbounded)).next()
        {
            let (table, _) = super::split_key(key);
            // `;` comes after `:`; a key without it is an object of its own.
            let is_object = table.len() == key.len();
            from = if is_object { Bound::Excluded(table.to_owned()) } else { Bound::Included(format!("{table};")) };
            tables.insert(table.to_owned());
        }
        tables
    }

    /// The next objects of a table with alarms, pending ones included, from a name on: `most` at most. `shows` if their
    /// structures are wanted.
    pub(super) fn next_objects(&self, table: &str, from: Bound<&str>, most: usize, shows: bool) -> Vec<Alarmed> {
        let prefix = format!("{table}:");
        let from = from.map(|name| format!("{prefix}{name}"));
        let rows = self.rows.range::<str, _>((from.as_ref().map(String::as_str), Bound::Unbounded));
        let of_table = rows.map_while(|(key, rows)| Some((key, key.strip_prefix(&prefix)?, rows)));
        let alarmed = of_table.take(most).map(|(key, name, rows)| Alarmed {
            name: name.to_owned(),
            is_firing: rows.values().any(|(_, row)| !row.data.alarms.is_empty()),
            structure: shows.then(|| self.document(key)).flatten(),
        });
        alarmed.collect()
    }

    /// The next objects of a table with alarms, `most` at most: the key of each and the UVEs that its alarms are about. They
    /// come after the key `after`, up to and with the key `end`; `None` is the first and the last object of the table.
    pub(super) fn next_uves(
        &self,
        table: &str,
        after: Option<&str>,
        end: Option<&str>,
        most: usize,
    ) -> Vec<(String, BTreeSet<String>)> {
        let prefix = format!("{table}:");
        let from = after.map_or(Bound::Included(&*prefix), Bound::Excluded);
        let rows = self.rows.range::<str, _>((from, Bound::Unbounded));
        let rows = rows.take_while(|(key, _)| key.starts_with(&prefix) && end.is_none_or(|end| ***key <= *end));
        let uves = |rows: &Rows| -> BTreeSet<String> {
            let all = rows.values().flat_map(|(_, row)| alarms(&row.data));
            all.flat_map(|alarm| std::iter::once(&alarm.uve).chain(alarm.other_uves.iter())).cloned().collect()
        };
        rows.take(most).map(|(key, rows)| (key.to_string(), uves(rows))).collect()
    }

    /// The numbers of alarms by rule, table and severity: what groups show.
    pub fn groups(&self) -> BTreeMap<(String, String, u8), (u64, u64)> {
        let mut groups: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for (key, rows) in &self.rows {
            let table = super::split_key(key).0;
            for (_, row) in rows.values() {
                for alarm in &row.data.alarms {
                    groups.entry((alarm.rule.clone(), table.to_owned(), alarm.severity)).or_default().0 += 1;
                }
                for alarm in &row.data.pending {
                    groups.entry((alarm.rule.clone(), table.to_owned(), alarm.severity)).or_default().1 += 1;
                }
            }
        }
        groups
    }
}

fn alarms(data: &AlarmData) -> impl Iterator<Item = &Alarm> {
    data.alarms.iter().chain(&data.pending)
}

impl AlarmQuery {
    fn is_of_table(&self, key: &str) -> bool {
        self.table.as_ref().is_none_or(|table| super::split_key(key).0 == table)
    }

    fn selects(&self, alarm: &Alarm) -> bool {
        let is_state = |state: &String| match alarm.state {
            daemon_alarms::row::State::Firing => state == "firing",
            daemon_alarms::row::State::Pending => state == "pending",
            daemon_alarms::row::State::Cancelled | daemon_alarms::row::State::Resolved => false,
        };
        self.rule.as_ref().is_none_or(|rule| *rule == alarm.rule) && self.state.as_ref().is_none_or(is_state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, stream: &str, data: &str) -> AlarmRow {
        let line = format!(
            r#"{{"key":"{key}","uve":"UVEAlarms","start":0,"end":60,"data":{{"deleted":false,"proxy":"{stream}",{data}}}}}"#
        );
        let mut row = AlarmRow::read(line.as_bytes()).expect("a row");
        row.data.deleted = row.data.alarms.is_empty() && row.data.pending.is_empty();
        row
    }

    fn alarm(rule: &str, state: &str) -> String {
        format!(
            r#"{{"type":"{rule}","severity":1,"timestamp":60,"since":0,"token":"","ack":false,"description":"","uve":"A-b-c","state":"{state}","alarm_rules":{{}}}}"#
        )
    }

    fn sample() -> ObjectAlarms {
        let mut all = ObjectAlarms::default();
        all.apply(7, row("T:a", "S-a", &format!("\"alarms\":[{}]", alarm("x", "firing"))));
        all.apply(7, row("T:a", "S-b", &format!("\"alarms\":[{}]", alarm("y", "firing"))));
        all.apply(7, row("U:b", "S-a", &format!("\"alarms\":[],\"pending\":[{}]", alarm("x", "pending"))));
        all
    }

    fn listed(query: &AlarmQuery) -> Vec<String> {
        sample().list(query).0.into_iter().map(|shown| format!("{} {}", shown.key, shown.alarm.rule)).collect()
    }

    #[test]
    fn an_object_shows_the_alarms_of_all_its_streams_until_the_last_one_ends() {
        let mut all = sample();
        let text = |all: &ObjectAlarms| {
            all.document("T:a").map(|structure| structure["alarms"].get().matches("\"type\"").count())
        };
        assert_eq!(text(&all), Some(2));
        assert!(all.document("U:b").is_none(), "pending alarms are not raised");
        all.apply(7, row("T:a", "S-a", "\"alarms\":[]"));
        assert_eq!(text(&all), Some(1));
        all.apply(7, row("T:a", "S-b", "\"alarms\":[]"));
        assert_eq!(text(&all), None);
    }

    #[test]
    fn the_worst_alarms_are_by_severity_those_that_fire_first_and_then_the_newest() {
        let mut all = ObjectAlarms::default();
        let alarm = |rule: &str, state: &str, severity: u8, since: u64| {
            let of_severity = alarm(rule, state).replace("\"severity\":1", &format!("\"severity\":{severity}"));
            of_severity.replace("\"since\":0", &format!("\"since\":{since}"))
        };
        for number in 0..50 {
            let data = format!("\"alarms\":[{}]", alarm("minor", "firing", 2, number));
            all.apply(7, row(&format!("T:a{number:02}"), "S-a", &data));
        }
        let late = alarm("late", "pending", 0, 99);
        all.apply(
            7,
            row("T:y", "S-a", &format!("\"alarms\":[{}],\"pending\":[{late}]", alarm("major", "firing", 1, 3))),
        );
        all.apply(7, row("U:z", "S-a", &format!("\"alarms\":[{}]", alarm("critical", "firing", 0, 5))));
        all.apply(7, row("U:z", "S-b", &format!("\"alarms\":[{}]", alarm("critical", "firing", 0, 8))));
        let worst = |query: &AlarmQuery| -> Vec<String> {
            let shown = all.worst(query);
            shown.iter().map(|shown| format!("{} {} {}", shown.key, shown.proxy, shown.alarm.rule)).collect()
        };
        let query = AlarmQuery { limit: 6, ..AlarmQuery::default() };
        let expected = [
            "U:z S-b critical",
            "U:z S-a critical",
            "T:y S-a late",
            "T:y S-a major",
            "T:a49 S-a minor",
            "T:a48 S-a minor",
        ];
        assert_eq!(worst(&query), expected);
        assert_eq!(worst(&AlarmQuery { limit: 1, ..query.clone() }), expected[..1]);
        assert_eq!(worst(&AlarmQuery { table: Some("T".into()), limit: 1, ..query.clone() }), expected[2..3]);
        assert_eq!(worst(&AlarmQuery { state: Some("firing".into()), limit: 3, ..query.clone() })[2], expected[3]);
        assert_eq!(worst(&AlarmQuery { limit: 1000, ..query }).len(), 54);
    }

    #[test]
    fn a_list_is_filtered_and_cut_into_pages() {
        let all = AlarmQuery { limit: 10, ..AlarmQuery::default() };
        assert_eq!(listed(&all), ["T:a x", "T:a y", "U:b x"]);
        assert_eq!(listed(&AlarmQuery { rule: Some("x".into()), ..all.clone() }), ["T:a x", "U:b x"]);
        assert_eq!(listed(&AlarmQuery { state: Some("pending".into()), ..all.clone() }), ["U:b x"]);
        assert_eq!(listed(&AlarmQuery { table: Some("T".into()), ..all.clone() }), ["T:a x", "T:a y"]);
        let first = AlarmQuery { limit: 1, ..all.clone() };
        assert_eq!(sample().list(&first).1.as_deref(), Some("T:a"));
        assert_eq!(listed(&AlarmQuery { after: Some("T:a".into()), ..first }), ["U:b x"]);
        let group = |rule: &str, table: &str| (rule.to_owned(), table.to_owned(), 1);
        let groups = sample().groups();
        assert_eq!((groups[&group("x", "T")], groups[&group("x", "U")]), ((1, 0), (0, 1)));
    }
}
