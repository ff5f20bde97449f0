//! Publishes samples: `kafka_fill BROKERS TOPIC RECORDS OBJECTS MINUTES`.
//!
//! Times rise over the minutes. Objects come in random order, the same on every machine; if the number of records is
//! just one a minute for each object, one after the other.

use anyhow::{Result, bail};
use benches::kafka::{Publisher, number, seconds};
use benches::{MINUTE, SplitMix64};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, records, objects, minutes] = &arguments[..] else {
        bail!("usage: kafka_fill BROKERS TOPIC RECORDS OBJECTS MINUTES");
    };
    let (records, objects, minutes) = (number(records)?, number(objects)?, number(minutes)?);
    let in_turn = records == objects * minutes;
    let began = seconds();
    let mut publisher = Publisher::new(brokers, topic)?;
    let mut random = SplitMix64(42);
    for index in 0..records {
        let object = if in_turn { index % objects } else { random.below(objects) };
        let at = (u128::from(index) * u128::from(minutes * MINUTE) / u128::from(records)) as u64;
        publisher.publish(object, at, 1 + random.below(250))?;
    }
    publisher.flush()?;
    println!("records={records} seconds={:.3}", seconds() - began);
    Ok(())
}
