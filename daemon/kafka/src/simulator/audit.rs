//! The invariants that must hold at the end of a schedule.

use std::collections::{BTreeMap, BTreeSet};

use daemon_alarms::is_alarm_chunk;
use proxy_uve::{Table, wire};
use serde_json::Value;

use crate::configuration::Configuration;
use crate::simulator::brokers::{Brokers, SHARDS, Sent};
use crate::simulator::world::World;
use crate::state_records::{self, CONFIGURATION, INPUT_ID, Saved};
use crate::topic_id::TopicId;

/// The UVE of the rows with the alarms of an object.
const ALARMS: &str = "UVEAlarms";

/// The window of the built-in types: a minute.
const PERIOD: u64 = 60_000_000;

/// Every violation of an invariant, as text.
pub(super) fn violations(world: &World, reference: &World) -> Vec<String> {
    let mut found = Vec::new();
    each_shard_counts_every_record(world, &mut found);
    each_state_has_its_topic_and_its_configuration(world, &mut found);
    each_malformed_record_is_one_dead_letter(world, &mut found);
    let (lines, expected) = (read_lines(world), read_lines(reference));
    sums_are_right(world, &lines, &mut found);
    lines_equal_the_reference(world, &lines, &expected, &mut found);
    found
}

struct Line {
    key: String,
    uve: String,
    start: u64,
    text: String,
    data: Value,
}

fn read_lines(world: &World) -> Vec<Line> {
    let brokers = world.brokers.borrow();
    let read = |line: &[u8]| {
        let value: Value = serde_json::from_slice(line).unwrap();
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        let mut shown = String::from_utf8(line.to_vec()).unwrap();
        if world.kinds.grows {
            // Which record of two partitions comes first depends on the schedule.
            shown = shown.replace(",\"partial\":true", "");
        }
        Line {
            key: text("key"),
            uve: text("uve"),
            start: value["start"].as_u64().unwrap(),
            text: shown,
            data: value["data"].clone(),
        }
    };
    brokers.committed_results().map(read).collect()
}

fn shard_of(key: &str) -> u16 {
    proxy_uve::partition(key.as_bytes(), u32::from(SHARDS)) as u16
}

/// Object, window and value of a record; `None` if it is not a sample.
fn sample(sent: &Sent) -> Option<(String, u64, u64)> {
    let sample = wire::decode(&sent.payload).ok()?;
    let value = sample.value.to_string().parse().ok()?;
    let key = String::from_utf8(sent.key.clone()).ok().filter(|key| !key.is_empty())?;
    Some((key, sample.timestamp - sample.timestamp % PERIOD, value))
}

/// Whether a record is of the future: it is counted as such, and is part of no sum.
fn is_future(sent: &Sent) -> bool {
    wire::decode(&sent.payload).is_ok_and(|sample| sample.timestamp > sent.at + PERIOD)
}

/// The input partitions of a shard.
fn sources(shard: u16, brokers: &Brokers) -> impl Iterator<Item = usize> {
    (usize::from(shard)..brokers.inputs.len()).step_by(usize::from(SHARDS))
}

/// Each shard has counted every record once, and its state agrees with the committed offsets.
fn each_shard_counts_every_record(world: &World, found: &mut Vec<String>) {
    let brokers = world.brokers.borrow();
    for shard in 0..SHARDS {
        if brokers.last_stable_offset(shard) < brokers.high_watermark(shard) {
            found.push(format!("shard {shard}: a transaction stays open"));
        }
        match state_records::decode(&brokers.state(shard)) {
            Ok(saved) => {
                let saved = saved.unwrap_or_default();
                cursors_equal_the_offsets(shard, &saved, &brokers, found);
                outcomes_add_up(shard, &saved, world, found);
            }
            Err(reason) => found.push(format!("shard {shard}: the state cannot be used: {reason}")),
        }
    }
}

/// Each state has the id of the input topic, and no older configuration has continued that of a newer one.
fn each_state_has_its_topic_and_its_configuration(world: &World, found: &mut Vec<String>) {
    let brokers = world.brokers.borrow();
    for shard in 0..SHARDS {
        let state = brokers.state(shard);
        let id = state.get(INPUT_ID).and_then(|bytes| TopicId::new(bytes));
        if !state.is_empty() && id != World::input_id() {
            found.push(format!("shard {shard}: the state has the id {id:?} of its input topic"));
        }
        let configurations = brokers.committed_values(shard, CONFIGURATION).filter_map(Configuration::from_bytes);
        let versions: Vec<u64> = configurations.map(|it| it.version).collect();
        if !versions.is_sorted() {
            found.push(format!("shard {shard}: the configuration went back: {versions:?}"));
        }
    }
}

