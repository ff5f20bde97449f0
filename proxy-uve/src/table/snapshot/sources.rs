//! Which saved column each column of the plan continues.
//!
//! A saved column is continued by every column of the plan with the same kind and identity. If several saved ones fit,
//! because window groups differ in timeout or rule for silence only, the one of the same group is taken, else that of
//! the [most similar](rank) group; the order of the proxy types has no influence.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use derived_stats::RestoreError;
use serde::{Deserialize, Serialize};

use crate::table::identity::GroupKey;
use crate::table::plan::{GroupPlan, Plan};
use crate::table::snapshot::columns::{Column, columns};
use crate::table::snapshot::report::{RestoreOutcome, RestoreReport, RestoredState};
use crate::table::snapshot::{SlotSet, SnapshotError, SnapshotPart, StateKind};

/// A column as the meta part lists it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedColumn {
    pub(super) kind: StateKind,
    pub(super) identity: String,
    pub(super) group: GroupKey,
    /// See [`OpenWindows::covered_from`](crate::table::columns::OpenWindows::covered_from); of windows only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) covered_from: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(time: &u64) -> bool {
    *time == 0
}

/// The columns of the plan and those of the snapshot, each with its counterparts.
pub(super) struct Sources<'p> {
    pub(super) columns: Vec<Column<'p>>,
    /// For each of `columns` the saved one that it continues.
    sources: Vec<Option<usize>>,
    /// For each of `columns` why its saved state cannot be restored.
    failures: Vec<Option<String>>,
    saved: Vec<Saved>,
}

/// A saved column, and the counts of its states in the chunks.
struct Saved {
    column: SavedColumn,
    /// The group in the form of a section.
    group: String,
    /// Indices into [`Sources::columns`].
    targets: Vec<usize>,
    objects: usize,
    chunks: usize,
    /// The slots found in the chunk that was read last.
    newest: Option<(u32, SlotSet)>,
}

