//! Alarms as JSON, posted to any server.
//!
//! ```json
//! {"version":1,"groups":[{"rule":"vn flows","table":"ObjectVNTable","severity":"major","firing":12,
//!   "fired":[{"id":"…","object":"…","key":"…","stream":"…","uve":"…","text":"…","fired":"2026-01-01T00:03:00Z","link":"…",
//!     "labels":{…}}],
//!   "fired_more":0,"resolved":[{…,"resolved":"2026-01-01T00:09:00Z","reason":"…"}],"resolved_more":0}]}
//! ```
//!
//! One request has everything that changed since the one before, by rule and table. With a key each request is signed:
//! the header `X-Derived-Statsd-Signature` is `sha256=` and the HMAC of the header `X-Derived-Statsd-Timestamp`, a dot and
//! the body. The `id` of a change is the same when it comes again after a kill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::setting::Secret;
use daemon_base::stop::Stop;
use daemon_results::object_labels::ObjectLabels;
use serde_json::{Value, json};
use ureq::tls::TlsConfig;

use super::client::{Client, Failure, in_parts};
use super::config::{WebhookConfig, base};
use super::position::Held;
use super::telemetry::AlarmTelemetry;
use super::tracker::{Group, Id, Tracked, Tracker, group_of, of_alerts, rfc3339, severity};
use super::{AlarmSink, Notifier, hmac};
use crate::endpoint::{signing_key, tls};

/// The settings of the sink.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    url: String,
    headers: Vec<(&'static str, String)>,
    secret: Option<Secret>,
    interval: Duration,
    timeout: Duration,
    alarms_per_group: usize,
    page_url: Option<String>,
    objects: ObjectLabels,
    tls: TlsConfig,
}

impl WebhookSettings {
    /// Reads the settings from a section; `None` if it has no URL.
    ///
    /// # Errors
    ///
    /// If a URL is invalid, or a file of the key or of TLS cannot be used.
    pub fn new(section: &WebhookConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let checked = |url: &str| base(url).map(str::to_owned).map_err(anyhow::Error::msg);
        checked(url)?;
        let secret = signing_key(section.secret.as_ref(), section.secret_file.as_deref(), "sinks.webhook")?;
        Ok(Some(Self {
            url: url.clone(),
            headers: section.credentials().headers("sinks.webhook")?,
            secret,
            interval: section.interval,
            timeout: section.timeout,
            alarms_per_group: section.alarms_per_group,
            page_url: section.page_url.as_deref().map(checked).transpose()?,
            objects: ObjectLabels::default(),
            tls: tls(url, &section.tls_files(), "sinks.webhook")?,
        }))
    }

    /// The same, with the labels that make the names of objects.
    #[must_use]
    pub fn with_objects(self, objects: ObjectLabels) -> Self {
        Self { objects: of_alerts(objects), ..self }
    }
}

impl AlarmSink {
    /// The name of the sink of this kind, under which it stores its position.
    pub const WEBHOOK: &'static str = "webhook";

    /// Creates a sink that posts alarms, and ends a request when `stop` is set.
    pub fn webhook(settings: WebhookSettings, clock: Arc<dyn Clock>, telemetry: AlarmTelemetry, stop: Stop) -> Self {
        let requests = (settings.timeout, settings.tls.clone());
        let notifier = Webhook { settings, telemetry: telemetry.clone(), sent_at: None };
        Self::new(Box::new(notifier), requests, clock, telemetry, stop)
    }
}

struct Webhook {
    settings: WebhookSettings,
    telemetry: AlarmTelemetry,
    /// The monotonic time of the last request.
    sent_at: Option<Duration>,
}

/// The changes of a group.
#[derive(Default)]
struct Changes<'t> {
    fired: Vec<(&'t Id, &'t Tracked)>,
    resolved: Vec<(&'t Id, &'t Tracked)>,
}

