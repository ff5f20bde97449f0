//! The output of the rows, and the check that it is not an input.

use std::fs::{File, Metadata};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

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
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let file = File::create(&temporary).with_context(|| format!("create {}", temporary.display()))?;
    let commit = Commit(Some(Temporary { temporary, path }));
    if let Some(before) = before {
        let _ = file.set_permissions(before.permissions());
    }
    Ok((Box::new(file), commit))
}

/// The end of an output: without [`commit`](Self::commit) it is removed.
#[must_use]
pub(crate) struct Commit(Option<Temporary>);

/// A file that is written under another name.
struct Temporary {
    temporary: PathBuf,
    path: PathBuf,
}

impl Commit {
    /// Moves the file to its path.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be moved.
    pub(crate) fn commit(mut self) -> anyhow::Result<()> {
        let Some(Temporary { temporary, path }) = self.0.take() else { return Ok(()) };
        std::fs::rename(&temporary, &path)
            .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
            .with_context(|| format!("move {} to {}", temporary.display(), path.display()))
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        if let Some(Temporary { temporary, .. }) = &self.0 {
            let _ = std::fs::remove_file(temporary);
        }
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
