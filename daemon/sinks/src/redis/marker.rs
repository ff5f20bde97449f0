//! The marker: how far the results of the log are in Redis, stored there in the same transaction as the results.
//!
//! With it the sink knows three things that its position in the log cannot tell. Redis lost everything, by `FLUSHALL` or
//! the start of a collector, which flushes the database: there is no marker. Redis went back to an older copy of its
//! data: the marker has an older offset. Another daemon of the group has written: the marker has a newer one. A
//! transaction watches the marker and has no effect if it changed, so no value ever goes back.

use ::redis::{Cmd, Pipeline, RedisResult, Value};

use super::RedisSettings;

/// The content of a marker.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Marker {
    /// The offset of the first result that Redis lacks; `None` if there is no marker.
    pub next: Option<u64>,
    /// What else decides on keys and members.
    pub layout: Option<String>,
}

/// The key of a generator's marker, and its layout. No process of Contrail reads such a key.
#[derive(Clone, Debug)]
pub(super) struct MarkerKey {
    key: String,
    layout: String,
}

impl MarkerKey {
    pub(super) fn new(settings: &RedisSettings) -> Self {
        let key = format!("DERIVED-STATSD:{}", settings.generator);
        Self { key, layout: format!("1 partitions={}", settings.partitions) }
    }

    /// The marker of a sink that has written everything before `next`.
    pub(super) fn at(&self, next: u64) -> Marker {
        Marker { next: Some(next), layout: Some(self.layout.clone()) }
    }

    /// Whether what is behind the marker has the keys and members that this sink writes.
    pub(super) fn has_layout_of(&self, marker: &Marker) -> bool {
        marker.layout.as_deref() == Some(&*self.layout)
    }

    /// Reads the marker.
    pub(super) fn read(&self, connection: &mut ::redis::Connection) -> RedisResult<Marker> {
        let (next, layout): (Option<String>, Option<String>) = self.get().query(connection)?;
        Ok(Marker { next: next.and_then(|next| next.parse().ok()), layout })
    }

    /// Makes `commands` a transaction that sets the marker to `next`.
    pub(super) fn seal(&self, commands: &mut Pipeline, next: u64) {
        commands.atomic();
        commands.cmd("HSET").arg(&self.key).arg("next").arg(next).arg("layout").arg(&self.layout).ignore();
    }

    /// Executes a transaction if the marker is still `expected`; returns whether it was.
    pub(super) fn commit(
        &self,
        connection: &mut ::redis::Connection,
        expected: &Marker,
        transaction: &Pipeline,
    ) -> RedisResult<bool> {
        ::redis::cmd("WATCH").arg(&self.key).exec(connection)?;
        if self.read(connection)? != *expected {
            ::redis::cmd("UNWATCH").exec(connection)?;
            return Ok(false);
        }
        // Nil if the marker changed after the read.
        Ok(transaction.query::<Value>(connection)? != Value::Nil)
    }

    /// The key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn get(&self) -> Cmd {
        let mut command = ::redis::cmd("HMGET");
        command.arg(&self.key).arg("next").arg("layout");
        command
    }
}
