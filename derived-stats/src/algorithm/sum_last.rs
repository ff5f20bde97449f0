//! `DSSumLast[:periods]`: the sum of the last values of all sources.
//!
//! ```text
//! x(s) = the newest sample of the source s
//! sum  = x(1) + x(2) + ... + x(n)
//! ```
//!
//! | | |
//! |---|---|
//! | source | the definition: see `algorithm/last.rs` for the rules of sources |
//! | unit and type | as the metric |
//! | range | the range of the type, at whose bound it stops with an error in the result |
//! | error | integers: none; doubles: one rounding for each source |
//! | memory | 24 bytes an object and 32 for each source |
//! | cost | logarithmic in the number of sources for each sample, linear for each result |
//!
//! A source counts in `periods` periods from its newest sample on, 1 unless written. It has no inline form: without
//! periods no source would ever be dropped.

use crate::algorithm::last::{PERIODS, built, explain};
use crate::algorithm::{Last, Sum};
use crate::entry::{Claims, Entry, Roles};

/// The menu entry of `DSSumLast`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSSumLast", Roles::OF_PERIODS, "the sum of the last values of all sources", |given| built(given, Sum))
        .arguments(&[PERIODS])
        .explained(|given, seconds| explain(given, seconds, "the sum"))
        .claims(Claims { merges: true, order_insensitive: true, within_samples: false, scales: true })
        .of_readings();

/// The sum of the last values of all sources.
///
/// 24 bytes an object, and 32 for each source.
///
/// ```
/// use derived_stats::{Number, Pipeline, SourceId};
///
/// let mut flows = Pipeline::parse("1-raw:DSSumLast:2")?;
/// let [one, two] = ["compute-1", "compute-2"].map(SourceId::of);
/// // The first source reports twice, and counts once.
/// for (source, second, level) in [(one, 0, 20), (two, 5, 16), (one, 30, 24)] {
///     flows.update_from(source, second * 1_000_000, Number::U64(level))?;
/// }
/// flows.close_period(60_000_000);
/// assert_eq!(flows.number(), Some(Number::U64(40)));
/// // The second is silent for a period and counts, then it is dropped.
/// for (second, result) in [(60, 26), (120, 10)] {
///     flows.update_from(one, second * 1_000_000, Number::U64(10))?;
///     flows.close_period((second + 60) * 1_000_000);
///     assert_eq!(flows.number(), Some(Number::U64(result)));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type SumLast = Last<Sum>;
