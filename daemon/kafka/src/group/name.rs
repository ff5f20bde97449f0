//! The name of this daemon in the group, which no other process may have.

use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use tracing::debug;

use crate::admission::Admission;
use crate::members::{GroupMember, members};
use crate::names::Names;

/// The name of this daemon in the group, with the means to end this process when another one has it.
pub(crate) struct OwnName {
    names: Names,
    admission: Arc<Admission>,
}

impl OwnName {
    pub(crate) fn new(names: &Names, admission: &Arc<Admission>) -> Self {
        Self { names: names.clone(), admission: Arc::clone(admission) }
    }

    /// Looks for another process with this name, after the producer of a transaction was fenced. That happens without
    /// one, too: the broker fences the producer of a transaction that it has aborted after its timeout.
    ///
    /// The process that was fenced ends, and the other goes on: if it made a new producer, that would fence the other,
    /// and so on for ever.
    pub(super) fn check<C: ConsumerContext>(&self, client: &BaseConsumer<C>) {
        match members(client, &self.names.group) {
            Ok(found) => {
                if let Some(duplicate) = found.iter().find(|member| member.is_duplicate(&self.names)) {
                    self.admission.fail(|| is_taken(&self.names, duplicate));
                }
            }
            Err(error) => debug!(%error, "The members of the group cannot be listed."),
        }
    }

    /// Whether this process ends because another one has its name: it must not make a producer any more.
    pub(super) fn is_taken(&self) -> bool {
        self.admission.failure().is_some()
    }
}

/// The error of a name that another process has.
pub(crate) fn is_taken(own: &Names, duplicate: &GroupMember) -> String {
    format!(
        "another process has the name of this daemon: {duplicate} is a member of the consumer group `{}`, and the two would \
         abort each other's transactions; give each daemon a kafka.instance of its own, or stop one of the two",
        own.group
    )
}
