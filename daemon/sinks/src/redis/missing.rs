//! Messages for topics that do not exist. They must not hold up Redis and the other topics, so the sink keeps the newest
//! one of each object's struct and tries again from time to time.
//!
//! An alarm-gen that comes creates its topics and then reads all objects of its partitions from Redis. So messages that
//! are lost with the process, or that are too many to keep, are of no reader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::transaction::UveMessage;

/// How often topics that do not exist are tried again.
const RETRY: Duration = Duration::from_secs(15);

/// The most messages that are kept.
const MOST: usize = 100_000;

/// The kept messages.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// By topic and key.
    topics: BTreeMap<String, BTreeMap<String, UveMessage>>,
    kept: usize,
    /// When they are tried again.
    retry_at: Duration,
}

impl Missing {
    /// The messages to publish now: `new` ones of topics that exist, and all if the others are due.
    pub(super) fn next(&mut self, new: Vec<UveMessage>, now: Duration) -> (Vec<UveMessage>, u64) {
        if !self.topics.is_empty() && now >= self.retry_at {
            self.retry_at = now + RETRY;
            let kept = self.topics.values().flat_map(BTreeMap::values).cloned();
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

    /// Takes over which topics of `published` do not exist. Returns the topics that did before, those that exist again,
    /// and the number of messages that cannot be kept.
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
            let sent = self.topics.remove(topic).map_or(0, |messages| messages.len());
            self.kept = self.kept.saturating_sub(sent);
        }
        let gone: Vec<_> = missing.iter().filter(|topic| !self.topics.contains_key(*topic)).cloned().collect();
        if !gone.is_empty() {
            self.retry_at = now + RETRY;
        }
        for topic in &gone {
            self.topics.entry(topic.clone()).or_default();
        }
        let refused = published.iter().filter(|message| missing.contains(&message.topic));
        let lost = refused.filter(|message| !self.keep(message)).count();
        (gone, back, lost as u64)
    }

    /// The topics that do not exist.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Keeps a message in place of an older one of its key; `false` if there is no room.
    fn keep(&mut self, message: &UveMessage) -> bool {
        let topic = self.topics.entry(message.topic.clone()).or_default();
        if !topic.contains_key(&message.key) {
            if self.kept >= MOST {
                return false;
            }
            self.kept += 1;
        }
        topic.insert(message.key.clone(), message.clone());
        true
    }
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
