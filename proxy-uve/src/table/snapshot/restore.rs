//! Restoring a table from the parts of a snapshot.

use std::sync::Arc;

use derived_stats::column::DownstreamColumn;

use crate::table::objects::{Bits, Keys, Slots};
use crate::table::plan::Plan;
use crate::table::progress::SavedProgress;
use crate::table::snapshot::columns::of_sources;
use crate::table::snapshot::sources::Sources;
use crate::table::snapshot::{Meta, RestoreReport, SnapshotError, SnapshotPart, StateKind, seal};
use crate::table::stream_state::StreamState;
use crate::table::window::window_start;
use crate::table::{CHUNK_SLOTS, ResultBuffer, ResultSink, Table, TableSettings};

impl Table {
    /// Restores the table that a sequence of snapshots describes: the newest meta part and the newest form of each
    /// chunk. The report lists the states that the plan continues.
    ///
    /// The plan need not be that of the saved table. A state is kept if the plan has a column that accumulates the
    /// same. Names of structs and fields, the order of the types, the timeout, and for windows the detector behind them
    /// may differ. If a column has no saved state, its windows that began before the restore are partial.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if any part is damaged or cannot be read.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use proxy_uve::schema::Schema;
    /// use proxy_uve::{Plan, StreamName, Table, TableSettings};
    ///
    /// let plan = |names: &[&str]| {
    ///     let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    ///     let types: Vec<_> = names.iter().map(|name| Arc::clone(Schema::builtin().get(name).unwrap())).collect();
    ///     Arc::new(Plan::new(stream, &types))
    /// };
    /// let mut table = Table::new(plan(&["AggProxySum", "AggProxySumAnomalyEWM01"]), TableSettings::default());
    /// let saved = table.snapshot();
    /// let chunks = saved.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    /// let (table, report) = Table::restore(plan(&["AggProxySum"]), TableSettings::default(), &saved.meta, chunks)?;
    /// assert_eq!(table.objects(), 0);
    /// assert_eq!(
    ///     report.to_string(),
    ///     "kept 3 states of 0 objects; dropped detector 60s DSSum DSAnomaly:EWM:0.1 u64 silence=once (0 objects)"
    /// );
    /// # Ok::<(), proxy_uve::SnapshotError>(())
    /// ```
    pub fn restore<'c>(
        plan: Arc<Plan>,
        settings: TableSettings,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<(Self, RestoreReport), SnapshotError> {
        Self::restore_with_sink(plan, settings, ResultBuffer::default(), meta, chunks)
    }
}

impl<S: ResultSink> Table<S> {
    /// Does what [`Table::restore`] does; results go to `sink`.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if any part is damaged or cannot be read.
    pub fn restore_with_sink<'c>(
        plan: Arc<Plan>,
        settings: TableSettings,
        sink: S,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<(Self, RestoreReport), SnapshotError> {
        let mut slots = Slots::new(&settings);
        let mut restore = Restore::new(&plan, settings, sink, meta)?;
        restore.add_chunks(&mut slots, chunks)?;
        slots.finish_restore();
        let Restored { mut stream, named, report } = restore.finish(&slots)?;
        stream.forget_orphans(&mut slots, &named);
        Ok((Self { stream, slots }, report))
    }
}

/// The restore of one stream's state.
pub(in crate::table) struct Restore<'p, S> {
    pub(super) stream: StreamState<S>,
    /// The slots to which the chunks gave a key.
    pub(super) named: Bits,
    pub(super) meta: Meta,
    pub(super) sources: Sources<'p>,
}

/// One stream's state after its last chunk.
pub(in crate::table) struct Restored<S> {
    /// Still with the [orphans](StreamState::forget_orphans).
    pub(in crate::table) stream: StreamState<S>,
    /// The slots to which the chunks gave a key.
    pub(in crate::table) named: Bits,
    pub(in crate::table) report: RestoreReport,
}

