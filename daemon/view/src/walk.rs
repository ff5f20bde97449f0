//! Reads of many objects, in slices under short locks.

use std::ops::Bound;

use daemon_alarms::row::UVE;
use daemon_results::block::{AttributeShape, UveShape};
use derived_stats::Record;

use crate::alarms::Alarmed;
use crate::names::Names;
use crate::object::Object;
use crate::objects::Objects;
use crate::{Filter, Tables, UveDocument, UveView};

/// The most objects that a reader visits under one lock, so that results wait for it less than a millisecond.
pub(crate) const SLICE: usize = 64;

/// A walk over the objects of one table, or over the tables, in the order of their names.
///
/// Between two slices results are applied: an object that exists during the whole walk is visited exactly once, with the
/// values of the moment of its visit.
#[derive(Debug)]
pub struct Walk {
    /// The table whose objects are visited; `None` visits the tables.
    table: Option<String>,
    /// The structures to show; `None` visits names only.
    filter: Option<Filter>,
    position: Position,
}

/// Where a walk goes on.
#[derive(Debug)]
struct Position {
    names: Names,
    /// The pattern of the names whose objects are visited.
    pattern: usize,
    /// The last name that was visited.
    last: Option<Box<str>>,
    is_done: bool,
}

impl Walk {
    /// A walk over the objects of those names that come after `after`.
    pub fn new(table: String, names: Names, after: Option<&str>, filter: Option<Filter>) -> Self {
        let position = Position { names, pattern: 0, last: after.map(Into::into), is_done: false };
        Self { table: Some(table), filter, position }
    }

    /// A walk over the tables that have objects or alarms; what it visits are their UVE types.
    pub fn tables() -> Self {
        let position = Position { names: Names::with_prefix(""), pattern: 0, last: None, is_done: false };
        Self { table: None, filter: None, position }
    }

    /// Whether there is nothing further.
    pub fn is_done(&self) -> bool {
        self.position.is_done
    }

    /// The name to continue after.
    pub fn last(&self) -> Option<&str> {
        self.position.last.as_deref()
    }
}

impl Position {
    /// Visits the next entries, until `visit` returns false or the slice is over.
    ///
    /// `entries` gives the entries from a name on, in order.
    fn advance<'e, V, I: Iterator<Item = (&'e str, V)>>(
        &mut self,
        entries: impl FnOnce(Bound<&str>) -> I,
        mut visit: impl FnMut(&str, V) -> bool,
    ) {
        let (Some(pattern), Some(from)) = (self.names.get(self.pattern), self.from()) else {
            self.is_done = true;
            return;
        };
        let mut rest = entries(from).take_while(|(name, _)| pattern.covers(name)).peekable();
        let mut last = None;
        for (name, entry) in rest.by_ref().take(SLICE) {
            last = Some(name);
            if !visit(name, entry) {
                break;
            }
        }
        if rest.peek().is_none() {
            self.pattern += 1;
        }
        self.is_done = self.names.get(self.pattern).is_none();
        if let Some(last) = last {
            self.last = Some(last.into());
        }
    }

    /// The name from which on the next entries are; `None` at the end.
    fn from(&self) -> Option<Bound<&str>> {
        let pattern = self.names.get(self.pattern)?;
        Some(match &self.last {
            Some(last) if **last >= *pattern.text => Bound::Excluded(&**last),
            _ => Bound::Included(pattern.text.as_str()),
        })
    }

    /// Visits the next objects of a table; it is at the end where there is no such table.
    fn over(&mut self, tables: &Tables, table: &str, visit: impl FnMut(&str, &Object) -> bool) {
        match tables.by_name.get(table) {
            Some(objects) => self.advance(|name| objects.from(name), visit),
            None => self.is_done = true,
        }
    }
}

