//! Messages for topics that do not exist. They must not hold up Redis and the other topics, so the sink keeps the newest
//! one of each object's struct and tries again from time to time.
//!
//! Redis has a copy of the kept messages, from which the sink goes on after a restart. It is changed after each try and
//! before the next transaction, whose marker counts the messages of the former one as published: what a kill cuts off in
//! between is published anew from the results ([`super::resume`]). A daemon removes from the copy what it has sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::redis::RedisResult;

use super::connection::Connection;
use super::transaction::UveMessage;

/// How often topics that do not exist are tried again.
const RETRY: Duration = Duration::from_secs(15);

/// The most messages that are kept.
const MOST: usize = 100_000;

/// The number of messages in one command to Redis, which holds up its readers meanwhile.
const STEP: usize = 1_000;

/// A change of the copy in Redis: the name of the field, and its new value or `None` if it is removed.
pub(super) type Change = (String, Option<String>);

/// The kept messages.
#[derive(Debug, Default)]
pub(super) struct Missing {
    topics: BTreeMap<String, Topic>,
    kept: usize,
    /// When they are tried again.
    retry_at: Duration,
    /// Where the copy in Redis differs.
    changes: BTreeMap<String, Option<String>>,
    /// Whether the copy in Redis was read.
    is_loaded: bool,
}

/// The kept messages of a topic.
#[derive(Debug, Default)]
struct Topic {
    by_key: BTreeMap<String, UveMessage>,
    /// Whether a try has found that it does not exist.
    is_tried: bool,
}

/// The outcome of keeping a message.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kept {
    Already,
    Changed,
    NoRoom,
}

impl Missing {
    /// The messages to publish now: `new` ones of topics that exist, and all if the others are due.
    pub(super) fn next(&mut self, new: Vec<UveMessage>, now: Duration) -> (Vec<UveMessage>, u64) {
        if !self.topics.is_empty() && now >= self.retry_at {
            self.retry_at = now + RETRY;
            let kept = self.topics.values().flat_map(|topic| topic.by_key.values()).cloned();
            return (kept.chain(new).collect(), 0);
        }
        let (waiting, ready): (Vec<_>, _) = new.into_iter().partition(|it| self.topics.contains_key(&it.topic));
        let lost = waiting.into_iter().filter(|message| !self.keep(message)).count();
        (ready, lost as u64)
    }

