//! Hits and false alarms, by events.
//!
//! An alarm is a row whose score reaches the threshold. A window with an alarm is hit, and the delay is the time from
//! its start to the first alarm. An alarm outside of the windows is false, if it is an hour and ten rows at least after
//! the one that was counted before: flapping is one false alarm, and a permanent alarm one in each hour.
//!
//! The precision is hits / (hits + false alarms), the recall is hits / windows, pooled over the series of a source; F1
//! is their harmonic mean. *Macro F1* is the mean over the sources. The rules are those of the benchmark that
//! `docs/src/design/detection.md` describes.

use crate::score::Marks;
use crate::score::marks::Mark;

/// The number of thresholds that are compared.
const CANDIDATES: u32 = 240;

/// The shares of rows above the lowest and the highest of these thresholds, as powers of 10.
const SHARES: (f64, f64) = (-6.0, -0.7);

/// The rows before this share of a series are not used to choose thresholds.
const PROBATION: usize = 10;

/// The series of a benchmark, by source.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    sources: Vec<&'static str>,
    series: Vec<(usize, Marks)>,
}

/// The events of one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The number of windows with an alarm.
    pub hits: usize,
    /// The number of windows.
    pub windows: usize,
    /// The number of false alarms.
    pub false_alarms: usize,
    /// The weeks of the scored rows.
    pub weeks: f64,
    /// The time from the start of each hit window to its first alarm, in seconds.
    pub delays: Vec<f64>,
}

impl Outcome {
    /// The harmonic mean of precision and recall; 0 without a hit.
    pub fn f1(&self) -> f64 {
        let (hits, alarms) = (self.hits as f64, (self.hits + self.false_alarms) as f64);
        if self.hits == 0 { 0.0 } else { 2.0 * hits / (alarms + self.windows as f64) }
    }

    fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.windows += other.windows;
        self.false_alarms += other.false_alarms;
        self.weeks += other.weeks;
        self.delays.extend(other.delays);
    }
}

/// The mean F1 of the sources.
pub fn macro_f1(outcomes: &[Outcome]) -> f64 {
    outcomes.iter().map(Outcome::f1).sum::<f64>() / outcomes.len().max(1) as f64
}

/// The false alarms a week of all sources together.
pub fn false_alarms_a_week<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> f64 {
    let (count, weeks) = outcomes
        .into_iter()
        .fold((0, 0.0), |(count, weeks), outcome| (count + outcome.false_alarms, weeks + outcome.weeks));
    if weeks > 0.0 { count as f64 / weeks } else { 0.0 }
}

/// The median delay of all sources together, in seconds; `None` without a hit.
pub fn median_delay<'o>(outcomes: impl IntoIterator<Item = &'o Outcome>) -> Option<f64> {
    let mut delays: Vec<f64> = outcomes.into_iter().flat_map(|outcome| outcome.delays.iter().copied()).collect();
    delays.sort_by(f64::total_cmp);
    let (lower, upper) = (delays.get(delays.len().saturating_sub(1) / 2)?, delays.get(delays.len() / 2)?);
    Some((lower + upper) / 2.0)
}

impl Corpus {
    /// Adds a series of a source.
    pub fn push(&mut self, source: &'static str, marks: Marks) {
        let known = self.sources.iter().position(|known| *known == source);
        let index = known.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        self.series.push((index, marks));
    }

    /// The sources, in the order in which they were added.
    pub fn sources(&self) -> &[&'static str] {
        &self.sources
    }

    /// The series, with the index of their source.
    pub fn series(&self) -> &[(usize, Marks)] {
        &self.series
    }

