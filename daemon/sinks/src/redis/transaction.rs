//! Converts results into the commands that write them, as Contrail's collector writes a UVE, and into messages.
//!
//! The keys are those of `contrail-collector/uveupdate.lua` and `uvedelete.lua` of tf-analytics, with `gen` for
//! `source:node_type:module:instance` and `key` for `table:name`:
//!
//! | key | type | content |
//! |---|---|---|
//! | `TYPES:gen` | set | structs of the generator |
//! | `ORIGINS:key` | set | `gen:struct` |
//! | `TABLE:table` | set | `key:gen:struct` |
//! | `UVES:gen:struct` | sorted set | `key`, by a sequence number |
//! | `VALUES:key:gen:struct` | hash | each attribute as XML ([`super::xml`]), and `__T`, the time |
//! | `PART2KEY:partition` | set | `gen:struct:key` |
//! | `KEY2PART:gen:struct` | hash | the partition of `key` |
//!
//! Every key or member has the generator in it, so the commands change nothing of another generator's UVE of the same
//! object. The collector sends a script for each attribute; here a transaction has many results and the marker.
//!
//! A message has the form of `UVENotif` in `OpServerProxy.cc`.

use std::collections::{BTreeMap, BTreeSet};

use ::redis::Pipeline;
use daemon_results::block::Row;
use proxy_uve::key::ObjectKey;

use super::RedisSettings;
use super::partition::uve_partition;
use super::xml;

/// A message for alarm-gen: an object's struct changed or was deleted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UveMessage {
    /// The topic; alarm-gen reads partition 0 of it.
    pub topic: String,
    /// `key|struct|gen|redis`.
    pub key: String,
    /// `{"__T":time}`; empty for a deletion.
    pub payload: String,
}

/// The reason why a result is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("its name {0:?} is not a struct without `:`, or its key {1:?} is not `table:name`")]
    Name(String, String),
}

/// The names under which a sink writes.
#[derive(Clone, Debug)]
pub(super) struct Names {
    generator: String,
    partitions: u32,
    /// The prefix of topics and the Redis, if there are messages.
    messages: Option<(String, String)>,
}

/// The commands of some results, in order, and their messages.
#[derive(Default)]
pub(super) struct Transaction {
    pub commands: Pipeline,
    /// The types to add to `TYPES`, once for all results.
    types: BTreeSet<String>,
    /// The last message of each key.
    messages: BTreeMap<String, UveMessage>,
    pub counts: Counts,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub written: u64,
    pub deleted: u64,
    /// Attributes that are left out because readers would drop them.
    pub oversized: u64,
    /// Attributes whose name no XML element can have.
    pub unnamed: u64,
}

impl Names {
    pub(super) fn new(settings: &RedisSettings) -> Self {
        let messages = settings.uve_topics.clone().map(|prefix| (prefix, settings.redis_uve.clone()));
        Self { generator: settings.generator.clone(), partitions: settings.partitions, messages }
    }

    /// The set of the generator's structs.
    pub(super) fn types_key(&self) -> String {
        format!("TYPES:{}", self.generator)
    }

    /// The sorted set of the objects that have a struct of the generator.
    pub(super) fn uves_key(&self, uve: &str) -> String {
        format!("UVES:{}:{uve}", self.generator)
    }

    /// The hash of the partitions of these objects.
    pub(super) fn parts_key(&self, uve: &str) -> String {
        format!("KEY2PART:{}:{uve}", self.generator)
    }

    /// The set of withdrawals whose messages are not published yet.
    pub(super) fn withdrawn_key(&self) -> String {
        format!("DERIVED-STATSD:{}:withdrawn", self.generator)
    }

    /// The hash of messages whose topics do not exist.
    pub(super) fn waiting_key(&self) -> String {
        format!("DERIVED-STATSD:{}:waiting", self.generator)
    }

    /// Whether a message has a topic and the end of a key of this sink.
    pub(super) fn is_own(&self, message: &UveMessage) -> bool {
        let Some((prefix, redis)) = &self.messages else { return false };
        let partition = message.topic.strip_prefix(prefix.as_str()).and_then(|number| number.parse::<u32>().ok());
        partition.is_some_and(|number| number < self.partitions)
            && message.key.ends_with(&format!("|{}|{redis}", self.generator))
    }

