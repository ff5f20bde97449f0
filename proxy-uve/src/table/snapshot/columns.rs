//! The columns of a plan as a snapshot has them.

use crate::table::columns::{Counters, LastValues};
use crate::table::identity::GroupKey;
use crate::table::plan::{KeptOfSource, Plan};
use crate::table::snapshot::StateKind;

/// The version of the words of liveness and touched sets.
const LIVENESS_VERSION: u16 = 1;

/// A column of the plan.
#[derive(Clone, Debug)]
pub(super) struct Column<'p> {
    pub(super) kind: StateKind,
    /// The column among those of its kind: a window group for liveness and touched sets, a window column for windows;
    /// for what is kept of sources a window column, or behind all of those an inline attribute.
    pub(super) index: usize,
    pub(super) identity: &'p str,
    pub(super) group: GroupKey,
    /// The versions of its words, one for each link whose state they are, and the newest that can be read.
    pub(super) versions: Vec<u16>,
}

impl Column<'_> {
    /// Whether both are the same state: inline attributes with one annotation have one each, but their states are
    /// equal.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.kind, self.identity, self.group) == (other.kind, other.identity, other.group)
    }
}

/// All columns, in an order that depends on the plan alone.
pub(super) fn columns(plan: &Plan) -> Vec<Column<'_>> {
    let mut columns = Vec::new();
    for (index, group) in plan.groups.iter().enumerate() {
        for kind in [StateKind::Liveness, StateKind::Touched] {
            let (identity, group) = (group.identity.as_str(), group.key());
            columns.push(Column { kind, index, identity, group, versions: vec![LIVENESS_VERSION] });
        }
    }
    for (index, column) in plan.window_columns.iter().enumerate() {
        let (identity, group) = (column.identity.as_str(), plan.groups[column.group].key());
        let versions = column.spec.versions().into_iter().take(1).collect();
        columns.push(Column { kind: StateKind::Window, index, identity, group, versions });
        if let Some((kind, version)) = column.kept_of_sources().map(of_sources) {
            columns.push(Column { kind, index, identity, group, versions: vec![version] });
        }
    }
    for (index, detector) in plan.detectors.iter().enumerate() {
        let group = plan.groups[plan.window_columns[detector.window_column].group].key();
        let (kind, identity) = (StateKind::Detector, detector.identity.as_str());
        // The first link's state is that of the window.
        let versions = detector.spec.versions().into_iter().skip(1).collect();
        columns.push(Column { kind, index, identity, group, versions });
    }
    for (index, inline) in plan.inline.iter().enumerate() {
        let (group, versions) = (plan.groups[inline.group].key(), inline.spec.versions());
        let identity = inline.identity.as_str();
        columns.push(Column { kind: StateKind::Inline, index, identity, group, versions });
        if let Some((kind, version)) = KeptOfSource::reading(&inline.spec).map(of_sources) {
            let (index, versions) = (plan.window_columns.len() + index, vec![version]);
            columns.push(Column { kind, index, identity, group, versions });
        }
    }
    columns
}

/// The kind and the version of what is kept of each source.
pub(super) fn of_sources(kept: KeptOfSource) -> (StateKind, u16) {
    match kept {
        KeptOfSource::LastReading(_) => (StateKind::Counter, Counters::VERSION),
        KeptOfSource::LastValues { .. } => (StateKind::Sources, LastValues::VERSION),
    }
}

/// The columns of a snapshot: without those whose state is equal to that of another one.
pub(super) fn distinct_columns(plan: &Plan) -> Vec<Column<'_>> {
    let mut distinct: Vec<Column<'_>> = Vec::new();
    for column in columns(plan) {
        if !distinct.iter().any(|other| other.is_same(&column)) {
            distinct.push(column);
        }
    }
    distinct
}
