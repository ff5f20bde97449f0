//! The output of the rows, and the check that it is not an input.

use std::fs::{File, Metadata, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

use crate::commands::aggregate::JobArgs;
use crate::commands::aggregate::display_name;
use crate::commands::aggregate::rows::RowFormat;
use crate::commands::{print, recorded};

/// Checks that the output takes the header that is asked for, and is not an input: its creation would empty the input,
/// and appended rows would be read as records. Files are compared by device and inode, so a link equals its target. The
/// check opens no file for writing.
///
/// # Errors
///
/// Fails if the output is an input or the schema; the error has both names.
pub(crate) fn check(files: &[PathBuf], args: &JobArgs) -> anyhow::Result<()> {
    if let Some(path) = args.out.as_deref().filter(|path| args.header && RowFormat::is_json(path)) {
        bail!("--header begins CSV with a line, and {} is JSON lines; leave --header out", path.display());
    }
    let output = match &args.out {
        Some(path) => std::fs::metadata(path).ok(),
        None => metadata_of(std::io::stdout()),
    };
    let Some(output) = output.and_then(|metadata| identity(&metadata)) else {
        return Ok(());
    };
    let is_output = |metadata: Option<Metadata>| metadata.and_then(|metadata| identity(&metadata)) == Some(output);
    let inputs = files.iter().map(|path| match path.as_os_str() == recorded::STDIN {
        true => ("input", path, metadata_of(std::io::stdin())),
        false => ("input", path, std::fs::metadata(path).ok()),
    });
    let schema = args.schema.iter().map(|path| ("schema", path, std::fs::metadata(path).ok()));
    for (role, path, metadata) in inputs.chain(schema) {
        if !is_output(metadata) {
            continue;
        }
        let input = display_name(path);
        match &args.out {
            Some(out) => bail!(
                "the output {} and the {role} {input} are the same file, which would be overwritten; give --out \
                 another file",
                out.display()
            ),
            None => bail!(
                "standard output and the {role} {input} are the same file; redirect the rows to another one, or give \
                 --out"
            ),
        }
    }
    Ok(())
}

/// Creates the output. A file is written beside its path, and replaces what is there with [`Commit::commit`]: a run that
/// fails leaves the path as it was. A pipe or a device is written directly.
///
/// # Errors
///
/// Fails if the file cannot be created.
pub(crate) fn create(path: Option<&Path>) -> anyhow::Result<(Box<dyn Write + Send>, Commit)> {
    let Some(path) = path else {
        return Ok((Box::new(print::output()), Commit(None)));
    };
    let before = std::fs::metadata(path).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        return Ok((Box::new(file), Commit(None)));
    }
    // Of a link, the file that it leads to.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // As a file that is created: what the umask leaves of it.
    let usual = Permissions::from_mode(0o666);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".derived-statsd-").suffix(".tmp").permissions(usual);
    let temporary = builder.tempfile_in(folder).with_context(|| {
        let folder = folder.display();
        format!("make a file in {folder}; let this user write there, or give --out a path in another folder")
    })?;
    if let Some(before) = before {
        let _ = temporary.as_file().set_permissions(before.permissions());
    }
    let file = temporary.as_file().try_clone().context("open the output twice")?;
    Ok((Box::new(file), Commit(Some(Temporary { temporary, path }))))
}

/// The end of an output: without [`commit`](Self::commit) it is removed.
#[must_use]
pub(crate) struct Commit(Option<Temporary>);

/// A file that is written under another name.
struct Temporary {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl Commit {
    /// Makes the file durable and moves it to its path.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written or moved.
    pub(crate) fn commit(self) -> anyhow::Result<()> {
        let Some(Temporary { temporary, path }) = self.0 else { return Ok(()) };
        temporary.as_file().sync_all().with_context(|| format!("make {} durable", path.display()))?;
        let moved = temporary.persist(&path).map_err(|failed| failed.error);
        moved.map(drop).with_context(|| format!("replace {}; check that this user may write there", path.display()))
    }
}

/// The device and inode of a regular file. Terminals, pipes and devices may be input and output at the same time.
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

fn metadata_of(stream: impl std::os::fd::AsFd) -> Option<Metadata> {
    File::from(stream.as_fd().try_clone_to_owned().ok()?).metadata().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_keeps_its_mode_and_is_replaced_at_the_end_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "before").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let (mut output, commit) = create(Some(&path)).unwrap();
        output.write_all(b"after").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        commit.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        drop(create(Some(&path)).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn an_error_names_the_folder_and_long_names_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing/rows.csv");
        let error = format!("{:#}", create(Some(&missing)).map(drop).unwrap_err());
        assert!(error.contains("missing; let this user write there"), "{error}");
        let (_, commit) = create(Some(&folder.path().join("x".repeat(255)))).unwrap();
        commit.commit().unwrap();
    }
}
