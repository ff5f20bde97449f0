//! `DSAvgLast[:periods]`: the mean of the last values of all sources.
//!
//! ```text
//! x(s) = the newest sample of the source s
//! mean = (x(1) + x(2) + ... + x(n)) / n
//! ```
//!
//! | | |
//! |---|---|
//! | source | the definition: see `algorithm/last.rs` for the rules of sources |
//! | unit and type | as the metric |
//! | range | from the smallest to the largest sample |
//! | error | integers: truncated to an integer; doubles: the error of the sum, divided by n, and one rounding |
//! | memory | 24 bytes an object and 32 for each source |
//! | cost | logarithmic in the number of sources for each sample, linear for each result |
//!
//! A source counts in `periods` periods from its newest sample on, 1 unless written. It has no inline form: without
//! periods no source would ever be dropped.

use crate::algorithm::last::{PERIODS, built, explain};
use crate::algorithm::{Average, Last};
use crate::entry::{Claims, Entry, Roles};

/// The menu entry of `DSAvgLast`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSAvgLast", Roles::OF_PERIODS, "the mean of the last values of all sources", |given| {
        built(given, Average)
    })
    .arguments(&[PERIODS])
    .explained(|given, seconds| explain(given, seconds, "the mean"))
    .claims(Claims { merges: true, order_insensitive: true, within_samples: true, scales: true })
    .of_readings();

/// The mean of the last values of all sources.
///
/// 24 bytes an object, and 32 for each source.
///
/// ```
/// use derived_stats::{Number, Pipeline, SourceId};
///
/// let mut flows = Pipeline::parse("1-raw:DSAvgLast:2")?;
/// let [one, two] = ["compute-1", "compute-2"].map(SourceId::of);
/// // The first source reports twice, and counts once.
/// for (source, second, level) in [(one, 0, 20), (two, 5, 16), (one, 30, 24)] {
///     flows.update_from(source, second * 1_000_000, Number::U64(level))?;
/// }
/// flows.close_period(60_000_000);
/// assert_eq!(flows.number(), Some(Number::U64(20)));
/// // The second is silent for a period and counts, then it is dropped.
/// for (second, result) in [(60, 13), (120, 10)] {
///     flows.update_from(one, second * 1_000_000, Number::U64(10))?;
///     flows.close_period((second + 60) * 1_000_000);
///     assert_eq!(flows.number(), Some(Number::U64(result)));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type AverageLast = Last<Average>;
