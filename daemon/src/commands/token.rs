//! `token` makes a token of a client: the secret for the client, and its line for the file of the daemon.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::print::{message, print};
use crate::tokens::{Scope, Token};

/// Arguments of `token`.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// The name of the client, which answers and the file show.
    #[arg(value_parser = name)]
    name: String,
    /// What it may do: read, write, admin (change the configuration), with a comma between two.
    #[arg(long, value_delimiter = ',', default_value = "read")]
    scopes: Vec<Scope>,
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.@".contains(character);
    match !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("expected up to 64 letters, digits and -_.@".to_owned()),
    }
}

/// Prints the line for the file on standard output, and the token on standard error, so that `>> FILE` keeps them apart.
///
/// # Errors
///
/// Fails if the system gives no random bytes, or standard output cannot be written.
pub(crate) fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let token = Token::random().context("read random bytes")?;
    print(&format!("{}\n", token.line(&args.name, &args.scopes)))?;
    message(format_args!("the token of {}, which is shown this once: {}", args.name, token.reveal()));
    Ok(ExitCode::SUCCESS)
}
