//! The check of keys.

use proxy_uve::{ObjectKey, table_of_uve_type};

use super::LineError;

/// Checks that a key is `table:name`. A table also takes an empty name, under which no UVE can be requested.
///
/// # Errors
///
/// When it is not.
pub fn check_key(key: &[u8]) -> Result<(), LineError> {
    let reason = match ObjectKey::parse(key) {
        Ok(ObjectKey { name: "", .. }) => "the key has no name after its first `:`; expected `table:name`".to_owned(),
        // The path of the type leads to the table of Contrail, so nobody could list the object.
        Ok(ObjectKey { table: uve_type, .. }) => match contrail_table(uve_type) {
            Some(table) => format!("`{uve_type}` is the UVE type of the table `{table}`; write `{table}:name`"),
            None => return Ok(()),
        },
        Err(error) => error.to_string(),
    };
    Err(LineError::Key { reason })
}

/// The table of a UVE type of Contrail. Types are in lower case, so that nearly every table needs no search.
fn contrail_table(uve_type: &str) -> Option<&'static str> {
    let is_type = uve_type.starts_with(|first: char| first.is_ascii_lowercase());
    if is_type { table_of_uve_type(uve_type) } else { None }
}
