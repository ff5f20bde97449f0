//! A data directory with more partitions of one that no daemon has open.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use daemon_alarms::{is_alarm_chunk, retain};
use daemon_log::PartitionId;
use daemon_log_tools::{NewState, StateToCheck, regrow};
use proxy_uve::{Plan, Table, TableSettings, partition};

use crate::commands::check::{partitions_of, stands_at};
use crate::commands::migrate::{damaged, is_of_the_daemon, lock};
use crate::commands::print::print;
use crate::config::Loaded;
use crate::engine::PARTITIONS;
use crate::settings;

/// Writes the new directory; the old one stays as it is.
///
/// # Errors
///
/// Fails if a daemon has the directory open, if input is not applied, if a stream is not configured, or if the new
/// directory cannot be written. Nothing stays of it then.
pub(super) fn run(directory: &Path, new: &Path, partitions: u16, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let plans = settings::plans(&loaded.streams).into_iter().map(|plan| (plan.stream().to_string(), plan));
    let split = Split {
        plans: plans.collect(),
        table: settings::table(&loaded.config.aggregation),
        from: partitions_of(directory).map_err(anyhow::Error::msg)?,
        to: partitions,
    };
    split.check(directory)?;
    let _lock = lock(directory)?;
    let to = split.to;
    let mut objects = 0;
    let report = regrow(directory, new, &[(PARTITIONS, format!("{to}\n"))], &mut |state| {
        let (states, moved) = split.state(state)?;
        objects += moved;
        Ok(states)
    });
    let report = report.with_context(|| format!("write the log in {}", new.display()))?;
    if !report.is_sound() {
        return damaged(&report, directory);
    }
    let (name, stands) = (new.display(), stands_at(&report));
    print(&format!(
        "Made {name} with {to} partitions of each stream, and with the states of {objects} objects. {stands}Start the \
         daemon with log.data_dir = {:?} and log.partitions = {to}.\n",
        name.to_string(),
    ))
    .context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// How states are split.
struct Split {
    plans: BTreeMap<String, Arc<Plan>>,
    table: TableSettings,
    from: u16,
    to: u16,
}

/// A part of a state.
struct StatePart {
    state: NewState,
    objects: usize,
    /// The objects of the whole state.
    of_state: usize,
}

impl Split {
    /// Checks that each old partition is split into whole new ones.
    fn check(&self, directory: &Path) -> anyhow::Result<()> {
        let Self { from, to, .. } = *self;
        ensure!(
            to > from && to.is_multiple_of(from),
            "{} has {from} partitions of each stream, and {to} is no multiple of them that is larger; name {}, say",
            directory.display(),
            u32::from(from) * 2,
        );
        Ok(())
    }

    /// The states of the new partitions whose keys were in the old one, and the number of their objects.
    fn state(&self, state: &StateToCheck<'_>) -> Result<(Vec<NewState>, usize), String> {
        let old = state.partition;
        let Some(plan) = self.plans.get(state.stream) else {
            if is_of_the_daemon(old, state.cursor) {
                let (meta, chunks) = (state.meta.to_vec(), state.chunks.to_vec());
                return Ok((vec![NewState { partition: old, meta, chunks }], 0));
            }
            return Err(
                "the stream is not configured, so its states cannot be split; give the configuration that the \
                        daemon runs with (--config)"
                    .to_owned(),
            );
        };
        let mut states = Vec::new();
        let (mut objects, mut of_state) = (0, 0);
        for new in (old.partition..self.to).step_by(usize::from(self.from)) {
            let part = self.part(state, plan, PartitionId::new(old.stream, new))?;
            states.push(part.state);
            objects += part.objects;
            of_state = part.of_state;
        }
        if objects != of_state {
            return Err(format!(
                "{} of its {of_state} objects are of another partition: the log was not made with {} partitions, as its file \
                 PARTITIONS has it; correct that file, or restore a copy",
                of_state - objects,
                self.from,
            ));
        }
        Ok((states, objects))
    }

    /// The part of a state whose keys belong to the partition `new`.
    fn part(&self, state: &StateToCheck<'_>, plan: &Arc<Plan>, new: PartitionId) -> Result<StatePart, String> {
        let is_own = |key: &[u8]| partition(key, u32::from(self.to)) == u32::from(new.partition);
        let all = state.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let (of_alarms, of_table): (Vec<_>, Vec<_>) = all.partition(|(chunk, _)| is_alarm_chunk(*chunk));
        let restored = Table::restore(Arc::clone(plan), self.table, state.meta, of_table);
        let (mut table, report) = restored.map_err(|error| error.to_string())?;
        if !report.is_unchanged() {
            return Err(format!(
                "the configuration is not the one that the states were saved with ({report}); start the daemon with it, stop \
                 it, and try again"
            ));
        }
        let of_state = table.objects();
        table.retain(is_own);
        if new.partition != state.partition.partition {
            table.forget_counts();
        }
        let objects = table.objects();
        let snapshot = table.snapshot();
        let chunks = snapshot.chunks.into_iter().filter_map(|(chunk, bytes)| Some((chunk, bytes?)));
        let mut chunks: Vec<_> = chunks.collect();
        for (chunk, bytes) in of_alarms {
            let part = retain(chunk, bytes, |key| is_own(key.as_bytes())).map_err(|error| error.to_string())?;
            chunks.extend(part.map(|part| (chunk, part)));
        }
        let state = NewState { partition: new, meta: snapshot.meta, chunks };
        Ok(StatePart { state, objects, of_state })
    }
}
