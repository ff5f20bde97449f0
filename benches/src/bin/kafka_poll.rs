//! Reads a whole topic: `kafka_poll BROKERS TOPIC` does nothing with it, the most that a reader can reach; `kafka_poll
//! BROKERS TOPIC results` adds up the results in it by window.
//!
//! The clock runs from the first record to the last.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use benches::kafka::{Reader, TIMEOUT, cpu_seconds, read, seconds};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (brokers, topic, adds) = match &arguments[..] {
        [brokers, topic] => (brokers, topic, false),
        [brokers, topic, results] if results == "results" => (brokers, topic, true),
        _ => bail!("usage: kafka_poll BROKERS TOPIC [results]"),
    };
    let reader = read(brokers, topic, Offset::Beginning)?;
    let mut windows = BTreeMap::new();
    drain(&reader, |payload| if adds { add(payload, &mut windows) } else { Ok(()) })?;
    for (start, Window { results, total }) in windows {
        println!("window={start} results={results} total={total}");
    }
    Ok(())
}

/// Reads all that was there when the reader was made; prints what it cost.
fn drain(reader: &Reader, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut missing = reader.bounds.iter().filter(|(low, high)| low < high).count();
    let (mut records, mut began) = (0_u64, None);
    while missing > 0 {
        match reader.consumer.poll(TIMEOUT) {
            Some(Ok(message)) => {
                began.get_or_insert_with(|| (seconds(), cpu_seconds()));
                records += 1;
                each(message.payload().unwrap_or_default())?;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let bounds = reader.bounds.get(partition as usize);
                missing -= usize::from(bounds.is_some_and(|(low, high)| low < high));
            }
            Some(Err(error)) => return Err(error).context("read the topic"),
            None => bail!("nothing came for {TIMEOUT:?}, and {missing} partitions are not at their end"),
        }
    }
    let (wall, cpu) = began.unwrap_or_else(|| (seconds(), cpu_seconds()));
    println!("records={records} seconds={:.3} cpu={:.3}", seconds() - wall, cpu_seconds() - cpu);
    Ok(())
}

/// What is in a window; results without a value, which tell that an object was silent, are not counted.
#[derive(Default)]
struct Window {
    results: u64,
    total: u64,
}

fn add(payload: &[u8], windows: &mut BTreeMap<u64, Window>) -> Result<()> {
    let text = std::str::from_utf8(payload).context("read results")?;
    text.lines().try_for_each(|line| add_line(line, windows))
}

fn add_line(text: &str, windows: &mut BTreeMap<u64, Window>) -> Result<()> {
    let start = number_after(text, "\"start\":").with_context(|| format!("a result without a start: {text}"))?;
    let value = number_after(text, "\"value\":{\"value\":").unwrap_or(0);
    if value > 0 {
        let window = windows.entry(start).or_default();
        window.results += 1;
        window.total += value;
    }
    Ok(())
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = &text[text.find(name)? + name.len()..];
    rest[..rest.find(|it: char| !it.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_added_by_window_and_silence_is_not_counted() {
        let mut windows = BTreeMap::new();
        for (start, data) in [(60, r#"{"value":{"value":36}}"#), (60, r#"{"value":{"value":4}}"#), (120, "{}")] {
            let line = format!(r#"{{"key":"T:a","uve":"U","start":{start},"end":180,"data":{data}}}"#);
            add(line.as_bytes(), &mut windows).unwrap();
        }
        let seen: Vec<_> = windows.iter().map(|(start, window)| (*start, window.results, window.total)).collect();
        assert_eq!(seen, [(60, 2, 40)]);
        assert!(add(b"{}", &mut windows).is_err());
    }
}
