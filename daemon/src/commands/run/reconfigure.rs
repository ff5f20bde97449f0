//! The sources of the configuration, to be read again while the daemon runs.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use daemon_alarms::Rules;
use derived_stats::Registry;
use serde_json::{Value, json};

use crate::app::{Prepared, Reconfigure, StagedFile};
use crate::commands::preflight;
use crate::commands::preview::{Alarms, Preview, Side, Types, alarms, refused_version, types};
use crate::config::{Effective, HiddenKey, Loaded, LogKind, Problems, Sources, one_stream};
use crate::http::{Outcome, Wanted};
use crate::settings;

/// The configuration in force, and where it comes from.
#[derive(Clone)]
pub(super) struct Configured {
    sources: Sources,
    registry: Registry,
    effective: Effective,
    types: Types,
    alarms: Arc<Rules>,
    /// What decides about the alarms of each rule.
    rules: Alarms,
    log: LogKind,
    /// `kafka.configuration_version`.
    version: u64,
    /// Whether schema files, or files of alarms, secrets and certificates, may hold changes that no setting shows.
    has_files: bool,
}

impl Configured {
    pub(super) fn new(sources: Sources, registry: Registry, loaded: &Loaded) -> Self {
        let plans = settings::plans(&loaded.streams);
        Self {
            sources,
            registry,
            effective: loaded.effective.clone(),
            types: types(plans.iter().map(Arc::as_ref)),
            rules: alarms(&loaded.streams.alarms),
            alarms: Arc::clone(&loaded.streams.alarms),
            log: loaded.config.log.kind,
            version: loaded.config.kafka.configuration_version,
            has_files: !loaded.config.aggregation.schema_files.is_empty() || loaded.effective.names_files(),
        }
    }

    fn side(&self) -> Side<'_> {
        Side { effective: &self.effective, types: &self.types, alarms: Some(&self.rules) }
    }

    /// Whether, and why not, the change may be applied to a running daemon.
    fn refusals(&self, next: &Self, preview: &Preview) -> Vec<String> {
        let restarts = preview.restarts().map(|changed| format!("setting {changed}: restart the daemon to change it"));
        let mut reasons: Vec<_> = restarts.collect();
        let is_other = self.types != next.types || self.alarms != next.alarms;
        if self.log == LogKind::Kafka {
            reasons.extend(refused_version(self.version, next.version, is_other));
        }
        reasons
    }

    /// The text of the file with one stream changed, or without it.
    fn with_stream(&self, name: &str, keys: Option<&str>) -> Result<String, Outcome> {
        let file = self.own_file()?;
        let text = daemon_base::setting::file::read_text(file).map_err(|error| {
            Outcome::Refused(vec![format!("{} cannot be read ({error}); post the whole file", file.display())])
        })?;
        let list = self.effective.text("aggregation.uve_proxy_list").unwrap_or_default();
        one_stream::edit(&text, list, name, keys).map_err(|problem| Outcome::Invalid(vec![problem]))
    }

    /// The file that a change replaces.
    fn own_file(&self) -> Result<&Path, Outcome> {
        let file = self.sources.file.as_deref().filter(|file| !Sources::is_collectors(file));
        file.ok_or_else(|| {
            let reason = "the daemon was started without a TOML file, which a change would replace; start it with \
                          --config FILE, or change what it was started with and restart it";
            Outcome::Refused(vec![reason.to_owned()])
        })
    }

    /// The new text as a file beside the one that it replaces, for the same readers.
    fn stage(&self, text: &str) -> Result<StagedFile, Outcome> {
        let file = self.own_file()?;
        staged(file, text).map_err(|error| {
            let remedy = "let the user of the daemon write it, or edit it and send SIGHUP";
            Outcome::Refused(vec![format!("{} cannot be replaced: {error:#}; {remedy}", file.display())])
        })
    }
}

impl Reconfigure for Configured {
    fn shown(&self) -> Value {
        let (settings, hidden) = self.effective.shown();
        json!({
            "file": self.sources.file.as_ref().map(|file| file.display().to_string()),
            "settings": settings,
            "hidden": hidden,
            "types": self.types,
            "alarms": self.rules,
        })
    }

    fn prepare(&self, wanted: Wanted) -> Result<Prepared, Outcome> {
        self.sources.file.as_deref().map_or(Ok(()), check_is_file)?;
        let is_posted = !matches!(wanted, Wanted::Sources);
        let (text, stream) = match wanted {
            Wanted::Sources => (None, None),
            Wanted::Text(text) => (Some(text), None),
            Wanted::Stream { name, keys } => (Some(self.with_stream(&name, keys.as_deref())?), Some((name, keys))),
        };
        let file = text.as_deref().map(|text| self.stage(text)).transpose()?;
        let sources = Sources { text, ..self.sources.clone() };
        let survey = preflight::survey(&sources, &self.registry);
        let invalid = |problems: &Problems| Outcome::Invalid(problems.iter().map(ToString::to_string).collect());
        let is_overridden = survey.is_overridden(&["aggregation.uve_proxy_list", "streams"]);
        let loaded = survey.loaded().map_err(|problems| invalid(&problems))?;
        for notice in &loaded.notices {
            tracing::warn!("{notice}");
        }
        let next = Self::new(self.sources.clone(), self.registry.clone(), &loaded);
        let preview = Preview::new(self.side(), next.side());
        let mut refusals = self.refusals(&next, &preview);
        refusals.extend(stream.and_then(|(name, keys)| mismatch(&loaded, &name, keys.is_some(), is_overridden)));
        if !refusals.is_empty() {
            return Err(Outcome::Refused(refusals));
        }
        let is_same = !preview.is_change() && !next.has_files;
        let settings = (!is_same).then(|| settings::app(&loaded)).transpose();
        let settings = settings.map_err(|error| Outcome::Invalid(vec![format!("{error:#}")]))?;
        let hidden = if is_posted { loaded.hidden.as_slice() } else { &[] };
        let report = report(&preview, hidden, settings.is_some());
        let generation = (next.log == LogKind::Kafka).then_some(next.version);
        Ok(Prepared { settings, report, file, generation, next: Arc::new(next) })
    }
}