    /// The events of each source at a threshold. `scores` has the scores of each series.
    pub fn at(&self, scores: &[Vec<f64>], threshold: f64) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::default(); self.sources.len()];
        for ((source, marks), scores) in self.series.iter().zip(scores) {
            if let Some(outcome) = outcomes.get_mut(*source) {
                outcome.add(count(marks, scores, threshold));
            }
        }
        outcomes
    }

    /// The threshold with the highest macro F1.
    pub fn best(&self, scores: &[Vec<f64>]) -> f64 {
        let quality = |threshold: &f64| macro_f1(&self.at(scores, *threshold));
        let judged = self.candidates(scores).into_iter().map(|threshold| (quality(&threshold), threshold));
        let best = judged.max_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
        best.map_or(f64::INFINITY, |(_, threshold)| threshold)
    }

    /// The lowest threshold with at most `per_week` false alarms a week in the sources that `counts` selects; infinite
    /// if there is none.
    pub fn at_rate(&self, scores: &[Vec<f64>], per_week: f64, counts: impl Fn(&str) -> bool) -> f64 {
        let rate = |threshold: f64| {
            let outcomes = self.at(scores, threshold);
            let counted = self.sources.iter().zip(&outcomes).filter(|(source, _)| counts(source));
            false_alarms_a_week(counted.map(|(_, outcome)| outcome))
        };
        self.candidates(scores).into_iter().find(|threshold| rate(*threshold) <= per_week).unwrap_or(f64::INFINITY)
    }

    /// Thresholds in ascending order: quantiles of the upper tail of the scores, with the same weight for every source.
    fn candidates(&self, scores: &[Vec<f64>]) -> Vec<f64> {
        let scored = |series: &[f64]| series.get(series.len() / PROBATION..).unwrap_or_default().to_vec();
        let mut weighted = Vec::new();
        for source in 0..self.sources.len() {
            let series = self.series.iter().zip(scores).filter(|((of, _), _)| *of == source);
            let pooled: Vec<f64> = series.flat_map(|(_, scores)| scored(scores)).collect();
            let weight = 1.0 / pooled.len().max(1) as f64 / self.sources.len() as f64;
            weighted.extend(pooled.into_iter().filter(|score| *score > 0.0).map(|score| (score, weight)));
        }
        weighted.sort_by(|one, other| other.0.total_cmp(&one.0));
        let (first, last) = SHARES;
        let mut shares = (0..CANDIDATES)
            .map(|index| 10f64.powf(first + (last - first) * f64::from(index) / f64::from(CANDIDATES - 1)));
        let (mut found, mut sum, mut wanted) = (Vec::new(), 0.0, shares.next());
        for (score, weight) in &weighted {
            sum += weight;
            while wanted.is_some_and(|share| sum >= share) {
                found.push(*score);
                wanted = shares.next();
            }
        }
        // Shares beyond all positive scores: the smallest one.
        if wanted.is_some() {
            found.extend(weighted.last().map(|(score, _)| *score));
        }
        found.reverse();
        found.dedup();
        found
    }
}

/// The first row with an alarm in each window of a series at a threshold; `None` for a window without an alarm.
pub fn first_alarms(marks: &Marks, scores: &[f64], threshold: f64) -> Vec<Option<usize>> {
    let mut first: Vec<Option<usize>> = vec![None; marks.starts.len()];
    for (row, (score, mark)) in scores.iter().zip(&marks.rows).enumerate() {
        if let Mark::Window(index) = mark
            && *score >= threshold
            && let Some(first) = first.get_mut(*index as usize)
        {
            first.get_or_insert(row);
        }
    }
    first
}

/// The events of one series.
fn count(marks: &Marks, scores: &[f64], threshold: f64) -> Outcome {
    let first = first_alarms(marks, scores, threshold);
    let (mut false_alarms, mut counted) = (0, None);
    for (row, (score, mark)) in scores.iter().zip(&marks.rows).enumerate() {
        let is_apart = |counted: usize| row - counted >= marks.apart;
        if *mark == Mark::Normal && *score >= threshold && counted.is_none_or(is_apart) {
            false_alarms += 1;
            counted = Some(row);
        }
    }
    let time = |row: usize| marks.times.get(row).copied().unwrap_or_default();
    let delay =
        |(start, first): (&usize, &Option<usize>)| Some(time((*first)?).saturating_sub(time(*start)) as f64 / 1e6);
    let delays: Vec<f64> = marks.starts.iter().zip(&first).filter_map(delay).collect();
    Outcome { hits: delays.len(), windows: first.len(), false_alarms, weeks: marks.weeks, delays }
}
