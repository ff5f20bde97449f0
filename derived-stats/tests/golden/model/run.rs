//! All samples of a period or of an inline pipeline, iterated for each result.

use derived_stats::{Number, OVERFLOW, ValueType};

use super::exact::Exact;
use super::quirk::{Quirk, Quirks};
use crate::record::{Observed, number_text, with_error};

const SECOND: u64 = 1_000_000;

/// An algorithm whose result is a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Accumulation {
    Average,
    Change,
    Newest,
    NonZero,
    Null,
    Sum,
    Window { seconds: u64, average: bool },
}

impl Accumulation {
    pub(super) fn named(name: &str, argument: &str) -> Self {
        let seconds: u64 = argument.parse().unwrap_or(0);
        match (name, seconds) {
            ("DSAvg", 0) => Self::Average,
            ("DSChange", _) => Self::Change,
            ("DSNon0", _) => Self::NonZero,
            ("DSNone", _) => Self::Newest,
            ("DSNull", _) => Self::Null,
            ("DSSum", 0) => Self::Sum,
            ("DSAvg" | "DSSum", seconds) => Self::Window { seconds, average: name == "DSAvg" },
            _ => panic!("no model of {name}"),
        }
    }
}

/// All samples of a run, and the results that are computed from them.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) what: Accumulation,
    pub(super) kind: ValueType,
    pub(super) quirks: Quirks,
    pub(super) samples: Vec<(u64, Exact)>,
}

impl Run {
    pub(super) fn new(what: Accumulation, kind: ValueType, quirks: Quirks) -> Self {
        Self { what, kind, quirks, samples: Vec::new() }
    }

    pub(super) fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    pub(super) fn update(&mut self, at: u64, value: Exact) -> Option<String> {
        if let (Accumulation::Window { seconds, .. }, Some((newest, _))) = (self.what, self.samples.last()) {
            let width = self.bucket_width(seconds);
            if at / width < newest / width && !self.has(Quirk::TimeGoesBack) {
                return Some("TimeWentBack".to_owned());
            }
        }
        self.samples.push((at, value));
        None
    }

    /// The value of the run and whether it is the bound of an overflow.
    pub(super) fn value(&self, now: u64) -> Option<(Number, bool)> {
        let (_, newest) = self.samples.last()?;
        match self.what {
            Accumulation::Average => {
                let (sum, overflowed) = self.total();
                Some((sum.mean(self.samples.len(), self.quirks).bounded(self.kind).0, overflowed))
            }
            Accumulation::Sum => {
                let (sum, overflowed) = self.total();
                Some((sum.bounded(self.kind).0, overflowed))
            }
            Accumulation::Window { seconds, average } => {
                let (sum, count) = self.window(seconds, now)?;
                if average && count == 0 {
                    return None;
                }
                Some((if average { sum.mean(count, self.quirks) } else { sum }).fitted(self.kind, self.quirks))
            }
            _ => Some((newest.number(self.kind), false)),
        }
    }

    pub(super) fn total(&self) -> (Exact, bool) {
        let mut samples = self.samples.iter().map(|(_, value)| *value);
        let first = samples.next().unwrap();
        samples.fold((first, false), |(sum, overflowed), value| {
            let (bounded, over) = sum.plus(value).fitted(self.kind, self.quirks);
            (Exact::of(bounded), overflowed || over)
        })
    }

    /// The sum and the number of the samples whose bucket has not expired. Doubles are added and subtracted in the
    /// order of arrival and expiry, because the order determines the rounding.
    pub(super) fn window(&self, seconds: u64, now: u64) -> Option<(Exact, usize)> {
        let width = self.bucket_width(seconds);
        let last_of = |at: u64| (at / width * width + seconds * SECOND) / width;
        let mut starts = self.samples.iter().map(|(at, _)| *at);
        let first = if self.has(Quirk::TimeZeroIsNever) {
            starts.find(|at| *at >= width).unwrap_or(0)
        } else {
            starts.next()?
        };
        let newest = self.samples.last()?.0;
        let now = if self.has(Quirk::NoAgingOnRead) { newest } else { now.max(newest) } / width;
        let mut sum = Exact::zero(self.kind);
        let mut left = 0;
        let mut leave = |sum: &mut Exact, came: usize, now: u64| {
            while left < came && last_of(self.samples[left].0) <= now {
                let bucket = self.samples[left].0 / width;
                let members: Vec<_> =
                    self.samples[left..came].iter().take_while(|(at, _)| at / width == bucket).collect();
                let whole = members.iter().skip(1).fold(members[0].1, |sum, (_, value)| sum.plus(*value));
                *sum = sum.minus(whole);
                left += members.len();
            }
            left
        };
        for (position, (at, value)) in self.samples.iter().enumerate() {
            sum = if position == 0 { *value } else { sum.plus(*value) };
            leave(&mut sum, position + 1, at / width);
        }
        let gone = leave(&mut sum, self.samples.len(), now);
        (now >= last_of(first)).then_some((sum, self.samples.len() - gone))
    }

    /// 2^s microseconds, s the least with 2^(s+8) at least the range; with the quirk in a signed 32-bit shift.
    pub(super) fn bucket_width(&self, seconds: u64) -> u64 {
        let holds = |shift: u32| match self.has(Quirk::WideRangeOverflows) {
            true => 1i32.wrapping_shl(shift + 8) as i64 as u64,
            false => 1 << (shift + 8),
        };
        1 << (0..55).find(|&shift| holds(shift) >= seconds * SECOND).unwrap()
    }

    pub(super) fn observed(&self, now: u64) -> Observed {
        let Some((value, overflowed)) = self.value(now) else {
            return Observed::new("INVALID", None);
        };
        let newest = self.samples[self.samples.len() - 1].1;
        let before = self.samples.len().checked_sub(2).map(|position| self.samples[position].1);
        let code = match self.what {
            Accumulation::NonZero if newest.is_zero() => "SKIP",
            Accumulation::Change if before == Some(newest) => "SKIP",
            _ => "OK",
        };
        let text = with_error(number_text(value), overflowed.then_some(OVERFLOW));
        let text =
            if self.what == Accumulation::Null { format!("n={} value={text}", self.samples.len()) } else { text };
        Observed::new(code, text)
    }
}
