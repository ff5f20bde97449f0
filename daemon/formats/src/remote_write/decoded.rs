//! One series of a request, decoded into memory that the next one reuses.
//!
//! * <https://github.com/prometheus/prometheus/blob/main/prompb/types.proto>
//! * <https://github.com/prometheus/prometheus/blob/main/prompb/io/prometheus/write/v2/types.proto>
//!
//! Fields without a use are skipped: exemplars, metadata and the buckets of histograms.

use super::Version;
use crate::protobuf::{Field, Fields, ProtobufError};
use crate::{HistogramPoint, Labels, Limits, METRIC_NAME, Meaning, Point, Series, SeriesError, SeriesFault};

/// A series as far as it is decoded.
#[derive(Debug, Default)]
pub(super) struct Decoded<'b> {
    pairs: Vec<(&'b str, &'b str)>,
    /// What is wrong with the labels.
    fault: Option<SeriesFault>,
    references: Vec<u64>,
    samples: Vec<Point>,
    histograms: Vec<HistogramPoint>,
}

impl<'b> Decoded<'b> {
    /// Decodes a series in place of the one before. `symbols` are those of version 2, `None` if not UTF-8.
    pub(super) fn read(
        &mut self,
        version: Version,
        encoded: &'b [u8],
        symbols: &[Option<&'b str>],
    ) -> Result<(), ProtobufError> {
        self.pairs.clear();
        self.samples.clear();
        self.histograms.clear();
        self.fault = None;
        match version {
            Version::V1 => self.read_1(encoded),
            Version::V2 => self.read_2(encoded, symbols),
        }
    }

    /// `prometheus.TimeSeries`.
    fn read_1(&mut self, encoded: &'b [u8]) -> Result<(), ProtobufError> {
        for field in Fields::of(encoded) {
            let field = field?;
            match field.number {
                1 => match label(field)? {
                    Some(pair) => self.pairs.push(pair),
                    None => self.fault = Some(SeriesFault::NotUtf8),
                },
                2 => self.samples.push(sample(field)?),
                4 => self.histograms.push(histogram(field)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// `io.prometheus.write.v2.TimeSeries`.
    fn read_2(&mut self, encoded: &'b [u8], symbols: &[Option<&'b str>]) -> Result<(), ProtobufError> {
        self.references.clear();
        let mut created = 0;
        for field in Fields::of(encoded) {
            let field = field?;
            match field.number {
                1 => field.add_unsigned(&mut self.references)?,
                2 => self.samples.push(sample(field)?),
                3 => self.histograms.push(histogram(field)?),
                // Release candidates up to 3 have the start of the counter here, for all samples.
                6 => created = field.signed()?,
                _ => {}
            }
        }
        if created != 0 {
            let starts = self.samples.iter_mut().map(|it| &mut it.start_ms);
            let starts = starts.chain(self.histograms.iter_mut().map(|it| &mut it.start_ms));
            starts.filter(|start| **start == 0).for_each(|start| *start = created);
        }
        self.fault = self.refer(symbols).err();
        Ok(())
    }

    /// Takes the labels that the references name.
    fn refer(&mut self, symbols: &[Option<&'b str>]) -> Result<(), SeriesFault> {
        let odd = SeriesFault::OddReferences { count: self.references.len() };
        let symbol = |reference: u64| {
            let unknown = SeriesFault::UnknownSymbol { reference, symbols: symbols.len() };
            let found = usize::try_from(reference).ok().and_then(|index| symbols.get(index)).ok_or(unknown)?;
            found.ok_or(SeriesFault::NotUtf8)
        };
        let (pairs, rest) = self.references.as_chunks();
        // The labels after one with a fault are taken, too: one of them may be the name of the series.
        let mut outcome = if rest.is_empty() { Ok(()) } else { Err(odd) };
        for [name, value] in pairs {
            match symbol(*name).and_then(|name| Ok((name, symbol(*value)?))) {
                Ok(pair) => self.pairs.push(pair),
                Err(fault) => outcome = outcome.and(Err(fault)),
            }
        }
        outcome
    }

    /// Passes the series on; the number of its points.
    pub(super) fn pass(&mut self, limits: &Limits, take: &mut impl FnMut(Result<Series<'_>, SeriesError>)) -> usize {
        let labels = match self.fault.take() {
            Some(fault) => Err(SeriesError::of(&self.pairs, fault)),
            None => Labels::new(std::mem::take(&mut self.pairs), limits),
        };
        match labels {
            Ok(labels) => {
                take(Ok(Series {
                    labels: &labels,
                    meaning: Meaning::Unstated,
                    samples: &self.samples,
                    histograms: &self.histograms,
                }));
                self.pairs = labels.into_pairs();
            }
            Err(error) => take(Err(error)),
        }
        self.samples.len() + self.histograms.len()
    }
}

/// `prometheus.Label`; `None` if it is not UTF-8, which is the fault of one series and not of the request.
/// The name of the metric of a series that is not decoded; empty if it has none, or if its references have more bytes than
/// `limit`.
pub(super) fn metric<'b>(version: Version, encoded: &'b [u8], symbols: &[Option<&'b str>], limit: usize) -> &'b str {
    let mut fields = Fields::of(encoded).map_while(Result::ok).filter(|field| field.number == 1);
    match version {
        Version::V1 => {
            let labels = fields.filter_map(|field| label(field).ok()?);
            labels.into_iter().find(|(name, _)| *name == METRIC_NAME).map(|(_, value)| value).unwrap_or_default()
        }
        Version::V2 => {
            let mut references = Vec::new();
            // The references of all labels are one field.
            let is_bounded = |field: &Field<'_>| field.bytes().is_ok_and(|packed| packed.len() <= limit);
            let _ = fields.next().filter(is_bounded).map(|field| field.add_unsigned(&mut references));
            let text = |reference: u64| usize::try_from(reference).ok().and_then(|index| *symbols.get(index)?);
            let (pairs, _) = references.as_chunks();
            let found = pairs.iter().find(|[name, _]| text(*name) == Some(METRIC_NAME));
            found.and_then(|[_, value]| text(*value)).unwrap_or_default()
        }
    }
}

fn label<'b>(field: Field<'b>) -> Result<Option<(&'b str, &'b str)>, ProtobufError> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok(std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok()))
}

/// `Sample` of both versions. Its start is of version 2 since release candidate 4.
fn sample(field: Field<'_>) -> Result<Point, ProtobufError> {
    let mut point = Point { timestamp_ms: 0, start_ms: 0, value: 0.0, integer: None };
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => point.value = field.double()?,
            2 => point.timestamp_ms = field.signed()?,
            3 => point.start_ms = field.signed()?,
            _ => {}
        }
    }
    Ok(point)
}

/// `Histogram` of both versions. Its start is of version 2 since release candidate 4.
fn histogram(field: Field<'_>) -> Result<HistogramPoint, ProtobufError> {
    let mut point = HistogramPoint { timestamp_ms: 0, start_ms: 0, count: 0.0, sum: 0.0 };
    for field in field.message()? {
        let field = field?;
        match field.number {
            // Exact up to 2^53, as all numbers of Prometheus.
            1 => point.count = field.unsigned()? as f64,
            2 => point.count = field.double()?,
            3 => point.sum = field.double()?,
            15 => point.timestamp_ms = field.signed()?,
            17 => point.start_ms = field.signed()?,
            _ => {}
        }
    }
    Ok(point)
}
