//! What a table must give, by sorting and folding: no windows that open and close, no slots, no columns.

use std::collections::BTreeMap;

use derived_stats::{Number, OVERFLOW, Silence, six_digits};
use proxy_uve::Fates;

use crate::workload::{Algorithm, Case, KEYS, Raw, SECOND, Step, Type};

/// How long a source may be silent before its next reading is a first one.
const HOUR: u64 = 3600 * SECOND;

const PROXY: &str = "UveVirtualNetworkAgent-egress_flow_count";

/// A sample that counts in a window group.
#[derive(Clone, Copy)]
struct Taken {
    source: usize,
    at: u64,
    value: Number,
}

/// A window group: types that share period, timeout and silence.
struct Group<'c> {
    period: u64,
    timeout: u64,
    silence: Silence,
    types: Vec<&'c Type>,
    /// By key, in the order of the log.
    taken: BTreeMap<usize, Vec<Taken>>,
}

pub(crate) struct Outcome {
    pub(crate) fates: Fates,
    /// As `workload::taken` shows them, sorted.
    pub(crate) rows: Vec<String>,
    /// The samples that type `AggProxySum` saw, in windows that are over.
    pub(crate) summed: u128,
    /// What windows hold that are not over, sorted: key, proxy UVE, attribute, start, value.
    pub(crate) open: Vec<String>,
}

fn accepts(of: &Type, value: Number) -> bool {
    of.raw == Raw::F64 || matches!(value, Number::U64(_))
}

pub(crate) fn outcome(case: &Case) -> Outcome {
    let mut scan = Scan {
        groups: groups(case),
        fates: Fates::default(),
        rows: Vec::new(),
        summed: 0,
        newest: None,
        watermark: 0,
        covered_from: 0,
    };
    for step in &case.steps {
        match *step {
            Step::Advance { to } => scan.watermark = scan.watermark.max(to),
            Step::Remove { key } => scan.remove(key),
            Step::Sample { key, source, at, value } => scan.sample(case, key, Taken { source, at, value }),
        }
    }
    let mut open = scan.open();
    open.sort();
    (0..KEYS.len()).for_each(|key| scan.remove(key));
    scan.rows.sort();
    Outcome { fates: scan.fates, rows: scan.rows, summed: scan.summed, open }
}

impl Group<'_> {
    /// The end of the window that holds `at`.
    fn end(&self, at: u64) -> u64 {
        at / self.period * self.period + self.period
    }
}

/// The first pass: who counts where.
struct Scan<'c> {
    groups: Vec<Group<'c>>,
    fates: Fates,
    /// Inline results, and those of objects that are gone.
    rows: Vec<String>,
    summed: u128,
    newest: Option<u64>,
    watermark: u64,
    covered_from: u64,
}

impl Scan<'_> {
    /// The object's windows until now are folded; later samples make a new object.
    fn remove(&mut self, key: usize) {
        let (watermark, covered_from) = (self.watermark, self.covered_from);
        for group in &mut self.groups {
            let Some(taken) = group.taken.remove(&key) else { continue };
            self.rows.extend(Fold { group, key, taken: &taken, covered_from }.rows(watermark));
            if group.types.iter().any(|of| of.name == "AggProxySum") {
                let over = taken.iter().filter(|sample| group.end(sample.at) <= watermark);
                self.summed += over.filter_map(|sample| integer(sample.value)).map(u128::from).sum::<u128>();
            }
        }
    }

    fn open(&self) -> Vec<String> {
        let mut open = Vec::new();
        for group in &self.groups {
            for (&key, taken) in &group.taken {
                open.extend(Fold { group, key, taken, covered_from: 0 }.open(self.watermark));
            }
        }
        open
    }

    fn sample(&mut self, case: &Case, key: usize, sample: Taken) {
        let Taken { at, value, .. } = sample;
        if !case.types.iter().any(|of| accepts(of, value)) {
            self.fates.malformed_value += 1;
            return;
        }
        self.covered_from = if self.newest.is_none() { at } else { self.covered_from };
        self.newest = self.newest.max(Some(at));
        self.watermark = self.watermark.max(self.newest.unwrap_or(0).saturating_sub(case.lateness));
        let watermark = self.watermark;
        let mut open = self.groups.iter_mut().filter(|group| group.end(at) > watermark).peekable();
        if open.peek().is_none() {
            self.fates.late += 1;
            return;
        }
        let mut fate = &mut self.fates.refused;
        for group in open.filter(|group| group.types.iter().any(|of| accepts(of, value))) {
            fate = &mut self.fates.aggregated;
            group.taken.entry(key).or_default().push(sample);
            let inline = group.types.iter().filter(|of| of.period == 0 && accepts(of, value));
            self.rows.extend(inline.map(|of| row(of, key, [at, at], "false", &format!(",\"now\":{value}"))));
        }
        *fate += 1;
    }
}