    /// Whether kept messages are due.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        !self.topics.is_empty() && now >= self.retry_at
    }

    /// Takes over which topics of `published` do not exist. Returns the topics that did before, or that a former process
    /// found missing, those that exist again, and the number of messages that cannot be kept.
    pub(super) fn update(
        &mut self,
        published: &[UveMessage],
        missing: &BTreeSet<String>,
        now: Duration,
    ) -> (Vec<String>, Vec<String>, u64) {
        let tried: BTreeSet<&String> = published.iter().map(|it| &it.topic).collect();
        let back: Vec<_> =
            self.topics.keys().filter(|topic| tried.contains(topic) && !missing.contains(*topic)).cloned().collect();
        for topic in &back {
            self.sent(topic);
        }
        let is_new = |topic: &&String| !self.topics.get(*topic).is_some_and(|found| found.is_tried);
        let gone: Vec<_> = missing.iter().filter(is_new).cloned().collect();
        if !gone.is_empty() {
            self.retry_at = now + RETRY;
        }
        for topic in &gone {
            self.topics.entry(topic.clone()).or_default().is_tried = true;
        }
        let refused = published.iter().filter(|message| missing.contains(&message.topic));
        let lost = refused.filter(|message| !self.keep(message)).count();
        (gone, back, lost as u64)
    }

    /// The topics that do not exist.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Whether the copy in Redis was read.
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Takes over the copy in Redis. A message that is kept already is newer. One that is not of this sink's topics and
    /// keys is removed: a setting changed, and no alarm-gen has got anything of a topic that does not exist.
    pub(super) fn load(&mut self, stored: Vec<(String, String)>, is_own: impl Fn(&UveMessage) -> bool) {
        self.is_loaded = true;
        let mut stored: BTreeMap<_, _> = stored.into_iter().collect();
        self.changes.clear();
        for message in self.topics.values().flat_map(|topic| topic.by_key.values()) {
            if stored.remove(&field(message)).as_ref() != Some(&message.payload) {
                self.changes.insert(field(message), Some(message.payload.clone()));
            }
        }
        for (field, payload) in stored {
            let parts = field.split_once(' ').map(|(topic, key)| (topic.to_owned(), key.to_owned()));
            let message = parts.map(|(topic, key)| UveMessage { topic, key, payload });
            match message.filter(|message| is_own(message)) {
                Some(message) => {
                    self.retry_at = Duration::ZERO;
                    self.insert(&message);
                }
                None => drop(self.changes.insert(field, None)),
            }
        }
    }

    /// Where the copy in Redis differs; it is changed accordingly, or read again.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes).into_iter().collect()
    }

    /// Forgets the messages of a topic, which are sent.
    fn sent(&mut self, topic: &str) {
        let Some(topic) = self.topics.remove(topic) else { return };
        self.kept = self.kept.saturating_sub(topic.by_key.len());
        self.changes.extend(topic.by_key.values().map(|message| (field(message), None)));
    }

    /// Keeps a message in place of an older one of its key; `false` if there is no room.
    fn keep(&mut self, message: &UveMessage) -> bool {
        let kept = self.insert(message);
        if kept == Kept::Changed {
            self.changes.insert(field(message), Some(message.payload.clone()));
        }
        kept != Kept::NoRoom
    }

    fn insert(&mut self, message: &UveMessage) -> Kept {
        let topic = self.topics.entry(message.topic.clone()).or_default();
        match topic.by_key.get(&message.key) {
            Some(older) if older == message => return Kept::Already,
            Some(_) => {}
            None if self.kept >= MOST => return Kept::NoRoom,
            None => self.kept += 1,
        }
        topic.by_key.insert(message.key.clone(), message.clone());
        Kept::Changed
    }
}

/// The field of a message in the hash. No name of a topic has a blank.
fn field(message: &UveMessage) -> String {
    format!("{} {}", message.topic, message.key)
}

/// Reads the copy under `key`, at most as many messages as are kept.
pub(super) fn read(connection: &mut Connection, key: &str) -> RedisResult<Vec<(String, String)>> {
    let mut scan = ::redis::cmd("HSCAN");
    scan.arg(key).cursor_arg(0).arg("COUNT").arg(STEP);
    scan.iter(connection)?.take(MOST).collect()
}

