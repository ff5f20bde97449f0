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
    /// The first reasons.
    pub reasons: Vec<String>,
}

impl Tally {
    /// Counts a sample, or a series, that cannot be taken.
    pub fn reject(&mut self, reason: String) {
        self.rejected += 1;
        self.add_reason(reason);
    }

    pub(super) fn add_reason(&mut self, reason: String) {
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        }
    }
}
