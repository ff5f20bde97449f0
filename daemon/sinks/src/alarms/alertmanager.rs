//! Alarms as alerts of an Alertmanager, by its API v2.
//!
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>
//!
//! An alert is sent when it fires, again in each refresh interval, and with its end when it is resolved. It carries the
//! time at which the Alertmanager may end it by itself, four intervals ahead, in case this daemon stays away.
//!
//! Of each rule and table the oldest alarms are sent by themselves. The others are one alert with the label `grouped` and
//! their number, so that an outage makes one page and not ten thousand. While there is such an alert, no further alarm
//! becomes an alert of its own, so that the recovery does not page object by object either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock, micros};
use daemon_base::stop::Stop;
use serde_json::{Value, json};

use super::client::{Client, Failure};
use super::config::{AlertmanagerConfig, api, base};
use super::telemetry::AlarmTelemetry;
use super::tracker::{Group, Id, Tracked, Tracker, rfc3339, severity};
use super::{AlarmSink, Notifier};

/// The most alerts of a request.
const BATCH: usize = 500;

/// The refresh intervals after which an Alertmanager ends an alert by itself.
const MISSED: u32 = 4;

/// The objects that the alert of a group names.
const NAMED: usize = 10;

/// The settings of the sink.
#[derive(Clone, Debug)]
pub struct AlertmanagerSettings {
    url: String,
    refresh_interval: Duration,
    timeout: Duration,
    alarms_per_group: usize,
    page_url: Option<String>,
}

impl AlertmanagerSettings {
    /// Reads the settings from a section; `None` if it has no server.
    ///
    /// # Errors
    ///
    /// If a URL is invalid.
    pub fn new(section: &AlertmanagerConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let base = |url: &str| base(url).map(str::to_owned).map_err(anyhow::Error::msg);
        Ok(Some(Self {
            url: format!("{}/api/v2/alerts", api(url).map_err(anyhow::Error::msg)?),
            refresh_interval: section.refresh_interval,
            timeout: section.timeout,
            alarms_per_group: section.alarms_per_group,
            page_url: section.page_url.as_deref().map(base).transpose()?,
        }))
    }
}

impl AlarmSink {
    /// The name of the sink of this kind, under which it stores its position.
    pub const ALERTMANAGER: &'static str = "alertmanager";

    /// Creates a sink that sends alarms to an Alertmanager, and ends a request when `stop` is set.
    pub fn alertmanager(
        settings: AlertmanagerSettings,
        clock: Arc<dyn Clock>,
        telemetry: AlarmTelemetry,
        stop: Stop,
    ) -> Self {
        let timeout = settings.timeout;
        let notifier = Alertmanager { settings, telemetry: telemetry.clone(), sent: BTreeMap::new(), refreshed: None };
        Self::new(Box::new(notifier), timeout, clock, telemetry, stop)
    }
}

/// What identifies an alert: an alarm, or the rest of a group.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Alert {
    One(Id, u8),
    Rest(Group),
}

impl Alert {
    /// The alarm and its severity, if the alert is of one alarm.
    fn alarm(&self) -> Option<(&Id, u8)> {
        match self {
            Self::One(id, code) => Some((id, *code)),
            Self::Rest(_) => None,
        }
    }
}

/// What an alert shows.
#[derive(Clone, Debug)]
struct Shown {
    fired: u64,
    text: String,
    /// Whether the Alertmanager accepted it; if not, it may have it all the same.
    is_sent: bool,
}

/// Alarms of one group, the oldest first.
type Alarms<'t> = Vec<(&'t Id, &'t Tracked)>;

struct Alertmanager {
    settings: AlertmanagerSettings,
    telemetry: AlarmTelemetry,
    /// What the Alertmanager has or may have.
    sent: BTreeMap<Alert, Shown>,
    /// The monotonic time of the last request with everything.
    refreshed: Option<Duration>,
}

impl Alertmanager {
    /// The alerts for what fires: of each group some alarms, and one alert for the others.
    fn select(&self, tracker: &Tracker) -> BTreeMap<Alert, Shown> {
        let known: BTreeSet<(&Id, u8)> = self.sent.keys().filter_map(Alert::alarm).collect();
        let (mut alerts, mut limited) = (BTreeMap::new(), 0);
        for (group, alarms) in tracker.groups() {
            let (single, rest) = self.split(&group, alarms, &known);
            for (id, tracked) in &single {
                let shown = Shown { fired: tracked.fired, text: tracked.text.clone(), is_sent: true };
                alerts.insert(Alert::One((*id).clone(), tracked.severity), shown);
            }
            if let Some((_, first)) = rest.first() {
                limited += rest.len();
                let shown = Shown { fired: first.fired, text: rest_text(&rest, single.len()), is_sent: true };
                alerts.insert(Alert::Rest(group), shown);
            }
        }
        self.telemetry.limited(AlarmSink::ALERTMANAGER, limited);
        alerts
    }

