//! The states of a data directory as those of a Kafka group.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use daemon_kafka::migration::{InputStart, StateWriter};
use daemon_log::PartitionId;
use daemon_log_tools::LogStates;

use super::streams::{Moved, Streams};
use super::{damaged, group, is_of_the_daemon, lock};
use crate::commands::check::partitions_of;
use crate::commands::print::print;
use crate::config::Loaded;

/// Writes the states of the directory to the state topics of the group.
///
/// # Errors
///
/// As [`run`](super::run).
pub(super) fn run(directory: &Path, input: Option<InputStart>, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let (streams, group) = (Streams::new(loaded), group(loaded)?);
    let _lock = lock(directory)?;
    let log = LogStates::open(directory).with_context(|| format!("read the log in {}", directory.display()))?;
    if !log.report().is_sound() {
        return damaged(log.report(), directory);
    }
    let from = partitions_of(directory).map_err(anyhow::Error::msg)?;
    check_delivered(&log)?;
    let (of_streams, left) = partitions(&log, &streams)?;
    let writer = group.begin_write(input)?;
    let mut moved = Moved::default();
    // Also those without states: they begin with their input as the others do.
    for stream in writer.topics().streams() {
        let partitions = of_streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        write_stream(&log, &streams, (stream, partitions, from), &writer, &mut moved)
            .with_context(|| stream.to_owned())?;
    }
    let began = begins(writer.inputs_with_records(), input);
    writer.finish()?;
    let (name, results) = (group.group(), group.results());
    let (what, settled) = (moved.text(), moved.settled_text());
    print(&format!(
        "The consumer group {name} has {what}.\n{settled}{left}{began}The results so far stay in {}; those from now \
         on are in the topic {results}.\nStart the daemons with log.kind = \"kafka\" and kafka.group_id = {name:?}, \
         and then point the senders at them. Do not start a daemon on {0} again: it would give the same windows.\n",
        directory.display(),
    ))
    .context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Where the group begins, as text.
fn begins(with_records: &[String], input: Option<InputStart>) -> String {
    let topics = with_records.join(", ");
    match input.filter(|_| !with_records.is_empty()) {
        None => "Its input topics have no records yet.\n".to_owned(),
        Some(InputStart::Start) => format!("It begins with the oldest records of {topics}.\n"),
        Some(InputStart::End) => format!("It begins behind the newest records of {topics}.\n"),
    }
}

/// Fails if a sink has not delivered all results: they do not go to Kafka.
fn check_delivered(log: &LogStates) -> anyhow::Result<()> {
    let undelivered = log.undelivered();
    let sinks: Vec<_> = undelivered.iter().map(|(name, behind)| format!("{name} ({behind} records)")).collect();
    ensure!(
        sinks.is_empty(),
        "results are not delivered that do not go to Kafka, by {}; start the daemon, without senders, wait until \
         derived_statsd_sink_lag_results is 0, stop it, and try again; to give them up, start and stop it without \
         that sink",
        sinks.join(", ")
    );
    Ok(())
}

/// The partitions of each stream, and what stays, as text.
fn partitions(log: &LogStates, streams: &Streams) -> anyhow::Result<(BTreeMap<String, Vec<PartitionId>>, String)> {
    let (mut of_streams, mut left) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for (id, stream, cursor) in log.partitions() {
        if streams.has(stream) {
            of_streams.entry(stream.to_owned()).or_default().push(id);
            continue;
        }
        if !is_of_the_daemon(id, cursor) {
            bail!(
                "partition {id} ({stream}): the stream is not configured, so its states cannot be placed; give the \
                 configuration that the daemon runs with (--config)"
            );
        }
        left.push(stream);
    }
    let left = match left.as_slice() {
        [] => String::new(),
        left => format!("Not moved, and made anew by the daemons: {}.\n", left.join(", ")),
    };
    Ok((of_streams, left))
}

fn write_stream(
    log: &LogStates,
    streams: &Streams,
    (stream, partitions, from): (&str, &[PartitionId], u16),
    writer: &StateWriter<'_>,
    moved: &mut Moved,
) -> anyhow::Result<()> {
    let mut regroup = streams.regroup(stream).context("the stream is not configured")?;
    for id in partitions {
        let Some(state) = log.state(*id)? else { continue };
        let chunks = state.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        regroup.add(id.partition, &state.meta, chunks).with_context(|| format!("partition {}", id.partition))?;
    }
    let count = writer.topics().partitions(stream);
    let settled = regroup.settle(from, count)?;
    // As at a start of the daemon: nobody could take samples since its stop.
    regroup.mark_lost_from(log.last_at());
    moved.add(&regroup, settled);
    for number in 0..count {
        writer.write(stream, number, regroup.partition(number, count)?)?;
    }
    Ok(())
}
