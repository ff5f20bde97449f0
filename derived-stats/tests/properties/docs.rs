//! The tables of the documentation contain the entries of the menu with their roles, and no others.

use std::collections::BTreeSet;
use std::fs;

use derived_stats::entry::Roles;
use derived_stats::{DETECTOR_CALL, menu};

/// Name and roles of each row: of the first column the texts in backticks, and the second.
fn rows(file: &str, heading: &str) -> BTreeSet<(String, String)> {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let table = lines.skip_while(|line| !line.starts_with(heading)).take_while(|line| line.starts_with('|')).skip(2);
    let mut rows = BTreeSet::new();
    for line in table {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let names = cells[1].split('`').skip(1).step_by(2);
        rows.extend(names.map(|annotation| (name(annotation), cells[2].to_owned())));
    }
    rows
}

/// The entry's name in an annotation without attribute, such as `DSAnomaly:EWM:a`.
fn name(annotation: &str) -> String {
    let call = annotation.strip_prefix(DETECTOR_CALL).and_then(|rest| rest.strip_prefix(':')).unwrap_or(annotation);
    call.split([':', '[']).next().unwrap().to_owned()
}

fn roles(roles: Roles) -> String {
    let Roles { inline, period, pre_aggregation, detector } = roles;
    let names = [(inline, "inline"), (period, "period"), (pre_aggregation, "pre"), (detector, "detector")];
    let names: Vec<&str> = names.into_iter().filter_map(|(has, name)| has.then_some(name)).collect();
    names.join(", ")
}

#[test]
fn the_tables_of_the_documentation_are_the_menu() {
    let expected: BTreeSet<_> = menu().iter().map(|entry| (entry.name().to_owned(), roles(entry.roles()))).collect();
    assert_eq!(rows("../docs/src/reference/annotations.md", "| algorithm | where |"), expected);
    assert_eq!(rows("src/algorithm.rs", "| annotation | where |"), expected);
}