impl<'p, S: ResultSink> Restore<'p, S> {
    pub(in crate::table) fn new(
        plan: &'p Arc<Plan>,
        settings: TableSettings,
        sink: S,
        meta: &[u8],
    ) -> Result<Self, SnapshotError> {
        let meta = Meta::decode(meta, plan)?;
        let sources = Sources::new(plan, &meta.columns);
        let stream = StreamState::new(Arc::clone(plan), settings, sink);
        Ok(Self { stream, named: Bits::default(), meta, sources })
    }

    pub(in crate::table) fn add_chunks<'c>(
        &mut self,
        slots: &mut Slots,
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<(), SnapshotError> {
        let chunks = chunks.into_iter();
        // Exact for chunks in a list or a map.
        let (least, _) = chunks.size_hint();
        slots.reserve(least.saturating_mul(CHUNK_SLOTS));
        for (chunk, bytes) in chunks {
            self.add_chunk(slots, chunk, bytes)?;
        }
        Ok(())
    }

    /// The restore of a stream without a snapshot.
    pub(in crate::table) fn unsaved(plan: &'p Arc<Plan>, settings: TableSettings, sink: S) -> Self {
        let stream = StreamState::new(Arc::clone(plan), settings, sink);
        let sources = Sources::new(plan, &[]);
        Self { stream, named: Bits::default(), meta: Meta::default(), sources }
    }

    /// The state after the last chunk.
    pub(in crate::table) fn finish(mut self, slots: &Slots) -> Result<Restored<S>, SnapshotError> {
        let plan = Arc::clone(&self.stream.plan);
        self.take_meta(&plan)?;
        self.start_failed_anew(slots, &plan);
        self.mark_new_columns(&plan);
        self.take_in_objects(slots, &plan);
        // The chunks of sources that have expired since were not written again.
        self.stream.expire_sources();
        let Self { stream, named, sources, .. } = self;
        Ok(Restored { stream, named, report: sources.report() })
    }

    fn take_meta(&mut self, plan: &Plan) -> Result<(), SnapshotError> {
        let Meta { position, newest, watermark, covered_from, fates, ref unknown, ref groups, .. } = self.meta;
        let saved = SavedProgress { position, newest, watermark, covered_from, fates };
        self.stream.progress.restore(plan, saved, unknown.clone());
        for (index, plan) in plan.groups.iter().enumerate() {
            let Some(source) = self.sources.source(StateKind::Liveness, index) else {
                self.stream.objects.reset_group(index);
                continue;
            };
            let closed_to = groups.iter().find(|saved| saved.group == source.group).and_then(|saved| saved.closed_to);
            if closed_to.is_some_and(|end| !end.is_multiple_of(plan.period) || end > watermark) {
                return Err(SnapshotError::Meta { reason: "a window closed at a time when none ends".to_owned() });
            }
            self.stream.objects.group_mut(index).restore(closed_to);
        }
        Ok(())
    }

    /// Empties the columns whose saved state cannot be read.
    fn start_failed_anew(&mut self, slots: &Slots, plan: &Plan) {
        let columns = &mut self.stream.columns;
        for (_, column) in
            self.sources.columns.iter().enumerate().filter(|&(target, _)| self.sources.has_failed(target))
        {
            let index = column.index;
            match column.kind {
                StateKind::Counter | StateKind::Sources => columns.readings_mut().reset(index),
                StateKind::Detector => {
                    if let Some(detectors) = DownstreamColumn::new(&plan.detectors[index].spec) {
                        *columns.detectors_mut(index) = detectors;
                    }
                }
                StateKind::Inline => (0..slots.len()).for_each(|slot| columns.inline_mut(index).clear(slot)),
                StateKind::Window => columns.windows_mut(index).reset(),
                // `Sources::fail` returns an error for them.
                StateKind::Liveness | StateKind::Touched => {}
            }
            self.stream.objects.mark_all_changed(slots.len());
        }
    }

