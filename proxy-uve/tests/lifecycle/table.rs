//! A scenario of the vectors, run through tables.
//!
//! Time. The original puts a sample into the period in which it is processed. Here it belongs to the period of its own
//! timestamp, so each message gets a timestamp within the period that the ticks before it lead to; period n is the
//! n-th minute after [`START`], which is a multiple of every window. The table is advanced at each period's end. So a
//! message that the original drops because it is 61 s old is late: its window is closed.
//!
//! What has no counterpart in a table:
//! * `sync` and `introspect` request what was sent before; the daemon's view serves that without the table.
//! * `commits`: positions are stored with the state, not on their own.
//! * `clear`, a partition that moves to another process: its table moves there whole, as a snapshot, and continues.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{Fate, ObjectKey, Plan, Position, Record, Table, TableSettings};
use serde_json::Value;

use crate::record::{Sent, is_old, line, number, text, types};

const MINUTE: u64 = 60_000_000;

/// Two hours after the epoch, when the scenarios begin.
const START: u64 = 120 * MINUTE;

/// The tables of one process, by partition.
pub(crate) struct Tables {
    plan: Arc<Plan>,
    tables: BTreeMap<u64, Table>,
    /// The offset of the next sample of the period, by partition.
    within: BTreeMap<u64, u64>,
    ticks: u64,
    /// For events that have no position of their own.
    position: u64,
    pub(crate) fates: Vec<Fate>,
}

impl Tables {
    pub(crate) fn new(record: &Value) -> Self {
        let mut schema = Schema::builtin();
        let more = include_str!("../../testdata/lifecycle.sandesh");
        schema.extend(Schema::parse("lifecycle.sandesh", more).unwrap()).unwrap();
        let types: Vec<_> = types(record).iter().filter_map(|name| schema.get(name).cloned()).collect();
        let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
        Self {
            plan: Arc::new(Plan::new(stream, &types)),
            tables: BTreeMap::new(),
            within: BTreeMap::new(),
            ticks: 0,
            position: 0,
            fates: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, event: &Value) -> Sent {
        match text(event, "op") {
            "direct" => {
                self.position += 1;
                let payload = format!("{{\"ts\":{},\"value\":{}}}", self.now(2), number(event, "raw"));
                self.ingest(2, self.position, "Tbl:obj", &payload)
            }
            "message" => {
                let partition = number(event, "partition");
                let (as_written, now) = (number(event, "now"), self.now(partition));
                let age = if is_old(event) { 61_000_000 } else { 0 };
                let stamp = |time: u64| format!("\"{}\"", time - age);
                let payload = text(event, "payload").replace(&stamp(as_written), &stamp(now));
                self.ingest(partition, number(event, "offset"), text(event, "key"), &payload)
            }
            "tick30" => self.tick(),
            _ => Vec::new(),
        }
    }

    fn period_start(&self) -> u64 {
        START + self.ticks / 2 * MINUTE
    }

    /// A time in the period, later than the one before.
    fn now(&mut self, partition: u64) -> u64 {
        let start = self.period_start();
        let within = self.within.entry(partition).or_default();
        *within += 1;
        start + *within - 1
    }

    fn ingest(&mut self, partition: u64, position: u64, key: &str, payload: &str) -> Sent {
        let arrived = self.period_start() + MINUTE;
        let table = self.tables.entry(partition).or_insert_with(|| {
            let mut table = Table::new(Arc::clone(&self.plan), TableSettings::default());
            table.advance(START);
            table
        });
        let (position, key, payload) = (Position::new(position), key.as_bytes(), payload.as_bytes());
        self.fates.push(table.ingest(&Record { position, arrived, key, payload }));
        self.take()
    }

    fn tick(&mut self) -> Sent {
        self.ticks += 1;
        if !self.ticks.is_multiple_of(2) {
            return Vec::new();
        }
        let end = self.period_start();
        self.within.clear();
        self.tables.values_mut().for_each(|table| table.advance(end));
        self.take()
    }

    fn take(&mut self) -> Sent {
        let mut sent = Vec::new();
        for table in self.tables.values_mut() {
            for row in table.drain() {
                let fields: Value = serde_json::from_slice(row.json).unwrap();
                assert_eq!(fields["deleted"].as_bool(), Some(row.deleted), "{fields}");
                assert_eq!(fields["proxy"], "UveVirtualNetworkAgent-egress_flow_count");
                let name = row.uve_name.strip_suffix("-UveVirtualNetworkAgent-egress_flow_count").unwrap();
                let object = ObjectKey::parse(row.key).unwrap().to_string();
                sent.push(line(name, &object, row.deleted, &fields));
            }
            table.clear_results();
        }
        sent.sort();
        sent
    }
}
