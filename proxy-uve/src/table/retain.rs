//! A part of a table's objects as a table of its own.

use std::sync::Arc;

use crate::table::objects::Keys as _;
use crate::table::{ResultSink, Table};

impl<S: ResultSink> Table<S> {
    /// Keeps the objects whose keys `keep` accepts, and removes the others with all their states, without a result:
    /// another table, restored from the same snapshot, continues with them. Event time, windows and unknown time stay.
    /// The next snapshot has all chunks. Proportional to the number of slots.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use proxy_uve::schema::Schema;
    /// use proxy_uve::{Plan, Position, Record, StreamName, Table, TableSettings};
    ///
    /// let stream = StreamName::new("Agent", "flows").unwrap();
    /// let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    /// let mut table = Table::new(Arc::new(Plan::new(stream, &types)), TableSettings::default());
    /// let payload = br#"<flows type="u64" timestamp="60000000">8</flows>"#;
    /// for (position, key) in (0..).map(Position::new).zip(["T:a", "T:b"]) {
    ///     table.ingest(&Record { position, arrived: 60_000_000, key: key.as_bytes(), payload });
    /// }
    /// table.retain(|key| key == b"T:b");
    /// assert_eq!(table.objects(), 1);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let Self { stream, slots } = self;
        stream.finish_closing(slots);
        let plan = Arc::clone(&stream.plan);
        for slot in 0..slots.len() {
            if !stream.objects.contains(slot) || keep(slots.key(slot)) {
                continue;
            }
            (0..plan.groups.len()).for_each(|group| stream.columns.forget(&plan, group, slot));
            stream.objects.remove(slot);
            slots.free(slot);
        }
        stream.objects.mark_all_changed(slots.len());
    }

    /// Forgets the [counts](Self::fates) of the outcomes so far: those of a snapshot that several tables go on from belong
    /// to one of them.
    pub fn forget_counts(&mut self) {
        self.stream.progress.forget_counts();
    }
}
