//! The checks of decoded lines, and their error texts with remedies.

use derived_stats::{Number, ValueType};
use proxy_uve::key::{KeyError, ObjectKey};

use crate::commands::aggregate::JobArgs;
use crate::commands::aggregate::lines::MAX_LINE_BYTES;
use crate::commands::print;

/// The most characters of a key in a message.
const SHOWN_CHARACTERS: usize = 64;

/// The source of the type of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TypeSource {
    /// `--type`, beside `--annotation`.
    Argument,
    /// The built-in proxy types.
    BuiltIn,
    /// The file of `--schema`.
    Schema,
}

impl TypeSource {
    /// The source of the type under these arguments.
    pub(crate) fn of(args: &JobArgs) -> Self {
        match (&args.annotation, &args.schema) {
            (Some(_), _) => Self::Argument,
            (None, Some(_)) => Self::Schema,
            (None, None) => Self::BuiltIn,
        }
    }
}

/// Checks that a key has the form `table:name`.
pub(crate) fn check_key(key: &[u8]) -> Result<(), String> {
    let error = match ObjectKey::parse(key) {
        Ok(key) if key.name.is_empty() => None,
        Ok(_) => return Ok(()),
        Err(error) => Some(error),
    };
    let shown = excerpt(key);
    Err(match error {
        None => format!("the key `{shown}` has no name after its first `:`; write e.g. `{shown}a`"),
        Some(KeyError::Empty) => "the key is empty; write `table:name`, e.g. `VM:a`".to_owned(),
        Some(KeyError::EmptyTable) => {
            format!("the key `{shown}` has no table before its first `:`; write e.g. `VM{shown}`")
        }
        Some(KeyError::NoColon) => format!("the key `{shown}` is not `table:name`; write e.g. `VM:{shown}`"),
        Some(KeyError::TooLong { length, limit }) => {
            format!("the key `{shown}` has {length} bytes where at most {limit} are allowed; shorten it")
        }
        Some(error) => format!("the key `{shown}`: {error}"),
    })
}

/// The error text for a value that metrics of the types `expected` do not accept.
pub(crate) fn bad_value(value: Number, expected: &[ValueType], source: TypeSource) -> String {
    let types = names(expected);
    let remedy = match source {
        TypeSource::Argument => {
            let all = [ValueType::I64, ValueType::U64, ValueType::F64];
            let fitting: Vec<_> = all.into_iter().filter(|value_type| value_type.accepts(value)).collect();
            return format!("the value {value} does not fit --type {types}; use --type {}", names(&fitting));
        }
        TypeSource::BuiltIn => "the type of the metric in the built-in proxy types; use",
        TypeSource::Schema => "the type of the metric in the schema; change the type there, or use",
    };
    format!("the value {value} does not fit {types}, {remedy} --annotation, which takes f64")
}

/// The error text for a line over the length limit.
pub(crate) fn too_long(length: u64) -> String {
    format!(
        "the line has {length} bytes where at most {MAX_LINE_BYTES} are allowed; write each record on a line of its own"
    )
}

fn names(types: &[ValueType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// The beginning of a text, without control characters.
fn excerpt(text: &[u8]) -> String {
    print::excerpt(&String::from_utf8_lossy(text), SHOWN_CHARACTERS)
}
