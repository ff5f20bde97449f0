//! The row `UVEAlarms` of the results log: a line of JSON with the alarms of one object in one stream.
//!
//! ```json
//! {"key":"ObjectVNTable:vn1","uve":"UVEAlarms","start":1488000000000000,"end":1488000060000000,
//!  "data":{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","alarms":[{"type":"vn flows","severity":1,
//!   "timestamp":1488000060000000,"since":1488000000000000,"token":"","ack":false,"description":"…","uve":"AggProxySum-…",
//!   "state":"firing","alarm_rules":{"or_list":[…]}}],"pending":[],"resolved":[]}}
//! ```
//!
//! `alarms` has the form of Contrail's `UVEAlarms`. Rows of the first versions have a text as the `condition` in
//! `alarm_rules`, as has an alarm that began with one of those until it ends. A row has the whole state of the object: it replaces the one
//! before. It comes when an alarm becomes pending, fires or ends, and while one is pending or firing again with the
//! first window that closes in every ten minutes of event time. `deleted` is true in the row in which the last alarm
//! ended. All times are microseconds since the epoch.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The name of the UVE.
pub const UVE: &str = "UVEAlarms";

/// The windows before and behind an alarm in the chart that explains it.
const WINDOWS_BEFORE: u64 = 60;
const WINDOWS_BEHIND: u64 = 30;

/// The length of the window of a row that is not of one: that of a deleted object.
const WINDOW: u64 = 60_000_000;

/// The beginning of every row, and what follows the key.
const BEFORE_KEY: &[u8] = b"{\"key\":\"";
const BEHIND_KEY: &[u8] = b",\"uve\":\"UVEAlarms\",";

/// Whether a line of the results log is a row of alarms, and not a result.
pub fn is_alarms(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(BEFORE_KEY) else { return false };
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.and_then(|end| rest.get(end + 1..)).is_some_and(|behind| behind.starts_with(BEHIND_KEY))
}

/// The alarms of an object in a stream, at the end of a window.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AlarmRow {
    /// The object, `table:name`.
    pub key: String,
    /// [`UVE`].
    pub uve: String,
    /// The start of the window.
    pub start: u64,
    /// The end of the window.
    pub end: u64,
    /// The alarms.
    pub data: AlarmData,
}

/// The content of a row.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct AlarmData {
    /// Whether no alarm is left.
    pub deleted: bool,
    /// The stream whose results were evaluated.
    pub proxy: String,
    /// The alarms that fire.
    pub alarms: Vec<Alarm>,
    /// Those whose condition is true, but not for long enough.
    #[serde(default)]
    pub pending: Vec<Alarm>,
    /// Those that ended with this row.
    #[serde(default)]
    pub resolved: Vec<Alarm>,
}

/// One alarm.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Alarm {
    /// The name of the rule.
    #[serde(rename = "type")]
    pub rule: String,
    /// 0 is critical, 1 major, 2 minor.
    pub severity: u8,
    /// The end of the window with which it fired; while it is pending, that of the first one.
    pub timestamp: u64,
    /// The end of the first window in which the condition was true.
    pub since: u64,
    /// The end of the window with which it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<u64>,
    /// Why it ended, if the condition did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Always empty: there is no acknowledgement.
    pub token: String,
    /// Always false.
    pub ack: bool,
    /// The text, with the values with which it fired.
    pub description: String,
    /// The UVE that was evaluated: that of the first comparison of the rule.
    pub uve: String,
    /// The attribute of the first comparison of the rule; none for missing data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The other UVEs that the rule compares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_uves: Vec<String>,
    /// The state of the alarm.
    pub state: State,
    /// What was true, with the values, as Contrail shows it.
    pub alarm_rules: Box<RawValue>,
}

/// The state of an alarm that is shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was pending, and its condition is false.
    Cancelled,
    /// It fires.
    Firing,
    /// The condition is true, but not for long enough.
    Pending,
    /// It fired and does not any more.
    Resolved,
}

impl AlarmRow {
    /// The time in which a chart explains an alarm of this row: from 60 windows before its condition became true to 30
    /// windows after it fired, or ended. In microseconds since the epoch.
    pub fn explained_in(&self, alarm: &Alarm) -> Range<u64> {
        let window = match self.end.saturating_sub(self.start) {
            0 => WINDOW,
            window => window,
        };
        let last = alarm.resolved.unwrap_or(alarm.timestamp).max(alarm.timestamp);
        let from = alarm.since.saturating_sub(window.saturating_mul(WINDOWS_BEFORE));
        from..last.saturating_add(window.saturating_mul(WINDOWS_BEHIND))
    }

    /// Appends the row without line feed.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Plain data into memory: serialising cannot fail.
        let _ = serde_json::to_writer(out, self);
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// When the line is not a row of alarms.
    pub fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written_and_recognised_by_its_start() {
        let alarm = Alarm {
            rule: "a \"b\"".to_owned(),
            severity: 1,
            timestamp: 7,
            since: 5,
            resolved: None,
            reason: None,
            token: String::new(),
            ack: false,
            description: "é".to_owned(),
            uve: "T-S-a".to_owned(),
            attribute: None,
            other_uves: Vec::new(),
            state: State::Firing,
            alarm_rules: RawValue::from_string("{\"or_list\":[]}".to_owned()).unwrap(),
        };
        let data = AlarmData { proxy: "S-a".to_owned(), alarms: vec![alarm], ..AlarmData::default() };
        let row = AlarmRow { key: "T:\"a\"".to_owned(), uve: UVE.to_owned(), start: 1, end: 2, data };
        let (mut line, mut again) = (Vec::new(), Vec::new());
        row.write(&mut line);
        assert!(is_alarms(&line) && !is_alarms(br#"{"key":"T:,\"uve\":\"UVEAlarms\",","uve":"A-b","start":1}"#));
        AlarmRow::read(&line).unwrap().write(&mut again);
        assert_eq!(line, again);
        let text = String::from_utf8(line).unwrap();
        assert!(
            text.contains(r#""alarms":[{"type":"a \"b\"","severity":1,"timestamp":7,"since":5,"token":"","ack":false"#)
        );
        let wide = AlarmRow { start: 1000, end: 1010, ..row.clone() };
        let mut alarm = Alarm { since: 1000, timestamp: 1020, ..row.data.alarms[0].clone() };
        assert_eq!(wide.explained_in(&alarm), 400..1320);
        alarm.resolved = Some(1100);
        assert_eq!(wide.explained_in(&alarm), 400..1400);
        let of_deleted = AlarmRow { start: 0, end: 0, ..row };
        assert_eq!(of_deleted.explained_in(&alarm), 0..1100 + 30 * 60_000_000);
    }
}
