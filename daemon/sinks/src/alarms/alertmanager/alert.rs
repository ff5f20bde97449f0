//! An alert, and its form in the API.

use daemon_alarms::escape::escaped;
use daemon_base::fnv;
use daemon_results::object_labels::ObjectLabels;
use serde_json::{Value, json};

use crate::alarms::tracker::{Group, Id, Tracked, page_of_group, rfc3339, severity};

/// The name of the alert about those that are held back.
const HELD: &str = "alarms are held back";

/// The objects that the alert of a group names.
const NAMED: usize = 10;

/// What identifies an alert: an alarm, the rest of a group, or what is held back, with the severity of its worst alarm.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Alert {
    Held(u8),
    One(Id, u8),
    Rest(Group),
}

/// What an alert shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub fired: u64,
    pub text: String,
    /// The alarms that fire in its group, and those that are in this alert.
    pub counts: (usize, usize),
    /// The part of the page that explains it.
    pub page: String,
    /// Whether the Alertmanager accepted it; if not, it may have it all the same.
    pub is_sent: bool,
}

impl Alert {
    /// The alarm and its severity, if the alert is of one alarm.
    pub(super) fn alarm(&self) -> Option<(&Id, u8)> {
        match self {
            Self::One(id, code) => Some((id, *code)),
            Self::Held(_) | Self::Rest(_) => None,
        }
    }

    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Held(code) | Self::One(_, code) | Self::Rest((_, _, code)) => *code,
        }
    }

    pub(super) fn is_rest(&self) -> bool {
        matches!(self, Self::Rest(_))
    }

    /// A number for the alert, by which a restart recognises it.
    pub(super) fn digest(&self) -> u64 {
        let text = match self {
            Self::Held(code) => json!([code]),
            Self::One(id, code) => json!([id.rule, id.key, id.stream, id.uve, code]),
            Self::Rest((rule, table, code)) => json!([rule, table, code]),
        };
        let digest = fnv::digest(text.to_string().as_bytes());
        u64::try_from(digest & u128::from(u64::MAX)).unwrap_or_default()
    }

    /// The labels by which the Alertmanager knows the alert. Those that make the name of its object are not among them: they
    /// change with the configuration, and an alert with other labels is another alert, whose end never comes.
    fn labels(&self) -> Value {
        match self {
            Self::Held(code) => json!({ "alertname": HELD, "severity": severity(*code), "grouped": "true" }),
            Self::One(id, code) => json!({
                "alertname": id.rule, "severity": severity(*code), "table": id.table(), "object": id.name(),
                "stream": id.stream, "uve": id.uve,
            }),
            Self::Rest((rule, table, code)) => {
                json!({ "alertname": rule, "severity": severity(*code), "table": table, "grouped": "true" })
            }
        }
    }

    /// The alert in the form of the API; it ends at `ends`.
    pub(super) fn request(&self, shown: &Shown, ends: u64, page: Option<&str>, objects: &ObjectLabels) -> Value {
        let (firing, alarms) = shown.counts;
        let mut annotations =
            json!({ "summary": shown.text, "firing": firing.to_string(), "alarms": alarms.to_string() });
        if let (Self::One(id, _), Some(annotations)) = (self, annotations.as_object_mut()) {
            annotations.extend(id.labels(objects));
        }
        let (starts, ends) = (rfc3339(shown.fired), rfc3339(ends.max(shown.fired)));
        // Of the source of an alert some receivers show nothing; of annotations all do.
        let page = page.map(|page| format!("{page}{}", shown.page));
        if let Some(page) = &page {
            annotations["page"] = page.as_str().into();
        }
        let mut value =
            json!({ "labels": self.labels(), "annotations": annotations, "startsAt": starts, "endsAt": ends });
        if let Some(page) = page {
            value["generatorURL"] = page.into();
        }
        value
    }
}

impl Shown {
    /// An alarm of a group in which so many fire.
    pub(super) fn one(id: &Id, tracked: &Tracked, firing: usize) -> Self {
        let (fired, text) = (tracked.fired, tracked.text.clone());
        Self { fired, text, counts: (firing, 1), page: id.page(tracked), is_sent: true }
    }

    /// The rest of a group beside `single` alerts; `None` if there is none.
    pub(super) fn rest(group: &Group, rest: &[(&Id, &Tracked)], single: usize) -> Option<Self> {
        let (_, first) = rest.first()?;
        let named: Vec<_> = rest.iter().take(NAMED).map(|(id, _)| escaped(id.name())).collect();
        let more = if rest.len() > NAMED { ", …" } else { "" };
        let text =
            format!("{} objects besides the {single} with alerts of their own: {}{more}", rest.len(), named.join(", "));
        let counts = (rest.len() + single, rest.len());
        Some(Self { fired: first.fired, text, counts, page: page_of_group(group), is_sent: true })
    }

    /// So many alerts, which wait since `fired` because of a limit for each minute.
    pub(super) fn held(alerts: usize, per_minute: usize, fired: u64) -> Self {
        let text = format!(
            "{alerts} further alerts wait: sinks.alertmanager.alerts_per_minute is {per_minute}. They follow, the worst \
             first; the page shows all alarms"
        );
        Self { fired, text, counts: (alerts, alerts), page: "/#/".to_owned(), is_sent: true }
    }
}
