//! The interface to which a table sends its results.

use std::ops::Range;

use derived_stats::{Output, Report};

use crate::json::JsonTemplate;
use crate::wire::PartialState;

/// The subject of a result: one proxy UVE of one object, at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Subject<'p> {
    /// The object, `table:name`, as it came.
    pub key: &'p [u8],
    /// The proxy type, by its index in the plan.
    pub type_index: usize,
    /// The stream, as the `proxy` field shows it.
    pub proxy: &'p str,
    /// Start of the last period, microseconds since the epoch; the sample's time for an inline result. The window of an
    /// attribute over several periods starts earlier: [`AttributeResult::start`].
    pub start: u64,
    /// End of the window (exclusive); the sample's time for an inline result.
    pub end: u64,
    /// A window whose result is shown here was not covered from its start: that of any of the attributes.
    pub partial: bool,
    /// The proxy UVE is deleted: its object expired.
    pub deleted: bool,
    /// Whether the object had a sample in the window; `None` if a part of the window was not observed. An object can
    /// have results of a window without samples: those of detectors, and of sources whose last values count.
    pub sampled: Option<bool>,
}

/// One attribute of a proxy UVE.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttributeResult<'p> {
    /// Its name, such as `value`: letters, digits and `_`.
    pub name: &'p str,
    /// The report of its pipeline; of detectors also during their warm-up.
    pub report: Report<Output<'p>>,
    /// Start of the attribute's window in microseconds: before [`Subject::start`] if it spans several periods.
    pub start: u64,
    /// The attribute's window was not covered from its start.
    pub partial: bool,
    /// The object had no sample in the window.
    pub silent: bool,
    /// The result of one sample, not of a window.
    pub inline: bool,
    /// The texts between its numbers; `None` for an inline result.
    pub(crate) template: Option<&'p JsonTemplate>,
}

impl<'p> Subject<'p> {
    /// A subject with samples that is neither partial nor deleted, for tests of a [`ResultSink`]. `window` is its start and its end
    /// in microseconds.
    pub fn new(key: &'p [u8], type_index: usize, proxy: &'p str, window: Range<u64>) -> Self {
        let Range { start, end } = window;
        Self { key, type_index, proxy, start, end, partial: false, deleted: false, sampled: Some(true) }
    }
}

impl<'p> AttributeResult<'p> {
    /// The result of a window that starts at `start` (microseconds), had samples and was covered, for tests of a
    /// [`ResultSink`].
    pub fn new(name: &'p str, report: Report<Output<'p>>, start: u64) -> Self {
        Self { name, report, start, partial: false, silent: false, inline: false, template: None }
    }
}

/// A receiver of a table's results: one proxy UVE after the other, in an order that depends on the records alone.
///
/// ```
/// use derived_stats::{Context, Number, Output, Record, Report, Spec, ValueType};
/// use proxy_uve::{AttributeResult, ResultSink, Subject};
///
/// /// The sum of everything that is sent.
/// #[derive(Default)]
/// struct Total(f64);
///
/// impl ResultSink for Total {
///     fn begin(&mut self, _: &Subject<'_>) {}
///
///     fn attribute(&mut self, _: &Subject<'_>, result: &AttributeResult<'_>) {
///         let value = result.report.as_ref().forced().and_then(|output| output.value());
///         self.0 += value.map_or(0.0, Number::as_f64);
///     }
///
///     fn end(&mut self, _: &Subject<'_>) {}
/// }
///
/// let (mut sink, minute) = (Total::default(), 60_000_000..120_000_000);
/// let subject = Subject::new(b"T:a", 0, "Agent-flows", minute.clone());
/// let spec = Spec::parse("1-raw:DSSum", Context::new(ValueType::U64)).unwrap();
/// let output = Output::new(spec.description(), Record::new([Number::U64(36)]));
/// let sum = AttributeResult::new("sum", Report::Value(output), minute.start);
/// sink.attribute(&subject, &sum);
/// assert_eq!(sink.0, 36.0);
/// ```
///
/// [`ResultBuffer`](crate::ResultBuffer) encodes them as JSON rows, in the form of a UVE. A program with a format
/// of its own implements this instead and encodes results straight into its output. A sink is called in the middle of a
/// close, so it cannot return an error: it keeps its own until its owner reads them.
pub trait ResultSink {
    /// Whether results are made at all. If false, a table only updates its state.
    const WANTS_RESULTS: bool = true;

    /// A proxy UVE begins.
    fn begin(&mut self, subject: &Subject<'_>);

    /// One of its attributes has a report; not called for a deleted one.
    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>);

    /// It is complete.
    fn end(&mut self, subject: &Subject<'_>);

    /// Whether the table also sends what each object has accumulated in each window. Its plan is then one
    /// [for partials](crate::Plan::for_partials).
    fn wants_partials(&self) -> bool {
        false
    }

    /// How many windows in a row in which no object has samples the table sends one by one. Further ones in which
    /// nothing happens are skipped. 0, the default, is for sinks to which a window without attributes is nothing. Each
    /// costs as much as a window with samples.
    fn silent_windows(&self) -> u32 {
        0
    }

    /// What an object with samples has accumulated in a window that closes. The attribute is that of the stream.
    fn partial(&mut self, state: PartialState<'_>) {
        let _ = state;
    }
}

/// Takes no results, for measurements and for tables of which only the state is used.
impl ResultSink for () {
    const WANTS_RESULTS: bool = false;

    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, _: &Subject<'_>, _: &AttributeResult<'_>) {}

    fn end(&mut self, _: &Subject<'_>) {}
}
