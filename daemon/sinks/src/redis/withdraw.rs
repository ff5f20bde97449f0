//! Removes everything that a generator has in Redis, as the collector does for a generator that is gone
//! (`contrail-collector/delrequest.lua`), in steps that do not hold up readers.
//!
//! Each removal is announced to alarm-gen, as the collector does. The transaction of a step stores the messages in a set,
//! from which they are removed once Kafka has them, so that a kill in between loses none.

use ::redis::{Pipeline, RedisResult};
use proxy_uve::key::ObjectKey;

use super::connection::Connection;
use super::delivery::{Delivery, Stopped};
use super::marker::{Marker, MarkerKey};
use super::transaction::{Names, UveMessage};

/// The number of objects that are removed in one transaction.
const STEP: isize = 1_000;

/// Removes the marker `found`, and then all structs of the generator. Returns `false`, with a part of them removed, if
/// another daemon changed or set the marker meanwhile: it removes the rest itself, and writes results already.
pub(super) fn all(delivery: &mut Delivery, names: &Names, marker: &MarkerKey, found: Marker) -> Result<bool, Stopped> {
    announce(delivery, names)?;
    if !remove(delivery, marker, found, marker.key().to_owned())? {
        return Ok(false);
    }
    let types = names.types_key();
    for uve in delivery.exchange(move |connection| members(connection, &types))? {
        loop {
            let (names, marker) = (names.clone(), marker.clone());
            let (of_step, uve) = (names.clone(), uve.clone());
            let step = delivery.exchange(move |connection| step(connection, &of_step, &marker, &uve))?;
            announce(delivery, &names)?;
            match step {
                Step::Changed => return Ok(false),
                Step::Done => break,
                Step::More => {}
            }
        }
    }
    remove(delivery, marker, Marker::default(), names.types_key())
}

/// Publishes the messages of withdrawals that are not published yet.
fn announce(delivery: &mut Delivery, names: &Names) -> Result<(), Stopped> {
    while names.has_messages() {
        let set = names.withdrawn_key();
        // Those of one step, and of one that a kill has cut off.
        let stored = delivery.exchange(move |connection| members(connection, &set))?;
        if stored.is_empty() {
            break;
        }
        let messages = stored.iter().filter_map(|text| text.split_once(' ')).map(|(topic, key)| UveMessage {
            topic: topic.to_owned(),
            key: key.to_owned(),
            payload: String::new(),
        });
        delivery.publish(messages.collect())?;
        let set = names.withdrawn_key();
        delivery.exchange(move |connection| ::redis::cmd("SREM").arg(set).arg(stored).exec(connection))?;
    }
    Ok(())
}

/// Deletes a key if the marker is still `expected`; returns whether it was.
fn remove(delivery: &mut Delivery, marker: &MarkerKey, expected: Marker, key: String) -> Result<bool, Stopped> {
    let mut command = Pipeline::new();
    command.atomic().cmd("DEL").arg(key).ignore();
    delivery.commit(marker, expected, command)
}

/// The outcome of a step.
enum Step {
    /// There is a marker.
    Changed,
    Done,
    More,
}

fn members(connection: &mut Connection, set: &str) -> RedisResult<Vec<String>> {
    ::redis::cmd("SMEMBERS").arg(set).query(connection)
}

/// Removes the first objects of a struct, while there is no marker.
fn step(connection: &mut Connection, names: &Names, marker: &MarkerKey, uve: &str) -> RedisResult<Step> {
    let set = names.uves_key(uve);
    let keys: Vec<String> = ::redis::cmd("ZRANGE").arg(&set).arg(0).arg(STEP - 1).query(connection)?;
    if keys.is_empty() {
        return Ok(Step::Done);
    }
    let parts = ::redis::cmd("HMGET").arg(names.parts_key(uve)).arg(&keys).query::<Vec<Option<String>>>(connection)?;
    let mut commands = Pipeline::new();
    commands.atomic();
    for (key, part) in keys.iter().zip(parts) {
        match ObjectKey::parse_within(key.as_bytes(), usize::MAX) {
            Ok(object) => {
                let (place, part) = (names.place(object, uve), part.as_deref().unwrap_or_default());
                place.leave(&mut commands, part);
                if let Some(UveMessage { topic, key, .. }) = place.withdrawal(part) {
                    // No name of a topic has a blank.
                    commands.cmd("SADD").arg(names.withdrawn_key()).arg(format!("{topic} {key}")).ignore();
                }
            }
            Err(_) => {
                commands.cmd("ZREM").arg(&set).arg(key).ignore();
            }
        }
    }
    let committed = marker.commit(connection, &Marker::default(), &commands)?;
    Ok(if committed.is_some() { Step::More } else { Step::Changed })
}
