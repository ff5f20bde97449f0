//! Where the results of a table go.

use derived_stats::{Number, Output, Report};

/// What a result is about: one proxy UVE of one object, at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subject<'p> {
    /// The object, `table:name`, as it came.
    pub key: &'p [u8],
    /// The proxy type, by its place in the plan.
    pub type_index: usize,
    /// The stream, as the `proxy` field shows it.
    pub proxy: &'p str,
    /// Start of the window, microseconds since the epoch; the sample's time for an inline result.
    pub start: u64,
    /// End of the window (exclusive); the sample's time for an inline result.
    pub end: u64,
    /// A window whose result is shown here was not covered from its start.
    pub partial: bool,
    /// The proxy UVE ceases to be.
    pub deleted: bool,
}

/// One attribute of a proxy UVE.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeResult<'p> {
    /// Its name, such as `value`: letters, digits and `_`.
    pub name: &'p str,
    /// What its pipeline says; detectors also in their warm-up.
    pub report: Report<Output<'p>>,
    /// Start of the attribute's window in microseconds: before [`Subject::start`] if it spans several periods.
    pub start: u64,
    /// What was accumulated in the window, in the metric's type; `None` if there was nothing, and for an inline result.
    pub accumulated: Option<Number>,
    /// The object had no sample in the window.
    pub silent: bool,
    /// The result of one sample, not of a window.
    pub inline: bool,
}

/// Takes the results of a table, one proxy UVE after the other, in an order that depends on the records alone.
///
/// [`ResultBuffer`](crate::ResultBuffer) makes rows of JSON of them, which is what a UVE shows. A program with a format
/// of its own implements this instead and encodes results straight into its output. A sink is called in the midst of a
/// close: it cannot fail, and what it has to say it says when it is asked.
pub trait ResultSink {
    /// Whether results are made at all. Without it a table only moves its state.
    const WANTS_RESULTS: bool = true;

    /// A proxy UVE begins.
    fn begin(&mut self, subject: &Subject<'_>);

    /// One of its attributes has a report; not called for a deleted one.
    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>);

    /// It is complete.
    fn end(&mut self, subject: &Subject<'_>);
}

/// Takes nothing, for measurements and for tables that are only a state.
impl ResultSink for () {
    const WANTS_RESULTS: bool = false;

    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, _: &Subject<'_>, _: &AttributeResult<'_>) {}

    fn end(&mut self, _: &Subject<'_>) {}
}