    /// Whether there are messages.
    pub(super) fn has_messages(&self) -> bool {
        self.messages.is_some()
    }

    /// The keys of an object's struct.
    pub(super) fn place<'p>(&'p self, key: ObjectKey<'p>, uve: &'p str) -> Place<'p> {
        Place { names: self, key, partition: uve_partition(key, self.partitions), uve }
    }
}

/// An object's struct of the generator.
pub(super) struct Place<'p> {
    names: &'p Names,
    key: ObjectKey<'p>,
    partition: u32,
    uve: &'p str,
}

impl Place<'_> {
    /// The generator and the struct: a member of `ORIGINS`.
    fn origin(&self) -> String {
        format!("{}:{}", self.names.generator, self.uve)
    }

    fn values(&self) -> String {
        format!("VALUES:{}:{}", self.key, self.origin())
    }

    /// Adds the struct to all sets; `sequence` grows with each result.
    fn enter(&self, commands: &mut Pipeline, sequence: u64) {
        let (origin, key) = (self.origin(), self.key.to_string());
        let mut add = |name: &str, set: String, member: String| {
            commands.cmd(name).arg(set).arg(member).ignore();
        };
        add("SADD", format!("PART2KEY:{}", self.partition), format!("{origin}:{key}"));
        add("SADD", format!("ORIGINS:{key}"), origin.clone());
        add("SADD", format!("TABLE:{}", self.key.table), format!("{key}:{origin}"));
        commands.cmd("HSET").arg(self.names.parts_key(self.uve)).arg(&key).arg(self.partition).ignore();
        commands.cmd("ZADD").arg(self.names.uves_key(self.uve)).arg(sequence).arg(key).ignore();
    }

    /// Removes the struct; `partition` is the one that `KEY2PART` has.
    pub(super) fn leave(&self, commands: &mut Pipeline, partition: &str) {
        let (origin, key) = (self.origin(), self.key.to_string());
        commands.cmd("DEL").arg(self.values()).ignore();
        let sets = [
            ("SREM", format!("PART2KEY:{partition}"), format!("{origin}:{key}")),
            ("SREM", format!("ORIGINS:{key}"), origin.clone()),
            ("SREM", format!("TABLE:{}", self.key.table), format!("{key}:{origin}")),
            ("HDEL", self.names.parts_key(self.uve), key.clone()),
            ("ZREM", self.names.uves_key(self.uve), key),
        ];
        for (name, set, member) in sets {
            commands.cmd(name).arg(set).arg(member).ignore();
        }
    }

    fn message(&self, row: &Row<'_>) -> Option<UveMessage> {
        let payload = if row.deleted { String::new() } else { format!("{{\"__T\":{}}}", row.end) };
        self.message_in(&self.partition.to_string(), payload)
    }

    /// The message that the struct is gone; `partition` is the one that `KEY2PART` has.
    pub(super) fn withdrawal(&self, partition: &str) -> Option<UveMessage> {
        self.message_in(partition, String::new())
    }

    fn message_in(&self, partition: &str, payload: String) -> Option<UveMessage> {
        let (prefix, redis) = self.names.messages.as_ref()?;
        let key = format!("{}|{}|{}|{redis}", self.key, self.uve, self.names.generator);
        Some(UveMessage { topic: format!("{prefix}{partition}"), key, payload })
    }
}

impl Transaction {
    /// Adds a result at `offset`. With `is_written` Redis has it already, and only its message is added.
    ///
    /// # Errors
    ///
    /// If the result has no place in Redis; nothing is added.
    pub(super) fn add(
        &mut self,
        names: &Names,
        row: &Row<'_>,
        offset: u64,
        is_written: bool,
    ) -> Result<(), Unwritable> {
        let uve = &*row.shape.uve;
        let key = ObjectKey::parse_within(row.key.as_bytes(), usize::MAX).ok();
        let key = key.filter(|_| !uve.is_empty() && !uve.contains(':'));
        let key = key.ok_or_else(|| Unwritable::Name(uve.to_owned(), row.key.to_owned()))?;
        let place = names.place(key, uve);
        if let Some(message) = place.message(row) {
            self.messages.insert(message.key.clone(), message);
        }
        if is_written {
            return Ok(());
        }
        if row.deleted {
            place.leave(&mut self.commands, &place.partition.to_string());
            self.counts.deleted += 1;
            return Ok(());
        }
        place.enter(&mut self.commands, offset);
        self.types.insert(uve.to_owned());
        self.set_values(&place, row);
        self.counts.written += 1;
        Ok(())
    }

