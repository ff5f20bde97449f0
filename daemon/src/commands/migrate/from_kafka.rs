//! A data directory of the states of a Kafka group.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use daemon_base::clock::{Clock as _, SystemClock};
use daemon_base::failpoint;
use daemon_kafka::migration::{GroupState, UndeliveredResults};
use daemon_log_tools::{NewLog, make};

use super::group;
use super::streams::{Moved, Streams};
use crate::commands::print::print;
use crate::config::Loaded;
use crate::engine::PARTITIONS;

/// Makes the directory.
///
/// # Errors
///
/// As [`run`](super::run).
pub(super) fn run(new: &Path, partitions: u16, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let (streams, group) = (Streams::new(loaded), group(loaded)?);
    let mut reader = group.begin_read()?;
    let undelivered = reader.undelivered()?;
    let mut moved = Moved::default();
    let beside = [(PARTITIONS, format!("{partitions}\n"))];
    make(new, &beside, |log| {
        let names: Vec<_> = reader.topics().streams().map(str::to_owned).collect();
        for stream in names {
            let states = reader.states(&stream)?;
            let from = reader.topics().partitions(&stream);
            write_stream(log, &streams, (&stream, states), (from, partitions), &mut moved)
                .with_context(|| stream.clone())?;
        }
        if log.time() == 0 {
            log.current_at(SystemClock::new().now_micros());
        }
        failpoint::point("migrate.mid");
        anyhow::Ok(())
    })
    .with_context(|| format!("make {}", new.display()))?;
    let (what, settled, results) = (moved.text(), moved.settled_text(), group.results());
    print(&format!(
        "Made {} with {partitions} partitions of each stream, and with {what} of the consumer group \
         {}.\n{settled}{}The results so far stay in the topic {results}.\nStart the daemon with log.kind = \
         \"embedded\", log.data_dir = {:?} and log.partitions = {partitions}, and then point the senders at it. Do \
         not start the daemons of the group again: they would give the same windows.\n",
        new.display(),
        group.group(),
        not_delivered(&undelivered, &results),
        new.display().to_string(),
    ))
    .context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The sinks that have not delivered all results, as text.
fn not_delivered(undelivered: &[UndeliveredResults], results: &str) -> String {
    let line = |UndeliveredResults { group, from }: &UndeliveredResults| {
        format!(
            "Not delivered by the sink with the consumer group {group}: the results in {results} from offset {from} \
             on.\n"
        )
    };
    undelivered.iter().map(line).collect()
}

fn write_stream(
    log: &mut NewLog,
    streams: &Streams,
    (stream, states): (&str, Vec<GroupState>),
    (from, partitions): (u16, u16),
    moved: &mut Moved,
) -> anyhow::Result<()> {
    let mut regroup = streams.regroup(stream).context("the stream is not configured")?;
    for state in states {
        // The daemon marks the time from then to its start as unknown.
        log.current_at(state.read_at);
        let chunks = state.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let added = regroup.add(state.partition, &state.meta, chunks);
        added.with_context(|| format!("partition {}", state.partition))?;
    }
    let settled = regroup.settle(from, partitions)?;
    moved.add(&regroup, settled);
    for number in 0..partitions {
        let commit = regroup.partition(number, partitions)?;
        let chunks = commit.chunks.into_iter().filter_map(|(chunk, bytes)| Some((chunk, bytes?)));
        log.state(stream, number, (commit.meta, chunks.collect()), commit.results)?;
    }
    Ok(())
}
