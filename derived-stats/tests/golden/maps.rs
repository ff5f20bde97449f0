//! Maps of metrics (`mstats`), through samples, deletions, empty maps, ticks and flushes: `maps.jsonl`.

mod deviations;

use std::collections::BTreeMap;

use derived_stats::{MapPipeline, Number, Silence};
use serde_json::Value;

use crate::model::{Model, Quirk, Quirks};
use crate::periodic::{annotation, model};
use crate::record::{Observed, items, number, observed, records, text, their_result, value_type, without_exact_state};
use crate::subject::Subject;
use crate::verdict::{Outcome, Trace, Verdict, admitted};

use self::deviations::{DEVIATIONS, REFUSED};

const RECORDS: usize = 262;

pub(crate) const VERDICT: Verdict<'_> =
    Verdict { file: "maps", records: RECORDS, refused: &REFUSED, deviations: &DEVIATIONS };

type ObservedByKey = BTreeMap<String, Observed>;

/// A map of metrics.
trait Map {
    fn update(&mut self, at: u64, values: &BTreeMap<String, Number>, deleted: &[&str]);
    fn close(&mut self, now: u64, silence: Silence) -> ObservedByKey;
    fn is_active(&self) -> bool;
    fn reports(&self, now: u64) -> ObservedByKey;
    fn running(&self, now: u64) -> ObservedByKey;
}

struct Ours(Option<MapPipeline>);

impl Ours {
    fn map(&self) -> &MapPipeline {
        self.0.as_ref().unwrap()
    }
}

impl Map for Ours {
    fn update(&mut self, at: u64, values: &BTreeMap<String, Number>, deleted: &[&str]) {
        let values = values.iter().map(|(key, value)| (key.as_str(), *value));
        self.0.as_mut().unwrap().update(at, values, deleted.iter().copied()).unwrap();
    }

    fn close(&mut self, now: u64, silence: Silence) -> ObservedByKey {
        let mut map = self.0.take().unwrap().with_silence(silence);
        let reports =
            map.close_period(now).into_iter().map(|(key, report)| (key.to_owned(), observed(report))).collect();
        self.0 = Some(map);
        reports
    }

    fn is_active(&self) -> bool {
        self.map().is_active()
    }

    fn reports(&self, now: u64) -> ObservedByKey {
        self.map().reports(now).map(|(key, report)| (key.to_owned(), observed(report))).collect()
    }

    fn running(&self, now: u64) -> ObservedByKey {
        self.map().running(now).map(|(key, report)| (key.to_owned(), observed(report))).collect()
    }
}

/// A scalar model for each key, and the rules of deletion.
struct Models {
    new: Model,
    quirks: Quirks,
    is_agg: bool,
    keys: BTreeMap<String, Model>,
    /// Whether a map was taken in the open period.
    seen: bool,
}

impl Map for Models {
    fn update(&mut self, at: u64, values: &BTreeMap<String, Number>, deleted: &[&str]) {
        self.seen = true;
        if values.is_empty() && self.is_agg {
            self.keys.values_mut().for_each(Model::restart);
        } else if values.is_empty() {
            self.keys.retain(|_, model| model.delete());
        }
        self.keys.retain(|key, model| !deleted.contains(&key.as_str()) || model.delete());
        for (key, value) in values.iter().filter(|(key, _)| !deleted.contains(&key.as_str())) {
            let model = self.keys.entry(key.clone()).or_insert_with(|| self.new.clone());
            assert_eq!(model.update(at, *value), None);
        }
    }

    fn close(&mut self, now: u64, silence: Silence) -> ObservedByKey {
        let zeros = self.quirks.contains(&Quirk::ZerosForEveryKey) && self.is_active();
        let silence = if zeros { Silence::Zero } else { silence };
        self.seen = false;
        let closed = self.keys.iter_mut().map(|(key, model)| Some((key.clone(), model.close(now, silence)?)));
        closed.flatten().collect()
    }

    fn is_active(&self) -> bool {
        self.seen || self.keys.values().any(Model::is_active)
    }

    fn reports(&self, now: u64) -> ObservedByKey {
        let shown = self.keys.iter().filter(|(_, model)| model.has_result());
        shown.map(|(key, model)| (key.clone(), model.report(now))).collect()
    }

    fn running(&self, now: u64) -> ObservedByKey {
        self.keys.iter().filter_map(|(key, model)| Some((key.clone(), model.running(now)?))).collect()
    }
}

