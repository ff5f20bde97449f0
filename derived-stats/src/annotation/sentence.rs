//! Parts of sentences in annotation errors.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::excerpt::{did_you_mean, quoted};

/// The remedy for an unknown algorithm: the name that was meant, or else the choice and the way to add to it.
pub(super) fn nearest_or_known(nearest: Option<&str>, allowed: &[String]) -> String {
    match nearest {
        Some(name) => did_you_mean(Some(name)),
        None => format!(
            "; expected {}; for an algorithm of your own, register it in the registry of the context \
             (`Context::with_registry`)",
            one_of(allowed, "no algorithm")
        ),
    }
}

/// The names as a choice, `none` without names.
pub(crate) fn one_of(names: &[String], none: &str) -> String {
    match names {
        [] => none.to_owned(),
        [name] => quoted(name),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| quoted(name)).collect();
            format!("{} or {}", first.join(", "), quoted(last))
        }
    }
}

/// How many arguments there can be, and their names.
pub(super) fn at_most(arguments: &[String]) -> String {
    let names: Vec<_> = arguments.iter().map(|name| quoted(name)).collect();
    match names.len() {
        0 => "no arguments".to_owned(),
        1 => format!("at most 1 argument ({})", names[0]),
        count => format!("at most {count} arguments ({})", names.join(", ")),
    }
}

/// The prefix of a period with `arguments` after its last name, as the grammar requires it.
pub(super) fn in_parentheses(prefix: &str, arguments: &str) -> String {
    match arguments {
        "" => quoted(&format!("{prefix}-")),
        _ if arguments.contains(['(', ')']) => {
            format!("{}, where the arguments hold no parentheses", quoted(&format!("{prefix}(…)-")))
        }
        _ => quoted(&format!("{prefix}({arguments})-")),
    }
}

/// The text that was found, which may be empty.
pub(super) fn found(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { quoted(text) }
}
