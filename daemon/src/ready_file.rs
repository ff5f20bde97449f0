//! The file that signals that the daemon listens, for programs that start it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use tracing::warn;

/// A file that exists while the daemon listens. It is removed when this is dropped.
pub(crate) struct ReadyFile(PathBuf);

#[derive(Serialize)]
struct Content {
    pid: u32,
    /// Absent if all listeners are Unix sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<SocketAddr>,
    /// The addresses of all listeners of the HTTP server.
    listeners: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contiv: Option<SocketAddr>,
}

impl ReadyFile {
    /// Writes the file atomically.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn write(
        path: &Path,
        http: Option<SocketAddr>,
        listeners: Vec<String>,
        contiv: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let content = serde_json::to_string(&Content { pid: std::process::id(), http, listeners, contiv })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            writeln!(file, "{content}")?;
            Ok(file.persist(path)?)
        });
        written.with_context(|| format!("write {}; check --ready-file", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            warn!(path = %self.0.display(), %error, "The ready file could not be removed.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_process_and_addresses_and_goes_with_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let file = ReadyFile::write(&path, Some(address(1)), vec!["127.0.0.1:1".to_owned()], Some(address(2))).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = format!(
            "{{\"pid\":{},\"http\":\"127.0.0.1:1\",\"listeners\":[\"127.0.0.1:1\"],\"contiv\":\"127.0.0.1:2\"}}\n",
            std::process::id()
        );
        assert_eq!(text, expected);
        drop(file);
        assert!(!path.exists());
        let error = ReadyFile::write(&folder.path().join("no/ready"), None, Vec::new(), None).err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("no/ready; check --ready-file"), "{error}");
    }
}
