//! The tables of the book that follow from the entries of the menu, each with the page and the name of its markers.

use std::fmt::Write as _;

use derived_stats::column::{InlineColumn, WindowColumn};
use derived_stats::entry::{Argument, Entry, Given, ResultType, Roles};
use derived_stats::{Context, DETECTOR_CALL, Spec, ValueType, menu};

/// A table of a page, between `<!-- menu:NAME:begin -->` and `<!-- menu:NAME:end -->`.
pub(crate) struct Table {
    /// The page, from the folder of the crate.
    pub(crate) page: &'static str,
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

pub(crate) fn tables() -> [Table; 3] {
    let reference = "../docs/src/reference/annotations.md";
    [
        Table { page: reference, name: "algorithms", text: algorithms() },
        Table { page: reference, name: "arguments", text: arguments() },
        Table { page: "../docs/src/guide/choosing.md", name: "costs", text: costs() },
    ]
}

impl Table {
    /// The page with this table in the place of the one that it has.
    ///
    /// # Errors
    ///
    /// A sentence if the markers are not there.
    pub(crate) fn replaced_in(&self, page: &str) -> Result<String, String> {
        let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- menu:{}:{edge} -->\n", self.name));
        let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
        let (before, after) = parts.ok_or_else(|| format!("{} has no {begin} and {end}", self.page))?;
        Ok(format!("{before}{begin}{}{end}{after}", self.text))
    }
}

/// Detectors last; otherwise as the menu has them.
fn entries() -> Vec<&'static Entry> {
    let mut entries = menu().to_vec();
    entries.sort_by_key(|entry| (entry.roles().detector, entry.name()));
    entries
}

fn roles(roles: Roles) -> String {
    let Roles { inline, period, pre_aggregation, detector } = roles;
    let names = [(inline, "inline"), (period, "period"), (pre_aggregation, "pre"), (detector, "detector")];
    let names: Vec<&str> = names.into_iter().filter_map(|(has, name)| has.then_some(name)).collect();
    names.join(", ")
}

fn prefix(entry: &Entry) -> String {
    if entry.roles().detector { format!("{DETECTOR_CALL}:") } else { String::new() }
}

/// The form in an annotation, such as `DSPercentile:percentiles[:error[:range]]`.
fn form(entry: &Entry) -> String {
    let mut form = prefix(entry) + entry.name();
    let (named, others): (Vec<_>, Vec<_>) = entry.argument_list().iter().partition(|argument| argument.is_named());
    let mut open = 0;
    for argument in others {
        let bracket = if argument.is_required() { "" } else { "[" };
        open += bracket.len();
        let _ = write!(form, "{bracket}:{}", argument.name());
    }
    form.push_str(&"]".repeat(open));
    for argument in named {
        let _ = write!(form, "[:{}=]", argument.name());
    }
    form
}

fn algorithms() -> String {
    let mut table = "| algorithm | where | result |\n|---|---|---|\n".to_owned();
    for entry in entries() {
        let _ = writeln!(table, "| `{}` | {} | {} |", form(entry), roles(entry.roles()), escaped(entry.summary()));
    }
    table
}

/// A bar would end the cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The default as the table shows it.
fn default(entry: &Entry, argument: &Argument) -> String {
    if let Some((index, factor)) = argument.absent_by() {
        let other = entry.argument_list()[index].name();
        return if factor == 1 { format!("`{other}`") } else { format!("{factor} × `{other}`") };
    }
    match argument.absent() {
        Some(text) => text,
        None if argument.is_required() => "required".to_owned(),
        None => "none".to_owned(),
    }
}

/// Arguments with the same form, range and default are one row.
fn arguments() -> String {
    let mut rows: Vec<([String; 3], Vec<&str>)> = Vec::new();
    for entry in entries() {
        for argument in entry.argument_list() {
            let name = format!("{}{}", argument.name(), if argument.is_named() { "=" } else { "" });
            let row = [name, escaped(argument.expected()), default(entry, argument)];
            match rows.iter_mut().find(|(known, _)| *known == row) {
                Some((_, names)) => names.push(entry.name()),
                None => rows.push((row, vec![entry.name()])),
            }
        }
    }
    let mut table = "| argument | form and range | default | of |\n|---|---|---|---|\n".to_owned();
    for ([name, expected, default], names) in rows {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(table, "| `{name}` | {expected} | {default} | {} |", names.join(", "));
    }
    table
}

/// The required arguments, as an example.
fn call(entry: &Entry) -> String {
    let example = entry.example();
    let separator = if example.is_empty() { "" } else { ":" };
    format!("{}{}{separator}{example}", prefix(entry), entry.name())
}

/// The bytes of an object in a column, without what its state allocates.
fn bytes(entry: &Entry) -> usize {
    const OBJECTS: usize = 64;
    let period = if entry.roles().period { "1-" } else { "" };
    let annotation = format!("{period}raw:{}", call(entry));
    let spec = Spec::parse(&annotation, Context::new(ValueType::U64)).expect("the example of an entry compiles");
    if entry.roles().period {
        let mut column = WindowColumn::new(&spec).expect("it has a period");
        column.reserve(OBJECTS);
        return column.bytes() / OBJECTS;
    }
    let mut column = InlineColumn::new(&spec).expect("it is inline");
    column.reserve(OBJECTS);
    column.bytes() / OBJECTS
}

/// The names of the fields of a result, those of a group as `group.name`.
fn fields(entry: &Entry) -> String {
    let ResultType::Struct(name) = entry.result_type() else { return "a number".to_owned() };
    let example = entry.example();
    let texts: Vec<&str> = example.split(':').filter(|text| !text.is_empty()).collect();
    let given = Given::check(entry.argument_list(), &texts).expect("the example of an entry is valid");
    let number = entry.fields(&given, ValueType::U64).len();
    format!("`{name}`, {number} fields")
}

fn costs() -> String {
    let mut table =
        "| write | result | has | bytes an object | of texts | merges |\n|---|---|---|---|---|---|\n".to_owned();
    let yes = |is: bool| if is { "yes" } else { "" };
    for entry in entries() {
        let (texts, merges) = (yes(entry.takes_texts()), yes(entry.claim_list().merges));
        let (summary, fields) = (escaped(entry.summary()), fields(entry));
        let _ = writeln!(table, "| `{}` | {summary} | {fields} | {} | {texts} | {merges} |", call(entry), bytes(entry));
    }
    table
}
