//! What becomes of the points of a request, counted.

/// The most reasons that a request's [`Tally`] keeps.
const MAX_REASONS: usize = 10;

/// What became of the points of a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Samples that the request has, as far as their series are valid.
    pub samples: u64,
    /// Native histograms that the request has, likewise.
    pub histograms: u64,
    /// Samples of streams: what the log gets.
    pub stored: u64,
    /// Values that are texts, which the format has beside numbers.
    pub texts: u64,
    /// Samples and histograms that no stream takes.
    pub unmatched: u64,
    /// Markers of the end of a series.
    pub stale: u64,
    /// Samples of replicas of which another one counts.
    pub replicas: u64,
    /// NaN and infinite values of series that a stream takes.
    pub not_finite: u64,
    /// Samples that are refused, and series.
    pub rejected: u64,
    /// How many of `samples` are refused.
    pub rejected_samples: u64,
    /// How many of `histograms` are refused.
    pub rejected_histograms: u64,
    /// The first different reasons.
    pub reasons: Vec<String>,
    /// How often each of `reasons` was given.
    pub times: Vec<u64>,
}

impl Tally {
    /// Counts a sample, or a series, that cannot be taken.
    pub fn reject(&mut self, reason: String) {
        self.reject_all(reason, 1);
    }

    /// Counts `count` samples that cannot be taken for one reason.
    pub(super) fn reject_all(&mut self, reason: String, count: u64) {
        self.rejected += count;
        match self.reasons.iter().zip(&mut self.times).find(|(known, _)| **known == reason) {
            Some((_, times)) => *times += count,
            None if self.reasons.len() < MAX_REASONS => {
                self.reasons.push(reason);
                self.times.push(count);
            }
            None => {}
        }
    }

    /// The first different reasons, each with the number of samples if it is of several, and how many samples they are of.
    pub fn counted_reasons(&self) -> (String, u64) {
        let counted = self.reasons.iter().zip(&self.times).map(|(reason, times)| match times {
            0 | 1 => reason.clone(),
            times => format!("{times} × {reason}"),
        });
        (counted.collect::<Vec<_>>().join("; "), self.times.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reasons_are_counted_and_the_number_of_different_ones_is_limited() {
        let mut tally = Tally::default();
        tally.reject_all("a".to_owned(), 3);
        tally.reject("b".to_owned());
        tally.reject("a".to_owned());
        assert_eq!(tally.counted_reasons(), ("4 × a; b".to_owned(), 5));
        (0..MAX_REASONS).for_each(|reason| tally.reject(reason.to_string()));
        assert_eq!((tally.reasons.len(), tally.counted_reasons().1, tally.rejected), (MAX_REASONS, 13, 15));
    }
}
