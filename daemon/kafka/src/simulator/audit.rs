//! What must hold when a schedule has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use proxy_uve::{Table, wire};
use serde_json::Value;

use crate::simulator::brokers::{SHARDS, Sent};
use crate::simulator::world::World;
use crate::state;

/// A window of a minute, as the built-in types have.
const PERIOD: u64 = 60_000_000;

/// Every violation, in words.
pub(super) fn violations(world: &World, reference: &World) -> Vec<String> {
    let mut found = Vec::new();
    each_shard_counts_every_record(world, &mut found);
    dead_letters_are_there_once(world, &mut found);
    let (lines, expected) = (read_lines(world), read_lines(reference));
    sums_are_right(world, &lines, &mut found);
    lines_are_those_of_a_quiet_day(world, &lines, &expected, &mut found);
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
            // Which record of two partitions was the very first is up to the moment.
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

/// A sample of the input: object, window, value.
fn sample(sent: &Sent) -> Option<(String, u64, u64)> {
    let sample = wire::decode(&sent.payload).ok()?;
    let value = sample.value.to_string().parse().ok()?;
    let key = String::from_utf8(sent.key.clone()).ok().filter(|key| !key.is_empty())?;
    Some((key, sample.timestamp - sample.timestamp % PERIOD, value))
}

fn each_shard_counts_every_record(world: &World, found: &mut Vec<String>) {
    let brokers = world.brokers.borrow();
    for shard in 0..SHARDS {
        let saved = match state::decode(&brokers.state(shard)) {
            Ok(Some(saved)) => saved,
            Ok(None) => Default::default(),
            Err(reason) => {
                found.push(format!("the state of {shard} cannot be used: {reason}"));
                continue;
            }
        };
        if brokers.stable_end(shard) < brokers.high_watermark(shard) {
            found.push(format!("a transaction of {shard} is open for ever"));
        }
        let sources = || (usize::from(shard)..brokers.inputs.len()).step_by(usize::from(SHARDS));
        for source in sources() {
            let cursor = saved.head.cursors.get(&(source as u16)).copied().unwrap_or(0);
            let committed = brokers.offsets.get(&(source as u16)).copied().unwrap_or(0);
            if cursor != committed {
                found.push(format!("{source}: offset {committed} was committed with a state that is at {cursor}"));
            }
        }
        let sent: u64 = sources().map(|source| brokers.inputs[source].sent.len() as u64).sum();
        let uncertain = world.uncertain.borrow().iter().filter(|(it, _)| it % SHARDS == shard).count() as u64;
        let fates = match saved.head.meta.is_empty() {
            true => proxy_uve::Fates::default(),
            false => {
                let chunks = saved.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
                let plan = world.materials.streams[0].plan.clone();
                *Table::restore(plan, world.materials.table, &saved.head.meta, chunks).unwrap().0.fates()
            }
        };
        if !(sent - uncertain..=sent).contains(&fates.total()) {
            found.push(format!("{shard}: {sent} records were sent, {uncertain} cut off, {} applied", fates.total()));
        }
        if fates.late + fates.duplicate + fates.future > 0 {
            found.push(format!("{shard}: records were turned away: {fates:?}"));
        }
    }
}

fn dead_letters_are_there_once(world: &World, found: &mut Vec<String>) {
    let brokers = world.brokers.borrow();
    let mut letters: BTreeMap<(u16, u64), usize> = BTreeMap::new();
    for letter in brokers.committed_dead_letters() {
        let place = (letter.source.partition, letter.offset);
        *letters.entry(place).or_default() += 1;
        let of_place = brokers.inputs[usize::from(place.0)].sent.iter().find(|sent| sent.offset == place.1);
        if !of_place.is_some_and(|sent| sent.key == letter.key && sent.payload == letter.payload) {
            found.push(format!("the dead letter of {place:?} is another's"));
        }
    }
    for (partition, input) in (0u16..).zip(&brokers.inputs) {
        for sent in &input.sent {
            let place = (partition, sent.offset);
            let count = letters.remove(&place).unwrap_or(0);
            let is_cut = count == 0 && world.uncertain.borrow().contains(&place);
            if count != usize::from(sample(sent).is_none()) && !is_cut {
                found.push(format!("{place:?} is a dead letter {count} times"));
            }
        }
    }
}

/// The sums of a naive fold over the sorted input: the least and the most, as some may have been cut off.
fn expected_sums(world: &World) -> BTreeMap<(String, u64), (u64, u64)> {
    let brokers = world.brokers.borrow();
    let mut sums: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    for (partition, input) in (0u16..).zip(&brokers.inputs) {
        for sent in &input.sent {
            let Some((key, window, value)) = sample(sent) else { continue };
            let sum = sums.entry((key, window)).or_default();
            sum.1 += value;
            if !world.uncertain.borrow().contains(&(partition, sent.offset)) {
                sum.0 += value;
            }
        }
    }
    sums
}

fn sums_are_right(world: &World, lines: &[Line], found: &mut Vec<String>) {
    let (mut expected, damaged) = (expected_sums(world), world.gaps.borrow());
    let mut seen = BTreeSet::new();
    for line in lines {
        let place = (line.key.clone(), line.start);
        if !seen.insert((&line.uve, place.clone())) {
            found.push(format!("twice: {}", line.text));
        }
        if line.data["deleted"] == true {
            // Where input was cut off an object may have been silent after all.
            if expected.contains_key(&place) && !damaged.contains(&shard_of(&line.key)) {
                found.push(format!("deleted although it has samples: {}", line.text));
            }
        } else if line.uve.starts_with("AggProxySum-") {
            let sum = line.data["value"]["value"].as_u64().unwrap();
            match expected.get(&place) {
                Some((low, high)) if (*low..=*high).contains(&sum) => {}
                other => found.push(format!("{} where {other:?} is expected", line.text)),
            }
        }
    }
    let is_shown = |place: &(String, u64)| {
        lines.iter().any(|it| {
            it.uve.starts_with("AggProxySum-")
                && it.data["deleted"] == false
                && (&it.key, it.start) == (&place.0, place.1)
        })
    };
    expected.retain(|place, (low, _)| *low > 0 && !is_shown(place));
    if !expected.is_empty() {
        found.push(format!("no result for {expected:?}"));
    }
}

/// Everything is as if one worker had read the input undisturbed.
fn lines_are_those_of_a_quiet_day(world: &World, lines: &[Line], expected: &[Line], found: &mut Vec<String>) {
    let damaged = world.gaps.borrow();
    let by_object = |lines: &[Line]| {
        let mut sorted: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for line in lines.iter().filter(|line| !damaged.contains(&shard_of(&line.key))) {
            sorted.entry((line.key.clone(), line.uve.clone())).or_default().push(line.text.clone());
        }
        sorted
    };
    let (lines, expected) = (by_object(lines), by_object(expected));
    for object in lines.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        let (shown, due) = (lines.get(object), expected.get(object));
        if shown != due {
            let none = Vec::new();
            let (shown, due) = (shown.unwrap_or(&none), due.unwrap_or(&none));
            let same = shown.iter().zip(due).take_while(|(shown, due)| shown == due).count();
            let (shown, due) = (shown.get(same), due.get(same));
            found.push(format!("{object:?} shows\n  {shown:?} where\n  {due:?} is expected"));
        }
    }
}