fn line(operation: &str, active: bool, fill: &str, forced: &str) -> String {
    format!("{operation} active={active} fill={fill} forced={forced}")
}

fn shown(parts: &BTreeMap<String, Vec<String>>) -> String {
    let keys: Vec<String> = parts.iter().map(|(key, parts)| format!("{key}={}", parts.join(","))).collect();
    format!("{{{}}}", keys.join("; "))
}

/// `FillResult` of the wrapper.
fn fill(map: &impl Map, is_periodic: bool, now: u64, force: bool) -> String {
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |by_key: ObservedByKey, label: &str| {
        for (key, observed) in by_key {
            let Some(result) = observed.fill(force) else { continue };
            parts.entry(key).or_default().push(format!("{label}{}", without_exact_state(&result)));
        }
    };
    add(map.reports(now), if is_periodic { "value:" } else { "" });
    add(map.running(now), "staging:");
    shown(&parts)
}

fn their_fill(fill: &Value, record: &Value) -> String {
    let kind = value_type(record);
    let is_periodic = text(record, "class") == "PeriodicIf";
    let parts = |result: &Value| {
        if !is_periodic {
            return vec![their_result(result, kind)];
        }
        let part = |name: &str| Some(format!("{name}:{}", their_result(result.get(name)?, kind)));
        ["value", "staging"].into_iter().filter_map(part).collect()
    };
    let keys = fill["res"].as_object().unwrap();
    assert_eq!(fill["isset"], Value::Bool(!keys.is_empty()), "a fill is set exactly if it has keys");
    shown(&keys.iter().map(|(key, result)| (key.clone(), parts(result))).collect())
}

fn ours(record: &Value, mut map: impl Map) -> Trace {
    let is_periodic = text(record, "class") == "PeriodicIf";
    let mut now = 0;
    let mut trace = Vec::new();
    for event in items(record, "events") {
        let operation = match text(event, "op") {
            "update" => {
                now = event["t"].as_u64().unwrap();
                let values = event["raw"].as_object().unwrap().iter();
                let values = values.map(|(key, value)| (key.clone(), number(value, value_type(record)))).collect();
                let deleted: Vec<&str> = items(event, "del").iter().map(|key| key.as_str().unwrap()).collect();
                map.update(now, &values, &deleted);
                "update".to_owned()
            }
            "tick" => {
                let ran = map.is_active();
                let closed = map.close(now, Silence::Once).into_iter();
                let prefix = if is_periodic { "value:" } else { "" };
                let sent = closed.filter_map(|(key, observed)| {
                    Some((key, vec![format!("{prefix}{}", without_exact_state(&observed.fill(true)?))]))
                });
                let sent = shown(&sent.collect());
                format!("tick ran={ran} sent={}", if ran { &sent } else { "null" })
            }
            _ => {
                map.close(now, Silence::Zero);
                "flush".to_owned()
            }
        };
        let [plain, forced] = [false, true].map(|force| fill(&map, is_periodic, now, force));
        trace.push(line(&operation, map.is_active(), &plain, &forced));
    }
    trace
}

fn original(record: &Value) -> Trace {
    let events = items(record, "events").iter().map(|event| {
        let operation = match text(event, "op") {
            "tick" => {
                let sent = event.get("sent").map_or_else(|| "null".to_owned(), |sent| their_fill(sent, record));
                format!("tick ran={} sent={sent}", event["ran"])
            }
            operation => operation.to_owned(),
        };
        let [plain, forced] = ["fill", "fill_force"].map(|name| their_fill(&event[name], record));
        line(&operation, event["is_result"].as_bool().unwrap(), &plain, &forced)
    });
    events.collect()
}

fn outcome(record: &Value) -> Option<Outcome<'_>> {
    let id = text(record, "id").to_owned();
    let is_agg = record["is_agg"] == Value::Bool(true);
    let spec = admitted(&id, &annotation(record), value_type(record), is_agg, &REFUSED)?;
    let models =
        move |quirks| Models { new: model(record, quirks), quirks, is_agg, keys: BTreeMap::new(), seen: false };
    Some(Outcome {
        id,
        ours: vec![ours(record, Ours(Some(MapPipeline::new(spec))))],
        model: Box::new(move |quirks| ours(record, models(quirks))),
        original: original(record),
    })
}

#[test]
fn keys_are_created_and_deleted_as_in_the_original() {
    let records = records("maps");
    let outcomes: Vec<Outcome<'_>> = records.iter().filter_map(outcome).collect();
    VERDICT.on(&outcomes);
}