fn groups(case: &Case) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for of in &case.types {
        let period = if of.period == 0 { 60 } else { of.period } * SECOND;
        let same =
            |group: &&mut Group<'_>| (group.period, group.timeout, group.silence) == (period, of.timeout, of.silence);
        match groups.iter_mut().find(same) {
            Some(group) => group.types.push(of),
            None => groups.push(Group {
                period,
                timeout: of.timeout,
                silence: of.silence,
                types: vec![of],
                taken: BTreeMap::new(),
            }),
        }
    }
    groups
}

fn integer(value: Number) -> Option<u64> {
    if let Number::U64(value) = value { Some(value) } else { None }
}

fn row(of: &Type, key: usize, [start, end]: [u64; 2], deleted: &str, rest: &str) -> String {
    let Type { name, .. } = of;
    let json = format!("{{\"deleted\":{deleted},\"proxy\":\"{PROXY}\"{rest}}}");
    format!("{end} {start} {} {name}-{PROXY} {json}", KEYS[key])
}

/// One object in one window group.
struct Fold<'c> {
    group: &'c Group<'c>,
    key: usize,
    taken: &'c [Taken],
    covered_from: u64,
}

impl Fold<'_> {
    /// Window after window up to the watermark.
    fn rows(&self, watermark: u64) -> Vec<String> {
        let (period, timeout) = (self.group.period, self.group.timeout);
        let mut rows = Vec::new();
        let mut detectors: BTreeMap<(&str, &str), Detector> = BTreeMap::new();
        let mut silent = None;
        let first = self.taken.iter().map(|sample| sample.at / period).min().unwrap_or(u64::MAX / period);
        for window in first..watermark / period {
            let (start, end) = (window * period, (window + 1) * period);
            let touched = self.within(start, end).next().is_some();
            silent = if touched { Some(0) } else { silent.map(|silent: u64| silent + 1) };
            match silent {
                None => {}
                Some(silent) if timeout > 0 && silent >= timeout => {
                    let types = self.group.types.iter();
                    rows.extend(types.map(|of| row(of, self.key, [start, end], "true", "")));
                    detectors.clear();
                    return [rows, self.after(end, watermark)].concat();
                }
                Some(_) => {
                    let types = self.group.types.iter();
                    rows.extend(types.filter_map(|of| self.row(of, start, end, &mut detectors)));
                }
            }
        }
        rows
    }

    fn open(&self, watermark: u64) -> Vec<String> {
        let mut open = Vec::new();
        let living = self.living(watermark);
        let living = Fold { taken: &living, ..*self };
        for of in &self.group.types {
            for &(name, every, algorithm) in of.attributes.iter().filter(|(_, every, _)| *every > 0) {
                let window = every * self.group.period;
                let of_window = |sample: &Taken| sample.at / window * window;
                let taken = self.taken.iter().filter(|sample| accepts(of, sample.value));
                let starts: std::collections::BTreeSet<u64> = taken.map(of_window).collect();
                for start in starts.into_iter().filter(|start| start + window > watermark) {
                    let fold = if algorithm.last_values() > 0 { &living } else { self };
                    let value = fold.value(of, algorithm, start, start + window).map(|(value, _)| value);
                    // A window with nothing but readings that add nothing is empty.
                    if value.is_none() && (of.raw == Raw::Counter || algorithm.reads_counters()) {
                        continue;
                    }
                    open.push(format!("{} {}-{PROXY} {name} {start} {value:?}", KEYS[self.key], of.name));
                }
            }
        }
        open
    }

    /// The samples since the last deletion of the object.
    fn living(&self, watermark: u64) -> Vec<Taken> {
        let (period, timeout) = (self.group.period, self.group.timeout);
        let (mut silent, mut from) = (None, 0);
        let first = self.taken.iter().map(|sample| sample.at / period).min().unwrap_or(u64::MAX / period);
        for window in first..watermark / period {
            let touched = self.within(window * period, (window + 1) * period).next().is_some();
            silent = if touched { Some(0) } else { silent.map(|silent: u64| silent + 1) };
            if timeout > 0 && silent.is_some_and(|silent| silent >= timeout) {
                (silent, from) = (None, (window + 1) * period);
            }
        }
        self.taken.iter().copied().filter(|sample| sample.at >= from).collect()
    }

    /// After a deletion an object is a new one.
    fn after(&self, end: u64, watermark: u64) -> Vec<String> {
        let taken: Vec<Taken> = self.taken.iter().copied().filter(|sample| sample.at >= end).collect();
        if taken.is_empty() { Vec::new() } else { Fold { taken: &taken, ..*self }.rows(watermark) }
    }

    fn within(&self, start: u64, end: u64) -> impl Iterator<Item = &Taken> {
        self.taken.iter().filter(move |sample| (start..end).contains(&sample.at))
    }

    fn row<'t>(
        &self,
        of: &'t Type,
        start: u64,
        end: u64,
        detectors: &mut BTreeMap<(&'t str, &'t str), Detector>,
    ) -> Option<String> {
        let (mut fields, mut partial) = (String::new(), false);
        for &(name, every, algorithm) in of.attributes {
            let window = every * self.group.period;
            if every == 0 || !end.is_multiple_of(window) {
                continue;
            }
            partial |= end - window * (1 + algorithm.looks_back()) < self.covered_from;
            let value = self.value(of, algorithm, end - window, end);
            let result = match algorithm {
                Algorithm::AverageDetector
                | Algorithm::IncreaseDetector
                | Algorithm::SumDetector
                | Algorithm::SumLastDetector(_) => {
                    detectors.entry((of.name, name)).or_default().close(value, self.group.silence)
                }
                _ => value.map(|(value, overflowed)| {
                    let error = if overflowed { format!(",\"error\":\"{OVERFLOW}\"") } else { String::new() };
                    format!("{{\"value\":{}{error}}}", serde_json::to_string(&value).unwrap())
                }),
            };
            if let Some(result) = result {
                fields += &format!(",\"{name}\":{result}");
            }
        }
        let partial =
            if partial || (start < self.covered_from && !fields.is_empty()) { ",\"partial\":true" } else { "" };
        (!fields.is_empty()).then(|| row(of, self.key, [start, end], "false", &format!("{partial}{fields}")))
    }

    /// What a window of a type has accumulated, and whether it is the bound of an overflow.
    fn value(&self, of: &Type, algorithm: Algorithm, start: u64, end: u64) -> Option<(Number, bool)> {
        if of.raw == Raw::F64 {
            let values: Vec<f64> = self.within(start, end).map(|sample| sample.value.as_f64()).collect();
            let sum = values.iter().copied().reduce(|sum, value| sum + value)?;
            let mean = matches!(algorithm, Algorithm::Average | Algorithm::AverageDetector);
            return Some((Number::F64(if mean { sum / values.len() as f64 } else { sum }), false));
        }
        let values = match algorithm.last_values() {
            0 => self.integers(of.raw == Raw::Counter || algorithm.reads_counters(), start, end),
            periods => self.last_values(periods, start, end),
        };
        let sum = values.iter().copied().map(u128::from).sum::<u128>();
        let bound = sum.min(u128::from(u64::MAX)) as u64;
        let value = match algorithm {
            Algorithm::Average | Algorithm::AverageDetector | Algorithm::AverageLast(_) => {
                bound.checked_div(values.len() as u64)?
            }
            Algorithm::MaxLast(_) => *values.iter().max()?,
            Algorithm::Newest => *values.last()?,
            Algorithm::Increase
            | Algorithm::IncreaseDetector
            | Algorithm::Rate
            | Algorithm::Sum
            | Algorithm::SumDetector
            | Algorithm::SumLast(_)
            | Algorithm::SumLastDetector(_) => values.first().map(|_| bound)?,
        };
        let is_sum = !matches!(algorithm, Algorithm::Newest | Algorithm::MaxLast(_));
        let value = match algorithm {
            Algorithm::Rate => Number::F64(value as f64 / ((end - start) / SECOND) as f64),
            _ => Number::U64(value),
        };
        Some((value, is_sum && sum > u128::from(bound)))
    }

    /// Of each source the newest sample before the end of a window, if less than `periods` windows passed since its own.
    fn last_values(&self, periods: u64, start: u64, end: u64) -> Vec<u64> {
        let mut last: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for (source, sample) in self.taken.iter().filter_map(|it| Some((it.source, (it.at, integer(it.value)?)))) {
            if sample.0 < end {
                let newest = last.entry(source).or_insert(sample);
                *newest = sample.max(*newest);
            }
        }
        let from = start.saturating_sub((periods - 1) * (end - start));
        last.into_values().filter(|(at, _)| *at >= from).map(|(_, value)| value).collect()
    }

    /// The samples of a window in the order of the log; of a counter, the increases of each source.
    fn integers(&self, of_counters: bool, start: u64, end: u64) -> Vec<u64> {
        let samples = self.taken.iter().filter_map(|sample| Some((sample.source, sample.at, integer(sample.value)?)));
        let mut last = BTreeMap::new();
        let values = samples.filter_map(|(source, at, value)| {
            let increase = match last.get(&source) {
                _ if !of_counters => Some(value),
                Some(&(before, _)) if at < before => return None,
                Some(&(before, reading)) if at - before <= HOUR => {
                    Some(if value < reading { value } else { value - reading })
                }
                _ => None,
            };
            last.insert(source, (at, value));
            Some((at, increase?))
        });
        values.filter(|(at, _)| (start..end).contains(at)).map(|(_, value)| value).collect()
    }
}

