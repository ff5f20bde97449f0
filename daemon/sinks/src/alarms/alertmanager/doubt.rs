//! What a process that was killed may have sent for rows behind its stored position, so that its ends are not lost.

use std::collections::BTreeMap;

use super::alert::{Alert, Shown};
use super::{Alarms, Alertmanager};
use crate::alarms::tracker::{Group, Id, Tracked, Tracker, group_of};

impl Alertmanager {
    /// Takes as sent what a process before may have sent, so that it ends.
    pub(super) fn doubt(&mut self, tracker: &Tracker, firing: usize) {
        let in_doubt = in_doubt(tracker, self.settings.alarms_per_group);
        if !in_doubt.is_empty() && in_doubt.len() + firing > self.settings.alerts_per_minute {
            for (alert, shown) in self.about_held(in_doubt.len()) {
                self.sent.entry(alert).or_insert(shown);
            }
        }
        for (alert, shown) in in_doubt {
            self.sent.entry(alert).or_insert(shown);
        }
    }

    /// The alerts about so many that were held back by a process before: of which severity it was is not known, and it has
    /// to end.
    pub(super) fn about_held(&self, alerts: usize) -> [(Alert, Shown); 3] {
        let shown = Shown { is_sent: false, ..Shown::held(alerts, self.settings.alerts_per_minute, 0) };
        [0, 1, 2].map(|code| (Alert::Held(code), shown.clone()))
    }
}

/// The alerts that a process before may have sent of alarms that have ended since: one for each alarm, and one for the rest
/// of each group that may have had more than `per_group` alarms. None of them counts as accepted.
fn in_doubt(tracker: &Tracker, per_group: usize) -> BTreeMap<Alert, Shown> {
    let (firing, mut ended): (_, BTreeMap<Group, Alarms<'_>>) = (tracker.groups(), BTreeMap::new());
    for (id, tracked) in tracker.resolved().iter().filter(|(_, tracked)| tracked.in_doubt) {
        ended.entry(group_of(id, tracked)).or_default().push((id, tracked));
    }
    let mut alerts = BTreeMap::new();
    for (group, of_group) in ended {
        let firing = firing.get(&group).map_or(0, Vec::len);
        let single = |(id, tracked): &(&Id, &Tracked)| {
            (Alert::One((*id).clone(), tracked.severity), Shown::one(id, tracked, firing))
        };
        alerts.extend(of_group.iter().map(single));
        if firing + of_group.len() > per_group {
            alerts.extend(Shown::rest(&group, &of_group, 0).map(|shown| (Alert::Rest(group), shown)));
        }
    }
    alerts.values_mut().for_each(|shown| shown.is_sent = false);
    alerts
}
