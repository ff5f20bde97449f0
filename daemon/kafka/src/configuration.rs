//! The configuration of a group: what its daemons compute, with the version that decides which one counts.
//!
//! Daemons with different proxy types or rules of alarms on one group would drop the states of each other's types, and
//! end each other's alarms, whenever a partition moves. So a group has one configuration: that with the highest
//! `kafka.configuration_version`, and of several with that version the first one. It is a record in partition 0 of each state topic (see `claim`), and a record of each
//! shard's state, which is committed with it. A daemon works only if its configuration is that of the group, or if its
//! version is higher: then it replaces it. Any other one waits, and restores no state.

mod difference;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use daemon_alarms::Rules;
use proxy_uve::Plan;
use serde::{Deserialize, Serialize};

use crate::names::Names;

/// The size of the types' texts up to which they are a part of the records.
const MAX_TYPES_BYTES: usize = 256 * 1024;

/// A configuration, as records of state topics hold it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Configuration {
    /// `kafka.configuration_version`.
    pub version: u64,
    /// A digest of all streams, their proxy types, and the rules of alarms.
    pub fingerprint: String,
    /// The daemon that has written it.
    #[serde(default)]
    pub instance: String,
    /// Its group; empty if it is not known.
    #[serde(default)]
    pub group: String,
    /// What each proxy type computes, and when each alarm fires and ends, by its name, for the text about a difference;
    /// empty if it is not known, as of a member of the group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, String>,
    /// When it was registered, in milliseconds: the time of the record.
    #[serde(skip)]
    pub registered_at: i64,
}

impl Configuration {
    pub(crate) fn new<'p>(version: u64, plans: impl Iterator<Item = &'p Plan>, rules: &Rules, names: &Names) -> Self {
        // An alarm belongs to its rule: a daemon without the rule would end it when its partition moves there.
        let rules = rules.iter().map(|rule| rule.identity());
        let foreign = names.all_foreign().iter().map(|(stream, topic)| (stream.clone(), topic.identity()));
        let mut types: BTreeMap<String, String> =
            plans.flat_map(Plan::identities).chain(rules).chain(foreign).collect();
        let texts: String = types.iter().map(|(name, text)| format!("{name} {text}\n")).collect();
        let fingerprint = format!("{:016x}", fnv1a(&texts));
        if texts.len() > MAX_TYPES_BYTES {
            types.clear();
        }
        Self {
            version,
            fingerprint,
            instance: names.instance.clone(),
            group: names.group.clone(),
            types,
            registered_at: 0,
        }
    }

    /// Whether both compute the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Whether a daemon with this configuration may continue states of `saved`.
    pub(crate) fn may_continue(&self, saved: &Self) -> bool {
        self.is_same(saved) || self.version > saved.version
    }

    /// Whether a record of `saved` must be replaced by one of this configuration, which may continue its states.
    pub(crate) fn replaces(&self, saved: &Self) -> bool {
        self.version > saved.version
    }

    /// The one of these, all registered, that counts for their group: that of the highest version; of several the one
    /// that was registered first, and of those at one instant any, but the same one at each daemon.
    pub(crate) fn that_counts(registered: impl IntoIterator<Item = Self>) -> Option<Self> {
        let order = |it: &Self| (Reverse(it.version), it.registered_at, it.fingerprint.clone());
        registered.into_iter().min_by_key(order)
    }

    /// Whether `saved` is of another group.
    pub(crate) fn is_of_other_group(&self, saved: &Self) -> bool {
        !saved.group.is_empty() && saved.group != self.group
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Why a daemon with this configuration waits, and the remedy, if `current` is that of its group.
    pub(crate) fn waits_for(&self, current: &Self) -> String {
        format!(
            "the group has the configuration {current}, and that of this daemon is {self}: {}. Give this daemon the \
             configuration of the group, or set kafka.configuration_version = {} to make its own that of the group",
            self.difference(current),
            current.version.saturating_add(1)
        )
    }

    /// What differs from the configuration of the group.
    pub(crate) fn difference(&self, of_group: &Self) -> String {
        if self.types.is_empty() {
            return "its streams, proxy types or alarms differ".to_owned();
        }
        if of_group.types.is_empty() {
            // The member id of a daemon has no types either.
            return "its streams, proxy types or alarms differ, or an older build wrote that of the group: raise \
                    kafka.configuration_version"
                .to_owned();
        }
        difference::describe(&of_group.types, &self.types)
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of version {} (daemon {})", self.fingerprint, self.version, self.instance)
    }
}

