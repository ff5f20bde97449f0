//! The sentences of annotation errors that are put together from parts, and those parts.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::fault::NameFault;
use crate::excerpt::{did_you_mean, quoted};

/// The form of an annotation, with an example.
pub(super) const FORM: &str =
    "`[period[.PRE]…-]attribute[.component[.subcomponent]]:ALGORITHM[:arguments]`, such as `raw:DSSum`";

/// The remedy for an unknown algorithm: the most similar name, or else all names and the way to register another.
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

/// The remedy for an unknown argument: the most similar name, or else all names.
pub(super) fn nearest_or_taken(nearest: Option<&str>, takes: &[String]) -> String {
    match nearest {
        Some(name) => did_you_mean(Some(name)),
        None => format!("; expected {}", one_of(takes, "no argument")),
    }
}

/// The names as a list with `or`; `none` if there are no names.
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

/// The largest number of arguments, and their names.
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

/// The sentence for `text` after a period's `.` that is not a name.
pub(super) fn not_a_pre(text: &str, fault: NameFault) -> String {
    format!(
        "{} is not a pre-aggregation: {fault}; expected a whole period, `.` and a name, as in `1.DSSum-`",
        quoted(text)
    )
}

/// The sentence for a pre-aggregation that does not exist.
pub(super) fn unknown_pre(name: &str, nearest: Option<&str>, allowed: &[String]) -> String {
    let (name, allowed, hint) = (quoted(name), one_of(allowed, "no pre-aggregation"), did_you_mean(nearest));
    format!("{name} cannot aggregate a period; expected {allowed}{hint}")
}

/// The sentence for a detector that does not exist.
pub(super) fn unknown_detector(name: &str, nearest: Option<&str>, allowed: &[String], example: &str) -> String {
    let (name, allowed, hint) = (quoted(name), one_of(allowed, "no detector"), did_you_mean(nearest));
    format!("unknown detector {name}; expected {allowed}, as in `{example}`{hint}")
}

/// The sentence for a required argument that is left out.
pub(super) fn missing_argument(algorithm: &str, argument: &str, expected: &str, example: &str) -> String {
    let (algorithm, argument, example) = (quoted(algorithm), quoted(argument), quoted(example));
    format!("{algorithm} lacks the argument {argument}; expected {expected}; write {example}")
}
