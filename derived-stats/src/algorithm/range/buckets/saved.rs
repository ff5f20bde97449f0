//! The saved words of a window.
//!
//! ```text
//! words := first newest refused total buckets (start state)*
//! total := the total of a state that subtracts | the number of folded buckets
//! ```

use crate::algorithm::range::buckets::{Bucket, Buckets, MAX_BUCKETS};
use crate::algorithm::range::{Range, Windowed};
use crate::number::Numeric;
use crate::saved::{RestoreError, WordWriter, Words};

impl<S: Clone> Buckets<S> {
    pub(in crate::algorithm::range) fn save<T: Numeric, A: Windowed<T, State = S>>(
        &self,
        algorithm: &A,
        words: &mut WordWriter<'_>,
    ) {
        words.extend([self.first, self.newest, self.refused]);
        if A::SUBTRACTS {
            algorithm.save_total(&self.total, words);
        } else {
            words.push(self.folded as u64);
        }
        words.push(self.buckets.len() as u64);
        for bucket in &self.buckets {
            words.push(bucket.start);
            algorithm.save(&bucket.state, words);
        }
    }

    pub(in crate::algorithm::range) fn restore<T: Numeric, A: Windowed<T, State = S>>(
        algorithm: &A,
        range: Range,
        words: &mut Words<'_>,
    ) -> Result<Self, RestoreError> {
        let first = words.next("first bucket")?;
        let newest = words.next("newest bucket")?;
        if range.bucket(first) != first || range.bucket(newest) != newest || first > newest {
            return Err(RestoreError::invalid("first bucket", first));
        }
        let mut window = Self { newest, ..Self::new(range, first, algorithm.start()) };
        window.refused = words.next("refused samples")?;
        if A::SUBTRACTS {
            let total = algorithm.restore_total(words)?;
            window.restore_buckets(algorithm, range, words)?;
            let merged = window.merged(algorithm, 0..window.buckets.len());
            window.total = algorithm.checked_total(total, &merged)?;
            return Ok(window);
        }
        let folded = words.next("folded buckets")?;
        window.restore_buckets(algorithm, range, words)?;
        window.folded = usize::try_from(folded).unwrap_or(usize::MAX);
        // The newest bucket takes more samples, and is never folded.
        let newest = window.buckets.len().saturating_sub(1);
        if window.folded > newest {
            return Err(RestoreError::invalid("folded buckets", folded));
        }
        window.total = window.merged(algorithm, window.folded..newest);
        Ok(window)
    }

    fn restore_buckets<T: Numeric, A: Windowed<T, State = S>>(
        &mut self,
        algorithm: &A,
        range: Range,
        words: &mut Words<'_>,
    ) -> Result<(), RestoreError> {
        let count = words.next("buckets")?;
        if count > MAX_BUCKETS as u64 {
            return Err(RestoreError::invalid("buckets", count));
        }
        for _ in 0..count {
            let start = words.next("bucket start")?;
            // The oldest is at or after the first sample, and has not expired.
            let follows = match self.buckets.back() {
                Some(newest) => newest.start < start,
                None => start >= self.first && range.end_of(start) > self.newest,
            };
            if !follows || start > self.newest || range.bucket(start) != start {
                return Err(RestoreError::invalid("bucket start", start));
            }
            let state = algorithm.restore(words)?;
            if algorithm.is_empty(&state) {
                return Err(RestoreError::invalid("bucket start", start));
            }
            self.buckets.push_back(Bucket { start, state });
        }
        let has_newest = match self.buckets.back() {
            Some(bucket) => bucket.start == self.newest,
            // At the end of time a bucket expires at once.
            None => range.end_of(self.newest) <= self.newest,
        };
        if has_newest { Ok(()) } else { Err(RestoreError::invalid("newest bucket", self.newest)) }
    }
}