/// The 64-bit FNV-1a hash: the same in every build, as different builds work in one group.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proxy_uve::StreamName;
    use proxy_uve::schema::Schema;

    use super::*;
    use crate::config::KafkaConfig;

    fn configuration(version: u64, types: &[&str]) -> Configuration {
        with_rules(version, types, &[])
    }

    fn with_rules(version: u64, types: &[&str], rules: &[&str]) -> Configuration {
        let rules = rules.iter().map(|rule| daemon_alarms::text::rule(rule).unwrap_or_else(|error| panic!("{error}")));
        let types: Vec<_> = types.iter().map(|name| Arc::clone(Schema::builtin().get(name).unwrap())).collect();
        let plan = Plan::new(StreamName::new("S", "a").unwrap(), &types);
        let names = Names::new(&KafkaConfig::default(), "", || "i".to_owned());
        Configuration::new(version, [&plan].into_iter(), &Rules::new(rules.collect()), &names)
    }

    #[test]
    fn a_daemon_with_other_rules_of_alarms_has_another_configuration() {
        let types = ["AggProxySum"];
        let rule = "alarm \"high\" when AggProxySum.value > 10";
        let longer = format!("{rule} for 3");
        let (none, one) = (configuration(1, &types), with_rules(1, &types, &[rule]));
        let other = with_rules(1, &types, &[&longer]);
        assert!(one.is_same(&with_rules(2, &types, &[rule])));
        assert!(!one.is_same(&none) && !one.is_same(&other) && !none.may_continue(&one));
        let reason = none.waits_for(&one);
        assert!(reason.contains(": only the group has alarm \"high\". Give"), "{reason}");
        let reason = other.waits_for(&one);
        assert!(reason.contains(": alarm \"high\" has `for=1` in the group and `for=3` here. Give"), "{reason}");
    }

    #[test]
    fn only_the_same_configuration_or_a_higher_version_continues_a_state() {
        let (sums, both) = (["AggProxySum"], ["AggProxySum", "AggProxySumAnomalyEWM01"]);
        let saved = configuration(3, &both);
        for (version, types, continues, replaces) in [
            (3, &both[..], true, false),
            (2, &both[..], true, false),
            (4, &both[..], true, true),
            (3, &sums[..], false, false),
            (2, &sums[..], false, false),
            (4, &sums[..], true, true),
        ] {
            let own = configuration(version, types);
            assert_eq!((own.may_continue(&saved), own.replaces(&saved)), (continues, replaces), "{own}");
            assert_eq!(Configuration::from_bytes(&own.to_bytes()), Some(own));
        }
    }

    #[test]
    fn the_order_of_the_types_makes_no_other_configuration() {
        let one = configuration(0, &["AggProxySum", "AggProxySumAnomalyEWM01"]);
        let other = configuration(0, &["AggProxySumAnomalyEWM01", "AggProxySum"]);
        assert!(one.is_same(&other), "{one} {other}");
    }

    #[test]
    fn a_daemon_that_waits_says_what_differs() {
        let (own, group) = (configuration(1, &["AggProxySum"]), configuration(1, &["AggProxySumAnomalyEWM01"]));
        let reason = own.waits_for(&group);
        assert!(
            reason.contains(
                ": only the group has AggProxySumAnomalyEWM01-S-a; only this daemon has AggProxySum-S-a. Give"
            ),
            "{reason}"
        );
        // A daemon that is known from its member id only, or from a record of an older build.
        let unknown = Configuration { types: BTreeMap::new(), ..group };
        let reason = own.waits_for(&unknown);
        assert!(
            reason.contains(": its streams, proxy types or alarms differ, or an older build wrote that"),
            "{reason}"
        );
        assert!(reason.contains(": raise kafka.configuration_version. Give"), "{reason}");
        assert!(unknown.waits_for(&own).contains(": its streams, proxy types or alarms differ. Give"));
    }
}