/// Why the stream `name` is there, or is not, other than the changed file has it.
fn mismatch(loaded: &Loaded, name: &str, is_wanted: bool, is_overridden: bool) -> Option<String> {
    if has_stream(loaded, name) == is_wanted {
        return None;
    }
    let reason = match is_overridden {
        true => {
            "a flag or the environment sets aggregation.uve_proxy_list or streams, and the file is not used for them; \
             change them there and restart the daemon"
        }
        false => "the changed file does not have it so; post the whole file",
    };
    Some(format!("stream {name}: {reason}"))
}

/// What changes, and what of a posted file is `hidden`.
fn report(preview: &Preview, hidden: &[HiddenKey], is_put_in_force: bool) -> Value {
    let mut report = preview.to_json();
    let Some(fields) = report.as_object_mut() else { return report };
    if !hidden.is_empty() {
        let hidden = hidden.iter().map(|hidden| json!({ "key": hidden.key, "by": hidden.by }));
        fields.insert("hidden".to_owned(), hidden.collect());
    }
    if is_put_in_force && !preview.is_change() {
        // What the files hold is not compared: it is put in force.
        fields.insert("changed".to_owned(), true.into());
        fields.insert("files".to_owned(), "read again".into());
    }
    report
}

/// Whether an entry of the list, or an element of `[[streams]]`, has a name.
fn has_stream(loaded: &Loaded, name: &str) -> bool {
    let mut series = loaded.config.streams.iter();
    series.any(|stream| stream.name == name) || loaded.streams.names().any(|found| found.to_string() == name)
}

/// Checks that a path is that of a file, as far as it can be asked: the opening of a pipe without a writer never ends.
fn check_is_file(path: &Path) -> Result<(), Outcome> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            let path = path.display();
            let reason = format!("{path} is no regular file; put a file there, or restart the daemon to read it once");
            Err(Outcome::Refused(vec![reason]))
        }
        _ => Ok(()),
    }
}

fn staged(file: &Path, text: &str) -> anyhow::Result<StagedFile> {
    // A link stays one.
    let to = std::fs::canonicalize(file).context("follow the path")?;
    let directory = to.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let old = std::fs::metadata(&to).context("read its owner and mode")?;
    let write = |bytes: &[u8]| {
        let staged = tempfile::Builder::new().prefix(".derived-statsd-").tempfile_in(&directory);
        let mut staged = staged.with_context(|| format!("make a file in {}", directory.display()))?;
        staged.write_all(bytes).context("write the new file")?;
        take_access(staged.as_file(), &old).context("set its mode")?;
        staged.as_file().sync_all().context("make it durable")?;
        anyhow::Ok(staged.into_temp_path())
    };
    let before = std::fs::read(&to).context("read it")?;
    Ok(StagedFile { new: write(text.as_bytes())?, old: write(&before)?, to })
}

/// Gives the new file the mode, the group and, where this process may set it, the owner of the old one.
fn take_access(new: &File, old: &Metadata) -> io::Result<()> {
    let (owner, group) = (old.uid(), old.gid());
    let owned = fchown(new, Some(owner), Some(group)).or_else(|_| fchown(new, None, Some(group)));
    // Another group must not get what the old one might do.
    let kept = if owned.is_ok() { 0o7777 } else { 0o700 };
    new.set_permissions(Permissions::from_mode(old.mode() & kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("statsd.toml");
        assert!(check_is_file(&file).is_ok(), "that it is missing is said when it is read");
        std::fs::write(&file, "").unwrap();
        assert!(check_is_file(&file).is_ok());
        assert!(matches!(check_is_file(directory.path()), Err(Outcome::Refused(_))));
        assert!(matches!(check_is_file(Path::new("/dev/null")), Err(Outcome::Refused(_))));
    }

    #[test]
    fn a_staged_file_has_the_mode_the_group_and_the_owner_of_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("statsd.toml");
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        // Only root may do this; others keep their own.
        let _ = fchown(File::open(&file).unwrap(), Some(7), Some(7));
        let old = std::fs::metadata(&file).unwrap();
        let staged = staged(&file, "new").unwrap();
        for (path, text) in [(&staged.new, "new"), (&staged.old, "old")] {
            let found = std::fs::metadata(path).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode()), (old.uid(), old.gid(), old.mode()), "{text}");
            assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        }
    }
}
