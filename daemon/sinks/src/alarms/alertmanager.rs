//! Alarms as alerts of an Alertmanager, by its API v2.
//!
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>
//!
//! An alert is sent when it fires, again in each refresh interval, and with its end when it is resolved. It carries the
//! time at which the Alertmanager may end it by itself, four intervals ahead, in case this daemon stays away.
//!
//! Of each rule and table the oldest alarms are sent by themselves. The others are one alert with the label `grouped` and
//! their number, so that an outage makes one page and not ten thousand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock, micros};
use daemon_base::stop::Stop;
use daemon_log::{Log, RecordBatch};
use serde_json::{Value, json};

use super::client::{Client, Failure};
use super::config::{AlertmanagerConfig, base};
use super::telemetry::AlarmTelemetry;
use super::tracker::{Group, Id, Tracked, Tracker, rfc3339, severity};
use super::{AlarmSink, Notifier};
use crate::Sink;

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
            url: format!("{}/api/v2/alerts", base(url)?),
            refresh_interval: section.refresh_interval,
            timeout: section.timeout,
            alarms_per_group: section.alarms_per_group,
            page_url: section.page_url.as_deref().map(base).transpose()?,
        }))
    }
}

/// A sink that sends alarms to an Alertmanager.
pub struct AlertmanagerSink(AlarmSink<Alertmanager>);

impl AlertmanagerSink {
    /// The name of the sink, under which it stores its position.
    pub const NAME: &'static str = "alertmanager";

    /// Creates a sink that ends a request when `stop` is set.
    pub fn new(settings: AlertmanagerSettings, clock: Arc<dyn Clock>, telemetry: AlarmTelemetry, stop: Stop) -> Self {
        let timeout = settings.timeout;
        let notifier = Alertmanager { settings, telemetry: telemetry.clone(), sent: BTreeMap::new(), refreshed: None };
        Self(AlarmSink::new(notifier, timeout, clock, telemetry, stop))
    }
}

impl Sink for AlertmanagerSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        self.0.start(log)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        self.0.deliver(log, batch)
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        self.0.idle(log, stopping)
    }

    fn delivered(&self, next: u64) -> u64 {
        self.0.delivered(next)
    }
}

/// What identifies an alert: an alarm, or the rest of a group.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Alert {
    One(Id, u8),
    Rest(Group),
}

/// What an alert shows.
#[derive(Clone, Debug)]
struct Shown {
    fired: u64,
    text: String,
}

struct Alertmanager {
    settings: AlertmanagerSettings,
    telemetry: AlarmTelemetry,
    /// What the Alertmanager has.
    sent: BTreeMap<Alert, Shown>,
    /// The monotonic time of the last request with everything.
    refreshed: Option<Duration>,
}

impl Alertmanager {
    /// The alerts for what fires: of each group the oldest ones, and one for the others. Depends on the alarms alone, so
    /// that a restart selects the same.
    fn select(&self, tracker: &Tracker) -> BTreeMap<Alert, Shown> {
        let (mut alerts, mut limited) = (BTreeMap::new(), 0);
        for (group, alarms) in tracker.groups() {
            let (single, rest) = alarms.split_at(self.settings.alarms_per_group.min(alarms.len()));
            for (id, tracked) in single {
                let shown = Shown { fired: tracked.fired, text: tracked.text.clone() };
                alerts.insert(Alert::One((*id).clone(), tracked.severity), shown);
            }
            if let Some((_, first)) = rest.first() {
                limited += rest.len();
                let shown = Shown { fired: first.fired, text: rest_text(rest, single.len()) };
                alerts.insert(Alert::Rest(group), shown);
            }
        }
        self.telemetry.limited(AlertmanagerSink::NAME, limited);
        alerts
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
        AlertmanagerSink::NAME
    }

    fn settings(&self) -> &'static str {
        "sinks.alertmanager.url"
    }

    fn resume(&mut self, tracker: &Tracker) {
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
        let ahead = now.saturating_add(micros(self.settings.refresh_interval * MISSED));
        let is_current = |alert: &Alert, shown: &Shown| {
            self.sent.get(alert).is_some_and(|sent| sent.fired == shown.fired && sent.text == shown.text)
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
        for batch in requests.chunks(BATCH) {
            client.post(&self.settings.url, &[], serde_json::to_vec(batch).unwrap_or_default())?;
        }
        self.sent = alerts;
        if refreshes {
            self.refreshed = Some(monotonic);
        }
        Ok(())
    }
}