impl UveView {
    /// Visits what is next in a walk under one lock, until `visit` returns false or the slice is over. Objects of which
    /// only alarms that fire are left are visited, too; those without a structure that passes the filter are not. Nothing
    /// is visited while the names of many new objects are sorted.
    pub fn slice(&self, walk: &mut Walk, mut visit: impl FnMut(&str, &UveDocument) -> bool) {
        if walk.table.as_ref().is_some_and(|table| !self.sort_names(table)) {
            return;
        }
        let Walk { table, filter, position } = walk;
        let Some(table) = table else {
            return self.slice_of_tables(position, |name| visit(name, &UveDocument::default()));
        };
        let shows_alarms = filter.as_ref().is_some_and(|filter| filter.wants(UVE));
        let alarmed = position.from().map(|from| self.alarms().next_objects(table, from, SLICE + 1, shows_alarms));
        let alarmed = alarmed.unwrap_or_default();
        let tables = self.read();
        let objects = tables.by_name.get(&**table);
        position.advance(
            |name| merged(objects.map(|objects| objects.from(name)).into_iter().flatten(), &alarmed),
            |name, (object, alarms)| {
                let Some(filter) = filter else {
                    let is_shown = object.is_some() || alarms.is_some_and(|alarms| alarms.is_firing);
                    return !is_shown || visit(name, &UveDocument::default());
                };
                let mut document = object.map(|object| tables.filtered(object, filter)).unwrap_or_default();
                document.extend(alarms.and_then(|alarms| alarms.structure.clone()).map(|alarms| (UVE.into(), alarms)));
                document.is_empty() || visit(name, &document)
            },
        );
    }

    /// Visits the types of the tables that are next.
    fn slice_of_tables(&self, position: &mut Position, mut visit: impl FnMut(&str) -> bool) {
        let mut names = self.alarms().tables();
        let tables = self.read();
        let next = tables.by_name.range::<str, _>((position.from().unwrap_or(Bound::Unbounded), Bound::Unbounded));
        names.extend(next.take(SLICE + 1).map(|(table, _)| table.to_string()));
        let from = |name: Bound<&str>| names.range::<str, _>((name, Bound::Unbounded)).map(|name| (name.as_str(), ()));
        position.advance(from, |table, ()| visit(&tables.type_of(table)));
    }
}

/// The objects of a table and those with alarms, each once, in the order of their names.
fn merged<'e>(
    objects: impl Iterator<Item = (&'e str, &'e Object)>,
    alarmed: &'e [Alarmed],
) -> impl Iterator<Item = (&'e str, (Option<&'e Object>, Option<&'e Alarmed>))> {
    let (mut objects, mut alarmed) = (objects.peekable(), alarmed.iter().peekable());
    std::iter::from_fn(move || {
        let next = [objects.peek().map(|(name, _)| *name), alarmed.peek().map(|alarmed| alarmed.name.as_str())];
        let name = next.into_iter().flatten().min()?;
        let object = objects.next_if(|(own, _)| *own == name).map(|(_, object)| object);
        Some((name, (object, alarmed.next_if(|alarmed| alarmed.name == name))))
    })
}

/// The newest result of an attribute of an object.
#[derive(Debug)]
pub struct Newest<'v> {
    /// The UVE that the attribute is of.
    pub shape: &'v UveShape,
    /// The attribute.
    pub attribute: &'v AttributeShape,
    /// The end of the window, in milliseconds since 1970; of a result without a window, the time of its sample.
    pub end_ms: u64,
    /// The result.
    pub record: Record,
}

