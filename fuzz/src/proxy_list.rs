//! `uve_proxy_list`: which proxy types run on which streams.

use std::sync::LazyLock;

use proxy_uve::proxy_list::ProxyList;
use proxy_uve::schema::Schema;

static BUILTIN: LazyLock<Schema> = LazyLock::new(Schema::builtin);

/// Parses the list, prints it and parses that again.
pub fn proxy_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match ProxyList::parse(text, &BUILTIN) {
        Ok(list) => {
            let printed = list.to_string();
            assert_eq!(ProxyList::parse(&printed, &BUILTIN).as_ref(), Ok(&list), "printed as {printed:?}");
            for entry in list.entries() {
                assert_eq!(list.get(&entry.stream), Some(entry));
                assert!(!entry.types.is_empty(), "{} has no types", entry.stream);
            }
        }
        Err(errors) => {
            assert!(!errors.errors().is_empty(), "refused without an error");
            for error in &errors {
                let line = text.split('\n').nth(error.line() - 1);
                let line = line.unwrap_or_else(|| panic!("line {} of {text:?}: {error}", error.line()));
                assert!((1..=line.chars().count() + 1).contains(&error.column()), "column {}: {error}", error.column());
                assert_eq!(error.to_string().lines().count(), 4, "{error}");
            }
        }
    }
}