/// `DSAnomaly:EWM:0.5`
#[derive(Default)]
struct Detector {
    samples: u64,
    mean: f64,
    variance: f64,
    from_samples: bool,
}

impl Detector {
    fn close(&mut self, value: Option<(Number, bool)>, silence: Silence) -> Option<String> {
        let zero = match silence {
            Silence::Once => self.from_samples,
            Silence::Skip => false,
            Silence::Zero => self.samples > 0,
        };
        self.from_samples = value.is_some();
        let (value, overflowed) = value.or_else(|| zero.then_some((Number::U64(0), false)))?;
        let (x, d) = (value.as_f64(), value.as_f64() - self.mean);
        self.samples += 1;
        self.variance = 0.5 * (self.variance + 0.5 * (d * d));
        self.mean = 0.5 * self.mean + 0.5 * x;
        let stddev = self.variance.sqrt();
        let sigma = if stddev == 0.0 { 0.0 } else { (x - self.mean) / stddev };
        if self.samples < 2 {
            return None;
        }
        let error = if overflowed { format!(",\"error\":\"{OVERFLOW}\"") } else { String::new() };
        let state = format!("{{\"mean\":\"{}\",\"stddev\":\"{}\"}}", six_digits(self.mean), six_digits(stddev));
        let sigma = serde_json::to_string(&sigma).unwrap();
        let head = format!("\"samples\":{},\"algo\":\"EWM\",\"config\":\"0.5\"{error}", self.samples);
        Some(format!("{{{head},\"state\":{state},\"sigma\":{sigma},\"metric\":{value}}}"))
    }
}
