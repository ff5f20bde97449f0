//! A table from the parts of a snapshot.

use std::sync::Arc;

use derived_stats::column::DownstreamColumn;

use crate::table::bits::Bits;
use crate::table::group::Group;
use crate::table::keys::Keys;
use crate::table::plan::Plan;
use crate::table::slots::Slots;
use crate::table::snapshot::sources::Sources;
use crate::table::snapshot::{CHUNK_SLOTS, Meta, RestoreReport, SnapshotError, SnapshotPart, StateKind, seal};
use crate::table::stream_state::{Progress, StreamState};
use crate::table::{ResultBuffer, ResultSink, Table, TableSettings};

impl Table {
    /// The table that a sequence of snapshots describes (the newest meta part and the newest form of each chunk), and
    /// what the plan continues of it.
    ///
    /// The plan need not be that of the saved table. A state goes on if the plan has a column that accumulates the
    /// same: names of structs and fields, the order of the types, another timeout, and for windows another detector
    /// behind them change nothing. Of a column that starts anew, windows that began before the restore are partial.
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
        let mut slots = Slots::default();
        let mut restore = Restore::new(&plan, settings, sink, meta)?;
        for (chunk, bytes) in chunks {
            restore.add_chunk(&mut slots, chunk, bytes)?;
        }
        slots.finish_restore();
        let Restored { mut stream, named, report } = restore.finish(&slots)?;
        stream.forget_orphans(&mut slots, &named);
        Ok((Self { stream, slots }, report))
    }
}

/// The restore of one stream's state.
pub(in crate::table) struct Restore<'p, S> {
    stream: StreamState<S>,
    /// The slots to which the chunks gave a key.
    named: Bits,
    meta: Meta,
    sources: Sources<'p>,
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

    /// Of a stream of which nothing was saved.
    pub(in crate::table) fn unsaved(plan: &'p Arc<Plan>, settings: TableSettings, sink: S) -> Self {
        let stream = StreamState::new(Arc::clone(plan), settings, sink);
        let sources = Sources::new(plan, &[]);
        Self { stream, named: Bits::default(), meta: Meta::default(), sources }
    }

    pub(in crate::table) fn add_chunk(
        &mut self,
        slots: &mut Slots,
        chunk: u32,
        bytes: &[u8],
    ) -> Result<(), SnapshotError> {
        self.stream.decode_chunk(slots, &mut self.named, &mut self.sources, chunk, bytes)
    }

    /// The state after the last chunk.
    pub(in crate::table) fn finish(self, slots: &Slots) -> Result<Restored<S>, SnapshotError> {
        let Self { mut stream, named, meta, sources } = self;
        let plan = Arc::clone(&stream.plan);
        stream.take_meta(&meta, &sources)?;
        stream.start_failed_anew(slots, &plan, &sources);
        stream.mark_new_lanes(&sources);
        stream.take_in_objects(slots, &plan, &sources);
        Ok(Restored { stream, named, report: sources.report() })
    }
}

impl<S: ResultSink> StreamState<S> {
    fn take_meta(&mut self, meta: &Meta, sources: &Sources<'_>) -> Result<(), SnapshotError> {
        let &Meta { position, newest, watermark, covered_from, fates, .. } = meta;
        self.progress = Progress { position, newest, watermark, covered_from, fates };
        for (index, (group, plan)) in self.groups.iter_mut().zip(&self.plan.groups).enumerate() {
            let Some(source) = sources.source(StateKind::Liveness, index) else {
                *group = Group::default();
                continue;
            };
            let closed_to =
                meta.groups.iter().find(|saved| saved.group == source.group).and_then(|saved| saved.closed_to);
            if closed_to.is_some_and(|end| !end.is_multiple_of(plan.period) || end > watermark) {
                return Err(SnapshotError::Meta { reason: "a window closed at a time when none ends".to_owned() });
            }
            group.closed_to = closed_to;
            group.alive = group.liveness.iter().filter(|liveness| liveness.is_alive()).count();
        }
        Ok(())
    }

    /// Empties the columns whose saved state cannot be read.
    fn start_failed_anew(&mut self, slots: &Slots, plan: &Plan, sources: &Sources<'_>) {
        for (_, column) in sources.columns.iter().enumerate().filter(|&(target, _)| sources.has_failed(target)) {
            let index = column.index;
            match column.kind {
                StateKind::Counter => {
                    if let Some(counters) = &mut self.lanes[index].counters {
                        (0..slots.len()).for_each(|slot| counters.clear(slot));
                    }
                }
                StateKind::Detector => {
                    if let Some(detectors) = DownstreamColumn::new(&plan.detectors[index].spec) {
                        self.detectors[index] = detectors;
                    }
                }
                StateKind::Inline => (0..slots.len()).for_each(|slot| self.inline[index].clear(slot)),
                StateKind::Window => self.lanes[index].open.clear(),
                // Without them there is no table: see `Sources::fail`.
                StateKind::Liveness | StateKind::Touched => {}
            }
            self.mark_all_dirty(slots);
        }
    }