    /// Marks the window columns without saved state: they have none of the samples so far.
    fn mark_new_columns(&mut self, plan: &Plan) {
        let now = self.stream.progress.newest().map_or(0, |newest| newest.saturating_add(1));
        for index in 0..plan.window_columns.len() {
            let saved = self.sources.source(StateKind::Window, index);
            let windows = self.stream.columns.windows_mut(index);
            // Without its last reading a counter's next increase is missing, and a source without its last value.
            let kept = plan.window_columns[index].kept_of_sources().map(of_sources);
            let has_readings = kept.is_none_or(|(kind, _)| self.sources.source(kind, index).is_some());
            windows.set_covered_from(saved.filter(|_| has_readings).map_or(now, |saved| saved.covered_from));
        }
    }

    /// Makes the objects alive whose states come from another group than the liveness of their own: the states of
    /// `2-raw:DSSum` with a period of one minute continue in `1-raw:DSSum` with one of two minutes.
    fn take_in_objects(&mut self, slots: &Slots, plan: &Plan) {
        let StreamState { progress, columns, objects, .. } = &mut self.stream;
        let now = progress.newest().unwrap_or(0).max(progress.watermark());
        for (index, group) in plan.groups.iter().enumerate() {
            let liveness = self.sources.source(StateKind::Liveness, index).map(|saved| saved.group);
            let mut touched = Vec::new();
            for &column in &group.window_columns {
                let states = self.sources.source(StateKind::Window, column).map(|saved| saved.group);
                let length = plan.window_columns[column].length;
                // With a liveness of its own, the objects with samples in each period of a longer window are known.
                if states == liveness || (liveness.is_some() && length > group.period) {
                    continue;
                }
                for (start, window) in columns.windows(column).iter() {
                    let last_period = start.saturating_add(length - group.period);
                    let with_samples = (0..slots.len()).filter(|&slot| !window.is_empty(slot));
                    touched.extend(with_samples.map(|slot| (last_period, slot)));
                }
                for slot in 0..slots.len() {
                    let open = columns.readings().open_windows(column, slot, progress.watermark());
                    touched.extend(open.into_iter().map(|start| (start.saturating_add(length - group.period), slot)));
                }
            }
            if liveness.is_none() {
                let with_state = (0..slots.len()).filter(|&slot| columns.have_lasting_state(plan, index, slot));
                touched.extend(with_state.map(|slot| (window_start(now, group.period), slot)));
            }
            for (start, slot) in touched {
                objects.group_mut(index).window_at(start).insert(slot);
                objects.mark_changed(slot);
            }
        }
    }
}

impl<S: ResultSink> StreamState<S> {
    /// Drops the states and frees the objects that a change of configuration left without liveness, among those that
    /// the stream's chunks `named`.
    pub(in crate::table) fn forget_orphans(&mut self, keys: &mut impl Keys, named: &Bits) {
        for slot in named.iter() {
            for group in 0..self.plan.groups.len() {
                if self.objects.group(group).is_done_with(slot) {
                    self.columns.forget(&self.plan, group, slot);
                }
            }
            if !self.objects.contains(slot) {
                keys.free(slot);
                self.objects.mark_changed(slot);
            }
        }
    }
}

impl Meta {
    /// Reads the meta part of a snapshot for `plan`.
    fn decode(bytes: &[u8], plan: &Plan) -> Result<Self, SnapshotError> {
        let body = seal::open(SnapshotPart::Meta, bytes)?;
        let meta: Self =
            serde_json::from_slice(body).map_err(|error| SnapshotError::Meta { reason: error.to_string() })?;
        if !meta.unknown.is_valid() {
            return Err(SnapshotError::Meta { reason: "its unknown time is not in order".to_owned() });
        }
        let expected = plan.stream.to_string();
        if meta.stream != expected {
            return Err(SnapshotError::Stream { expected, found: meta.stream });
        }
        Ok(meta)
    }
}
