//! The alarms of one object in the part of the results log that a request reads.

use std::collections::BTreeMap;

use daemon_alarms::row::{Alarm, AlarmRow};
use serde::Serialize;

/// An alarm of the object that fires or did, once for all its rows.
#[derive(Debug, PartialEq, Serialize)]
pub struct ObjectAlarm {
    /// The name of the rule.
    rule: String,
    severity: u8,
    /// The UVE that was evaluated.
    uve: String,
    /// The other UVEs that the rule compares; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_uves: Vec<String>,
    /// The stream.
    proxy: String,
    /// The end of the first window in which the condition was true, in microseconds.
    since: u64,
    /// The end of the window with which it fired.
    fired: u64,
    /// The end of the window with which it ended; `null` if no row that was read has its end.
    resolved: Option<u64>,
    /// Why it ended, if the condition did not.
    reason: Option<String>,
    text: String,
}

/// What an alarm is the same by in all its rows: when it fired, rule, UVE and stream.
type Id = (u64, String, String, String);

/// Collects the alarms of an object from its rows, in any order.
pub(super) struct AlarmReader {
    /// How each row of the object begins.
    prefix: Vec<u8>,
    found: BTreeMap<Id, ObjectAlarm>,
}

impl AlarmReader {
    pub(super) fn new(key: &str) -> Self {
        // A text into memory: serialising cannot fail.
        let key = serde_json::to_string(key).unwrap_or_default();
        Self { prefix: format!("{{\"key\":{key},").into_bytes(), found: BTreeMap::new() }
    }

    /// Takes a row of alarms. The row of another object costs the comparison of its start only.
    pub(super) fn take(&mut self, line: &[u8]) {
        if !line.starts_with(&self.prefix) {
            return;
        }
        // What cannot be parsed is left out: the view has logged it.
        let Ok(row) = AlarmRow::read(line) else { return };
        let (proxy, data) = (row.data.proxy, row.data.alarms.into_iter().chain(row.data.resolved));
        // One that was only pending never fired, so it is not an alarm of the past.
        for alarm in data.filter(|alarm| !is_pending(alarm)) {
            let id = (alarm.timestamp, alarm.rule.clone(), alarm.uve.clone(), proxy.clone());
            match self.found.get_mut(&id) {
                Some(known) => {
                    known.resolved = known.resolved.or(alarm.resolved);
                    known.reason = known.reason.take().or(alarm.reason);
                }
                None => drop(self.found.insert(id, ObjectAlarm::new(alarm, proxy.clone()))),
            }
        }
    }

    /// The alarms, the oldest first.
    pub(super) fn finish(self) -> Vec<ObjectAlarm> {
        self.found.into_values().collect()
    }
}

impl ObjectAlarm {
    fn new(alarm: Alarm, proxy: String) -> Self {
        Self {
            rule: alarm.rule,
            severity: alarm.severity,
            uve: alarm.uve,
            other_uves: alarm.other_uves,
            proxy,
            since: alarm.since,
            fired: alarm.timestamp,
            resolved: alarm.resolved,
            reason: alarm.reason,
            text: alarm.description,
        }
    }
}

fn is_pending(alarm: &Alarm) -> bool {
    use daemon_alarms::row::State;
    matches!(alarm.state, State::Cancelled | State::Pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, end: u64, alarms: &str, resolved: &str) -> String {
        format!(
            r#"{{"key":"{key}","uve":"UVEAlarms","start":0,"end":{end},"data":{{"deleted":false,"proxy":"S-a","alarms":[{alarms}],"resolved":[{resolved}]}}}}"#
        )
    }

    fn alarm(rule: &str, fired: u64, state: &str, more: &str) -> String {
        format!(
            r#"{{"type":"{rule}","severity":1,"timestamp":{fired},"since":{fired},{more}"token":"","ack":false,"description":"loud","uve":"A-S-a","state":"{state}","alarm_rules":{{}}}}"#
        )
    }

    #[test]
    fn an_alarm_of_many_rows_is_one_with_its_end_in_whatever_order_they_are_read() {
        let fires = |fired| alarm("x", fired, "firing", "");
        let ended = |fired, at| alarm("x", fired, "resolved", &format!("\"resolved\":{at},"));
        let rows = [
            row("T:a", 60, &fires(60), ""),
            row("T:a", 120, &fires(60), ""),
            row("T:b", 120, &fires(120), ""),
            row("T:a", 180, "", &ended(60, 180)),
            row("T:a", 240, &fires(240), &alarm("y", 180, "cancelled", "\"resolved\":240,")),
        ];
        let read = |rows: &mut dyn Iterator<Item = &String>| {
            let mut reader = AlarmReader::new("T:a");
            rows.for_each(|row| reader.take(row.as_bytes()));
            reader.finish()
        };
        let found = read(&mut rows.iter());
        let times: Vec<_> = found.iter().map(|alarm| (&*alarm.rule, alarm.fired, alarm.resolved)).collect();
        assert_eq!(times, [("x", 60, Some(180)), ("x", 240, None)]);
        assert_eq!(read(&mut rows.iter().rev()), found);
    }

    #[test]
    fn an_alarm_over_several_types_names_all_of_them_and_one_over_one_type_has_no_list() {
        let mut reader = AlarmReader::new("T:a");
        let alarms = [alarm("x", 60, "firing", "\"other_uves\":[\"B-S-a\"],"), alarm("y", 60, "firing", "")];
        reader.take(row("T:a", 60, &alarms.join(","), "").as_bytes());
        let shown: Vec<_> = reader.finish().iter().map(|alarm| serde_json::to_value(alarm).unwrap()).collect();
        assert_eq!((&shown[0]["uve"], &shown[0]["other_uves"]), (&"A-S-a".into(), &serde_json::json!(["B-S-a"])));
        assert!(shown[1].get("other_uves").is_none(), "{shown:?}");
    }

    #[test]
    fn a_key_with_characters_that_json_escapes_is_found() {
        let line = row(r#"T:a\"b"#, 60, &alarm("x", 60, "firing", ""), "");
        let mut reader = AlarmReader::new("T:a\"b");
        reader.take(line.as_bytes());
        assert_eq!(reader.finish().len(), 1);
    }
}
