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
//!
//! Over all groups no more alerts begin in a minute than the limit. The others wait, the worst first, and one alert has
//! their number. A start knows which ones waited from the position of the sink.
//!
//! A process that is killed may have sent alerts for rows behind its stored position. So the next one sends an end also for
//! what fired and ended there: an Alertmanager does not notify of an end whose start it does not know.

mod alert;
mod doubt;
mod limit;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock, micros};
use daemon_base::setting::without_path;
use daemon_base::stop::Stop;
use daemon_results::object_labels::ObjectLabels;
use serde_json::Value;
use ureq::tls::TlsConfig;

use self::alert::{Alert, Shown};
use self::limit::Limit;
use super::client::{Client, Failure, in_parts};
use super::config::{AlertmanagerConfig, api, base};
use super::position::Held;
use super::telemetry::AlarmTelemetry;
use super::tracker::{Id, Tracked, Tracker, of_alerts};
use super::{AlarmSink, Notifier};
use crate::endpoint::tls;

/// The most alerts of a request.
const BATCH: usize = 500;

/// The refresh intervals after which an Alertmanager ends an alert by itself.
const MISSED: u32 = 4;

/// The settings of the sink.
#[derive(Clone, Debug)]
pub struct AlertmanagerSettings {
    /// One, or those of all members of a cluster.
    urls: Vec<String>,
    headers: Vec<(&'static str, String)>,
    refresh_interval: Duration,
    timeout: Duration,
    alarms_per_group: usize,
    alerts_per_minute: usize,
    page_url: Option<String>,
    objects: ObjectLabels,
    tls: TlsConfig,
}

impl AlertmanagerSettings {
    /// Reads the settings from a section; `None` if it has no server.
    ///
    /// # Errors
    ///
    /// If a URL is invalid, or a file of TLS or with a secret cannot be used.
    pub fn new(section: &AlertmanagerConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let base = |url: &str| base(url).map(str::to_owned).map_err(anyhow::Error::msg);
        let urls = std::iter::once(url).chain(&section.other_urls);
        let alerts = |url: &String| Ok(format!("{}/api/v2/alerts", api(url).map_err(anyhow::Error::msg)?));
        Ok(Some(Self {
            urls: urls.map(alerts).collect::<anyhow::Result<_>>()?,
            headers: section.credentials().headers("sinks.alertmanager")?,
            refresh_interval: section.refresh_interval,
            timeout: section.timeout,
            alarms_per_group: section.alarms_per_group,
            alerts_per_minute: section.alerts_per_minute,
            page_url: section.page_url.as_deref().map(base).transpose()?,
            objects: ObjectLabels::default(),
            tls: tls(url, &section.tls_files(), "sinks.alertmanager")?,
        }))
    }

    /// The same, with the labels that make the names of objects, which are annotations of their alerts.
    #[must_use]
    pub fn with_objects(self, objects: ObjectLabels) -> Self {
        Self { objects: of_alerts(objects), ..self }
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
        let requests = (settings.timeout, settings.tls.clone());
        let notifier = Alertmanager::new(settings, telemetry.clone());
        Self::new(Box::new(notifier), requests, clock, telemetry, stop)
    }
}

/// Alarms of one group, the oldest first.
type Alarms<'t> = Vec<(&'t Id, &'t Tracked)>;

struct Alertmanager {
    settings: AlertmanagerSettings,
    telemetry: AlarmTelemetry,
    /// What the Alertmanager has or may have.
    sent: BTreeMap<Alert, Shown>,
    limit: Limit,
    /// The alerts that wait for a minute with room.
    held: Vec<u64>,
    /// The monotonic time of the last request with everything.
    refreshed: Option<Duration>,
    /// Why members of the cluster did not take the last alerts.
    problem: Option<String>,
}

impl Alertmanager {
    fn new(settings: AlertmanagerSettings, telemetry: AlarmTelemetry) -> Self {
        let limit = Limit::new(settings.alerts_per_minute);
        Self { settings, telemetry, sent: BTreeMap::new(), limit, held: Vec::new(), refreshed: None, problem: None }
    }

