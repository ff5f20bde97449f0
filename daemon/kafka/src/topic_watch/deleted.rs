//! Topics of the daemons that somebody deletes while the group runs: they are made again.

use tracing::error;

use super::TopicWatch;
use crate::topics::StreamTopics;

impl TopicWatch {
    /// Forgets the claims of state topics that are gone, or that are other ones with the same name: a topic that is made
    /// again has no claim, and would let another group in.
    pub(super) fn forget_deleted(&mut self, streams: &[StreamTopics]) {
        for StreamTopics { stream, states, state_id, .. } in streams {
            let Some(claimed) = self.settled.get(stream) else { continue };
            let is_other = claimed.zip(*state_id).is_some_and(|(claimed, found)| claimed != found);
            if *states > 0 && !is_other {
                continue;
            }
            error!(
                topic = self.own.names.state(stream),
                "A state topic was deleted while the group runs. The daemons make it and claim it again, and write what \
                 changes from now on: states that do not change are lost at the next restart."
            );
            self.settled.remove(stream);
        }
    }

    /// Whether the topic of results or of dead letters was deleted; logs each once.
    pub(super) fn misses_shared(&mut self) -> anyhow::Result<bool> {
        let missing = self.topics.missing_shared()?;
        for topic in missing.iter().filter(|topic| !self.deleted.contains(topic)) {
            error!(topic, "A topic was deleted while the group runs. The daemons make it again; its records are lost.");
        }
        let is_any = !missing.is_empty();
        self.deleted = missing;
        Ok(is_any)
    }
}