    /// The alarms of a group that are alerts of their own, and the others. An alarm that is an alert stays one. Others
    /// become one only if all fit, or while the group has no alert for its rest: else each recovery would page another object. A
    /// restart does not know the alerts that were sent, and takes the oldest alarms.
    fn split<'t>(&self, group: &Group, alarms: Alarms<'t>, known: &BTreeSet<(&Id, u8)>) -> (Alarms<'t>, Alarms<'t>) {
        let limit = self.settings.alarms_per_group;
        if alarms.len() <= limit {
            return (alarms, Vec::new());
        }
        let (mut single, mut rest): (Alarms<'t>, Alarms<'t>) =
            alarms.into_iter().partition(|(id, tracked)| known.contains(&(*id, tracked.severity)));
        if !self.sent.contains_key(&Alert::Rest(group.clone())) {
            let free = limit.saturating_sub(single.len()).min(rest.len());
            single.extend(rest.drain(..free));
        }
        (single, rest)
    }

    /// The alerts of a request: those that differ from what was sent, all that fire if `refreshes`, and those that end.
    fn requests(&self, tracker: &Tracker, alerts: &BTreeMap<Alert, Shown>, refreshes: bool, now: u64) -> Vec<Value> {
        let ahead = now.saturating_add(micros(self.settings.refresh_interval * MISSED));
        let is_current = |alert: &Alert, shown: &Shown| {
            self.sent
                .get(alert)
                .is_some_and(|sent| sent.is_sent && sent.fired == shown.fired && sent.text == shown.text)
        };
        let due = alerts.iter().filter(|(alert, shown)| refreshes || !is_current(alert, shown));
        let mut requests: Vec<Value> = due.map(|(alert, shown)| self.alert(alert, shown, ahead)).collect();
        let resolved: BTreeMap<&Id, u64> =
            tracker.resolved().iter().filter_map(|(id, tracked)| Some((id, tracked.resolved?))).collect();
        for (alert, shown) in self.sent.iter().filter(|(alert, _)| !alerts.contains_key(alert)) {
            let end = match alert {
                // In event time it may be ahead of this clock, and the Alertmanager would wait for it.
                Alert::One(id, _) => resolved.get(id).map_or(now, |at| now.min(*at)),
                Alert::Rest(_) => now,
            };
            requests.push(self.alert(alert, shown, end));
        }
        requests
    }

    fn alert(&self, alert: &Alert, shown: &Shown, ends: u64) -> Value {
        let page = self.settings.page_url.as_deref();
        let (labels, link) = match alert {
            Alert::One(id, code) => {
                let labels = json!({
                    "alertname": id.rule, "severity": severity(*code), "table": id.table(), "object": id.name(),
                    "stream": id.stream, "uve": id.uve,
                });
                (labels, page.map(|page| format!("{page}{}", id.page())))
            }
            Alert::Rest((rule, table, code)) => {
                let labels =
                    json!({ "alertname": rule, "severity": severity(*code), "table": table, "grouped": "true" });
                (labels, page.map(|page| format!("{page}/#/")))
            }
        };
        let (starts, ends) = (rfc3339(shown.fired), rfc3339(ends.max(shown.fired)));
        let mut value = json!({
            "labels": labels, "annotations": { "summary": shown.text }, "startsAt": starts, "endsAt": ends,
        });
        if let Some(link) = link {
            value["generatorURL"] = link.into();
        }
        value
    }
}

/// The text of the alert for the rest of a group.
fn rest_text(rest: &[(&Id, &Tracked)], single: usize) -> String {
    let named: Vec<_> = rest.iter().take(NAMED).map(|(id, _)| id.name()).collect();
    let more = if rest.len() > NAMED { ", …" } else { "" };
    format!("{} objects besides the {single} with alerts of their own: {}{more}", rest.len(), named.join(", "))
}

impl Notifier for Alertmanager {
    fn name(&self) -> &'static str {
        AlarmSink::ALERTMANAGER
    }

    fn settings(&self) -> &'static str {
        "sinks.alertmanager.url"
    }

    fn resume(&mut self, tracker: &Tracker) {
        self.sent.clear();
        self.sent = self.select(tracker);
        self.refreshed = None;
    }

    fn is_due(&self, tracker: &Tracker, now: Duration) -> bool {
        let is_old = |at: Duration| now.saturating_sub(at) >= self.settings.refresh_interval;
        tracker.has_changes() || !tracker.firing().is_empty() && self.refreshed.is_none_or(is_old)
    }

    fn send(&mut self, tracker: &Tracker, client: &Client, clock: &dyn Clock) -> Result<(), Failure> {
        let (monotonic, now) = (clock.monotonic(), clock.now_micros());
        let alerts = self.select(tracker);
        let is_old = |at: Duration| monotonic.saturating_sub(at) >= self.settings.refresh_interval;
        let refreshes = self.refreshed.is_none_or(is_old);
        let requests = self.requests(tracker, &alerts, refreshes, now);
        // If a later batch fails, the Alertmanager has alerts of the earlier ones, which must end.
        for (alert, shown) in &alerts {
            self.sent.entry(alert.clone()).or_insert_with(|| Shown { is_sent: false, ..shown.clone() });
        }
        let mut outcome = Ok(());
        for batch in requests.chunks(BATCH) {
            match client.post(&self.settings.url, &[], serde_json::to_vec(batch).unwrap_or_default()) {
                // The same batch would be rejected again, and the others need not be.
                Err(Failure::Rejected(text)) => outcome = Err(Failure::Rejected(text)),
                other => other?,
            }
        }
        self.sent = alerts;
        if refreshes {
            self.refreshed = Some(monotonic);
        }
        outcome
    }
}
