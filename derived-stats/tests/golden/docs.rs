//! The page of deviations contains the records of the lists.

use std::collections::BTreeSet;
use std::fs;

use crate::verdict::Verdict;
use crate::{ewm, maps, periodic, simple, sum_avg};

const VERDICTS: [Verdict<'_>; 5] = [ewm::VERDICT, sum_avg::VERDICT, simple::VERDICT, periodic::VERDICT, maps::VERDICT];

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/reference/deviations.md")).unwrap()
}

/// The ids in a text: a file's prefix, `-`, and five digits.
fn ids(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    let is_id = |word: &&str| {
        word.split_once('-').is_some_and(|(file, number)| {
            ["ewm", "map", "per", "simple", "sum"].contains(&file) && number.len() == 5 && number.parse::<u32>().is_ok()
        })
    };
    words.filter(is_id).collect()
}

#[test]
fn the_page_of_deviations_names_every_listed_vector_and_no_other() {
    let page = page();
    let listed: BTreeSet<&str> = VERDICTS.iter().flat_map(Verdict::ids).collect();
    assert_eq!(ids(&page), listed);
}

#[test]
fn the_page_of_deviations_has_the_right_counts() {
    let page = page();
    for verdict in &VERDICTS {
        let [same, deviating, refused] = verdict.counts();
        let row = format!("| `{}` | {} | {same} | {deviating} | {refused} |", verdict.file, verdict.records);
        assert!(page.contains(&row), "the page lacks the row {row}");
    }
}
