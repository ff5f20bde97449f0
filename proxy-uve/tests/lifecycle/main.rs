//! The liveness of objects, end to end: vectors of the original's `UVEAggregator`, generated senders and caches.
//!
//! Source: Contrail's `uve_aggregator.cc`, `sandesh_uve.h` and the output of its Sandesh compiler, unmodified, driven
//! by a script of messages and timer ticks. A failure means that we diverged; do not relax it.
//!
//! For every record the plain model of `model.rs` must agree with the table. A record in no list must agree with the
//! original too. A record in a list must differ from it, so that no list can rot, and the model must agree with the
//! original once the quirks of that list are switched on, so that no list can hide another deviation.
//!
//! Same everywhere, and therefore in no list: `deleted` is always there, also when it is false; results of detectors
//! come after the warm-up and then with every period, `SKIP` or not; the first silent period feeds one zero.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

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
    Deviation {
        reason: "the message of a deletion has no value: the zero of the silent period is not a result that should be shown",
        quirks: &[Quirk::DeletedWithValue],
        records: &[
            "life-00003",
            "life-00091",
            "life-00093",
            "life-00095",
            "life-00097",
            "life-00099",
            "life-00101",
            "life-00143",
            "life-00145",
            "life-00163",
            "life-00193",
            "life-00203",
            "life-00209",
            "life-00213",
            "life-00217",
        ],
    },
    Deviation {
        reason: "a partition that moves takes its objects along: nothing is deleted, forgotten or read twice",
        quirks: &[Quirk::ClearForgets],
        records: &[
            "life-00023",
            "life-00161",
            "life-00165",
            "life-00167",
            "life-00173",
            "life-00177",
            "life-00181",
            "life-00185",
            "life-00187",
            "life-00191",
            "life-00195",
            "life-00197",
            "life-00199",
            "life-00205",
            "life-00207",
            "life-00211",
        ],
    },
    Deviation {
        reason: "a partition that moves takes its objects along, and the message of a deletion has no value",
        quirks: &[Quirk::ClearForgets, Quirk::DeletedWithValue],
        records: &[
            "life-00011",
            "life-00159",
            "life-00169",
            "life-00171",
            "life-00179",
            "life-00189",
            "life-00201",
            "life-00215",
        ],
    },
    Deviation {
        reason: "an object is deleted once, after exactly `timeout` silent periods, whatever the phase of the process",
        quirks: &[Quirk::PhasedTimeout],
        records: &[
            "life-00103",
            "life-00105",
            "life-00107",
            "life-00109",
            "life-00111",
            "life-00113",
            "life-00123",
            "life-00125",
            "life-00153",
        ],
    },
    Deviation {
        reason: "the same, and the message of the deletion has no value",
        quirks: &[Quirk::DeletedWithValue, Quirk::PhasedTimeout],
        records: &[
            "life-00115",
            "life-00117",
            "life-00119",
            "life-00121",
            "life-00127",
            "life-00129",
            "life-00131",
            "life-00133",
            "life-00135",
            "life-00137",
            "life-00147",
            "life-00149",
            "life-00155",
            "life-00157",
        ],
    },
];

/// Scenarios of one message each, about its payload or key: see `payloads.rs`.
fn is_about_a_payload(scenario: &str) -> bool {
    ["crash-", "key-", "payload-"].iter().any(|prefix| scenario.starts_with(prefix))
}

#[test]
fn tables_and_model_and_original_agree_or_differ_where_we_decided_so() {
    let listed = |id: &str| DEVIATIONS.iter().find(|deviation| deviation.records.contains(&id));
    let (mut differences, mut same, mut deviating) = (Vec::new(), 0, 0);
    for record in records().iter().filter(|record| !is_about_a_payload(text(record, "scenario"))) {
        let id = text(record, "id");
        let (mut tables, mut plain) = (Tables::new(record), Model::new(&types(record), &[]));
        let deviation = listed(id);
        let mut quirky = Model::new(&types(record), deviation.map_or(&[], |deviation| deviation.quirks));
        let mut differs = false;
        for (index, event) in events(record).iter().enumerate() {
            let (ours, theirs) = (tables.apply(event), original(event));
            let location = format!("{id} {} event {index}", text(record, "scenario"));
            compare(&mut differences, &location, ["table", "model"], [&ours, &plain.apply(event)]);
            compare(&mut differences, &location, ["model with quirks", "original"], [&quirky.apply(event), &theirs]);
            differs |= ours != theirs;
        }
        match deviation {
            Some(Deviation { reason, .. }) if !differs => {
                differences.push(format!("{id} no longer deviates: {reason}"))
            }
            Some(_) => deviating += 1,
            None => same += 1,
        }
    }
    println!("lifecycle: {same} records as the original, {deviating} deviate");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
    let in_lists: usize = DEVIATIONS.iter().map(|deviation| deviation.records.len()).sum();
    assert_eq!((same, deviating), (23, in_lists), "is the file cut off?");
}

fn compare(differences: &mut Vec<String>, location: &str, names: [&str; 2], sides: [&Sent; 2]) {
    if sides[0] != sides[1] {
        differences.push(format!("{location}\n  {}: {:?}\n  {}: {:?}", names[0], sides[0], names[1], sides[1]));
    }
}