impl<'p> Sources<'p> {
    pub(super) fn new(plan: &'p Plan, saved: &[SavedColumn]) -> Self {
        let columns = columns(plan);
        let groups: Vec<GroupKey> = plan.groups.iter().map(GroupPlan::key).collect();
        let source = |column: &Column<'_>| {
            let fits =
                |saved: &&(usize, &SavedColumn)| saved.1.kind == column.kind && saved.1.identity == column.identity;
            let fitting = saved.iter().enumerate().filter(|it| fits(&it));
            let best = fitting.min_by_key(|it| rank(&groups, column.group, it.1.group));
            best.map(|(index, _)| index)
        };
        let sources: Vec<Option<usize>> = columns.iter().map(source).collect();
        let with_targets = |(index, column): (usize, &SavedColumn)| {
            let targets = (0..columns.len()).filter(|&target| sources[target] == Some(index)).collect();
            let group = column.group.to_string();
            Saved { column: column.clone(), group, targets, objects: 0, chunks: 0, newest: None }
        };
        let saved = saved.iter().enumerate().map(with_targets).collect();
        let failures = vec![None; columns.len()];
        Self { columns, sources, failures, saved }
    }

    /// The saved column that a section belongs to.
    pub(super) fn find(&self, kind: StateKind, identity: &[u8], group: &[u8]) -> Option<usize> {
        self.saved.iter().position(|saved| {
            let column = &saved.column;
            column.kind == kind && column.identity.as_bytes() == identity && saved.group.as_bytes() == group
        })
    }

    /// The columns of the plan that continue a saved one and have not failed so far.
    pub(super) fn targets(&self, saved: usize) -> Vec<usize> {
        self.saved[saved].targets.iter().copied().filter(|&target| self.failures[target].is_none()).collect()
    }

    /// Whether the next snapshot would have the same sections of the saved column, whose words have these versions.
    pub(super) fn is_as_saved(&self, saved: usize, versions: &[u16]) -> bool {
        let Saved { column, targets, .. } = &self.saved[saved];
        let is_same = |target: &Column<'_>| target.group == column.group && target.versions == versions;
        !targets.is_empty() && targets.iter().all(|&target| is_same(&self.columns[target]))
    }

    pub(super) fn count(&mut self, saved: usize, chunk: u32, slots: &SlotSet) {
        let saved = &mut self.saved[saved];
        match &mut saved.newest {
            Some((newest, seen)) if *newest == chunk => saved.objects += seen.add_all(slots),
            newest => {
                *newest = Some((chunk, *slots));
                saved.objects += slots.iter().count();
                saved.chunks += 1;
            }
        }
    }

    /// Records that a column cannot read its saved state. An error for liveness, on which all other states depend.
    pub(super) fn fail(&mut self, part: SnapshotPart, target: usize, error: RestoreError) -> Result<(), SnapshotError> {
        let kind = self.columns[target].kind;
        match kind {
            StateKind::Liveness | StateKind::Touched => return Err(SnapshotError::State { part, kind, error }),
            StateKind::Counter | StateKind::Detector | StateKind::Inline | StateKind::Sources | StateKind::Window => {}
        }
        self.failures[target] = Some(error.to_string());
        Ok(())
    }

    /// Whether a column's saved state cannot be read.
    pub(super) fn has_failed(&self, target: usize) -> bool {
        self.failures[target].is_some()
    }

    /// The saved column that the column of a kind continues, if it has one.
    pub(super) fn source(&self, kind: StateKind, index: usize) -> Option<&SavedColumn> {
        let target = self.columns.iter().position(|column| (column.kind, column.index) == (kind, index))?;
        let source = self.sources[target].filter(|_| !self.has_failed(target))?;
        Some(&self.saved[source].column)
    }

    pub(super) fn report(&self) -> RestoreReport {
        let configured = self.columns.iter().map(|column| (column.kind, column.identity));
        let saved = self.saved.iter().map(|saved| (saved.column.kind, saved.column.identity.as_str()));
        let names: BTreeSet<(StateKind, &str)> = configured.chain(saved).collect();
        RestoreReport { states: names.into_iter().map(|(kind, identity)| self.state(kind, identity)).collect() }
    }

    fn state(&self, kind: StateKind, identity: &str) -> RestoredState {
        let columns = self.columns.iter().zip(&self.failures);
        let mut columns = columns.filter(|(column, _)| (column.kind, column.identity) == (kind, identity)).peekable();
        let saved = |saved: &&Saved| (saved.column.kind, saved.column.identity.as_str()) == (kind, identity);
        let saved: Vec<&Saved> = self.saved.iter().filter(saved).collect();
        let outcome = match (columns.peek().is_some(), columns.find_map(|(_, failure)| failure.clone())) {
            (false, _) => RestoreOutcome::Dropped,
            (true, Some(reason)) => RestoreOutcome::NotRestorable { reason },
            (true, None) if saved.is_empty() => RestoreOutcome::Started,
            (true, None) => RestoreOutcome::Kept,
        };
        // Groups have the same objects, or some of them.
        let objects = saved.iter().map(|saved| saved.objects).max().unwrap_or(0);
        let chunks = saved.iter().map(|saved| saved.chunks).max().unwrap_or(0);
        RestoredState { kind, identity: identity.to_owned(), outcome, objects, chunks }
    }
}

/// Orders saved groups by how well they replace `group`: itself first, then those of its period, then those that no
/// group of the plan equals, as one of those had its types before, then those of its timeout, whose objects expire at
/// the same time, then those whose objects expire latest, as they have all objects that the others have.
fn rank(groups: &[GroupKey], group: GroupKey, saved: GroupKey) -> impl Ord + use<> {
    let expiry = saved.timeout.checked_sub(1).unwrap_or(u32::MAX);
    let alike = (saved != group, saved.period != group.period, groups.contains(&saved), saved.timeout != group.timeout);
    (alike, Reverse(expiry), saved.silence != group.silence, saved.period, saved.silence as u8)
}
