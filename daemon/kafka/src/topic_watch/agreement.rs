//! What must be agreed on before the workers of this process may work: the group of the state topics, the configuration
//! of the group, and the name of this daemon.

use daemon_partition::MemberStatus;
use tracing::{debug, info, warn};

use super::{Fatal, TopicWatch};
use crate::configuration::Configuration;
use crate::group::is_taken;
use crate::members::GroupMember;
use crate::names::Names;
use crate::topics::StreamTopics;

impl TopicWatch {
    /// Claims the state topics for the group, and registers the configuration of this daemon; returns whether it is
    /// that of the group. A daemon whose configuration does not count registers nothing: two could wait for each other.
    pub(super) fn settle(&mut self, streams: &[StreamTopics]) -> anyhow::Result<bool> {
        let mut all: Vec<_> = streams.iter().filter(|it| it.states > 0).map(|it| it.stream.clone()).collect();
        all.sort_unstable();
        let open: Vec<_> = all.iter().filter(|stream| !self.settled.contains_key(*stream)).cloned().collect();
        if !open.is_empty() {
            let topics: Vec<_> = all.iter().map(|stream| self.own.names.state(stream)).collect();
            let counts = self.claims.configuration(&topics)?;
            let counts = Configuration::that_counts(counts.into_iter().chain(self.registered_elsewhere(&topics)?));
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
        Ok(true)
    }

    /// Logs once that this daemon waits, as its group has another configuration.
    fn wait_for(&mut self, current: &Configuration) {
        let reason = self.configuration.waits_for(current);
        if self.admission.is_closed() || self.admission.waiting().as_ref() == Some(&reason) {
            return;
        }
        if self.is_admitted {
            let reason = format!(
                "{reason}. This daemon has worked before and has left the group: give it the configuration by `POST \
                 /api/v1/config`, or change its file and send SIGHUP or restart it"
            );
            self.admission.close(reason.clone());
            warn!(%reason, "This daemon waits.");
        } else {
            self.admission.set_waiting(Some(reason.clone()));
            warn!(%reason, "This daemon waits.");
        }
    }

    /// Gives way to members with a higher version of the configuration, and logs the daemons that wait because they
    /// have another one.
    pub(super) fn watch_members(&mut self) -> anyhow::Result<()> {
        let members = self.members.of(&self.own.names.group)?;
        let waiting = self.members.of(&self.own.names.waiting_group())?;
        self.health.set_members(statuses(&members, &waiting));
        if self.admission.is_closed() {
            return Ok(());
        }
        if let Some(other) = highest_other(&self.configuration, &members, &self.own.names) {
            let other = self.with_types(other);
            if other.replaces(&self.configuration) {
                self.wait_for(&other);
                return Ok(());
            }
            // Two with no topic in common have started at once, before either was registered.
            let own = self.with_types(&self.configuration.clone());
            if Configuration::that_counts([other.clone(), own]).is_some_and(|it| it.is_same(&other)) {
                return Err(Fatal(self.configuration.waits_for(&other)).into());
            }
        }
        let waiting: Vec<String> = waiting.iter().map(ToString::to_string).collect();
        for member in waiting.iter().filter(|member| !self.seen_waiting.contains(member)) {
            warn!(%member, configuration = %self.configuration, "A daemon with another configuration waits.");
        }
        self.seen_waiting = waiting;
        Ok(())
    }

    /// Whether no member of the group has another configuration that counts; waits otherwise. The members may have no
    /// topic in common with this daemon, so what is registered in its topics does not show them all.
    pub(super) fn agrees_with_members(&mut self) -> anyhow::Result<bool> {
        let members = self.members.of(&self.own.names.group)?;
        let waiting = self.members.of(&self.own.names.waiting_group())?;
        self.health.set_members(statuses(&members, &waiting));
        let Some(other) = highest_other(&self.configuration, &members, &self.own.names) else { return Ok(true) };
        let other = self.with_types(other);
        self.wait_for(&other);
        Ok(false)
    }

    /// The configurations that the group has registered in state topics other than these. A topic that cannot be read is
    /// of no stream of this daemon, and is left out from then on.
    fn registered_elsewhere(&mut self, own: &[String]) -> anyhow::Result<Vec<Configuration>> {
        let mut found = Vec::new();
        for topic in self.topics.existing_states()?.into_iter().filter(|topic| !own.contains(topic)) {
            if self.unreadable.contains(&topic) {
                continue;
            }
            match self.claims.configurations(&topic) {
                Ok(registered) => found.extend(registered),
                Err(error) => {
                    debug!(%error, "A state topic of another stream cannot be read.");
                    self.unreadable.insert(topic);
                }
            }
        }
        Ok(found)
    }

    /// The configuration of a member as it is registered, with what it computes and since when; without, if it is not
    /// found: a member id has only the fingerprint.
    fn with_types(&mut self, member: &Configuration) -> Configuration {
        let is_it = |it: &Configuration| it.is_same(member) && it.version == member.version;
        if let Some(known) = self.seen_other.as_ref().filter(|it| is_it(it)) {
            return known.clone();
        }
        let found = self.registered_elsewhere(&[]).unwrap_or_default().into_iter().filter(is_it);
        let found = Configuration::that_counts(found);
        if let Some(found) = &found {
            self.seen_other = Some(found.clone());
        }
        // One that is not registered was not there before one that is.
        found.unwrap_or_else(|| Configuration { registered_at: i64::MAX, ..member.clone() })
    }

    /// Admits the workers to the group unless another process has the name of this daemon; returns whether it did. A
    /// process that was killed is a member until its session ends, so another one is waited for that long.
    pub(super) fn admit(&mut self) -> anyhow::Result<bool> {
        if self.admission.waiting().is_some() {
            info!("The configuration of this daemon is that of the group; the daemon joins the group.");
            self.admission.set_waiting(None);
            self.waiting.leave();
        }
        let names = &self.own.names;
        let duplicate = self.members.of(&names.group)?.into_iter().find(|member| member.is_duplicate(names));
        self.health.set_namesake(duplicate.as_ref().map(ToString::to_string));
        let Some(duplicate) = duplicate else {
            self.admission.open(&self.control.stop);
            return Ok(true);
        };
        let now = self.clock.monotonic();
        if self.duplicate_since.is_none() {
            info!(
                member = %duplicate,
                "A member of the group has the name of this daemon; waiting until it leaves or its session ends."
            );
        }
        let since = *self.duplicate_since.get_or_insert(now);
        if now.saturating_sub(since) > self.own.connection.session_timeout() * 2 {
            return Err(Fatal(is_taken(names, &duplicate)).into());
        }
        Ok(false)
    }
}

/// The daemons that work and those that wait, each once.
fn statuses(working: &[GroupMember], waiting: &[GroupMember]) -> Vec<MemberStatus> {
    let all = [(working, true), (waiting, false)].into_iter();
    let status = |member: &GroupMember, works| MemberStatus {
        instance: member.instance.clone(),
        generation: member.configuration.as_ref().map(|it| it.version),
        works,
    };
    all.flat_map(|(members, works)| members.iter().map(move |member| status(member, works))).collect()
}

/// The configuration of a member that a daemon with `own` may not work beside; of several, that of the highest version.
/// A process with the name of this daemon is not one of them: it is waited for in another way.
fn highest_other<'m>(own: &Configuration, members: &'m [GroupMember], names: &Names) -> Option<&'m Configuration> {
    let others = members.iter().filter(|member| member.instance != names.instance);
    let configurations = others.filter_map(|member| member.configuration.as_ref());
    configurations.filter(|it| !own.may_continue(it)).max_by_key(|it| it.version)
}
