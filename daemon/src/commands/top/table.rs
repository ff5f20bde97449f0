//! The table of two snapshots: a head line with the sums, then the partitions, those with the most lag first.
//!
//! Lines are cut to the width of the terminal, because a wrapped line would break the overwriting of the table.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use daemon_base::one_line::one_line;

use super::request::{Row, Snapshot};
use super::utc::utc;

/// The minimum width of stream names on a narrow terminal.
const NARROWEST_NAME: usize = 12;
const TITLES: [&str; 10] =
    ["stream", "partition", "owner", "cursor", "lag", "records/s", "dropped", "watermark", "objects", "closing"];
/// The columns of text, aligned left; the others have numbers, aligned right.
const NAMES: [usize; 4] = [0, 2, 7, 9];
const UNKNOWN: &str = "-";
/// The age in seconds from which on the head line has the age of the offsets.
const MAX_FRESH: u64 = 2;

/// The available size; `None` is unlimited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub width: Option<usize>,
    /// The lines of the terminal, one of which is the cursor's.
    pub height: Option<usize>,
}

/// The table of `newest`, with rates since `before`. `problem` is the error of the last request.
pub(super) fn lines(
    before: Option<&Snapshot>,
    newest: Option<&Snapshot>,
    problem: Option<&str>,
    size: Size,
) -> Vec<String> {
    let mut lines = Vec::new();
    match newest {
        None => lines.push(problem.unwrap_or_default().to_owned()),
        Some(newest) => {
            let rates = rates(before, newest);
            let head = head(newest, &rates);
            lines.push(problem.map_or_else(|| head.clone(), |problem| format!("{problem} (before: {head})")));
            table(newest, &rates, size, &mut lines);
        }
    }
    lines.iter().map(|line| cut(line, size.width.unwrap_or(usize::MAX))).collect()
}

/// The rate in records per second by stream and partition, if both snapshots have it and its cursor did not go back.
type Rates<'l> = BTreeMap<(&'l str, u16), u64>;

fn rates<'l>(before: Option<&'l Snapshot>, newest: &'l Snapshot) -> Rates<'l> {
    let Some(before) = before else { return Rates::new() };
    let cursors: BTreeMap<_, _> = before.rows.iter().map(|row| (id(row), row.cursor)).collect();
    let elapsed = u128::from(newest.at.saturating_sub(before.at)).max(1);
    let rate = |row: &'l Row| {
        let records = row.cursor.checked_sub(*cursors.get(&id(row))?)?;
        let rate = (u128::from(records) * 1_000_000 + elapsed / 2) / elapsed;
        Some((id(row), u64::try_from(rate).unwrap_or(u64::MAX)))
    };
    newest.rows.iter().filter_map(rate).collect()
}

fn id(row: &Row) -> (&str, u16) {
    (&row.stream, row.partition)
}

fn head(snapshot: &Snapshot, rates: &Rates<'_>) -> String {
    let owned = snapshot.rows.iter().filter(|row| row.is_owned()).count();
    let sum = |of: fn(&Row) -> u64| snapshot.rows.iter().map(of).fold(0, u64::saturating_add);
    let rate = match rates.values().copied().reduce(u64::saturating_add) {
        Some(rate) => rate.to_string(),
        None => UNKNOWN.to_owned(),
    };
    let age = snapshot.rows.iter().filter_map(|row| row.age_seconds).max().unwrap_or(0);
    let age = if age > MAX_FRESH { format!("; as of {age} s ago") } else { String::new() };
    format!(
        "{} partitions ({owned} owned, {} unowned), lag {}, {rate} records/s, {} objects{age}",
        snapshot.rows.len(),
        snapshot.rows.len() - owned,
        sum(|row| row.lag),
        sum(|row| row.objects),
    )
}

