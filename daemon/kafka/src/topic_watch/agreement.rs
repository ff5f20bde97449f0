//! What must be agreed on before the workers of this process may work: the group of the state topics, the configuration
//! of the group, and the name of this daemon.

use tracing::{error, info, warn};

use super::{Fatal, TopicWatch};
use crate::configuration::Configuration;
use crate::group::is_taken;
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

    /// Claims the state topics for the group, and registers the configuration of this daemon; returns whether it is
    /// that of the group. A daemon whose configuration does not count registers nothing: two could wait for each other.
    pub(super) fn settle(&mut self, streams: &[StreamTopics]) -> anyhow::Result<bool> {
        let mut all: Vec<_> = streams.iter().filter(|it| it.states > 0).map(|it| it.stream.clone()).collect();
        all.sort_unstable();
        let open: Vec<_> = all.iter().filter(|stream| !self.settled.contains_key(*stream)).cloned().collect();
        if !open.is_empty() {
            let topics: Vec<_> = all.iter().map(|stream| self.own.names.state(stream)).collect();
            let counts = self.claims.configuration(&topics)?;
            let is_of_group = counts.as_ref().is_some_and(|counts| counts.is_same(&self.configuration));
            if let Some(counts) = counts.filter(|counts| !self.configuration.may_continue(counts)) {
                self.wait_for(&counts);
                return Ok(false);
            }
            for stream in open {
                let topic = self.own.names.state(&stream);
                if let Some(current) = self.claims.settle(&topic, &self.configuration, is_of_group)? {
                    self.wait_for(&current);
                    return Ok(false);
                }
                let id = streams.iter().find(|it| it.stream == stream).and_then(|it| it.state_id);
                self.settled.insert(stream, id);
            }
        }
        if !self.is_admitted && self.admission.waiting().is_some() {
            info!("The configuration of this daemon is that of the group; the daemon joins the group.");
            self.admission.set_waiting(None);
            self.waiting.leave();
        }
        Ok(true)
    }

    /// Logs once that this daemon waits, as its group has another configuration.
    fn wait_for(&mut self, current: &Configuration) {
        let reason = self.configuration.waits_for(current);
        if self.admission.is_closed() || self.admission.waiting().as_ref() == Some(&reason) {
            return;
        }
        if self.is_admitted {
            let reason = format!("{reason}; then restart this daemon, which has worked before and has left the group");
            warn!(%reason, "This daemon waits.");
            self.admission.close(reason);
        } else {
            warn!(%reason, "This daemon waits.");
            self.admission.set_waiting(Some(reason));
        }
    }

    /// Gives way to members with a higher version of the configuration, and logs the daemons that wait because they
    /// have another one.
    pub(super) fn watch_members(&mut self) -> anyhow::Result<()> {
        if self.admission.is_closed() {
            return Ok(());
        }
        let members = self.members.of(&self.own.names.group)?;
        let configurations = members.iter().filter_map(|member| member.configuration.as_ref());
        if let Some(newer) = configurations
            .into_iter()
            .find(|it| !self.configuration.may_continue(it) && it.replaces(&self.configuration))
        {
            // Its member id has only the fingerprint; the record has what it computes.
            let topics: Vec<_> = self.settled.keys().map(|stream| self.own.names.state(stream)).collect();
            let registered = self.claims.configuration(&topics)?.filter(|it| it.is_same(newer));
            let newer = registered.unwrap_or_else(|| newer.clone());
            self.wait_for(&newer);
            return Ok(());
        }
        let waiting = self.members.of(&self.own.names.waiting_group())?;
        let waiting: Vec<String> = waiting.iter().map(ToString::to_string).collect();
        for member in waiting.iter().filter(|member| !self.seen_waiting.contains(member)) {
            warn!(%member, configuration = %self.configuration, "A daemon with another configuration waits.");
        }
        self.seen_waiting = waiting;
        Ok(())
    }

    /// Admits the workers to the group unless another process has the name of this daemon; returns whether it did. A
    /// process that was killed is a member until its session ends, so another one is waited for that long.
    pub(super) fn admit(&mut self) -> anyhow::Result<bool> {
        let names = &self.own.names;
        let twin = self.members.of(&names.group)?.into_iter().find(|member| member.is_twin(names));
        self.health.set_namesake(twin.as_ref().map(ToString::to_string));
        let Some(twin) = twin else {
            self.admission.open(&self.control.stop);
            return Ok(true);
        };
        let now = self.clock.monotonic();
        if self.twin_since.is_none() {
            info!(
                member = %twin,
                "A member of the group has the name of this daemon; waiting until it leaves or its session ends."
            );
        }
        let since = *self.twin_since.get_or_insert(now);
        if now.saturating_sub(since) > self.own.connection.session_timeout() * 2 {
            return Err(Fatal(is_taken(names, &twin)).into());
        }
        Ok(false)
    }
}
