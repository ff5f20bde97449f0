//! The life cycle in its simplest form, period by period: what a table must do, and, with its quirks
//! switched on, what the original does.

use std::collections::BTreeMap;

use derived_stats::six_digits;
use serde_json::{Value, json};

use crate::record::{Sent, is_old, line, number, text};

/// What the original does otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Quirk {
    /// A rebalance deletes the objects of a partition and forgets their state, and where its log was read to.
    ClearForgets,
    /// The message that deletes carries the result of the silent period.
    DeletedWithValue,
    /// Objects are marked at every `timeout`-th period of the process and erased at the next one after that.
    PhasedTimeout,
}

#[derive(Clone, Copy)]
enum Attribute {
    /// `0-raw:DSNon0`
    Inline,
    /// `N-raw:DSSum`
    Sum { every: u64 },
    /// `N.DSSum-raw:DSAnomaly:EWM:alpha`
    Detector { every: u64, alpha: f64, text: &'static str },
}

fn attributes(proxy_type: &str) -> (u64, Vec<(&'static str, Attribute)>) {
    use Attribute::{Detector, Inline, Sum};
    let half = |every| Detector { every, alpha: 0.5, text: "0.5" };
    let pair = vec![("value", half(1)), ("sum", Sum { every: 1 })];
    match proxy_type {
        "AggProxySum" => (1, vec![("value", Sum { every: 1 })]),
        "AggProxySumAnomalyEWM01" => (1, vec![("value", Detector { every: 1, alpha: 0.1, text: "0.1" })]),
        "LcMix" => {
            let more = [("value2", half(2)), ("sum2", Sum { every: 2 }), ("inl", Inline)];
            (2, pair.into_iter().chain(more).collect())
        }
        lc => (lc.strip_prefix("LcT").unwrap().parse().unwrap(), pair),
    }
}

#[derive(Default)]
struct Object {
    /// By attribute.
    running: BTreeMap<&'static str, u64>,
    detectors: BTreeMap<&'static str, Detector>,
    touched: bool,
    silent: u64,
    /// The original's mark.
    marked: bool,
}

#[derive(Default)]
struct Detector {
    samples: u64,
    mean: f64,
    variance: f64,
    from_samples: bool,
}

impl Detector {
    /// The result of a period with this sum, if there is one.
    fn close(&mut self, sum: Option<u64>, alpha: f64, config: &str) -> Option<Value> {
        if sum.is_none() && !std::mem::replace(&mut self.from_samples, false) {
            return None;
        }
        self.from_samples = sum.is_some();
        let x = sum.unwrap_or(0);
        let d = x as f64 - self.mean;
        self.samples += 1;
        self.variance = (1.0 - alpha) * (self.variance + alpha * (d * d));
        self.mean = (1.0 - alpha) * self.mean + alpha * x as f64;
        let stddev = self.variance.sqrt();
        let sigma = if stddev == 0.0 { 0.0 } else { (x as f64 - self.mean) / stddev };
        let state = json!({"mean": six_digits(self.mean), "stddev": six_digits(stddev)});
        let result = json!({"samples": self.samples, "algo": "EWM", "config": config, "state": state, "sigma": sigma, "metric": x});
        (self.samples >= (1.0 / alpha) as u64).then_some(result)
    }
}

/// All partitions of one process.
pub(crate) struct Model<'q> {
    quirks: &'q [Quirk],
    types: Vec<String>,
    /// By type, partition and key.
    objects: BTreeMap<(String, u64, String), Object>,
    /// The newest position of each partition.
    positions: BTreeMap<u64, u64>,
    ticks: u64,
}

impl<'q> Model<'q> {
    pub(crate) fn new(types: &[&str], quirks: &'q [Quirk]) -> Self {
        let types = types.iter().filter(|name| **name != "NoSuchProxy").map(|name| (*name).to_owned()).collect();
        Self { quirks, types, objects: BTreeMap::new(), positions: BTreeMap::new(), ticks: 0 }
    }

