//! `tap` shows the samples of a stream or an object of a running daemon as they are applied, each with its outcome, and
//! their results.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::client::{ClientOptions, DaemonUrl};
use super::print::{excerpt, message, quiet_if_closed};
use crate::config::Role;

/// The characters of an answer that are shown.
const EXCERPT: usize = 500;

/// The longest line of a daemon.
const LINE_BYTES: usize = 1024 * 1024;

/// Arguments of `tap`.
#[derive(Args, Debug)]
pub(crate) struct TapArgs {
    /// A stream, such as UveVirtualNetworkAgent-egress_flow_count, or an object, such as ObjectVNTable:vn1.
    #[arg(value_name = "STREAM|KEY")]
    wanted: String,
    #[command(flatten)]
    daemon: DaemonUrl,
    /// Print the lines of JSON as they come.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientOptions,
}

/// Prints a line for each sample and result until Ctrl-C, or until the daemon ends.
///
/// # Errors
///
/// When the daemon does not answer, or standard output cannot be written.
pub(crate) fn run(args: &TapArgs) -> anyhow::Result<ExitCode> {
    // The name of a stream has no colon, and a key has one.
    let parameter = if args.wanted.contains(':') { "key" } else { "stream" };
    let path = format!("/api/v1/tap?{parameter}={}", utf8_percent_encode(&args.wanted, NON_ALPHANUMERIC));
    let base = args.daemon.url(Role::Query);
    let url = format!("{base}{path}");
    let client = args.client.client(&base, None)?;
    let mut answer = client.get(&path)?;
    if !answer.status().is_success() {
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        message(format_args!("{}", client.refusal(&path, answer.status(), &text)));
        return Ok(ExitCode::FAILURE);
    }
    let mut lines = BufReader::new(answer.into_body().into_reader());
    while let Some(line) = next_line(&mut lines, &url)? {
        if line.is_empty() {
            continue;
        }
        let shown = if args.json { line } else { shown(&line) };
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{shown}").and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => quiet_if_closed(written).context("write to standard output")?,
        }
    }
    message(format_args!("{url} ended: the daemon stopped, or this reader was too slow"));
    Ok(ExitCode::SUCCESS)
}

/// The next line without its end; `None` at the end of the stream.
///
/// # Errors
///
/// When the stream breaks off, or the line is longer than [`LINE_BYTES`] or not UTF-8: it is not of a daemon.
fn next_line(lines: &mut impl BufRead, url: &str) -> anyhow::Result<Option<String>> {
    let mut line = Vec::new();
    lines.take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut line).with_context(|| format!("{url} ended"))?;
    if line.is_empty() {
        return Ok(None);
    }
    let expected = "expected the lines of a daemon, of at most 1 MiB; check --url";
    let beginning = |line: &[u8]| excerpt(&String::from_utf8_lossy(line.get(..EXCERPT).unwrap_or(line)), 40);
    if line.len() > LINE_BYTES {
        anyhow::bail!("{url} sent a line of more than {LINE_BYTES} bytes, `{}`; {expected}", beginning(&line));
    }
    let text = String::from_utf8(line).map_err(|error| {
        anyhow::anyhow!("{url} sent a line that is not UTF-8, `{}`; {expected}", beginning(error.as_bytes()))
    })?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A line in words.
fn shown(line: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(line) else { return excerpt(line, EXCERPT) };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    };
    if let Some(sample) = value.get("sample") {
        let field = |name: &str| sample.get(name).map(text).unwrap_or_default();
        let source = sample.get("source").map(|source| format!(" from {}", text(source))).unwrap_or_default();
        let reason = sample.get("reason").map(|reason| format!(": {}", text(reason))).unwrap_or_default();
        let [stream, key, value, ts, outcome] = ["stream", "key", "value", "ts", "outcome"].map(field);
        return plain(&format!("sample {stream} {key} {value} at {ts}{source}: {outcome}{reason}"));
    }
    if let Some(result) = value.get("result") {
        let field = |name: &str| result.get(name).map(text).unwrap_or_default();
        let [uve, key, start, end, data] = ["uve", "key", "start", "end", "data"].map(field);
        return plain(&format!("result {uve} {key} {start} to {end}: {data}"));
    }
    match value.get("lost") {
        Some(lost) => format!("lost   {lost} lines: this reader was too slow for them"),
        None => excerpt(line, EXCERPT),
    }
}

/// Without characters that could change a terminal.
fn plain(text: &str) -> String {
    excerpt(text, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_is_an_error_after_a_mebibyte() {
        let longest = format!("{}\n", "x".repeat(LINE_BYTES - 1));
        let mut lines = longest.as_bytes().chain(&b"\r\nlast"[..]);
        let mut next = || next_line(&mut lines, "http://a").unwrap().map(|line| line.len());
        assert_eq!([next(), next(), next(), next()], [Some(LINE_BYTES - 1), Some(0), Some(4), None]);
        let mut endless = BufReader::new(io::repeat(b'y').take(64 * LINE_BYTES as u64));
        let error = next_line(&mut endless, "http://a/api/v1/tap").unwrap_err().to_string();
        assert!(error.starts_with("http://a/api/v1/tap sent a line of more than 1048576 bytes, `yyy"), "{error}");
        assert!(error.ends_with("check --url") && error.len() < 300, "{error}");
        let left = endless.into_inner().limit();
        assert!(left > 62 * LINE_BYTES as u64, "{left} bytes are not read");
        let error = next_line(&mut &b"\xff\n"[..], "http://a").unwrap_err().to_string();
        assert!(error.contains("not UTF-8"), "{error}");
    }

    #[test]
    fn a_line_is_shown_in_words() {
        let cases = [
            (
                r#"{"sample":{"stream":"S-a","key":"T:x","ts":7,"value":3,"source":"c","outcome":"late","reason":"old"}}"#,
                "sample S-a T:x 3 at 7 from c: late: old",
            ),
            (
                r#"{"result":{"key":"T:x","uve":"Sum-S-a","start":1,"end":2,"data":{"value":3}}}"#,
                "result Sum-S-a T:x 1 to 2: {\"value\":3}",
            ),
            (
                "{\"sample\":{\"stream\":\"S-a\",\"key\":\"T:\u{202e}x\",\"ts\":7,\"value\":3,\"outcome\":\"late\"}}",
                "sample S-a T:\u{fffd}x 3 at 7: late",
            ),
            (r#"{"lost":17}"#, "lost   17 lines: this reader was too slow for them"),
        ];
        for (line, expected) in cases {
            assert_eq!(shown(line), expected);
        }
    }
}
