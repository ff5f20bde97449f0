//! Closes a window and waits for its results: `kafka_close BROKERS TOPIC RESULTS_TOPIC OBJECTS SECOND`.
//!
//! Into each partition goes one record of event time `SECOND` after the start, which must lie behind the window by more
//! than the allowed lateness. The clock runs from just before the first of them is queued until `OBJECTS` results, and
//! the first and half of them, can be read by one who sees only what is committed.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use benches::kafka::{Publisher, TIMEOUT, number, read, seconds};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, results, objects, second] = &arguments[..] else {
        bail!("usage: kafka_close BROKERS TOPIC RESULTS_TOPIC OBJECTS SECOND");
    };
    let (objects, second) = (number(objects)?, number(second)?);
    let mut publisher = Publisher::new(brokers, topic)?;
    let reader = read(brokers, results, Offset::End)?;
    let closing = one_of_each_partition(&mut publisher);
    // The reader stands at the end and waits there, as one of a running system does.
    match reader.consumer.poll(TIMEOUT) {
        Some(Err(KafkaError::PartitionEOF(_))) => {}
        other => bail!("the results do not rest: {other:?}"),
    }
    let began = seconds();
    for object in closing {
        publisher.publish(object, second * 1_000_000, 1)?;
    }
    publisher.flush()?;
    let published = seconds() - began;
    let (mut seen, mut first, mut half) = (0, 0.0, 0.0);
    while seen < objects {
        match reader.consumer.poll(TIMEOUT) {
            Some(Ok(message)) => {
                let before = seen;
                seen += results_in(message.payload().unwrap_or_default());
                if before == 0 {
                    first = seconds() - began;
                }
                if before < objects / 2 && seen >= objects / 2 {
                    half = seconds() - began;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => return Err(error).context("read the results"),
            None => bail!("{seen} of {objects} results came"),
        }
    }
    let last = seconds() - began;
    println!("results={seen} published={published:.3} first={first:.3} half={half:.3} last={last:.3}");
    Ok(())
}

/// How many results a message holds: a line each, or what the head of a block counts.
fn results_in(message: &[u8]) -> u64 {
    match message {
        [0xB5, _version, rows @ ..] => rows.first_chunk().map_or(0, |rows| u32::from_le_bytes(*rows).into()),
        lines => lines.split(|byte| *byte == b'\n').count() as u64,
    }
}

/// The first object of each partition.
fn one_of_each_partition(publisher: &mut Publisher) -> Vec<u64> {
    let (mut seen, mut objects) = (BTreeSet::new(), Vec::new());
    for object in 0.. {
        if seen.len() == publisher.partitions() as usize {
            break;
        }
        if seen.insert(publisher.partition_of(object)) {
            objects.push(object);
        }
    }
    objects
}
