//! The configuration file with one stream more, less or changed; everything else of it stays as it is, comments included.

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::tables::STREAMS;

/// The mark that some editors put before UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The key of a stream of proxy types.
const TYPES: &str = "types";

/// The form in which a stream is configured.
enum Form {
    /// Proxy types, separated by `:`, for `aggregation.uve_proxy_list`.
    Types(String),
    /// The keys of an element of `[[streams]]`.
    Series(Table),
}

/// Returns the text of a configuration file with the stream `name` as in `keys`, or without it. The keys are those of an
/// element of `[[streams]]`, or `types` with a list of proxy types, for `aggregation.uve_proxy_list`, which is
/// `list_in_force` if the file does not have it.
///
/// # Errors
///
/// When the file or the keys are not TOML, the keys are of no form, or there is no such stream to remove.
pub(crate) fn edit(text: &str, list_in_force: &str, name: &str, keys: Option<&str>) -> Result<String, String> {
    check_name(name)?;
    // The parser takes both away.
    let (mark, plain) = text.strip_prefix(BYTE_ORDER_MARK).map_or(("", text), |plain| (BYTE_ORDER_MARK, plain));
    let edited = edited(plain, list_in_force, name, keys)?;
    let is_crlf = plain.contains('\n')
        && plain.lines().count() == plain.matches("\r\n").count() + usize::from(!plain.ends_with('\n'));
    let lines = if is_crlf { edited.replace("\r\n", "\n").replace('\n', "\r\n") } else { edited };
    Ok(mark.to_owned() + &lines)
}

fn edited(text: &str, list_in_force: &str, name: &str, keys: Option<&str>) -> Result<String, String> {
    let mut file: DocumentMut = text.parse().map_err(|error| format!("the file in place is not TOML: {error}"))?;
    let (types, series) = match keys.map(|keys| form(name, keys)).transpose()? {
        None => (None, None),
        Some(Form::Types(types)) => (Some(types), None),
        Some(Form::Series(table)) => (None, Some(table)),
    };
    let in_file = file.get("aggregation").and_then(|section| section.get("uve_proxy_list")).and_then(Item::as_str);
    let list = in_file.unwrap_or(list_in_force).to_owned();
    check_is_once(&list, file.get(STREAMS), name)?;
    let next = list_with(&list, name, types.as_deref());
    if next != list {
        set_list(&mut file, next.clone())?;
    }
    let was_series = put_series(&mut file, name, series)?;
    if keys.is_none() && next == list && !was_series {
        return Err(format!("there is no stream `{name}` to remove; GET /api/v1/config shows those that there are"));
    }
    Ok(file.to_string())
}

/// A name with a blank or a colon would be another entry of the list.
fn check_name(name: &str) -> Result<(), String> {
    match name.chars().find(|&letter| letter.is_whitespace() || letter.is_control() || letter == ':') {
        Some(letter) => {
            Err(format!("{name:?} is not a name of a stream, because of {letter:?}; write `Struct-attribute`"))
        }
        None => Ok(()),
    }
}

/// Two streams of one name are an error of the file, of which an edit would change one.
fn check_is_once(list: &str, streams: Option<&Item>, name: &str) -> Result<(), String> {
    let listed = list.split_whitespace().filter(|entry| entry.split(':').next() == Some(name)).count();
    let has_name = |table: &dyn TableLike| has_name(table, name);
    let series = match streams {
        Some(Item::ArrayOfTables(tables)) => tables.iter().filter(|table| has_name(*table)).count(),
        Some(Item::Value(Value::Array(tables))) => {
            tables.iter().filter_map(Value::as_inline_table).filter(|table| has_name(*table)).count()
        }
        _ => 0,
    };
    if listed + series > 1 {
        return Err(format!(
            "the file in place has {} streams of the name `{name}`; keep one of them in the file, or post the whole file",
            listed + series
        ));
    }
    Ok(())
}

fn form(name: &str, keys: &str) -> Result<Form, String> {
    let keys: DocumentMut = keys.parse().map_err(|error| format!("the body is not TOML: {error}"))?;
    let mut table = keys.as_table().clone();
    if let Some(other) = table.get("name").filter(|other| other.as_str() != Some(name)) {
        let other = other.to_string();
        return Err(format!("the body has the name {}, and the path `{name}`; leave it out of the body", other.trim()));
    }
    let Some(types) = table.get(TYPES) else {
        table.insert("name", toml_edit::value(name));
        table.iter_mut().for_each(|(_, item)| item.make_value());
        return Ok(Form::Series(table));
    };
    if let Some((other, _)) = table.iter().find(|(key, _)| ![TYPES, "name"].contains(key)) {
        return Err(format!(
            "`{other}` does not go with `types`; leave it out, or leave `types` out and use the keys of [[streams]]"
        ));
    }
    // Another character would begin another entry of the list, or another type.
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let types = types.as_array().and_then(texts).filter(|types| !types.is_empty() && types.iter().all(is_name));
    let types = types.ok_or_else(|| {
        let found = table.get(TYPES).map(ToString::to_string).unwrap_or_default();
        format!("`types`: expected a list of names of proxy types such as [\"AggProxySum\"], found {}", found.trim())
    })?;
    Ok(Form::Types(types.join(":")))
}

