//! The life of objects, end to end: vectors of the original's `UVEAggregator`, generated senders and caches.
//!
//! Source: Contrail's `uve_aggregator.cc`, `sandesh_uve.h` and the output of its Sandesh compiler, unmodified, driven by
//! a script of messages and timer ticks. A failure means that we diverged; do not relax it.
//!
//! For every record the plain model of `model.rs` must agree with the table. A record in no list must agree with the
//! original too. A record in a list must differ from it, so that no list can rot, and the model must agree with the
//! original once the quirks of that list are switched on, so that no list can hide another deviation.
//!
//! Same everywhere, and therefore in no list: `deleted` is always there, also when it is false; results of detectors
//! come after the warm-up and then with every period, `SKIP` or not; the first silent period feeds one zero.

mod model;
mod payloads;
mod record;
mod table;

use crate::model::{Model, Quirk};
use crate::record::{Sent, events, original, records, text, types};
use crate::table::Tables;

/// Records in which a table decides otherwise than the original, and why.
struct Deviation {
    reason: &'static str,
    quirks: &'static [Quirk],
    records: &'static [&'static str],
}

const DEVIATIONS: &[Deviation] = &[
];

/// Scenarios of one message each, about its payload or key: see `payloads.rs`.
fn is_about_a_payload(scenario: &str) -> bool {
    ["crash-", "key-", "payload-"].iter().any(|prefix| scenario.starts_with(prefix))
}

#[test]
fn tables_and_model_and_original_agree_or_differ_where_we_decided_so() {
    let listed = |id: &str| DEVIATIONS.iter().find(|deviation| deviation.records.contains(&id));
    let (mut faults, mut same, mut deviating) = (Vec::new(), 0, 0);
    for record in records().iter().filter(|record| !is_about_a_payload(text(record, "scenario"))) {
        let id = text(record, "id");
        let (mut tables, mut plain) = (Tables::new(record), Model::new(&types(record), &[]));
        let deviation = listed(id);
        let mut quirky = Model::new(&types(record), deviation.map_or(&[], |deviation| deviation.quirks));
        let mut differs = false;
        for (index, event) in events(record).iter().enumerate() {
            let (ours, theirs) = (tables.apply(event), original(event));
            let place = format!("{id} {} event {index}", text(record, "scenario"));
            fault(&mut faults, &place, ["table", "model"], [&ours, &plain.apply(event)]);
            fault(&mut faults, &place, ["model with quirks", "original"], [&quirky.apply(event), &theirs]);
            differs |= ours != theirs;
        }
        match deviation {
            Some(Deviation { reason, .. }) if !differs => faults.push(format!("{id} no longer deviates: {reason}")),
            Some(_) => deviating += 1,
            None => same += 1,
        }
    }
    println!("lifecycle: {same} records as the original, {deviating} deviate");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert_eq!(same + deviating, DEVIATIONS.iter().map(|deviation| deviation.records.len()).sum::<usize>() + same);
    assert_eq!(same + deviating, RECORDS);
}

/// Records that are not about a payload.
const RECORDS: usize = 86;

fn fault(faults: &mut Vec<String>, place: &str, names: [&str; 2], sides: [&Sent; 2]) {
    if sides[0] != sides[1] {
        faults.push(format!("{place}\n  {}: {:?}\n  {}: {:?}", names[0], sides[0], names[1], sides[1]));
    }
}
