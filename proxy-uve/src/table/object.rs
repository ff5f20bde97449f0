//! Single objects: the view of one, and its removal.

use derived_stats::column::WindowColumn;
use derived_stats::{Number, Output, Report};

use crate::table::objects::Slots;
use crate::table::plan::{Reading, TypePlan};
use crate::table::stream_state::StreamState;
use crate::table::{ResultSink, Table};

/// The current state of one object in a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ObjectView<'t> {
    /// The object, `table:name`, as it came.
    pub key: &'t [u8],
    /// Its proxy UVEs, in the order of the plan's types.
    pub types: Vec<TypeView<'t>>,
}

/// One proxy UVE of an object.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TypeView<'t> {
    /// `<Type>-<Struct>-<attribute>`.
    pub uve_name: &'t str,
    /// The proxy UVE exists: a window with samples of the object closed, and since then it was silent for less than the
    /// timeout. False for an object whose first window is still open.
    pub is_alive: bool,
    /// Closed windows in a row without samples of the object, up to the newest closed one; 0 if it is not alive.
    pub silent_periods: u32,
    /// The attributes that are sent: periodic ones in the order of the definition, then inline ones.
    pub attributes: Vec<AttributeView<'t>>,
}

/// One attribute of a proxy UVE.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttributeView<'t> {
    /// Its name, such as `value`.
    pub name: &'t str,
    /// The windows with samples of the object whose result was not sent yet, oldest first. Empty for an inline
    /// attribute.
    pub open: Vec<OpenWindow>,
    /// The report of the attribute's detector after the last window that it was fed, or of an inline attribute after
    /// its last sample. `None` before that, and for an attribute without either.
    pub last: Option<Report<Output<'t>>>,
}

/// An open window of an object, with its value so far.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OpenWindow {
    /// Its start in microseconds since the epoch.
    pub start: u64,
    /// Its end (exclusive) in microseconds since the epoch.
    pub end: u64,
    /// The value at the newest timestamp of the table, in the metric's type; `None` if the samples give none.
    pub value: Option<Number>,
}

impl<S: ResultSink> Table<S> {
    /// The current state of an object; `None` for a key without samples, or one that was deleted. Costs a look-up and a
    /// few allocations for each type and attribute.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName, Table, TableSettings};
    /// use derived_stats::Number;
    /// use proxy_uve::{DecodedRecord, Position};
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?, &types));
    /// let mut table = Table::new(plan, TableSettings::default());
    /// let (key, at) = (b"ObjectVNTable:demo", 60_000_000);
    /// let position = Position::new(0);
    /// table.ingest_decoded(&DecodedRecord { position, arrived: at, key, at, value: Number::U64(18), source: "" });
    /// let view = table.object(key).expect("it has a sample");
    /// assert_eq!(view.types[0].attributes[0].open[0].value, Some(Number::U64(18)));
    /// assert_eq!(table.keys().collect::<Vec<_>>(), [key]);
    /// assert!(table.remove(key) && table.object(key).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn object(&self, key: &[u8]) -> Option<ObjectView<'_>> {
        self.slots.find(key).map(|slot| self.stream.object(&self.slots, slot))
    }

    /// The keys of all objects, in the order of their slots: that of their first samples, where a freed slot goes to
    /// the next new object. The same after a restore.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.slots.keys()
    }

    /// Removes an object with all its state: liveness, open windows, detectors, counter readings, inline states.
    /// Returns whether there was such an object.
    ///
    /// Sends nothing for it, not even `deleted: true`. A window that is closing is closed to its end before. Samples
    /// that come later make a new object. The next [`snapshot`](Self::snapshot) is without it. Costs a look-up, and a
    /// pass over the open windows of each group for one bit of each object.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        // Results that are due are sent before, as if the window had closed at once.
        self.stream.finish_closing(&mut self.slots);
        let Some(slot) = self.slots.find(key) else {
            return false;
        };
        self.stream.remove(slot);
        self.slots.remove(slot);
        true
    }
}

impl<S: ResultSink> StreamState<S> {
    /// The view of the object in a slot.
    pub(super) fn object<'t>(&'t self, slots: &'t Slots, slot: usize) -> ObjectView<'t> {
        let types = self.plan.types.iter().enumerate();
        let types = types.map(|(index, plan)| self.type_view(index, plan, slot)).collect();
        ObjectView { key: slots.key(slot), types }
    }

    /// Removes the state of the object in a slot.
    pub(super) fn remove(&mut self, slot: usize) {
        (0..self.plan.groups.len()).for_each(|group| self.columns.forget(&self.plan, group, slot));
        self.objects.remove(slot);
    }

    fn type_view<'t>(&'t self, type_index: usize, plan: &'t TypePlan, slot: usize) -> TypeView<'t> {
        let group = self.plan.groups.iter().position(|group| group.types.contains(&type_index));
        let silent_periods = group.and_then(|group| self.objects.group(group).silent_periods(slot));
        let newest = self.progress.newest().unwrap_or(0);
        let periodic = plan.attributes.iter().map(|attribute| {
            let last = match attribute.reading {
                Reading::Detector(index) => self.columns.detectors(index).report(slot),
                Reading::Window => None,
            };
            let open = self.open_windows(attribute.window_column, slot);
            AttributeView { name: &attribute.name, open, last }
        });
        let inline = self.plan.inline.iter().enumerate();
        let inline = inline.filter(|(_, inline)| inline.type_index == type_index && !inline.hidden);
        let inline = inline.map(|(index, inline)| {
            let last = self.columns.inline(index).report(slot, newest);
            AttributeView { name: &inline.name, open: Vec::new(), last }
        });
        TypeView {
            uve_name: &plan.uve_name,
            is_alive: silent_periods.is_some(),
            silent_periods: silent_periods.unwrap_or(0),
            attributes: periodic.chain(inline).collect(),
        }
    }

    fn open_windows(&self, column: usize, slot: usize) -> Vec<OpenWindow> {
        let (length, newest) = (self.plan.window_columns[column].length, self.progress.newest().unwrap_or(0));
        let closing = self.closing.as_ref().and_then(|closing| closing.waiting(column, slot));
        let closing = closing.map(|(end, window)| (end.saturating_sub(length), window));
        let windows = closing.into_iter().chain(self.columns.windows(column).iter());
        let with_samples = windows.filter(|(_, window)| !window.is_empty(slot));
        let view = |slot: usize, start: u64, window: &WindowColumn| {
            let end = start.saturating_add(length);
            OpenWindow { start, end, value: window.value(slot, newest.min(end)) }
        };
        // The windows of last values are filled when they close.
        let previews = self.columns.previews(column, slot, self.progress.watermark());
        let with_samples = with_samples.map(|(start, window)| view(slot, start, window));
        with_samples.chain(previews.map(|(start, window)| view(0, start, &window))).collect()
    }
}
