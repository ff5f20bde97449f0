//! A set from the snapshots of its metrics.

use std::sync::Arc;

use crate::table::objects::Slots;
use crate::table::set::TableSet;
use crate::table::snapshot::Restore;
use crate::table::{Plan, RestoreReport, ResultBuffer, ResultSink, SnapshotError, TableSettings};

/// One metric of a set that is restored: its plan, and its snapshot.
#[derive(Clone, Debug)]
pub struct SavedMetric<'c, C> {
    plan: Arc<Plan>,
    saved: Option<(&'c [u8], C)>,
}

impl<'c, C: IntoIterator<Item = (u32, &'c [u8])>> SavedMetric<'c, C> {
    /// A metric with its newest meta part and the newest form of each chunk, as
    /// [`Table::restore`](crate::Table::restore) takes them.
    pub fn new(plan: Arc<Plan>, meta: &'c [u8], chunks: C) -> Self {
        Self { plan, saved: Some((meta, chunks)) }
    }

    /// A metric of which nothing was saved: it is new in the set.
    pub fn unsaved(plan: Arc<Plan>) -> Self {
        Self { plan, saved: None }
    }
}

/// The reason why a set cannot be restored: the snapshot of one metric, which is the source of the error.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("metric {metric}, `{stream}`, cannot be restored")]
#[non_exhaustive]
pub struct SetRestoreError {
    /// The index of the metric.
    pub metric: usize,
    /// The stream of its plan.
    pub stream: String,
    /// The error in its snapshot.
    #[source]
    pub error: SnapshotError,
}

impl TableSet {
    /// The set that the [snapshots](Self::snapshot) of its metrics describe, and what the plan of each metric continues
    /// of its snapshot, as [`Table::restore`](crate::Table::restore) has it. The metrics have the order of `metrics`.
    ///
    /// The metrics need not be those of the saved set: one may be left out, or added. Snapshots of `Table`s are not
    /// snapshots of a set: their slots disagree.
    ///
    /// # Errors
    ///
    /// [`SetRestoreError`] if any part is damaged or cannot be read, or if two metrics give one slot to different keys,
    /// or one key to different slots, because their snapshots were not taken by one call.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName};
    /// use proxy_uve::{SavedMetric, TableSet, TableSettings};
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = |name| Arc::new(Plan::new(StreamName::new("Agent", name).expect("a valid name"), &types));
    /// let plans = [plan("bytes"), plan("flows")];
    /// let mut set = TableSet::new(plans.clone(), TableSettings::default());
    /// let snapshots = set.snapshot();
    /// let saved = plans.into_iter().zip(&snapshots).map(|(plan, saved)| {
    ///     let chunks = saved.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    ///     SavedMetric::new(plan, &saved.meta, chunks)
    /// });
    /// let (set, reports) = TableSet::restore(saved, TableSettings::default())?;
    /// assert_eq!((set.objects(), reports.len()), (0, 2));
    /// # Ok::<(), proxy_uve::SetRestoreError>(())
    /// ```
    pub fn restore<'c, C: IntoIterator<Item = (u32, &'c [u8])>>(
        metrics: impl IntoIterator<Item = SavedMetric<'c, C>>,
        settings: TableSettings,
    ) -> Result<(Self, Vec<RestoreReport>), SetRestoreError> {
        Self::restore_with_sinks(metrics.into_iter().map(|metric| (metric, ResultBuffer::default())), settings)
    }
}

impl<S: ResultSink> TableSet<S> {
    /// Does what [`TableSet::restore`] does; the results of each metric go to the sink beside it.
    ///
    /// # Errors
    ///
    /// Those of [`TableSet::restore`].
    pub fn restore_with_sinks<'c, C: IntoIterator<Item = (u32, &'c [u8])>>(
        metrics: impl IntoIterator<Item = (SavedMetric<'c, C>, S)>,
        settings: TableSettings,
    ) -> Result<(Self, Vec<RestoreReport>), SetRestoreError> {
        let metrics: Vec<_> = metrics.into_iter().collect();
        let plans: Vec<_> = metrics.iter().map(|(metric, _)| Arc::clone(&metric.plan)).collect();
        let failed = |metric: usize| {
            let stream = plans[metric].stream.to_string();
            move |error| SetRestoreError { metric, stream, error }
        };
        let mut slots = Slots::new(&settings);
        let mut restores = Vec::with_capacity(plans.len());
        for (index, ((metric, sink), plan)) in metrics.into_iter().zip(&plans).enumerate() {
            let restore = restore_one(&mut slots, plan, settings, sink, metric.saved);
            restores.push(restore.map_err(failed(index))?);
        }
        slots.finish_restore();
        let (mut streams, mut named, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for (index, restore) in restores.into_iter().enumerate() {
            let restored = restore.finish(&slots).map_err(failed(index))?;
            streams.push(restored.stream);
            named.push(restored.named);
            reports.push(restored.report);
        }
        // Only now that every metric has its liveness: whether a slot can be freed depends on all of them.
        let mut set = Self { metrics: streams, slots };
        for (index, named) in named.iter().enumerate() {
            if let Some((stream, mut keys)) = set.parts(index) {
                stream.forget_orphans(&mut keys, named);
            }
        }
        Ok((set, reports))
    }
}

/// Reads the snapshot of one metric, if there is one.
fn restore_one<'p, 'c, S: ResultSink>(
    slots: &mut Slots,
    plan: &'p Arc<Plan>,
    settings: TableSettings,
    sink: S,
    saved: Option<(&[u8], impl IntoIterator<Item = (u32, &'c [u8])>)>,
) -> Result<Restore<'p, S>, SnapshotError> {
    let Some((meta, chunks)) = saved else {
        return Ok(Restore::unsaved(plan, settings, sink));
    };
    let mut restore = Restore::new(plan, settings, sink, meta)?;
    restore.add_chunks(slots, chunks)?;
    Ok(restore)
}
