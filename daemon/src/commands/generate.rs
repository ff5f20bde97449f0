//! What is made of the command line itself: completions of shells, and man pages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::commands::print::print;

/// The name of the program.
const NAME: &str = "derived-statsd";

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The directory to write to, which is made if missing.
    #[arg(value_name = "DIR")]
    target: PathBuf,
}

/// Prints the completions of a shell.
///
/// # Errors
///
/// Fails if standard output cannot be written.
pub(crate) fn completions(args: &CompletionsArgs, mut program: Command) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, NAME, &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and one for each command.
///
/// # Errors
///
/// Fails if a file cannot be written.
pub(crate) fn man(args: &ManArgs, program: Command) -> anyhow::Result<ExitCode> {
    let target = &args.target;
    std::fs::create_dir_all(target).with_context(|| format!("make {}", target.display()))?;
    clap_mangen::generate_to(program, target).with_context(|| format!("write to {}", target.display()))?;
    Ok(ExitCode::SUCCESS)
}
