//! Passwords and tokens, from the configuration itself or from files of their own.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::file;

/// A text that no debug text and no error shows.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Reads the content of a file without the line breaks at its end. `key` is the setting that names the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read; the text names the key and the path.
    pub fn from_file(path: &Path, key: &str) -> anyhow::Result<Self> {
        let text = file::read_text(path).with_context(|| format!("read {key} {}", path.display()))?;
        Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Returns the text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of a string says what was found instead: a password of digits without quotes, say.
        let text = String::deserialize(deserializer);
        text.map(Self).map_err(|_| D::Error::custom("expected a text; put it in quotes"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Section {
        password: Option<Secret>,
        key_password: Option<Secret>,
    }

    #[test]
    fn a_secret_is_not_in_the_debug_text_of_a_section() {
        let section: Section = toml::from_str("password = \"hunter2\"\nkey_password = \"hunter3\"").unwrap();
        assert!(!format!("{section:?}").contains("hunter"), "{section:?}");
        let revealed = [section.password, section.key_password].map(|secret| secret.unwrap().reveal().to_owned());
        assert_eq!(revealed, ["hunter2", "hunter3"]);
    }

    #[test]
    fn a_secret_that_is_not_a_text_is_not_in_the_error() {
        let error = toml::from_str::<toml::Table>("password = 80915723").unwrap().try_into::<Section>().unwrap_err();
        assert_eq!(error.message(), "expected a text; put it in quotes");
    }
}