/// The texts of a list, if it has nothing else.
fn texts(list: &Array) -> Option<Vec<&str>> {
    list.iter().map(Value::as_str).collect()
}

/// The list with the entry of a stream, or without it.
fn list_with(list: &str, name: &str, types: Option<&str>) -> String {
    let entry = types.map(|types| format!("{name}:{types}"));
    let mut entries: Vec<&str> = list.split_whitespace().collect();
    let at = entries.iter().position(|entry| entry.split(':').next() == Some(name));
    match (at, &entry) {
        (Some(at), Some(entry)) => entries[at] = entry,
        (Some(at), None) => drop(entries.remove(at)),
        (None, Some(entry)) => entries.push(entry),
        (None, None) => return list.to_owned(),
    }
    entries.join(if list.contains('\n') { "\n" } else { " " })
}

fn set_list(file: &mut DocumentMut, list: String) -> Result<(), String> {
    let section = file.entry("aggregation").or_insert_with(toml_edit::table);
    let section = section.as_table_like_mut().ok_or("`aggregation` is not a section of the file in place")?;
    match section.get_mut("uve_proxy_list").and_then(Item::as_value_mut) {
        Some(value) => {
            let decor = value.decor().clone();
            *value = list.into();
            *value.decor_mut() = decor;
        }
        None => drop(section.insert("uve_proxy_list", toml_edit::value(list))),
    }
    Ok(())
}

/// Puts, replaces or removes the element of `[[streams]]` with a name. Whether there was one.
fn put_series(file: &mut DocumentMut, name: &str, new: Option<Table>) -> Result<bool, String> {
    let was_there = match file.get_mut(STREAMS) {
        None => {
            if let Some(new) = new {
                let mut tables = ArrayOfTables::new();
                tables.push(new);
                file.insert(STREAMS, Item::ArrayOfTables(tables));
            }
            return Ok(false);
        }
        Some(Item::ArrayOfTables(tables)) => put_table(tables, name, new),
        Some(Item::Value(Value::Array(tables))) => put_inline(tables, name, new.map(Table::into_inline_table)),
        Some(_) => return Err(format!("`{STREAMS}` of the file in place is not a list of tables")),
    };
    if file.get(STREAMS).and_then(Item::as_array_of_tables).is_some_and(ArrayOfTables::is_empty) {
        file.remove(STREAMS);
    }
    Ok(was_there)
}

fn has_name(table: &dyn TableLike, name: &str) -> bool {
    table.get("name").and_then(Item::as_str) == Some(name)
}

fn put_table(tables: &mut ArrayOfTables, name: &str, new: Option<Table>) -> bool {
    let at = tables.iter().position(|table| has_name(table, name));
    match (at, new) {
        (Some(at), Some(mut new)) => {
            if let Some(old) = tables.get_mut(at) {
                *new.decor_mut() = old.decor().clone();
                new.set_position(old.position());
                *old = new;
            }
        }
        (Some(at), None) => drop(tables.remove(at)),
        (None, Some(new)) => tables.push(new),
        (None, None) => {}
    }
    at.is_some()
}

