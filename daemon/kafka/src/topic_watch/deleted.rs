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

    /// Makes the topics of results and of dead letters again if they were deleted. If it may not, only commits with records
    /// for them fail, so that is not an error of the poll; it is logged once.
    pub(super) fn make_shared_again(&mut self) -> anyhow::Result<()> {
        let missing = self.topics.missing_shared()?;
        if missing.is_empty() {
            self.deleted.clear();
            return Ok(());
        }
        let made = self.topics.ensure_own(self.own.replication);
        for topic in missing.iter().filter(|topic| !self.deleted.contains(topic)) {
            match &made {
                Ok(_) => error!(
                    topic,
                    "A topic was deleted while the group runs. The daemons made it again; its records are lost."
                ),
                Err(error) => error!(
                    topic, error = %format!("{error:#}"),
                    "A topic was deleted while the group runs, and cannot be made again: nothing is committed that has \
                     records for it."
                ),
            }
        }
        self.deleted = if made.is_ok() { Vec::new() } else { missing };
        Ok(())
    }
}