    /// Sets the attributes that the result has. Those that readers would drop are removed: an old value would be wrong.
    fn set_values(&mut self, place: &Place<'_>, row: &Row<'_>) {
        let mut removed: Vec<&str> = Vec::new();
        let set = self.commands.cmd("HSET").arg(place.values());
        set.arg("__T").arg(xml::unsigned("__T", row.end)).arg("deleted").arg(xml::boolean("deleted", false));
        if !row.shape.proxy.is_empty() {
            set.arg("proxy").arg(xml::text("proxy", &row.shape.proxy));
        }
        if row.partial {
            set.arg("partial").arg(xml::boolean("partial", true));
        } else {
            removed.push("partial");
        }
        for (shape, record) in row.attributes() {
            match xml::attribute(shape, &record) {
                Some(element) if element.len() < xml::DROPPED_FROM_BYTES => {
                    set.arg(&*shape.name).arg(element);
                }
                Some(_) => {
                    self.counts.oversized += 1;
                    removed.push(&shape.name);
                }
                None => self.counts.unnamed += 1,
            }
        }
        set.ignore();
        if !removed.is_empty() {
            self.commands.cmd("HDEL").arg(place.values()).arg(removed).ignore();
        }
    }

    /// Adds the commands that belong to all results, and returns what to execute and the messages.
    pub(super) fn finish(mut self, names: &Names) -> (Pipeline, Vec<UveMessage>, Counts) {
        if !self.types.is_empty() {
            let types: Vec<_> = self.types.into_iter().collect();
            self.commands.cmd("SADD").arg(names.types_key()).arg(types).ignore();
        }
        (self.commands, self.messages.into_values().collect(), self.counts)
    }
}

#[cfg(test)]
mod tests {
    use daemon_results::line::LineReader;

    use super::*;

    const KEY: &str = "ObjectVNTable:default-domain:demo:vn1";

    fn names(messages: bool) -> Names {
        let messages = messages.then(|| ("-uve-topic-".to_owned(), "10.0.0.5:6379".to_owned()));
        Names { generator: "h:Analytics:d:0".to_owned(), partitions: 30, messages }
    }