impl Webhook {
    /// What changed, by group.
    fn groups(&self, tracker: &Tracker) -> Vec<Value> {
        let mut groups: BTreeMap<Group, Changes<'_>> = BTreeMap::new();
        for (id, tracked) in tracker.fired() {
            groups.entry(group_of(id, tracked)).or_default().fired.push((id, tracked));
        }
        for (id, tracked) in tracker.resolved() {
            groups.entry(group_of(id, tracked)).or_default().resolved.push((id, tracked));
        }
        let firing = tracker.groups();
        let limit = self.settings.alarms_per_group;
        let of_group = |(group, changes): (Group, Changes<'_>)| {
            let firing = firing.get(&group).map_or(0, Vec::len);
            let (rule, table, code) = group;
            let shown = |changes: &[(&Id, &Tracked)]| {
                changes.iter().take(limit).map(|(id, tracked)| self.change(id, tracked)).collect::<Vec<_>>()
            };
            json!({
                "rule": rule, "table": table, "severity": severity(code), "firing": firing,
                "fired": shown(&changes.fired), "fired_more": changes.fired.len().saturating_sub(limit),
                "resolved": shown(&changes.resolved), "resolved_more": changes.resolved.len().saturating_sub(limit),
            })
        };
        groups.into_iter().map(of_group).collect()
    }

    fn post(&self, groups: &[Value], client: &Client, clock: &dyn Clock) -> Result<(), Failure> {
        let body = serde_json::to_vec(&json!({ "version": 1, "groups": groups })).unwrap_or_default();
        let timestamp = (clock.now_micros() / 1_000_000).to_string();
        let mut headers = self.settings.headers.clone();
        if let Some(secret) = &self.settings.secret {
            let signature = hmac::hex(secret.reveal().as_bytes(), &[timestamp.as_bytes(), b".", &body]);
            headers.push(("x-derived-statsd-signature", format!("sha256={signature}")));
        }
        headers.push(("x-derived-statsd-timestamp", timestamp));
        client.post(&self.settings.url, &headers, body)
    }

    fn change(&self, id: &Id, tracked: &Tracked) -> Value {
        let state = if tracked.resolved.is_some() { "resolved" } else { "fired" };
        let mut value = json!({
            "id": format!("{}/{}/{}/{}/{state}", id.rule, id.key, id.uve, tracked.fired),
            "object": id.name(), "key": id.key, "stream": id.stream, "uve": id.uve, "text": tracked.text,
            "fired": rfc3339(tracked.fired),
        });
        let labels = id.labels(&self.settings.objects);
        if !labels.is_empty() {
            value["labels"] = labels.into();
        }
        if let Some(resolved) = tracked.resolved {
            value["resolved"] = rfc3339(resolved).into();
        }
        if let Some(reason) = &tracked.reason {
            value["reason"] = reason.as_str().into();
        }
        if let Some(page) = &self.settings.page_url {
            value["link"] = format!("{page}{}", id.page(tracked)).into();
        }
        value
    }
}

impl Notifier for Webhook {
    fn name(&self) -> &'static str {
        AlarmSink::WEBHOOK
    }

    fn settings(&self) -> &'static str {
        "sinks.webhook.url"
    }

    fn resume(&mut self, _tracker: &Tracker, _held: Option<&Held>) {
        self.sent_at = None;
    }

    fn is_due(&self, tracker: &Tracker, now: Duration) -> bool {
        let is_over = |at: Duration| now.saturating_sub(at) >= self.settings.interval;
        tracker.has_changes() && self.sent_at.is_none_or(is_over)
    }

    fn send(&mut self, tracker: &Tracker, client: &Client, clock: &dyn Clock) -> Result<(), Failure> {
        let sent = in_parts(&self.groups(tracker), &mut |groups| self.post(groups, client, clock));
        if !matches!(sent, Err(Failure::Retryable(_))) {
            self.sent_at = Some(clock.monotonic());
            self.telemetry.held(AlarmSink::WEBHOOK, 0);
        }
        sent
    }
}