    /// A lane without saved state has seen nothing of the samples so far.
    fn mark_new_lanes(&mut self, sources: &Sources<'_>) {
        let now = self.progress.newest.map_or(0, |newest| newest.saturating_add(1));
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let window = sources.source(StateKind::Window, index);
            // Without its last reading a counter's next difference is wrong.
            let has_readings = lane.counters.is_none() || sources.source(StateKind::Counter, index).is_some();
            lane.covered_from = window.filter(|_| has_readings).map_or(now, |saved| saved.covered_from);
        }
        self.lanes_covered_from = self.lanes.iter().map(|lane| lane.covered_from).max().unwrap_or(0);
    }

    /// Makes the objects alive whose states come from a group that does not count the liveness of this one: those of
    /// `2-raw:DSSum` with a period of a minute go on with `1-raw:DSSum` and one of two minutes.
    fn take_in_objects(&mut self, slots: &Slots, plan: &Plan, sources: &Sources<'_>) {
        let now = self.progress.newest.unwrap_or(0).max(self.progress.watermark);
        for (index, group) in plan.groups.iter().enumerate() {
            let liveness = sources.source(StateKind::Liveness, index).map(|saved| saved.group);
            let mut touched = Vec::new();
            for &lane in &group.lanes {
                let states = sources.source(StateKind::Window, lane).map(|saved| saved.group);
                let window = plan.lanes[lane].window;
                // With a liveness of its own, who had samples in which period of a longer window is known.
                if states == liveness || (liveness.is_some() && window > group.period) {
                    continue;
                }
                for (start, column) in &self.lanes[lane].open {
                    let last_period = start.saturating_add(window - group.period);
                    let with_samples = (0..slots.len()).filter(|&slot| !column.is_empty(slot));
                    touched.extend(with_samples.map(|slot| (last_period, slot)));
                }
            }
            if liveness.is_none() {
                let with_state = (0..slots.len()).filter(|&slot| self.has_lasting_state(plan, index, slot));
                touched.extend(with_state.map(|slot| (now - now % group.period, slot)));
            }
            for (start, slot) in touched {
                self.groups[index].window_at(start).insert(slot);
                self.dirty.insert(slot / CHUNK_SLOTS);
            }
        }
    }

    /// Whether the group has a detector or an inline state of the object.
    fn has_lasting_state(&self, plan: &Plan, group: usize, slot: usize) -> bool {
        let detectors = plan.detectors.iter().zip(&self.detectors);
        let mut detectors = detectors.filter(|(detector, _)| plan.lanes[detector.lane].group == group);
        let mut inline = plan.inline.iter().zip(&self.inline).filter(|(inline, _)| inline.group == group);
        detectors.any(|(_, detectors)| detectors.report(slot).is_some())
            || inline.any(|(_, states)| !states.is_empty(slot))
    }

    /// Drops the states and frees the objects that a change of configuration left without liveness, among those that
    /// the stream's chunks `named`.
    pub(in crate::table) fn forget_orphans(&mut self, keys: &mut impl Keys, named: &Bits) {
        let plan = Arc::clone(&self.plan);
        for slot in named.iter() {
            for group in 0..self.groups.len() {
                if self.groups[group].is_done_with(slot) {
                    self.forget(&plan, group, slot);
                }
            }
            if !self.holds(slot) {
                keys.free(slot);
                self.dirty.insert(slot / CHUNK_SLOTS);
            }
        }
    }

    fn mark_all_dirty(&mut self, slots: &Slots) {
        (0..slots.len().div_ceil(CHUNK_SLOTS)).for_each(|chunk| self.dirty.insert(chunk));
    }
}

impl Meta {
    /// Reads the meta part of a snapshot for `plan`.
    fn decode(bytes: &[u8], plan: &Plan) -> Result<Self, SnapshotError> {
        let body = seal::open(SnapshotPart::Meta, bytes)?;
        let meta: Self =
            serde_json::from_slice(body).map_err(|error| SnapshotError::Meta { reason: error.to_string() })?;
        let expected = plan.stream.to_string();
        if meta.stream != expected {
            return Err(SnapshotError::Stream { expected, found: meta.stream });
        }
        Ok(meta)
    }
}