fn put_inline(tables: &mut Array, name: &str, new: Option<InlineTable>) -> bool {
    let is_it = |table: &Value| table.as_inline_table().is_some_and(|table| has_name(table, name));
    let at = tables.iter().position(is_it);
    match (at, new) {
        (Some(at), Some(new)) => drop(tables.replace(at, new)),
        (Some(at), None) => drop(tables.remove(at)),
        (None, Some(new)) => tables.push(new),
        (None, None) => {}
    }
    at.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# by hand
[aggregation]
period = 10 # short
uve_proxy_list = \"A-a:X B-b:Y\" # two
[[streams]]
# of Prometheus
name = \"http-requests\"
metric = \"http_requests_total\"

[log]
partitions = 2
";

    #[test]
    fn a_stream_is_put_in_replaced_and_removed_and_all_else_stays() {
        let listed = edit(FILE, "", "C-c", Some("types = [\"X\", \"Y\"]")).unwrap();
        assert_eq!(listed, FILE.replace("B-b:Y\"", "B-b:Y C-c:X:Y\""));
        assert_eq!(edit(FILE, "", "A-a", Some("types = [\"Z\"]")).unwrap(), FILE.replace("A-a:X", "A-a:Z"));
        assert_eq!(edit(FILE, "", "A-a", None).unwrap(), FILE.replace("A-a:X ", ""));
        let other = edit(FILE, "", "http-requests", Some("metric = \"http_total\"\n")).unwrap();
        assert!(other.contains("name = \"http-requests\"") && other.contains("\"http_total\""), "{other}");
        assert!(!other.contains("http_requests_total") && other.contains("[log]\npartitions = 2\n"), "{other}");
        let removed = edit(FILE, "", "http-requests", None).unwrap();
        assert!(!removed.contains("streams") && removed.contains("# short"), "{removed}");
        let added = edit(FILE, "", "dns-queries", Some("metric = \"q\"\nobject = [\"job\"]")).unwrap();
        let parsed: toml::Table = added.parse().unwrap();
        assert_eq!(parsed["streams"].as_array().unwrap().len(), 2, "{added}");
        assert_eq!(parsed["log"]["partitions"].as_integer(), Some(2), "{added}");
        // From one form to the other.
        let listed = edit(FILE, "", "http-requests", Some("types = [\"X\"]")).unwrap();
        assert!(listed.contains("B-b:Y http-requests:X") && !listed.contains("[[streams]]"), "{listed}");
    }

    #[test]
    fn a_file_without_the_list_gets_the_one_in_force() {
        let got = edit("[log]\npartitions = 2\n", "A-a:X", "B-b", Some("types = [\"Y\"]")).unwrap();
        assert_eq!(got, "[log]\npartitions = 2\n\n[aggregation]\nuve_proxy_list = \"A-a:X B-b:Y\"\n");
        let inline = "streams = [{ name = \"a-b\", metric = \"m\" }]\n";
        let got = edit(inline, "", "c-d", Some("metric = \"n\"")).unwrap();
        assert_eq!(got.parse::<toml::Table>().unwrap()["streams"].as_array().unwrap().len(), 2, "{got}");
    }

    #[test]
    fn line_ends_and_the_byte_order_mark_stay() {
        let windows = |text: &str| text.replace('\n', "\r\n");
        for (keys, name) in [(Some("types = [\"X\"]"), "C-c"), (Some("metric = \"m\"\n"), "d-d"), (None, "A-a")] {
            let expected = edit(FILE, "", name, keys).unwrap();
            assert_eq!(edit(&windows(FILE), "", name, keys).unwrap(), windows(&expected), "{name}");
            let marked = |text: &str| format!("\u{feff}{text}");
            assert_eq!(edit(&marked(FILE), "", name, keys).unwrap(), marked(&expected), "{name}");
        }
    }

    #[test]
    fn of_two_streams_of_one_name_none_is_changed() {
        let series = "[[streams]]\nname = \"a-b\"\nmetric = \"m\"\n";
        for file in [
            format!("{series}{series}"),
            format!("[aggregation]\nuve_proxy_list = \"a-b:X\"\n{series}"),
            "[aggregation]\nuve_proxy_list = \"a-b:X a-b:Y\"\n".to_owned(),
            "streams = [{ name = \"a-b\" }, { name = \"a-b\" }]\n".to_owned(),
        ] {
            for keys in [None, Some("metric = \"n\""), Some("types = [\"X\"]")] {
                let error = edit(&file, "", "a-b", keys).unwrap_err();
                assert!(error.contains("has 2 streams of the name `a-b`"), "{file}: {error}");
            }
            assert!(edit(&file, "", "c-d", Some("metric = \"n\"")).is_ok(), "{file}");
        }
    }

    #[test]
    fn a_name_that_would_be_more_than_one_entry_is_refused() {
        for name in ["a b", "a:X", "a\tb", "a\n"] {
            let error = edit(FILE, "", name, Some("types = [\"X\"]")).unwrap_err();
            assert!(error.contains("is not a name of a stream"), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_no_stream_is_refused_with_a_remedy() {
        for (keys, expected) in [
            (Some("types = [\"X E-e:Y\"]"), "found [\"X E-e:Y\"]"),
            (Some("types = [\"X:Y\"]"), "found [\"X:Y\"]"),
            (Some("types = [\"\"]"), "found [\"\"]"),
            (Some("types = 3"), "expected a list of names of proxy types such as [\"AggProxySum\"], found 3"),
            (Some("types = []"), "found []"),
            (Some("types = [\"X\"]\nmetric = \"m\""), "`metric` does not go with `types`"),
            (Some("name = \"other\""), "leave it out of the body"),
            (Some("= 3"), "the body is not TOML"),
            (None, "there is no stream `Q-q` to remove"),
        ] {
            let error = edit(FILE, "", "Q-q", keys).unwrap_err();
            assert!(error.contains(expected), "{keys:?}: {error}");
        }
    }
}