/// Changes the copy under `key`.
pub(super) fn write(connection: &mut Connection, key: &str, changes: &[Change]) -> RedisResult<()> {
    for step in changes.chunks(STEP) {
        let (mut set, mut remove) = (::redis::cmd("HSET"), ::redis::cmd("HDEL"));
        set.arg(key);
        remove.arg(key);
        let mut set_fields = 0;
        for (field, value) in step {
            match value {
                Some(value) => {
                    set.arg(field).arg(value);
                    set_fields += 1;
                }
                None => drop(remove.arg(field)),
            }
        }
        if set_fields > 0 {
            set.exec(connection)?;
        }
        if set_fields < step.len() {
            remove.exec(connection)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, key: &str, payload: &str) -> UveMessage {
        UveMessage { topic: topic.to_owned(), key: key.to_owned(), payload: payload.to_owned() }
    }

    #[test]
    fn the_newest_message_of_each_key_waits_for_its_topic_and_others_go_on() {
        let (mut missing, start) = (Missing::default(), Duration::from_secs(100));
        let first = vec![message("a", "1", "x"), message("b", "1", "x")];
        let (now, lost) = missing.next(first.clone(), start);
        assert_eq!((&now, lost), (&first, 0), "nothing is known to be missing");
        let gone = BTreeSet::from(["b".to_owned()]);
        assert_eq!(missing.update(&now, &gone, start), (vec!["b".to_owned()], vec![], 0));
        let (now, _) =
            missing.next(vec![message("b", "1", "y"), message("b", "2", "y"), message("a", "1", "y")], start);
        assert_eq!(now, [message("a", "1", "y")]);
        assert!(!missing.is_due(start + RETRY / 2) && missing.is_due(start + RETRY));
        let (now, _) = missing.next(vec![], start + RETRY);
        assert_eq!(now, [message("b", "1", "y"), message("b", "2", "y")]);
        assert_eq!(missing.update(&now, &gone, start + RETRY), (vec![], vec![], 0), "still missing");
        let (now, _) = missing.next(vec![], start + 2 * RETRY);
        assert_eq!(missing.update(&now, &BTreeSet::new(), start + 2 * RETRY), (vec![], vec!["b".to_owned()], 0));
        assert!(missing.topics().next().is_none() && missing.kept == 0);
    }

    fn pair(field: &str, payload: &str) -> (String, String) {
        (field.to_owned(), payload.to_owned())
    }

    #[test]
    fn the_copy_in_redis_follows_what_is_kept() {
        let (mut missing, start) = (Missing::default(), Duration::from_secs(100));
        let gone = BTreeSet::from(["b".to_owned()]);
        let set = |field: &str, payload: &str| (field.to_owned(), Some(payload.to_owned()));
        missing.update(&[message("a", "1", "x"), message("b", "1", "x")], &gone, start);
        assert_eq!(missing.take_changes(), [set("b 1", "x")], "what is sent is not kept");
        missing.next(vec![message("b", "1", ""), message("b", "2", "y")], start);
        assert_eq!(missing.take_changes(), [set("b 1", ""), set("b 2", "y")]);
        let (due, _) = missing.next(vec![], start + RETRY);
        missing.update(&due, &gone, start + RETRY);
        assert_eq!(missing.take_changes(), [], "a try that changes nothing writes nothing");
        missing.update(&due, &BTreeSet::new(), start + RETRY);
        assert_eq!(missing.take_changes(), [("b 1".to_owned(), None), ("b 2".to_owned(), None)]);
    }

    #[test]
    fn a_new_process_tries_what_the_copy_has_at_once_and_names_the_topics_that_are_missing_still() {
        let (mut missing, start) = (Missing::default(), Duration::from_secs(100));
        let is_own = |message: &UveMessage| message.topic == "b";
        missing.load(vec![pair("b 1", ""), pair("b 2 3", "y"), pair("old 1", "x"), pair("?", "")], is_own);
        assert_eq!(missing.take_changes(), [("?".to_owned(), None), ("old 1".to_owned(), None)]);
        assert!(missing.is_due(start));
        let (due, _) = missing.next(vec![message("b", "1", "new")], start);
        assert_eq!(due, [message("b", "1", ""), message("b", "2 3", "y"), message("b", "1", "new")]);
        let gone = BTreeSet::from(["b".to_owned()]);
        assert_eq!(missing.update(&due, &gone, start), (vec!["b".to_owned()], vec![], 0));
        assert!(!missing.is_due(start));
        assert_eq!(missing.topics["b"].by_key["1"], message("b", "1", "new"));
    }

    #[test]
    fn a_copy_of_an_older_time_gets_what_it_lacks() {
        let mut missing = Missing::default();
        let gone = BTreeSet::from(["b".to_owned()]);
        let kept = [message("b", "1", "new"), message("b", "2", "y"), message("b", "3", "z")];
        missing.update(&kept, &gone, Duration::ZERO);
        missing.load(vec![pair("b 1", "old"), pair("b 3", "z"), pair("b 4", "sent")], |_| true);
        let expected = [("b 1".to_owned(), Some("new".to_owned())), ("b 2".to_owned(), Some("y".to_owned()))];
        assert_eq!(missing.take_changes(), expected);
        assert_eq!((missing.kept, &missing.topics["b"].by_key["1"]), (4, &kept[0]));
    }

    #[test]
    fn no_more_are_kept_than_the_bound_and_the_others_are_counted() {
        let (mut missing, start) = (Missing::default(), Duration::ZERO);
        let many: Vec<_> = (0..MOST + 3).map(|key| message("b", &key.to_string(), "")).collect();
        let (_, _, lost) = missing.update(&many, &BTreeSet::from(["b".to_owned()]), start);
        assert_eq!(lost, 3);
        let (_, lost) = missing.next(vec![message("b", "new", ""), message("b", "0", "newer")], start);
        assert_eq!(lost, 1, "one in place of an older one has room");
    }
}