fn cursors_equal_the_offsets(shard: u16, saved: &Saved, brokers: &Brokers, found: &mut Vec<String>) {
    for source in sources(shard, brokers) {
        let cursor = saved.head.cursors.get(&(source as u16)).copied().unwrap_or(0);
        let committed = brokers.offsets.get(&(source as u16)).copied().unwrap_or(0);
        if cursor != committed {
            found.push(format!("partition {source}: offset {committed} was committed with a state at offset {cursor}"));
        }
    }
}

fn outcomes_add_up(shard: u16, saved: &Saved, world: &World, found: &mut Vec<String>) {
    let brokers = world.brokers.borrow();
    let inputs = || sources(shard, &brokers).flat_map(|source| &brokers.inputs[source].sent);
    let (sent, future) = (inputs().count() as u64, inputs().filter(|sent| is_future(sent)).count() as u64);
    let deleted = world.deleted_unread.borrow().iter().filter(|(it, _)| it % SHARDS == shard).count() as u64;
    let fates = match saved.head.meta.is_empty() {
        true => proxy_uve::Fates::default(),
        false => {
            let chunks = saved.chunks.iter().filter(|(chunk, _)| !is_alarm_chunk(*chunk));
            let chunks = chunks.map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
            let plan = world.builder.streams[0].plan.clone();
            *Table::restore(plan, world.builder.table, &saved.head.meta, chunks).unwrap().0.fates()
        }
    };
    let applied = fates.total();
    if !(sent - deleted..=sent).contains(&applied) {
        found.push(format!("shard {shard}: {sent} records were sent, {deleted} deleted unread, {applied} applied"));
    }
    if fates.late + fates.duplicate > 0 || !(future.saturating_sub(deleted)..=future).contains(&fates.future) {
        found.push(format!("shard {shard}: records were rejected, {future} are of the future: {fates:?}"));
    }
}

/// Each record that is not a sample is a dead letter once.
fn each_malformed_record_is_one_dead_letter(world: &World, found: &mut Vec<String>) {
    let brokers = world.brokers.borrow();
    let mut letters: BTreeMap<(u16, u64), usize> = BTreeMap::new();
    for letter in brokers.committed_dead_letters() {
        let source = (letter.source.partition, letter.offset);
        *letters.entry(source).or_default() += 1;
        let original = brokers.inputs[usize::from(source.0)].sent.iter().find(|sent| sent.offset == source.1);
        if !original.is_some_and(|sent| sent.key == letter.key && sent.payload == letter.payload) {
            found.push(format!("the dead letter of {source:?} differs from its record"));
        }
    }
    for (partition, input) in (0u16..).zip(&brokers.inputs) {
        for sent in &input.sent {
            let source = (partition, sent.offset);
            let count = letters.remove(&source).unwrap_or(0);
            let is_deleted = count == 0 && world.deleted_unread.borrow().contains(&source);
            if count != usize::from(sample(sent).is_none()) && !is_deleted {
                found.push(format!("{source:?} is a dead letter {count} times"));
            }
        }
    }
}

/// The sum of each object and window by a fold over the input: the lowest and the highest, as records may have been
/// deleted unread.
fn expected_sums(world: &World) -> BTreeMap<(String, u64), (u64, u64)> {
    let brokers = world.brokers.borrow();
    let mut sums: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    for (partition, input) in (0u16..).zip(&brokers.inputs) {
        for sent in &input.sent {
            let Some((key, window, value)) = sample(sent).filter(|_| !is_future(sent)) else { continue };
            let sum = sums.entry((key, window)).or_default();
            sum.1 += value;
            if !world.deleted_unread.borrow().contains(&(partition, sent.offset)) {
                sum.0 += value;
            }
        }
    }
    sums
}

/// The start of the first window of each shard.
fn first_windows(lines: &[Line]) -> BTreeMap<u16, u64> {
    let mut first: BTreeMap<u16, u64> = BTreeMap::new();
    for line in lines {
        let start = first.entry(shard_of(&line.key)).or_insert(line.start);
        *start = line.start.min(*start);
    }
    first
}

