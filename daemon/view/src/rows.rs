//! Pages of the table of proxy UVEs: one row for each object and UVE, searched, filtered and sorted.
//!
//! A page visits all objects of its table in slices under short locks, and keeps the best `offset + limit` rows at most
//! twice, 24 bytes each. Only the rows of the page are then read as a whole.
//!
//! A page by alarms also has a row for each UVE that is gone and has alarms, such as one of a rule of missing data: the
//! alarms of its table are visited with the objects, in the order of the names.

mod scan;

use daemon_alarms::row::{Alarm, State};
use serde::Serialize;

use self::scan::{Candidate, Scan, main_reading};
use crate::alarms::{AlarmQuery, ShownAlarm};
use crate::names::Names;
use crate::objects::Objects;
use crate::walk::{SLICE, Walk};
use crate::{Tables, UveView};

/// How often a page is made at most, if objects get other places meanwhile: that is rare.
const MAX_ATTEMPTS: usize = 3;

/// The column that rows are sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SortBy {
    /// By the worst alarm that the query selects: firing before pending ones, then by severity.
    Alarm,
    /// By the expected value.
    Expected,
    /// By the name of the object.
    Name,
    /// By the size of the score, whatever its sign.
    Score,
    /// By the name of the UVE.
    Uve,
    /// By the value.
    Value,
}

/// What a page of the table selects.
#[derive(Clone, Debug)]
pub struct RowQuery {
    /// The table.
    pub table: String,
    /// Rows of this UVE.
    pub uve: Option<String>,
    /// A part of the name, in any case.
    pub search: String,
    /// Rows whose newest result is an anomaly.
    pub anomalies_only: bool,
    /// Rows with such alarms; `table`, `after` and `limit` have no effect.
    pub alarms: Option<AlarmQuery>,
    /// The column that the rows are sorted by; those without a number of it come last. Rows with equal ones are in the
    /// order of their names.
    pub sort: SortBy,
    /// Whether the largest comes first.
    pub is_descending: bool,
    /// The rows before the page.
    pub offset: usize,
    /// The most rows of the page.
    pub limit: usize,
}

/// A page of the table.
#[derive(Debug, Default, Serialize)]
pub struct RowPage {
    /// The rows of the table, or of the UVE if the query has one. With a query that reads alarms (a filter by alarms, or
    /// rows sorted by them) those of UVEs that are gone and have alarms count, whichever alarms the query selects.
    pub total: u64,
    /// Those that pass search and filters.
    pub matched: u64,
    /// The rows of the page, in order.
    pub rows: Vec<TableRow>,
}

/// One object and UVE.
#[derive(Debug, Default, Serialize)]
pub struct TableRow {
    /// The name of the object.
    pub name: String,
    /// The name of the UVE.
    pub uve: String,
    /// The stream.
    pub proxy: String,
    /// The attribute whose numbers these are: the first one with a score, else the first one. Empty if the UVE is gone and
    /// has alarms; then there are no numbers.
    pub attribute: String,
    /// The value.
    pub value: Option<f64>,
    /// The value that the detector expects.
    pub expected: Option<f64>,
    /// The score of the detector.
    pub score: Option<f64>,
    /// Whether the result is an anomaly.
    pub anomaly: bool,
    /// Whether the window is partial.
    pub partial: bool,
    /// The alarms of the UVE that the query selects, firing ones first.
    pub alarms: Vec<ShownAlarm>,
}

impl UveView {
    /// Makes a page. Costs time in proportion to the objects of the table, and to its alarms if the query reads them; a
    /// result waits for 64 objects of it at most.
    /// Ends early, with a page that nobody reads, when `is_wanted` is false.
    pub fn rows(&self, query: &RowQuery, is_wanted: impl Fn() -> bool) -> RowPage {
        let mut page = RowPage::default();
        for _ in 0..MAX_ATTEMPTS {
            let epoch = self.epoch(&query.table);
            let mut scan = Scan::new(query);
            let mut walk = Walk::new(query.table.clone(), Names::with_prefix(""), None, None);
            while (!walk.is_done() || scan.has_more_gone) && is_wanted() {
                self.scan_slice(&mut walk, &mut scan);
            }
            let rows = scan.page();
            let rows = rows.chunks(SLICE).flat_map(|rows| self.shown(&scan, rows)).collect();
            page = RowPage { total: scan.total, matched: scan.matched.into(), rows };
            if self.epoch(&query.table) == epoch {
                break;
            }
        }
        page
    }

