//! InfluxDB line protocol: a point a line, with tags, fields and a time.
//!
//! ```text
//! cpu,cpu=cpu-total,host=a usage_idle=93.1,usage_user=4i 1700000000000000000
//! ```
//!
//! * <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>
//! * <https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/>
//!
//! Each field with a number is a series of its own, with one sample: the metric is `measurement.field`, the labels are the
//! tags. Integers are exact up to 2^53, booleans are 1 and 0, and texts are counted only. Times are cut to milliseconds.
//!
//! A line that is not a point is passed on as a [`LineFault`] with its number; the other lines are not affected.

mod line;

use self::line::{Line, Parts};
use crate::series::shortened;
use crate::{Labels, Limits, METRIC_NAME, Meaning, Point, Series, SeriesFault};

/// The unit of the times of a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Precision {
    /// Of version 1 only.
    Hours,
    /// The same in both versions, as are the units below.
    Microseconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Of version 1 only.
    Minutes,
    /// The default.
    Nanoseconds,
    /// Whole seconds.
    Seconds,
}

impl Precision {
    /// The precision that a parameter names, in the words of both versions; `None` for another word.
    ///
    /// ```
    /// use daemon_formats::line_protocol::Precision;
    ///
    /// assert_eq!(Precision::of("ms"), Some(Precision::Milliseconds));
    /// assert_eq!(Precision::of("n"), Precision::of("ns"));
    /// assert_eq!(Precision::of("minute"), None);
    /// ```
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "h" => Some(Self::Hours),
            "m" => Some(Self::Minutes),
            "ms" => Some(Self::Milliseconds),
            "n" | "ns" => Some(Self::Nanoseconds),
            "s" => Some(Self::Seconds),
            "u" | "us" | "µ" | "µs" => Some(Self::Microseconds),
            _ => None,
        }
    }

    /// The milliseconds of a time in this unit.
    fn milliseconds(self, time: i64) -> i64 {
        match self {
            Self::Hours => time.saturating_mul(3_600_000),
            Self::Microseconds => time.div_euclid(1000),
            Self::Milliseconds => time,
            Self::Minutes => time.saturating_mul(60_000),
            Self::Nanoseconds => time.div_euclid(1_000_000),
            Self::Seconds => time.saturating_mul(1000),
        }
    }
}

/// A request of lines.
#[derive(Clone, Copy, Debug)]
pub struct Request<'b> {
    /// The decompressed body.
    pub body: &'b [u8],
    /// The unit of its times.
    pub precision: Precision,
    /// The time of points without one, in UTC milliseconds since 1970.
    pub now_ms: i64,
    /// What it may contain.
    pub limits: Limits,
}

/// What a request has beside series.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Fields with a text.
    pub texts: u64,
    /// Points without a time: the same body sent again is other data.
    pub without_time: u64,
}

/// Why a line is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, `{}`: {fault}", shortened(.text))]
pub struct LineFault {
    /// Its number, from 1. A text over several lines counts as all of them.
    pub line: usize,
    /// Its beginning.
    pub text: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A part of the line is missing.
    #[error("{what} is missing; write `measurement,tag=value field=1 time`")]
    Missing {
        /// The part.
        what: &'static str,
    },
    /// The line is not a text.
    #[error("it is not UTF-8; send UTF-8")]
    NotUtf8,
    /// The labels of a series are not valid.
    #[error("{0}")]
    Series(SeriesFault),
    /// A time that is not one.
    #[error("the time `{}` is not a whole number of 64 bits; send one in the unit of `precision`", shortened(.found))]
    Time {
        /// What was found.
        found: String,
    },
    /// A field's value is of no type.
    #[error(
        "the value `{}` of the field `{}` is no number, boolean or quoted text; write 1.5, 1i, 1u, true or \"text\"",
        shortened(.found), shortened(.field)
    )]
    Value {
        /// The field.
        field: String,
        /// What was found.
        found: String,
    },
}

/// A request has more samples than allowed. Nothing of it must be kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the request has more than {limit} fields; lower the batch size of the sender (Telegraf: metric_batch_size)")]
pub struct TooMany {
    /// The limit.
    pub limit: usize,
}

impl Request<'_> {
    /// Calls `take` with every series, or with why a line is not a point, in the order of the lines.
    ///
    /// # Errors
    ///
    /// [`TooMany`]; `take` may have been called before.
    pub fn series(&self, mut take: impl FnMut(Result<Series<'_>, LineFault>)) -> Result<Summary, TooMany> {
        let (mut summary, mut samples, limit) = (Summary::default(), 0, self.limits.samples);
        let (mut rest, mut number) = (self.body, 1);
        while !rest.is_empty() {
            let (text, after) = line::first(rest);
            let read = Line::parse(text, &self.limits).map(|line| line.map(|line| (line.fields.len(), line)));
            match read {
                Ok(None) => {}
                Ok(Some((fields, line))) => {
                    samples += fields;
                    if samples > limit {
                        return Err(TooMany { limit });
                    }
                    summary.without_time += u64::from(line.time.is_none());
                    if let Err(fault) = self.pass(&line, &mut summary, &mut take) {
                        take(Err(fault_of(number, text, fault)));
                    }
                }
                Err(fault) => take(Err(fault_of(number, text, fault))),
            }
            number += text.iter().filter(|&&byte| byte == b'\n').count() + 1;
            rest = after;
        }
        Ok(summary)
    }

    /// Passes on the series of a line, all or none.
    fn pass(
        &self,
        line: &Line<'_>,
        summary: &mut Summary,
        take: &mut impl FnMut(Result<Series<'_>, LineFault>),
    ) -> Result<(), Fault> {
        let timestamp_ms = line.time.map_or(self.now_ms, |time| self.precision.milliseconds(time));
        let tags: Vec<_> = line.tags.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut metric = String::new();
        for (field, value) in &line.fields {
            let Some((value, integer)) = *value else {
                summary.texts += 1;
                continue;
            };
            metric.clear();
            metric.extend([&line.measurement, ".", field]);
            let pairs: Parts<'_> = [(METRIC_NAME, &*metric)].into_iter().chain(tags.iter().copied()).collect();
            // Of the series of a line all labels but the name are the same: the first one fails, or none does.
            let labels = Labels::new(pairs, &self.limits).map_err(|error| Fault::Series(error.fault))?;
            let samples = [Point { timestamp_ms, start_ms: 0, value, integer }];
            take(Ok(Series { labels: &labels, meaning: Meaning::Unstated, samples: &samples, histograms: &[] }));
        }
        Ok(())
    }
}

fn fault_of(line: usize, text: &[u8], fault: Fault) -> LineFault {
    let text = text.get(..text.len().min(SHOWN_BYTES)).unwrap_or_default();
    LineFault { line, text: String::from_utf8_lossy(text).into_owned(), fault }
}

/// The bytes of a line that an error has room for.
const SHOWN_BYTES: usize = 256;

#[cfg(test)]
mod tests;