    pub(crate) fn apply(&mut self, event: &Value) -> Sent {
        let mut sent = match text(event, "op") {
            "clear" if self.has(Quirk::ClearForgets) => self.clear(number(event, "partition")),
            "direct" => self.sample(2, "Tbl:obj", number(event, "raw")),
            "message" => self.message(event),
            "tick30" => self.tick(),
            _ => Vec::new(),
        };
        sent.sort();
        sent
    }

    fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    fn message(&mut self, event: &Value) -> Sent {
        let (partition, position) = (number(event, "partition"), number(event, "offset"));
        if self.positions.get(&partition).is_some_and(|&newest| position <= newest) {
            return Vec::new();
        }
        self.positions.insert(partition, position);
        if is_old(event) {
            return Vec::new();
        }
        let payload = text(event, "payload");
        let value = payload.split(['>', '<']).nth(2).unwrap().parse().unwrap();
        self.sample(partition, text(event, "key"), value)
    }

    fn sample(&mut self, partition: u64, key: &str, value: u64) -> Sent {
        let mut sent = Vec::new();
        for name in &self.types {
            let object = self.objects.entry((name.clone(), partition, key.to_owned())).or_default();
            (object.touched, object.marked) = (true, false);
            for (attribute, kind) in attributes(name).1 {
                match kind {
                    Attribute::Inline if value == 0 => {}
                    Attribute::Inline => sent.push(line(name, key, false, &json!({attribute: value}))),
                    _ => *object.running.entry(attribute).or_default() += value,
                }
            }
        }
        sent
    }

    fn clear(&mut self, partition: u64) -> Sent {
        self.positions.remove(&partition);
        let gone: Vec<_> = self.objects.keys().filter(|(_, of, _)| *of == partition).cloned().collect();
        for key in &gone {
            self.objects.remove(key);
        }
        gone.iter().map(|(name, _, key)| line(name, key, true, &json!({}))).collect()
    }

    fn tick(&mut self) -> Sent {
        self.ticks += 1;
        if !self.ticks.is_multiple_of(2) {
            return Vec::new();
        }
        let (period, quirks) = (self.ticks / 2, self.quirks);
        let mut sent = Vec::new();
        self.objects.retain(|(name, _, key), object| {
            let (timeout, attributes) = attributes(name);
            let fields = object.close(period, &attributes);
            let (deleted, erased) = object.age(period, timeout, quirks.contains(&Quirk::PhasedTimeout));
            let fields = if deleted && !quirks.contains(&Quirk::DeletedWithValue) { json!({}) } else { fields };
            if deleted || fields != json!({}) {
                sent.push(line(name, key, deleted, &fields));
            }
            !erased
        });
        sent
    }
}

impl Object {
    fn close(&mut self, period: u64, attributes: &[(&'static str, Attribute)]) -> Value {
        let mut fields = json!({});
        for &(name, kind) in attributes {
            let result = match kind {
                Attribute::Sum { every } if period.is_multiple_of(every) => {
                    self.running.remove(name).map(|sum| json!(sum))
                }
                Attribute::Detector { every, alpha, text } if period.is_multiple_of(every) => {
                    let sum = self.running.remove(name);
                    self.detectors.entry(name).or_default().close(sum, alpha, text)
                }
                _ => None,
            };
            if let Some(result) = result {
                fields[name] = result;
            }
        }
        fields
    }

    /// Whether the message of this period has `deleted`, and whether the object ends with it.
    fn age(&mut self, period: u64, timeout: u64, phased: bool) -> (bool, bool) {
        let touched = std::mem::replace(&mut self.touched, false);
        self.silent = if touched { 0 } else { self.silent + 1 };
        if !phased {
            let gone = timeout > 0 && self.silent >= timeout;
            return (gone, gone);
        }
        let deleted = self.marked;
        let acts = timeout > 0 && period.is_multiple_of(timeout);
        self.marked |= acts;
        (deleted, acts && deleted)
    }
}