fn table(snapshot: &Snapshot, rates: &Rates<'_>, size: Size, lines: &mut Vec<String>) {
    let mut rows: Vec<&Row> = snapshot.rows.iter().collect();
    rows.sort_by_key(|row| (Reverse(row.lag), id(row)));
    // Three lines are in use: the head line, the titles, and the cursor's line. Hidden rows need a fourth for their
    // count.
    let room = size.height.map_or(usize::MAX, |height| height.saturating_sub(3));
    let shown = if rows.len() <= room { rows.len() } else { room.saturating_sub(1) };
    let mut cells = vec![TITLES.map(str::to_owned)];
    cells.extend(rows[..shown].iter().map(|row| row_cells(row, rates.get(&id(row)).copied())));
    let mut widths: [usize; TITLES.len()] =
        std::array::from_fn(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let too_wide =
        (widths.iter().sum::<usize>() + 2 * (TITLES.len() - 1)).saturating_sub(size.width.unwrap_or(usize::MAX));
    widths[0] = widths[0].saturating_sub(too_wide).max(widths[0].min(NARROWEST_NAME));
    lines.extend(cells.iter().map(|row| line(row, &widths)));
    if shown < rows.len() {
        lines.push(format!("… and {} more", rows.len() - shown));
    }
}

fn row_cells(row: &Row, rate: Option<u64>) -> [String; TITLES.len()] {
    let owner = match &row.owner {
        Some(owner) => owner.as_str(),
        None if row.is_owned() => "itself",
        None => UNKNOWN,
    };
    let closing = match row.closing {
        Some(true) => "yes",
        Some(false) => "no",
        None => UNKNOWN,
    };
    [
        row.stream.clone(),
        row.partition.to_string(),
        owner.to_owned(),
        row.cursor.to_string(),
        row.lag.to_string(),
        number(rate),
        number(row.dropped()),
        if row.watermark == 0 { UNKNOWN.to_owned() } else { utc(row.watermark) },
        if row.shard.is_some_and(|shard| shard != row.partition) {
            UNKNOWN.to_owned()
        } else {
            row.objects.to_string()
        },
        closing.to_owned(),
    ]
}

fn number(known: Option<u64>) -> String {
    known.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

fn line(row: &[String; TITLES.len()], widths: &[usize; TITLES.len()]) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
        let cell = cut(cell, width);
        if NAMES.contains(&column) { format!("{cell:width$}") } else { format!("{cell:>width$}") }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// The text cut to `width` characters, with blanks in place of control characters, which could move the cursor.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return one_line(text, width);
    }
    one_line(text, width.saturating_sub(1)) + if width > 0 { "…" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Size = Size { width: None, height: None };

    fn row(partition: u16, owner: Option<&str>, cursor: u64, lag: u64) -> Row {
        Row {
            stream: "UveVirtualNetworkAgent-egress_flow_count".to_owned(),
            partition,
            owner: owner.map(str::to_owned),
            cursor,
            lag,
            watermark: if cursor == 0 { 0 } else { 1_488_000_000_000_000 },
            objects: if partition == 3 { 0 } else { 10 * u64::from(partition) },
            shard: (partition == 3).then_some(1),
            age_seconds: None,
            closing: (partition == 1).then_some(true),
            records: (partition == 1).then(|| {
                let counts = [("aggregated", 11), ("duplicate", 5), ("late", 4), ("over_limit", 2), ("refused", 1)];
                counts.map(|(outcome, count)| (outcome.to_owned(), count)).into()
            }),
        }
    }

    fn snapshots() -> [Snapshot; 2] {
        let before = vec![row(0, Some("a/0"), 100, 0), row(1, Some("b/0"), 50, 0), row(2, None, 0, 7)];
        let newest = vec![
            row(0, Some("a/0"), 1100, 3),
            row(1, Some("b/0"), 20, 0),
            row(2, None, 0, 7),
            row(3, Some("b/0"), 9, 3),
        ];
        [Snapshot { at: 1_000_000, rows: before }, Snapshot { at: 3_000_000, rows: newest }]
    }

    fn text(before: Option<&Snapshot>, newest: Option<&Snapshot>, problem: Option<&str>, size: Size) -> String {
        lines(before, newest, problem, size).join("\n")
    }

    #[test]
    fn partitions_with_the_most_lag_come_first_with_their_rates() {
        let [before, newest] = snapshots();
        insta::assert_snapshot!(text(Some(&before), Some(&newest), None, ALL), @"
        4 partitions (3 owned, 1 unowned), lag 13, 500 records/s, 30 objects
        stream                                    partition  owner  cursor  lag  records/s  dropped  watermark             objects  closing
        UveVirtualNetworkAgent-egress_flow_count          2  -           0    7          0        -  -                          20  -
        UveVirtualNetworkAgent-egress_flow_count          0  a/0      1100    3        500        -  2017-02-25T05:20:00Z        0  -
        UveVirtualNetworkAgent-egress_flow_count          3  b/0         9    3          -        -  2017-02-25T05:20:00Z        -  -
        UveVirtualNetworkAgent-egress_flow_count          1  b/0        20    0          -        7  2017-02-25T05:20:00Z       10  yes
        ");
    }

    #[test]
    fn a_small_terminal_shows_as_many_rows_as_fit_and_counts_the_others() {
        let [before, newest] = snapshots();
        let size = Size { width: Some(99), height: Some(6) };
        insta::assert_snapshot!(text(Some(&before), Some(&newest), None, size), @"
        4 partitions (3 owned, 1 unowned), lag 13, 500 records/s, 30 objects
        stream        partition  owner  cursor  lag  records/s  dropped  watermark             objects  cl…
        UveVirtualN…          2  -           0    7          0        -  -                          20  -
        UveVirtualN…          0  a/0      1100    3        500        -  2017-02-25T05:20:00Z        0  -
        … and 2 more
        ");
        for (width, height) in (0..120).flat_map(|width| (0..9).map(move |height| (width, height))) {
            let lines =
                lines(Some(&before), Some(&newest), Some("away"), Size { width: Some(width), height: Some(height) });
            assert!(lines.len() < height.max(4), "{width}x{height}: {lines:?}");
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}x{height}: {lines:?}");
        }
    }

    #[test]
    fn without_an_earlier_snapshot_there_is_no_rate() {
        let [_, newest] = snapshots();
        let head = lines(None, Some(&newest), None, ALL).remove(0);
        assert_eq!(head, "4 partitions (3 owned, 1 unowned), lag 13, - records/s, 30 objects");
    }

    #[test]
    fn old_offsets_are_shown_with_their_age() {
        let [_, mut newest] = snapshots();
        newest.rows.iter_mut().zip([0, 47, 2]).for_each(|(row, age)| row.age_seconds = Some(age));
        let head = lines(None, Some(&newest), None, ALL).remove(0);
        assert!(head.ends_with("30 objects; as of 47 s ago"), "{head}");
    }

    #[test]
    fn a_problem_is_in_the_head_line_above_the_last_snapshot() {
        let [before, newest] = snapshots();
        let shown = lines(Some(&before), Some(&newest), Some("no answer"), ALL);
        assert!(shown[0].starts_with("no answer (before: 4 partitions"), "{shown:?}");
        assert_eq!(shown.len(), 6);
        assert_eq!(lines(None, None, Some("no answer"), ALL), ["no answer"]);
    }

    #[test]
    fn control_characters_of_a_response_cannot_move_the_cursor() {
        let mut hostile = row(0, Some("\x1b[2J"), 1, 1);
        hostile.stream = "a\nb".to_owned();
        let shown = lines(None, Some(&Snapshot { at: 0, rows: vec![hostile] }), Some("\x07"), ALL);
        assert!(!shown.iter().any(|line| line.contains(char::is_control)), "{shown:?}");
    }
}