/// The objects and windows with samples that were deleted unread. A gap reaches to the time of the first sample behind
/// it: samples that are newer than that although they came before are not known to be lacking.
fn lacking_windows(world: &World) -> BTreeSet<(String, u64)> {
    let (brokers, deleted) = (world.brokers.borrow(), world.deleted_unread.borrow());
    let mut lacking = BTreeSet::new();
    for (partition, input) in (0u16..).zip(&brokers.inputs) {
        let mut behind = u64::MAX;
        for sent in input.sent.iter().rev().filter(|sent| !is_future(sent)) {
            let Some((key, window, _)) = sample(sent) else { continue };
            let time = wire::decode(&sent.payload).map_or(0, |sample| sample.timestamp);
            match deleted.contains(&(partition, sent.offset)) {
                true if time < behind => drop(lacking.insert((key, window))),
                true => {}
                false => behind = time,
            }
        }
    }
    lacking
}

/// Each object and window with samples has one result, with the expected sum.
fn sums_are_right(world: &World, lines: &[Line], found: &mut Vec<String>) {
    let (mut expected, lacking) = (expected_sums(world), lacking_windows(world));
    let first_windows = first_windows(lines);
    let mut seen = BTreeSet::new();
    for line in lines {
        let window = (line.key.clone(), line.start);
        if !seen.insert((&line.uve, window.clone())) {
            found.push(format!("duplicate: {}", line.text));
        }
        if line.uve == ALARMS {
            continue;
        }
        if line.data["deleted"] == true {
            let has_samples = expected.get(&window).is_some_and(|(low, _)| *low > 0);
            if has_samples || lacking.contains(&window) {
                found.push(format!("deleted although it has samples: {}", line.text));
            }
        } else if line.uve.starts_with("AggProxySum-") {
            let sum = line.data["value"]["value"].as_u64().unwrap();
            match expected.get(&window) {
                Some((low, high)) if (*low..=*high).contains(&sum) => {
                    // A shard whose first records were deleted begins in the middle of a window.
                    let is_first = first_windows.get(&shard_of(&line.key)) == Some(&line.start);
                    if sum < *high && line.data["partial"] != true && lacking.contains(&window) && !is_first {
                        found.push(format!("not partial although samples were deleted unread: {}", line.text));
                    }
                }
                other => found.push(format!("{} where {other:?} is expected", line.text)),
            }
        }
    }
    let is_shown = |window: &(String, u64)| {
        lines.iter().any(|it| {
            it.uve.starts_with("AggProxySum-")
                && it.data["deleted"] == false
                && (&it.key, it.start) == (&window.0, window.1)
        })
    };
    expected.retain(|window, (low, _)| *low > 0 && !is_shown(window));
    if !expected.is_empty() {
        found.push(format!("no result for {expected:?}"));
    }
}

/// The numbers of alarms that fired and that ended.
pub(super) fn alarms(world: &World) -> (u64, u64) {
    let (mut fired, mut ended) = (BTreeSet::new(), 0);
    for line in read_lines(world).into_iter().filter(|line| line.uve == ALARMS) {
        let of = |list: &str| line.data[list].as_array().cloned().unwrap_or_default();
        fired.extend(of("alarms").into_iter().map(|alarm| (line.key.clone(), alarm["timestamp"].to_string())));
        ended += of("resolved").iter().filter(|alarm| alarm["state"] == "resolved").count() as u64;
    }
    (fired.len() as u64, ended)
}

/// Every object has the lines of a run of one worker without faults, its alarms included: none fires twice, and no end
/// is lost.
fn lines_equal_the_reference(world: &World, lines: &[Line], expected: &[Line], found: &mut Vec<String>) {
    let damaged = world.gaps.borrow();
    let by_object = |lines: &[Line]| {
        let mut sorted: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        // Over a growth the windows that are partial, which count neither way for an alarm, depend on the schedule.
        let is_known = |line: &&Line| !(world.kinds.grows && line.uve == ALARMS);
        for line in lines.iter().filter(|line| !damaged.contains(&shard_of(&line.key))).filter(is_known) {
            sorted.entry((line.key.clone(), line.uve.clone())).or_default().push(line.text.clone());
        }
        sorted
    };
    let (lines, expected) = (by_object(lines), by_object(expected));
    for object in lines.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        let (actual, due) = (lines.get(object), expected.get(object));
        if actual != due {
            let none = Vec::new();
            let (actual, due) = (actual.unwrap_or(&none), due.unwrap_or(&none));
            let same = actual.iter().zip(due).take_while(|(actual, due)| actual == due).count();
            let (actual, due) = (actual.get(same), due.get(same));
            found.push(format!("{object:?} has\n  {actual:?} where\n  {due:?} is expected"));
        }
    }
}
