//! The tables of the documentation contain the entries of the menu with their roles, and no others.

#[path = "../../examples/menu/tables.rs"]
mod tables;

use std::collections::BTreeSet;
use std::fs;

use derived_stats::column::{InlineColumn, WindowColumn};
use derived_stats::entry::{Entry, Roles};
use derived_stats::{Context, DETECTOR_CALL, Spec, ValueType, menu};

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

#[test]
fn the_tables_of_the_book_follow_from_the_menu() {
    for table in tables::tables() {
        let path = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), table.page);
        let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let name = table.name;
        let written = table.replaced_in(&page).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            page == written,
            "{path} has another table {name}: write it with `cargo run -p derived-stats --example menu`"
        );
    }
}

/// The bytes of an object in a column, without what its state allocates.
fn bytes(entry: &Entry) -> usize {
    const OBJECTS: usize = 64;
    let roles = entry.roles();
    let prefix = if roles.period { "1-raw:" } else { "raw:" };
    let detector = if roles.detector { "DSAnomaly:" } else { "" };
    let annotation = format!("{prefix}{detector}{}:{}", entry.name(), entry.example());
    let spec = Spec::parse(annotation.trim_end_matches(':'), Context::new(ValueType::U64)).unwrap();
    if roles.period {
        let mut column = WindowColumn::new(&spec).unwrap();
        column.reserve(OBJECTS);
        return column.bytes() / OBJECTS;
    }
    let mut column = InlineColumn::new(&spec).unwrap();
    column.reserve(OBJECTS);
    column.bytes() / OBJECTS
}

#[test]
fn the_table_of_costs_is_the_menu_with_its_bytes() {
    let first = |cell: String| cell.split(',').next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    let rows = rows("../docs/src/design/performance.md", "| algorithm | bytes |");
    let found: BTreeSet<(String, usize)> = rows.into_iter().map(|(name, cell)| (name, first(cell))).collect();
    let expected = menu().iter().map(|entry| (entry.name().to_owned(), bytes(entry))).collect();
    assert_eq!(found, expected, "write the table with `cargo run --release -p derived-stats --example costs`");
}
