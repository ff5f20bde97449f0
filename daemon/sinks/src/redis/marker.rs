//! The marker: how far the results of the log are in Redis, stored there in the same transaction as the results.
//!
//! With it the sink knows three things that its position in the log cannot tell. Redis lost everything, by `FLUSHALL` or
//! the start of a collector, which flushes the database: there is no marker. Redis went back to an older copy of its
//! data: the marker has an older offset. Another daemon of the group has written: the marker has a newer one. A
//! transaction watches the marker and has no effect if it changed, so no value ever goes back.
//!
//! The marker also has the offset and the time of the last result before it. A log that was made anew, such as in another
//! data directory, has another result there or none, and then nothing of the marker counts. And it has the offset up to
//! which all messages for alarm-gen are published: one transaction less, as messages follow it.

use std::fmt;

use ::redis::{Pipeline, RedisResult, ServerError, Value};

use super::RedisSettings;
use super::connection::Connection;

/// The content of a marker.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Marker {
    /// The offset of the first result that Redis lacks; `None` if there is no marker.
    pub next: Option<u64>,
    /// What else decides on keys and members.
    pub layout: Option<String>,
    /// The offset before which all messages are published.
    pub announced: Option<u64>,
    /// The last result before `next`.
    pub last: Option<LastResult>,
}

/// What identifies a result: no two logs have one of the same microsecond at the same offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LastResult {
    pub offset: u64,
    /// The time of its commit (µs since the epoch).
    pub at: u64,
}

impl LastResult {
    fn parse(text: &str) -> Option<Self> {
        let (offset, at) = text.split_once('@')?;
        Some(Self { offset: offset.parse().ok()?, at: at.parse().ok()? })
    }
}

impl fmt::Display for LastResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.offset, self.at)
    }
}

/// A transaction that Redis executed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Committed {
    /// The number of commands that failed. Redis does not undo the others.
    pub refused: u64,
    /// The first of their errors.
    pub text: String,
}

/// The fields of the hash.
const FIELDS: [&str; 4] = ["next", "layout", "announced", "last"];

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

    /// The marker of a sink that has written everything before `next`, of which `last` is the newest, and published the
    /// messages of everything before `announced`.
    pub(super) fn at(&self, next: u64, announced: u64, last: Option<LastResult>) -> Marker {
        Marker { next: Some(next), layout: Some(self.layout.clone()), announced: Some(announced), last }
    }

    /// Whether what is behind the marker has the keys and members that this sink writes.
    pub(super) fn has_layout_of(&self, marker: &Marker) -> bool {
        marker.layout.as_deref() == Some(&*self.layout)
    }

    /// Reads the marker.
    pub(super) fn read(&self, connection: &mut Connection) -> RedisResult<Marker> {
        let mut get = ::redis::cmd("HMGET");
        get.arg(&self.key).arg(&FIELDS[..]);
        let [next, layout, announced, last]: [Option<String>; 4] = get.query(connection)?;
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let last = last.as_deref().and_then(LastResult::parse);
        Ok(Marker { next: number(next), layout, announced: number(announced), last })
    }

    /// Makes `commands` a transaction that sets the marker.
    pub(super) fn seal(&self, commands: &mut Pipeline, marker: &Marker) {
        commands.atomic();
        let Marker { next, layout, announced, last } = marker;
        let number = |number: &Option<u64>| number.map(|number| number.to_string());
        let values = [number(next), layout.clone(), number(announced), last.map(|last| last.to_string())];
        let set = commands.cmd("HSET").arg(&self.key);
        for (field, value) in FIELDS.iter().zip(values) {
            set.arg(*field).arg(value.unwrap_or_default());
        }
        set.ignore();
    }

    /// Executes a transaction if the marker is still `expected`; `None` if it is not. It is an error if the last command
    /// fails, which is the one that sets the marker; any other that fails is counted.
    pub(super) fn commit(
        &self,
        connection: &mut Connection,
        expected: &Marker,
        transaction: &Pipeline,
    ) -> RedisResult<Option<Committed>> {
        ::redis::cmd("WATCH").arg(&self.key).exec(connection)?;
        if self.read(connection)? != *expected {
            ::redis::cmd("UNWATCH").exec(connection)?;
            return Ok(None);
        }
        outcome(transaction.query(connection), transaction.len())
    }

    /// The key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

/// The outcome of a transaction of so many commands.
fn outcome(executed: RedisResult<Value>, commands: usize) -> RedisResult<Option<Committed>> {
    let error = match executed {
        // The marker changed after the read.
        Ok(Value::Nil) => return Ok(None),
        Ok(_) => return Ok(Some(Committed::default())),
        Err(error) => error,
    };
    // A command that is not queued, or EXEC itself, and not commands that were executed.
    let is_aborted = ServerError::try_from(error.clone()).is_ok();
    let errors = error.clone().into_server_errors().filter(|errors| !is_aborted && !errors.is_empty());
    match errors {
        // A second try would find the new marker, and not write what is refused either.
        Some(errors) if errors.iter().all(|(index, _)| index + 1 < commands) => {
            let text = errors.first().map(|(_, error)| error.to_string()).unwrap_or_default();
            Ok(Some(Committed { refused: errors.len() as u64, text }))
        }
        _ => Err(error),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ::redis::{ConnectionLike, make_extension_error, parse_redis_value};

    use super::*;

    /// A server that answers a transaction with the same answers; an empty one is `OK`.
    pub(in super::super) struct Answering(Vec<Value>);

    impl Answering {
        pub(in super::super) fn new(errors: &[&str]) -> Self {
            let answer = |error: &&str| match *error {
                "" => Value::Okay,
                error => parse_redis_value(format!("-{error}\r\n").as_bytes()).unwrap(),
            };
            Self(errors.iter().map(answer).collect())
        }
    }

    impl ConnectionLike for Answering {
        fn req_packed_command(&mut self, _: &[u8]) -> RedisResult<Value> {
            Ok(Value::Okay)
        }

        fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<Value>> {
            Ok(vec![Value::Array(self.0.clone())])
        }

        fn get_db(&self) -> i64 {
            0
        }

        fn check_connection(&mut self) -> bool {
            true
        }

        fn is_open(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_command_that_fails_within_a_transaction_is_counted_and_named() {
        let outcome = |errors: &[&str]| {
            let mut commands = Pipeline::new();
            commands.atomic();
            for _ in errors {
                commands.cmd("DEL").arg("a").ignore();
            }
            outcome(commands.query(&mut Answering::new(errors)), commands.len())
        };
        assert_eq!(outcome(&["", ""]).unwrap(), Some(Committed::default()));
        let committed = outcome(&["WRONGTYPE other", "", "WRONGTYPE other", ""]).unwrap().unwrap();
        assert_eq!(committed.refused, 2);
        assert!(committed.text.contains("WRONGTYPE"), "{}", committed.text);
        assert!(outcome(&["", "WRONGTYPE other"]).is_err(), "without a new marker nothing is done");
        assert_eq!(super::outcome(Ok(Value::Nil), 1).unwrap(), None);
        let not_queued = make_extension_error("OOM".to_owned(), None);
        assert!(super::outcome(Err(not_queued), 2).is_err(), "Redis executes nothing then");
    }
}
