//! The names of the attributes.

use std::sync::{Mutex, PoisonError};

/// The most distinct attributes, because each of them has its own tables.
const MAX_ATTRIBUTES: usize = 4096;

/// The attribute names of all threads by id. Ids depend on thread timing, so the output orders attributes by name.
#[derive(Debug, Default)]
pub(crate) struct AttributeNames(Mutex<Vec<String>>);

impl AttributeNames {
    /// The id of a name, which is added if it is new.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8, or there are too many.
    pub(crate) fn id(&self, name: &[u8]) -> Result<u16, String> {
        let name = std::str::from_utf8(name).map_err(|_| "the attribute is not UTF-8".to_owned())?;
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = names.iter().position(|known| known == name) {
            return Ok(id as u16);
        }
        if names.len() >= MAX_ATTRIBUTES {
            return Err(format!(
                "the attribute `{name}` exceeds the limit of {MAX_ATTRIBUTES} attributes; check --format and the lines"
            ));
        }
        names.push(name.to_owned());
        Ok((names.len() - 1) as u16)
    }

    /// The name of an attribute.
    pub(crate) fn name(&self, id: u16) -> String {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(usize::from(id)).cloned().unwrap_or_default()
    }
}