impl UveView {
    /// Visits the newest results of the objects that are next in a walk over a table, one by one, under one lock.
    pub fn slice_of_results(&self, walk: &mut Walk, mut visit: impl FnMut(&str, &Newest<'_>)) {
        let Walk { table: Some(table), position, .. } = walk else { return };
        if !self.sort_names(table) {
            return;
        }
        let tables = self.read();
        position.over(&tables, table, |name, object| {
            for uve in object.uves(&tables.shapes) {
                for (attribute, end_ms, record) in uve.results(&tables.shapes) {
                    visit(name, &Newest { shape: uve.shape, attribute, end_ms, record });
                }
            }
            true
        });
    }

    /// Calls `visit` with the names that are next in a walk over a table, under one lock.
    pub(crate) fn slice_of_objects(&self, walk: &mut Walk, mut visit: impl FnMut(&Tables, &Objects, &str)) {
        let Walk { table: Some(table), position, .. } = walk else { return };
        if !self.sort_names(table) {
            return;
        }
        let tables = self.read();
        let objects = tables.by_name.get(&**table);
        position.over(&tables, table, |name, _| {
            objects.into_iter().for_each(|objects| visit(&tables, objects, name));
            true
        });
    }

    /// The names of the tables that have objects.
    pub fn tables(&self) -> Vec<String> {
        self.read().by_name.keys().map(|table| table.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use daemon_alarms::row::AlarmRow;
    use daemon_results::line::LineReader;

    use super::*;

    fn view(names: impl IntoIterator<Item = String>) -> UveView {
        let view = UveView::default();
        names.into_iter().for_each(|name| add(&view, &name));
        view
    }

    fn add(view: &UveView, name: &str) {
        let line = format!(r#"{{"key":"T:{name}","uve":"P","start":0,"end":60,"data":{{"deleted":false,"value":1}}}}"#);
        view.writer().apply(&LineReader::default().row(line.as_bytes()).expect("a good line"));
    }

    /// The names of one slice of at most `most` objects.
    fn names(view: &UveView, walk: &mut Walk, most: usize) -> Vec<String> {
        let mut names = Vec::new();
        view.slice(walk, |name, _| {
            names.push(name.to_owned());
            names.len() < most
        });
        names
    }

    #[test]
    fn a_walk_visits_each_object_once_in_order_while_others_come_and_go() {
        let view = view((0..1000).map(|number| format!("vn{number:04}")));
        let mut walk = Walk::new("T".into(), Names::with_prefix(""), None, None);
        let mut seen = Vec::new();
        while !walk.is_done() {
            let slice = names(&view, &mut walk, usize::MAX);
            assert!(slice.len() <= SLICE, "{}", slice.len());
            add(&view, &format!("a{}", seen.len()));
            seen.extend(slice);
        }
        assert_eq!(seen, (0..1000).map(|number| format!("vn{number:04}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_walk_keeps_to_its_prefix_and_goes_on_after_a_name() {
        let view = view(["a", "b1", "b2", "b3", "c"].map(str::to_owned));
        let cases: [(&str, Option<&str>, &[&str]); 6] = [
            ("b", None, &["b1", "b2", "b3"]),
            ("b", Some("a"), &["b1", "b2", "b3"]),
            ("b", Some("b1"), &["b2", "b3"]),
            ("b", Some("b1x"), &["b2", "b3"]),
            ("b", Some("c"), &[]),
            ("", Some("b3"), &["c"]),
        ];
        for (prefix, after, expected) in cases {
            let mut walk = Walk::new("T".into(), Names::with_prefix(prefix), after, None);
            assert_eq!(names(&view, &mut walk, usize::MAX), expected, "{prefix} after {after:?}");
            assert!(walk.is_done(), "{prefix} after {after:?}");
        }
    }

    #[test]
    fn a_walk_over_several_patterns_visits_what_each_covers_in_order() {
        let view = view((0..200).map(|number| format!("vn{number:03}")).chain(["a".to_owned(), "z".to_owned()]));
        let patterns = ["z", "vn00*", "absent", "vn1*", "vn150"];
        for most in [1, 7, usize::MAX] {
            let mut walk = Walk::new("T".into(), Names::of("", patterns), None, None);
            let mut seen = Vec::new();
            while !walk.is_done() {
                seen.extend(names(&view, &mut walk, most));
            }
            let expected = (0..10).chain(100..200).map(|number| format!("vn{number:03}")).chain(["z".to_owned()]);
            assert_eq!(seen, expected.collect::<Vec<_>>(), "{most} at a time");
        }
        let mut walk = Walk::new("T".into(), Names::of("", patterns), Some("vn198"), None);
        let mut rest = Vec::new();
        while !walk.is_done() {
            rest.extend(names(&view, &mut walk, usize::MAX));
        }
        assert_eq!(rest, ["vn199", "z"]);
    }

    #[test]
    fn a_walk_that_is_stopped_is_done_only_behind_the_last_object() {
        let view = view(["a", "b", "c"].map(str::to_owned));
        let mut walk = Walk::new("T".into(), Names::with_prefix(""), None, Some(Filter::default()));
        assert_eq!(
            (names(&view, &mut walk, 2), walk.is_done(), walk.last()),
            (vec!["a".into(), "b".into()], false, Some("b"))
        );
        assert_eq!((names(&view, &mut walk, 1), walk.is_done()), (vec!["c".into()], true));
        let mut walk = Walk::new("T".into(), Names::with_prefix(""), None, Some(Filter::parse("Other")));
        assert_eq!((names(&view, &mut walk, 1), walk.is_done()), (Vec::new(), true));
    }

    /// An alarm of an object of the table `T` begins to fire or to be pending.
    fn alarm(view: &UveView, name: &str, state: &str) {
        let (alarms, pending) = if state == "firing" { ("[ALARM]", "[]") } else { ("[]", "[ALARM]") };
        let alarm = format!(
            r#"{{"type":"high","severity":1,"timestamp":60,"since":0,"token":"","ack":false,"description":"","uve":"P-S-a","state":"{state}","alarm_rules":{{}}}}"#
        );
        let row = format!(
            r#"{{"key":"T:{name}","uve":"UVEAlarms","start":0,"end":60,"data":{{"deleted":false,"proxy":"S-a","alarms":{alarms},"pending":{pending}}}}}"#
        );
        view.alarms().apply(7, AlarmRow::read(row.replace("ALARM", &alarm).as_bytes()).expect("a row"));
    }

    #[test]
    fn objects_of_which_only_alarms_are_left_are_in_their_places() {
        let view = view((0..100).map(|number| format!("vn{:03}", 2 * number)));
        for number in 0..150 {
            alarm(&view, &format!("vn{number:03}"), if number % 3 == 0 { "pending" } else { "firing" });
        }
        let expected = (0..200).filter(|number| number % 2 == 0 || number % 3 != 0 && *number < 150);
        let expected: Vec<_> = expected.map(|number| format!("vn{number:03}")).collect();
        for most in [1, 7, usize::MAX] {
            for filter in [None, Some(Filter::default())] {
                let mut walk = Walk::new("T".into(), Names::with_prefix(""), None, filter.clone());
                let mut seen = Vec::new();
                while !walk.is_done() {
                    seen.extend(names(&view, &mut walk, most));
                }
                assert_eq!(seen, expected, "{most} at a time, {filter:?}");
            }
        }
        let mut walk = Walk::new("T".into(), Names::of("", ["vn001", "vn003", "vn9*"]), None, Some(Filter::parse("P")));
        assert_eq!(names(&view, &mut walk, usize::MAX), [""; 0], "no structure passes, or none is there");
        let mut shown = Vec::new();
        let mut walk =
            Walk::new("T".into(), Names::with_prefix("vn00"), Some("vn001"), Some(Filter::parse("UVEAlarms")));
        view.slice(&mut walk, |name, document| {
            shown.push((name.to_owned(), document.keys().map(ToString::to_string).collect::<Vec<_>>()));
            true
        });
        let with_alarms = |number: u64| (format!("vn{number:03}"), vec!["UVEAlarms".to_owned()]);
        assert_eq!(shown, [2, 4, 5, 7, 8].map(with_alarms));
    }

    #[test]
    fn a_table_of_which_only_alarms_are_left_is_listed() {
        let view = UveView::default();
        let types = |view: &UveView| names(view, &mut Walk::tables(), usize::MAX);
        assert_eq!(types(&view), [""; 0]);
        alarm(&view, "a", "firing");
        assert_eq!((types(&view), view.tables()), (vec!["T".to_owned()], Vec::new()));
        add(&view, "b");
        assert_eq!(types(&view), ["t"], "the type of its objects");
    }
}