    /// Numbers that change when the objects of a table get other indices.
    fn epoch(&self, table: &str) -> (u32, Option<u32>) {
        let tables = self.read();
        (tables.removed, tables.by_name.get(table).map(Objects::epoch))
    }

    fn scan_slice(&self, walk: &mut Walk, scan: &mut Scan<'_>) {
        if !scan.has_more_gone {
            self.slice_of_objects(walk, |tables, objects, name| scan.visit(tables, objects, name));
        }
        let mut rest = Vec::new();
        if scan.reads_alarms() {
            rest = self.scan_gone(walk, scan);
            let alarms = self.alarms();
            let Scan { query, uves, slice, .. } = scan;
            slice.retain_mut(|(row, key)| {
                let uve = uves.get(row.uve as usize).map(|uve| &**uve).unwrap_or_default();
                let worst = alarms.of_uve(key, uve, query.alarms.as_ref()).map(|(_, alarm)| rank(alarm)).max();
                if query.sort == SortBy::Alarm {
                    row.key = worst.map_or(f64::NAN, f64::from);
                }
                worst.is_some() || query.alarms.is_none()
            });
        }
        scan.keep_slice();
        scan.slice = rest;
    }

    /// Adds the rows of UVEs that are gone to those of a slice of objects, for as many objects with alarms as are visited
    /// under one lock. Returns the rows behind these.
    fn scan_gone(&self, walk: &Walk, scan: &mut Scan<'_>) -> Vec<(Candidate, String)> {
        let table = &scan.query.table;
        let end = (!walk.is_done()).then(|| format!("{table}:{}", walk.last().unwrap_or_default()));
        let found = self.alarms().next_uves(table, scan.visited.as_deref(), end.as_deref(), SLICE);
        scan.has_more_gone = found.len() == SLICE;
        let end = if scan.has_more_gone { found.last().map(|(key, _)| key.clone()) } else { end };
        let visited = scan.slice.partition_point(|(_, key)| end.as_ref().is_none_or(|end| key <= end));
        let rest = scan.slice.split_off(visited);
        let tables = self.read();
        found.into_iter().for_each(|(key, uves)| scan.visit_alarms(&tables, &key, uves));
        scan.slice.sort_by(|(_, left), (_, right)| left.cmp(right));
        scan.visited = end;
        rest
    }

    /// The rows of a page as they are now, without those that are gone.
    fn shown(&self, scan: &Scan<'_>, rows: &[Candidate]) -> Vec<TableRow> {
        let mut shown: Vec<_> = {
            let tables = self.read();
            let row = |row| tables.row(scan, row).or_else(|| scan.row_without_result(row));
            rows.iter().filter_map(row).collect()
        };
        let alarms = self.alarms();
        for row in &mut shown {
            let key = format!("{}:{}", scan.query.table, row.name);
            let mut found: Vec<_> = alarms.of_uve(&key, &row.uve, scan.query.alarms.as_ref()).collect();
            found.sort_by_key(|(_, alarm)| std::cmp::Reverse(rank(alarm)));
            if let Some((of, _)) = found.first().filter(|_| row.proxy.is_empty()) {
                row.proxy.clone_from(&of.data.proxy);
            }
            row.alarms = found.into_iter().map(|(of, alarm)| ShownAlarm::new(&key, of, alarm)).collect();
        }
        // The alarms of a UVE that is gone may have ended meanwhile.
        shown.retain(|row| !row.proxy.is_empty());
        shown
    }
}

/// A larger number for a worse alarm.
fn rank(alarm: &Alarm) -> u8 {
    let of_state = if alarm.state == State::Firing { u8::MAX } else { u8::MAX / 2 };
    of_state - alarm.severity.min(u8::MAX / 4)
}