    /// The alerts for what fires: of each group some alarms, and one alert for the others. `known` are those that the
    /// Alertmanager has or gets.
    fn select(&self, tracker: &Tracker, known: &BTreeSet<Alert>) -> BTreeMap<Alert, Shown> {
        let alarms: BTreeSet<(&Id, u8)> = known.iter().filter_map(Alert::alarm).collect();
        let (mut alerts, mut limited) = (BTreeMap::new(), 0);
        for (group, of_group) in tracker.groups() {
            let (firing, rest) = (of_group.len(), Alert::Rest(group.clone()));
            let (single, others) = self.split(of_group, &alarms, known.contains(&rest));
            for (id, tracked) in &single {
                alerts.insert(Alert::One((*id).clone(), tracked.severity), Shown::one(id, tracked, firing));
            }
            limited += others.len();
            alerts.extend(Shown::rest(&group, &others, single.len()).map(|shown| (rest, shown)));
        }
        self.telemetry.limited(AlarmSink::ALERTMANAGER, limited);
        alerts
    }

    /// The alarms of a group that are alerts of their own, and the others. An alarm that is an alert stays one. Others
    /// become one only if all fit, or while the group has no alert for its rest: else each recovery would page another object. A
    /// restart does not know the alerts that were sent, and takes the oldest alarms.
    fn split<'t>(&self, alarms: Alarms<'t>, known: &BTreeSet<(&Id, u8)>, has_rest: bool) -> (Alarms<'t>, Alarms<'t>) {
        let limit = self.settings.alarms_per_group;
        if alarms.len() <= limit {
            return (alarms, Vec::new());
        }
        let (mut single, mut rest): (Alarms<'t>, Alarms<'t>) =
            alarms.into_iter().partition(|(id, tracked)| known.contains(&(*id, tracked.severity)));
        if !has_rest {
            let free = limit.saturating_sub(single.len()).min(rest.len());
            single.extend(rest.drain(..free));
        }
        (single, rest)
    }

    /// The alerts for what fires without those that are held back: no more begin in a minute than the limit. The worst
    /// begin first, and of a group the alert of many before those of single alarms, which are then a part of it.
    fn admit(&mut self, tracker: &Tracker, monotonic: Duration, now: u64) -> BTreeMap<Alert, Shown> {
        let mut known: BTreeSet<Alert> = self.sent.keys().cloned().collect();
        let wanted = self.select(tracker, &known);
        let mut new: Vec<_> = wanted.iter().filter(|(alert, _)| !known.contains(*alert)).collect();
        new.sort_by_key(|(alert, shown)| (alert.code(), !alert.is_rest(), shown.fired, *alert));
        new.truncate(self.limit.free(monotonic));
        self.limit.count(monotonic, new.len());
        known.extend(new.into_iter().map(|(alert, _)| alert.clone()));
        let (mut alerts, held): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.select(tracker, &known).into_iter().partition(|(alert, _)| known.contains(alert));
        let mut waiting: Vec<&Alert> = held.keys().collect();
        // What a position has no room for is sent at once after a start: not the least of them.
        waiting.sort_by_key(|alert| Reverse(alert.code()));
        self.held = waiting.into_iter().map(Alert::digest).collect();
        self.telemetry.held(AlarmSink::ALERTMANAGER, held.len());
        if let Some(code) = held.keys().map(Alert::code).min() {
            let before = self.sent.get(&Alert::Held(code)).filter(|shown| shown.is_sent);
            let since = before.map_or(now, |shown| shown.fired);
            alerts.insert(Alert::Held(code), Shown::held(held.len(), self.settings.alerts_per_minute, since));
        }
        alerts
    }

    /// Posts alerts to each member. One that has them is enough: the others get what fires in the next refresh interval, and
    /// end by themselves what has ended.
    fn post(&mut self, client: &Client, alerts: &[Value]) -> Result<(), Failure> {
        let body = serde_json::to_vec(alerts).unwrap_or_default();
        let Self { settings, problem, .. } = self;
        let posts = settings.urls.iter().map(|url| (url, client.post(url, &settings.headers, body.clone())));
        let failures: Vec<(&String, Failure)> = posts.filter_map(|(url, sent)| Some((url, sent.err()?))).collect();
        if failures.len() == settings.urls.len() {
            // What one rejects another may take later.
            let worst = failures.into_iter().map(|(_, failure)| failure).reduce(Failure::or_retryable);
            return worst.map_or(Ok(()), Err);
        }
        let texts = failures.iter().map(|(url, failure)| format!("{}: {failure}", without_path(url)));
        *problem = texts.reduce(|all, text| format!("{all}; {text}")).or_else(|| problem.take());
        Ok(())
    }