    fn add(transaction: &mut Transaction, names: &Names, key: &str, uve: &str, data: &str, is_written: bool) -> bool {
        let line = format!(r#"{{"key":"{key}","uve":"{uve}","start":0,"end":60,"data":{data}}}"#);
        let mut reader = LineReader::default();
        transaction.add(names, &reader.row(line.as_bytes()).unwrap(), 7, is_written).is_ok()
    }

    /// The commands as text.
    fn commands(pipeline: &Pipeline) -> Vec<String> {
        let arguments = |command: &::redis::Cmd| -> Vec<String> {
            let all = command.args_iter().map(|argument| match argument {
                ::redis::Arg::Simple(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                _ => "?".to_owned(),
            });
            all.collect()
        };
        pipeline.cmd_iter().map(|command| arguments(command).join(" ")).collect()
    }

    #[test]
    fn a_result_is_entered_in_every_set_and_a_deletion_undoes_it() {
        let names = names(false);
        let mut transaction = Transaction::default();
        assert!(add(&mut transaction, &names, KEY, "P-S-a", r#"{"deleted":false,"proxy":"S-a","v":1}"#, false));
        assert!(add(&mut transaction, &names, KEY, "P-S-a", r#"{"deleted":true,"proxy":"S-a"}"#, false));
        let (found, messages, counts) = transaction.finish(&names);
        let expected = [
            "SADD PART2KEY:24 h:Analytics:d:0:P-S-a:KEY",
            "SADD ORIGINS:KEY h:Analytics:d:0:P-S-a",
            "SADD TABLE:ObjectVNTable KEY:h:Analytics:d:0:P-S-a",
            "HSET KEY2PART:h:Analytics:d:0:P-S-a KEY 24",
            "ZADD UVES:h:Analytics:d:0:P-S-a 7 KEY",
            "HSET VALUES:KEY:h:Analytics:d:0:P-S-a __T <__T type=\"u64\">60</__T> deleted <deleted \
             type=\"bool\">false</deleted> proxy <proxy type=\"string\">S-a</proxy> v <v type=\"u64\">1</v>",
            "HDEL VALUES:KEY:h:Analytics:d:0:P-S-a partial",
            "DEL VALUES:KEY:h:Analytics:d:0:P-S-a",
            "SREM PART2KEY:24 h:Analytics:d:0:P-S-a:KEY",
            "SREM ORIGINS:KEY h:Analytics:d:0:P-S-a",
            "SREM TABLE:ObjectVNTable KEY:h:Analytics:d:0:P-S-a",
            "HDEL KEY2PART:h:Analytics:d:0:P-S-a KEY",
            "ZREM UVES:h:Analytics:d:0:P-S-a KEY",
            "SADD TYPES:h:Analytics:d:0 P-S-a",
        ];
        assert_eq!(
            commands(&found),
            expected.map(|command| command.replace("KEY:h", "\0:h").replace("KEY", "\0")).map(|command| command
                .replace("PART2\0", "PART2KEY")
                .replace("\x002PART", "KEY2PART")
                .replace('\0', KEY))
        );
        assert_eq!((counts.written, counts.deleted, messages.len()), (1, 1, 0));
    }

    #[test]
    fn a_value_that_readers_drop_is_removed_and_its_neighbour_is_written() {
        let names = names(false);
        let long = "x".repeat(xml::DROPPED_FROM_BYTES);
        for (length, oversized) in [(long.len() - 100, 0), (long.len(), 1)] {
            let mut transaction = Transaction::default();
            let data = format!(r#"{{"deleted":false,"v":{{"algo":"{}"}},"w":1}}"#, &long[..length]);
            assert!(add(&mut transaction, &names, KEY, "P", &data, false));
            let (found, _, counts) = transaction.finish(&names);
            assert_eq!(counts.oversized, oversized, "{length}");
            let found = commands(&found);
            assert!(found.iter().any(|command| command.contains("w <w type=\"u64\">1</w>")));
            let removed = found.iter().find(|command| command.starts_with("HDEL VALUES")).unwrap();
            assert_eq!(removed.ends_with(" v"), oversized == 1, "{removed}");
        }
    }

    #[test]
    fn a_result_without_a_place_is_refused() {
        let mut transaction = Transaction::default();
        for (key, uve) in [("no-table", "P"), (":n", "P"), ("T:n", ""), ("T:n", "P:x")] {
            // The reader of lines refuses an empty name itself.
            assert!(
                uve.is_empty() || !add(&mut transaction, &names(true), key, uve, r#"{"v":1}"#, false),
                "{key} {uve}"
            );
        }
        assert!(transaction.commands.is_empty());
    }

    #[test]
    fn alarm_gen_gets_the_last_message_of_each_struct_in_the_form_of_the_collector() {
        let names = names(true);
        let mut transaction = Transaction::default();
        assert!(add(&mut transaction, &names, KEY, "P-S-a", r#"{"deleted":false,"v":1}"#, true));
        assert!(add(&mut transaction, &names, KEY, "P-S-b", r#"{"deleted":false,"v":1}"#, true));
        assert!(add(&mut transaction, &names, KEY, "P-S-b", r#"{"deleted":true}"#, true));
        let (commands, messages, counts) = transaction.finish(&names);
        assert!(commands.is_empty() && counts == Counts::default(), "Redis has these results");
        let message = |uve: &str, payload: &str| UveMessage {
            topic: "-uve-topic-24".to_owned(),
            key: format!("{KEY}|{uve}|h:Analytics:d:0|10.0.0.5:6379"),
            payload: payload.to_owned(),
        };
        assert_eq!(messages, [message("P-S-a", r#"{"__T":60}"#), message("P-S-b", "")]);
        assert!(names.is_own(&messages[0]) && !self::names(false).is_own(&messages[0]));
        let other = |partitions: u32, redis: &str| Names {
            partitions,
            messages: Some(("-uve-topic-".to_owned(), redis.to_owned())),
            ..names.clone()
        };
        assert!(other(25, "10.0.0.5:6379").is_own(&messages[0]) && !other(24, "10.0.0.5:6379").is_own(&messages[0]));
        assert!(!other(30, "10.0.0.6:6379").is_own(&messages[0]), "of another Redis");
    }
}