impl Tables {
    fn row(&self, scan: &Scan<'_>, row: &Candidate) -> Option<TableRow> {
        if row.is_gone {
            return None;
        }
        let object = self.by_name.get(&*scan.query.table)?.at(row.object)?;
        let wanted = scan.uves.get(row.uve as usize)?;
        let uve = object.uves(&self.shapes).find(|uve| uve.shape.uve == *wanted)?;
        let (attribute, reading) = main_reading(&uve, &self.shapes).unwrap_or_default();
        Some(TableRow {
            name: String::from_utf8_lossy(object.name()).into_owned(),
            uve: uve.shape.uve.to_string(),
            proxy: uve.shape.proxy.to_string(),
            attribute: attribute.to_owned(),
            value: reading.value,
            expected: reading.expected,
            score: reading.score,
            anomaly: reading.is_anomaly,
            partial: uve.is_partial,
            alarms: Vec::new(),
        })
    }
}

impl Scan<'_> {
    /// The row of a UVE that is gone; without the stream, which its alarms have.
    fn row_without_result(&self, row: &Candidate) -> Option<TableRow> {
        let name = self.gone.get(row.object as usize).filter(|_| row.is_gone)?;
        let uve = self.uves.get(row.uve as usize)?;
        Some(TableRow { name: name.to_string(), uve: uve.to_string(), ..TableRow::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::sync::Arc;

    use daemon_alarms::row::AlarmRow;
    use daemon_results::line::LineReader;
    use proxy_uve::schema::Schema;
    use proxy_uve::{Plan, StreamName};

    use super::scan::MIN_KEPT;
    use super::*;

    const SUM: &str = "AggProxySum-S-a";
    const EWM: &str = "AggProxySumAnomalyEWM01-S-a";

    /// More rows than a page of the first ones keeps.
    const OBJECTS: u64 = 3 * MIN_KEPT as u64;

    /// The name, the value and the score of an object: many have the same numbers, and some names have capitals.
    fn object(number: u64) -> (String, u64, f64) {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let name = format!("{}-{mixed:08x}", if number.is_multiple_of(3) { "Vn" } else { "vn" });
        (name, mixed % 97, ((mixed >> 8) % 61) as f64 / 10.0 - 3.0)
    }

    /// A table with two rows for each object.
    fn view(objects: u64) -> UveView {
        let view = UveView::default();
        apply(&view, 0..objects);
        view
    }

    /// Applies two results to each object.
    fn apply(view: &UveView, numbers: impl Iterator<Item = u64>) {
        let types =
            ["AggProxySum", "AggProxySumAnomalyEWM01"].map(|name| Arc::clone(Schema::builtin().get(name).unwrap()));
        let mut lines = LineReader::new(&[Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types))]);
        let mut apply = |name: &str, uve: &str, value: &str| {
            let data = format!(r#"{{"deleted":false,"proxy":"S-a","value":{value}}}"#);
            let line = format!(r#"{{"key":"T:{name}","uve":"{uve}","start":0,"end":60,"data":{data}}}"#);
            view.writer().apply(&lines.row(line.as_bytes()).expect("a good line"));
        };
        for (name, value, score) in numbers.map(object) {
            apply(&name, SUM, &value.to_string());
            let scored = format!(
                r#"{{"samples":20,"algo":"EWM","config":"0.1","state":{{"mean":"10","stddev":"2"}},"sigma":{score:?},"metric":{value}}}"#
            );
            apply(&name, EWM, &scored);
        }
    }

    fn query(sort: SortBy, is_descending: bool) -> RowQuery {
        RowQuery {
            table: "T".into(),
            uve: None,
            search: String::new(),
            anomalies_only: false,
            alarms: None,
            sort,
            is_descending,
            offset: 0,
            limit: 1000,
        }
    }

    fn names(page: &RowPage) -> Vec<(String, String)> {
        page.rows.iter().map(|row| (row.name.clone(), row.uve.clone())).collect()
    }

    /// All rows, as a plain sort has them.
    fn sorted(sort: SortBy, is_descending: bool) -> Vec<(String, String)> {
        let mut objects: Vec<_> = (0..OBJECTS).map(object).collect();
        objects.sort_by(|left, right| left.0.cmp(&right.0));
        let rows = objects.into_iter().flat_map(|(name, value, score)| {
            [(name.clone(), SUM, value as f64, None), (name, EWM, value as f64, Some(score.abs()))]
        });
        let mut rows: Vec<_> = rows.collect();
        let signed = |ordering: Ordering| if is_descending { ordering.reverse() } else { ordering };
        match sort {
            SortBy::Name if is_descending => rows.reverse(),
            SortBy::Uve => rows.sort_by(|left, right| signed(left.1.cmp(right.1))),
            SortBy::Value => rows.sort_by(|left, right| signed(left.2.total_cmp(&right.2))),
            SortBy::Score => rows.sort_by(|left, right| match (left.3, right.3) {
                (Some(left), Some(right)) => signed(left.total_cmp(&right)),
                (left, right) => left.is_none().cmp(&right.is_none()),
            }),
            SortBy::Alarm | SortBy::Expected | SortBy::Name => {}
        }
        rows.into_iter().map(|(name, uve, ..)| (name, uve.to_owned())).collect()
    }

    #[test]
    fn any_page_is_a_part_of_all_rows_in_order() {
        let view = view(OBJECTS);
        for sort in [SortBy::Name, SortBy::Uve, SortBy::Value, SortBy::Score] {
            for is_descending in [false, true] {
                let expected = sorted(sort, is_descending);
                for (offset, limit) in [(0, 1), (7, 60), (MIN_KEPT * 2 - 5, 10), (expected.len() - 30, 1000)] {
                    let page = view.rows(&RowQuery { offset, limit, ..query(sort, is_descending) }, || true);
                    let end = expected.len().min(offset + limit);
                    assert_eq!(names(&page), expected[offset..end], "{sort:?} {is_descending} {offset}");
                    assert_eq!((page.total, page.matched), (expected.len() as u64, expected.len() as u64));
                }
                let beyond = RowQuery { offset: usize::MAX, ..query(sort, is_descending) };
                assert!(view.rows(&beyond, || true).rows.is_empty());
            }
        }
    }

    #[test]
    fn a_table_that_is_emptied_and_filled_meanwhile_has_no_row_of_another_object() {
        let view = view(OBJECTS);
        let calls = std::cell::Cell::new(0);
        let page = view.rows(&query(SortBy::Name, false), || {
            calls.set(calls.get() + 1);
            if calls.get() == 20 {
                (0..OBJECTS).for_each(|number| delete(&view, &object(number).0));
                apply(&view, (0..OBJECTS).rev());
            }
            true
        });
        assert_eq!(names(&page), sorted(SortBy::Name, false)[..1000]);
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_end_of_the_page() {
        let view = view(OBJECTS);
        for sort in [SortBy::Name, SortBy::Score] {
            let query = RowQuery { offset: 20, limit: 10, ..query(sort, true) };
            let mut scan = Scan::new(&query);
            let mut walk = Walk::new("T".into(), Names::with_prefix(""), None, None);
            while !walk.is_done() {
                view.scan_slice(&mut walk, &mut scan);
                assert!(scan.kept.len() <= 2 * MIN_KEPT && scan.slice.is_empty(), "{}", scan.kept.len());
            }
            assert_eq!(scan.page().len(), 10);
        }
    }

    #[test]
    fn search_and_filters_select_rows_and_their_number() {
        let view = view(200);
        let all: Vec<_> = (0..200).map(object).collect();
        let found = |query: RowQuery| view.rows(&query, || true);
        let search = found(RowQuery { search: "vN-0".into(), ..query(SortBy::Name, false) });
        let expected = all.iter().filter(|(name, ..)| name.to_lowercase().contains("vn-0")).count() as u64;
        assert!(expected > 0 && search.matched == 2 * expected && search.total == 400, "{expected} {search:?}");
        let loud = all.iter().filter(|(.., score)| score.abs() >= 2.5).count() as u64;
        let anomalies = found(RowQuery { anomalies_only: true, ..query(SortBy::Score, true) });
        assert!(loud > 0 && anomalies.matched == loud && anomalies.rows.iter().all(|row| row.anomaly));
        let one = found(RowQuery { uve: Some(SUM.into()), limit: 1, ..query(SortBy::Name, false) });
        assert_eq!((one.total, one.matched, one.rows.len()), (200, 200, 1));
        let row = &one.rows[0];
        assert_eq!((&*row.proxy, &*row.attribute, row.score, row.partial), ("S-a", "value", None, false));
        let other = found(RowQuery { table: "U".into(), ..query(SortBy::Name, false) });
        assert_eq!((other.total, other.rows.len()), (0, 0));
        let unwanted = view.rows(&query(SortBy::Name, false), || false);
        assert_eq!((unwanted.total, unwanted.rows.len()), (0, 0));
    }

    fn raise(view: &UveView, name: &str, uve: &str, rule: &str, severity: u8, state: &str) {
        let alarm = format!(
            r#"{{"type":"{rule}","severity":{severity},"timestamp":60,"since":0,"token":"","ack":false,"description":"","uve":"{uve}","state":"{state}","alarm_rules":{{}}}}"#
        );
        let data = format!(r#"{{"deleted":false,"proxy":"S-a","alarms":[{alarm}]}}"#);
        let row = format!(r#"{{"key":"T:{name}","uve":"UVEAlarms","start":0,"end":60,"data":{data}}}"#);
        let row: AlarmRow = serde_json::from_str(&row).expect("a row");
        view.alarms().apply(1, row);
    }

    #[test]
    fn alarms_select_the_rows_of_their_uve_and_the_worst_come_first() {
        let view = view(100);
        let [(minor, ..), (pending, ..), (critical, ..)] = [0, 1, 2].map(object);
        raise(&view, &minor, EWM, "x", 2, "firing");
        raise(&view, &pending, EWM, "y", 0, "pending");
        raise(&view, &critical, SUM, "x", 0, "firing");
        let any = AlarmQuery::default();
        let found = |alarms: Option<AlarmQuery>, is_descending: bool| {
            let query = RowQuery { alarms, limit: 3, ..query(SortBy::Alarm, is_descending) };
            let page = view.rows(&query, || true);
            (page.matched, page.rows.into_iter().map(|row| row.name).collect::<Vec<_>>())
        };
        let worst_first = vec![critical.clone(), minor.clone(), pending.clone()];
        assert_eq!(found(Some(any.clone()), true), (3, worst_first.clone()));
        assert_eq!(found(None, true), (200, worst_first.clone()), "those without alarms come last");
        assert_eq!(found(None, false), (200, worst_first.into_iter().rev().collect()), "in both directions");
        let of_rule = AlarmQuery { rule: Some("x".into()), ..any.clone() };
        assert_eq!(found(Some(of_rule), true), (2, vec![critical.clone(), minor]));
        let of_state = AlarmQuery { state: Some("pending".into()), ..any };
        assert_eq!(found(Some(of_state), true), (1, vec![pending]));
        let shown = view.rows(&RowQuery { uve: Some(SUM.into()), limit: 100, ..query(SortBy::Alarm, true) }, || true);
        let rules = shown.rows.iter().map(|row| row.alarms.len()).collect::<Vec<_>>();
        assert_eq!((shown.rows[0].name.as_str(), rules.iter().sum::<usize>()), (critical.as_str(), 1));
    }

    /// Deletes both UVEs of an object.
    fn delete(view: &UveView, name: &str) {
        for uve in [SUM, EWM] {
            let line = format!(r#"{{"key":"T:{name}","uve":"{uve}","start":0,"end":60,"data":{{"deleted":true}}}}"#);
            view.writer().apply(&LineReader::default().row(line.as_bytes()).expect("a good line"));
        }
    }

    #[test]
    fn uves_that_are_gone_have_rows_while_they_have_alarms() {
        let view = view(300);
        let mut objects: Vec<_> = (0..300).map(|number| object(number).0).collect();
        objects.sort_unstable();
        // One in three is gone, the first, more than a slice of consecutive ones and the last among them.
        let is_gone = |at: usize| at == 0 || (50..148).contains(&at) || at == 299;
        for (_, name) in objects.iter().enumerate().filter(|(at, _)| is_gone(*at)) {
            delete(&view, name);
            raise(&view, name, SUM, "nodata", 1, "firing");
        }
        raise(&view, &objects[20], SUM, "nodata", 0, "pending");
        raise(&view, &objects[70], EWM, "other", 0, "pending");
        let of_rule = |rule: &str| Some(AlarmQuery { rule: Some(rule.into()), ..AlarmQuery::default() });
        let page = |sort, alarms, offset, limit| {
            view.rows(&RowQuery { alarms, offset, limit, ..query(sort, sort == SortBy::Alarm) }, || true)
        };
        let expected = objects.iter().enumerate().filter(|(at, _)| (is_gone(*at) && *at != 70) || *at == 20);
        let expected: Vec<_> = expected.map(|(_, name)| name.clone()).collect();
        let found = |page: RowPage| page.rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
        for offset in [0, 60, 90] {
            let page = page(SortBy::Name, of_rule("nodata"), offset, 20);
            assert_eq!((page.total, page.matched), (600 - 2 * 100 + 100, 100));
            assert_eq!(found(page), expected[offset..100.min(offset + 20)], "{offset}");
        }
        let page_of_other = page(SortBy::Name, of_rule("other"), 0, 10);
        assert_eq!((page_of_other.matched, page_of_other.total), (1, 500), "the newest row of alarms replaces others");
        let row = &page_of_other.rows[0];
        assert_eq!((&*row.name, &*row.uve, &*row.proxy, row.value), (&*objects[70], EWM, "S-a", None));
        assert_eq!((row.alarms.len(), row.score, row.partial), (1, None, false));
        // Sorted by alarm: the firing ones, then the pending ones, then the objects without alarms.
        let sorted = page(SortBy::Alarm, None, 0, 1000);
        assert_eq!((sorted.total, sorted.matched, sorted.rows.len()), (500, 500, 500));
        let worst = |row: &TableRow| row.alarms.first().map(|it| it.alarm.state == State::Firing);
        assert!(sorted.rows.iter().map(worst).is_sorted_by(|left, right| left >= right));
        assert_eq!(page(SortBy::Name, None, 0, 1).total, 400, "only a page by alarms has them");
        let searched = RowQuery { search: objects[60].clone(), alarms: of_rule("nodata"), ..query(SortBy::Name, true) };
        assert_eq!(found(view.rows(&searched, || true)), [objects[60].clone()]);
        let of_uve = RowQuery { uve: Some(EWM.into()), alarms: of_rule("nodata"), ..query(SortBy::Name, true) };
        assert_eq!((view.rows(&of_uve, || true).matched, view.rows(&of_uve, || true).total), (0, 201));
        let anomalies = RowQuery { anomalies_only: true, alarms: of_rule("nodata"), ..query(SortBy::Name, true) };
        assert_eq!(view.rows(&anomalies, || true).rows.iter().filter(|row| row.value.is_none()).count(), 0);
    }

    #[test]
    fn a_table_without_objects_has_the_rows_of_its_alarms_in_bounded_memory() {
        let view = UveView::default();
        (0..OBJECTS).for_each(|number| raise(&view, &object(number).0, SUM, "nodata", 1, "firing"));
        raise(&view, "-", SUM, "other", 0, "firing");
        let query = RowQuery { alarms: Some(AlarmQuery::default()), limit: 30, ..query(SortBy::Name, true) };
        let page = view.rows(&query, || true);
        let mut expected: Vec<_> = (0..OBJECTS).map(|number| object(number).0).collect();
        expected.sort_unstable_by(|left, right| right.cmp(left));
        assert_eq!((page.total, page.matched), (OBJECTS + 1, OBJECTS + 1));
        assert_eq!(page.rows.iter().map(|row| &*row.name).collect::<Vec<_>>(), expected[..30]);
        let (mut scan, mut walk) = (Scan::new(&query), Walk::new("T".into(), Names::with_prefix(""), None, None));
        while !walk.is_done() || scan.has_more_gone {
            view.scan_slice(&mut walk, &mut scan);
            assert!(scan.kept.len() <= 2 * MIN_KEPT && scan.gone.len() <= 2 * MIN_KEPT, "{}", scan.gone.len());
        }
        assert_eq!(view.rows(&query, || false).total, 0);
        assert_eq!(view.rows(&RowQuery { table: "U".into(), ..query.clone() }, || true).total, 0);
    }

    #[test]
    fn objects_that_get_other_places_while_a_page_is_made_are_not_confused() {
        let view = view(OBJECTS);
        let calls = std::cell::Cell::new(0);
        // Behind some slices of the first attempt.
        let delete_half = || {
            calls.set(calls.get() + 1);
            if calls.get() == 20 {
                (0..OBJECTS / 2).for_each(|number| delete(&view, &object(number).0));
            }
            true
        };
        let page = view.rows(&RowQuery { limit: 200, ..query(SortBy::Value, true) }, delete_half);
        let left: Vec<_> = (OBJECTS / 2..OBJECTS).map(object).collect();
        assert_eq!((page.matched, page.rows.len()), (2 * left.len() as u64, 200));
        assert!(page.rows.windows(2).all(|rows| rows[0].value >= rows[1].value), "the rows are in order");
    }
}