    /// The alerts of a request: those that differ from what was sent, all that fire if `refreshes`, and those that end.
    fn requests(&self, tracker: &Tracker, alerts: &BTreeMap<Alert, Shown>, refreshes: bool, now: u64) -> Vec<Value> {
        let (page, objects) = (self.settings.page_url.as_deref(), &self.settings.objects);
        let ahead = now.saturating_add(micros(self.settings.refresh_interval * MISSED));
        let is_current = |alert: &Alert, shown: &Shown| {
            self.sent
                .get(alert)
                .is_some_and(|sent| sent.is_sent && sent.fired == shown.fired && sent.text == shown.text)
        };
        let due = alerts.iter().filter(|(alert, shown)| refreshes || !is_current(alert, shown));
        let mut requests: Vec<Value> = due.map(|(alert, shown)| alert.request(shown, ahead, page, objects)).collect();
        let resolved: BTreeMap<&Id, &Tracked> = tracker.resolved().iter().map(|(id, tracked)| (id, tracked)).collect();
        for (alert, shown) in self.sent.iter().filter(|(alert, _)| !alerts.contains_key(alert)) {
            let ended = alert.alarm().and_then(|(id, _)| resolved.get(id));
            // In event time it may be ahead of this clock, and the Alertmanager would wait for it.
            let end = ended.and_then(|tracked| tracked.resolved).map_or(now, |at| now.min(at));
            let mut request = alert.request(shown, end, page, objects);
            if let Some(reason) = ended.and_then(|tracked| tracked.reason.as_deref()) {
                request["annotations"]["reason"] = reason.into();
            }
            requests.push(request);
        }
        requests
    }
}

impl Notifier for Alertmanager {
    fn name(&self) -> &'static str {
        AlarmSink::ALERTMANAGER
    }

    fn settings(&self) -> &'static str {
        "sinks.alertmanager.url"
    }

    fn resume(&mut self, tracker: &Tracker, held: Option<&Held>) {
        *self = Self::new(self.settings.clone(), self.telemetry.clone());
        let Some(held) = held else { return };
        let is_sent = |alert: &Alert| !held.contains(alert.digest());
        let (sent, waiting): (_, BTreeMap<_, _>) =
            self.select(tracker, &BTreeSet::new()).into_iter().partition(|(alert, _)| is_sent(alert));
        (self.sent, self.held) = (sent, waiting.keys().map(Alert::digest).collect());
        if held.len() > 0 {
            self.sent.extend(self.about_held(held.len()));
        }
    }

    fn is_due(&self, tracker: &Tracker, now: Duration) -> bool {
        let is_old = |at: Duration| now.saturating_sub(at) >= self.settings.refresh_interval;
        tracker.has_changes()
            || !tracker.firing().is_empty() && self.refreshed.is_none_or(is_old)
            || !self.held.is_empty() && self.limit.free(now) > 0
    }

    fn send(&mut self, tracker: &Tracker, client: &Client, clock: &dyn Clock) -> Result<(), Failure> {
        let (monotonic, now) = (clock.monotonic(), clock.now_micros());
        let alerts = self.admit(tracker, monotonic, now);
        let is_old = |at: Duration| monotonic.saturating_sub(at) >= self.settings.refresh_interval;
        let refreshes = self.refreshed.is_none_or(is_old);
        self.doubt(tracker, alerts.len());
        let requests = self.requests(tracker, &alerts, refreshes, now);
        // If a later batch fails, the Alertmanager has alerts of the earlier ones, which must end.
        for (alert, shown) in &alerts {
            self.sent.entry(alert.clone()).or_insert_with(|| Shown { is_sent: false, ..shown.clone() });
        }
        let mut outcome = Ok(());
        self.problem = None;
        for batch in requests.chunks(BATCH) {
            match in_parts(batch, &mut |part| self.post(client, part)) {
                // The same would be rejected again, and the other batches need not be.
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

    fn held(&self) -> &[u64] {
        &self.held
    }

    fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}
