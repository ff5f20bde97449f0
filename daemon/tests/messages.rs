//! Messages that cannot be written: the daemon works as before, counts them, and stops in order. And the pages on
//! faults list what the daemon prints, word for word.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Daemon, command, line, wait_until};
use tempfile::TempDir;

/// A daemon that has much to say.
fn talkative(data: &Path) -> Command {
    let mut command = command("run", data, &["aggregation.allowed_lateness=0s"]);
    command.env("RUST_LOG", "trace");
    command
}

fn dropped(daemon: &Daemon) -> u64 {
    let metrics = daemon.get("/metrics").1;
    let value = metrics.lines().find_map(|line| line.strip_prefix("derived_statsd_messages_dropped_total "));
    value.unwrap().parse().unwrap()
}

/// Every post is answered and applied, and the daemon is ready.
fn works(daemon: &Daemon) {
    for at in (0..20).map(|second| 1_488_000_000_000_000 + second * 1_000_000) {
        let (status, body) = daemon.post(line("a", "egress_flow_count", at, 1).as_bytes(), None).unwrap();
        assert_eq!(status, 200, "{body}");
    }
    daemon.wait_until_applied();
    assert_eq!(daemon.get("/readyz").0, 200);
}

/// The daemon works while its messages cannot be written to `stderr`, counts them, and stops in order.
fn works_without(stderr: impl Into<Stdio>) {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::with_stderr(talkative(data.path()), stderr);
    works(&daemon);
    wait_until("messages are dropped", || (dropped(&daemon) > 1).then_some(()));
    daemon.stop();
}

#[test]
fn a_full_disk_behind_the_messages_changes_nothing_else() {
    works_without(OpenOptions::new().write(true).open("/dev/full").unwrap());
}

#[test]
fn a_reader_that_has_gone_changes_nothing_else() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    works_without(writer);
}

#[test]
fn a_reader_that_is_stuck_changes_nothing_else() {
    let data = TempDir::new().unwrap();
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // What a pipe of Linux holds: the first message waits for ever.
    writer.write_all(&[b'\n'; 64 * 1024]).unwrap();
    let daemon = Daemon::with_stderr(talkative(data.path()), writer);
    works(&daemon);
    daemon.stop();
}

/// Messages of the pages that librdkafka prints.
const OF_LIBRDKAFKA: [&str; 1] = ["Consumer group session timed out"];

/// The texts between backticks of a line that are messages: several words, and no request, setting or command.
fn messages(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let other = ["GET ", "POST ", "derived-statsd ", "ulimit ", "make "];
    quoted.filter(move |text| text.contains(' ') && !text.contains('=') && !other.iter().any(|it| text.starts_with(it)))
}

/// The texts of all source files in a folder, tests aside.
fn rust_files(folder: &Path) -> Vec<String> {
    let (mut folders, mut files) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("tests") && !path.ends_with("simulator") {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}

/// A source with each string literal on one line.
fn joined(source: &str) -> String {
    let mut lines = source.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

#[test]
fn the_pages_on_faults_list_what_the_daemon_prints() {
    let sources = joined(&rust_files(Path::new(env!("CARGO_MANIFEST_DIR"))).concat());
    let mut checked = 0;
    for page in ["kafka.md", "faults.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/operations").join(page);
        let page_text = std::fs::read_to_string(path).unwrap();
        let rows = page_text.lines().skip_while(|line| !line.starts_with("| what you see"));
        for seen in rows.filter_map(|row| row.strip_prefix("| ")?.split(" | ").next()) {
            for message in messages(seen).filter(|message| !OF_LIBRDKAFKA.contains(message)) {
                // What differs from one message to the next is `…` in the page.
                for part in message.split('…').map(str::trim).filter(|part| part.contains(' ')) {
                    assert!(sources.contains(part), "{page} has `{message}`, but the daemon does not print `{part}`");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 30, "{checked} messages");
}

/// Texts that are placeholders only: those of the functions in [`TEXTS`], and of notices.
const OF_FUNCTIONS: [&str; 4] = ["{notice}", "{problem}", "{}", "{state}; {remedy}. The results stay in the log."];

/// The functions that make the texts of messages, by their files.
const TEXTS: [(&str, &str); 4] = [
    ("alarms/src/check.rs", "fn hints_of("),
    ("kafka/src/topics/plan.rs", "fn uneven("),
    ("partition/src/drops.rs", "fn text(fate"),
    ("sinks/src/redis/delivery.rs", "fn state(kind"),
];

/// What an operator searches for: the first part of a text that is always the same, within a clause, and has four words; or
/// the longest one.
fn fixed_part(text: &str) -> &str {
    let (mut start, mut parts) = (0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '{' => parts.push(&text[start..at]),
            '}' => start = at + 1,
            _ => {}
        }
    }
    parts.push(&text[start..]);
    let sentences =
        parts.into_iter().flat_map(|part| part.split(". ")).flat_map(|part| part.split([';', ':', '(', '`']));
    let parts: Vec<_> = sentences.map(|part| part.trim_matches([' ', ',', ')', '"', '.', '\\'])).collect();
    let first = parts.iter().find(|part| part.split(' ').count() > 3);
    first.or_else(|| parts.iter().max_by_key(|part| part.len())).copied().unwrap_or_default()
}

/// The messages of all calls of these macros in a source.
fn calls(source: &str, macros: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for call in macros.iter().flat_map(|name| source.split(&format!("{name}!(")[..]).skip(1).collect::<Vec<_>>()) {
        let (mut depth, mut literal, mut last) = (1, None::<String>, String::new());
        let mut characters = call.chars();
        while depth > 0 {
            match (characters.next(), &mut literal) {
                (None, _) => break,
                (Some('"'), Some(_)) => last = literal.take().unwrap(),
                (Some('"'), None) => literal = Some(String::new()),
                (Some('\\'), Some(text)) => text.extend(characters.next()),
                (Some(character), Some(text)) => text.push(character),
                (Some('('), None) => depth += 1,
                (Some(')'), None) => depth -= 1,
                (Some(_), None) => {}
            }
        }
        found.push(last.trim().to_owned());
    }
    found
}

/// The texts of several words in the body of a function.
fn texts_of(source: &str, function: &str) -> Vec<String> {
    let body = source.split_once(function).unwrap_or_else(|| panic!("there is no {function}")).1;
    let body = body.split("\n}\n").next().unwrap();
    let texts = body.split('"').skip(1).step_by(2).filter(|text| text.split(' ').count() > 2);
    texts.map(str::to_owned).collect()
}

/// The literal of a notice may be one of several: the first is its text.
fn notices(source: &str) -> Vec<String> {
    let calls = source.split("notice!(").skip(1);
    let texts = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
    texts.map(str::to_owned).collect()
}

#[test]
fn each_warning_is_on_a_page_of_the_operations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("../docs/src/operations")).unwrap().map(|page| page.unwrap().path());
    let pages: String = pages.map(|page| std::fs::read_to_string(page).unwrap()).collect();
    let crates = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().join("src"));
    let crates: Vec<_> = crates.filter(|sources| sources.is_dir()).chain([root.join("src")]).collect();
    let is_listed = |text: &str| {
        let part = fixed_part(text);
        assert!(part.contains(' ') && pages.contains(part), "no page of docs/src/operations has {part:?}, of {text:?}");
    };
    let (mut checked, mut listed, mut indirect) = (0, 0, 0);
    for source in crates.iter().flat_map(|folder| rust_files(folder)) {
        // Tests are at the end of their files.
        let source = joined(source.split("#[cfg(test)]\nmod tests").next().unwrap());
        for message in calls(&source, &["warn", "error"]) {
            if OF_FUNCTIONS.contains(&&*message) {
                indirect += 1;
                continue;
            }
            // A page has the first sentence, or its beginning.
            let beginning = message.split(['.', ';', ':', '{']).next().unwrap().trim();
            assert!(!beginning.is_empty(), "the text of {message:?} is not fixed; add its function to TEXTS");
            assert!(pages.contains(beginning), "no page of docs/src/operations has the message {message:?}");
            checked += 1;
        }
        let found = notices(&source);
        listed += found.len();
        found.iter().for_each(|notice| is_listed(notice));
    }
    for (file, function) in TEXTS {
        let source = joined(&std::fs::read_to_string(root.join(file)).unwrap());
        let texts = texts_of(&source, function);
        assert!(!texts.is_empty(), "{file}");
        texts.iter().for_each(|text| is_listed(text));
    }
    assert!(checked > 100 && listed > 15, "{checked} messages, {listed} notices");
    assert_eq!(indirect, 6, "each is in OF_FUNCTIONS, with its texts in TEXTS or as notices");
}

#[test]
fn the_page_on_sizing_shows_what_the_command_prints() {
    let page = include_str!("../../docs/src/operations/sizing.md");
    let command = "derived-statsd size --objects 10000000 --rate 1000000 --log kafka";
    assert!(page.contains(command));
    let mut size = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    let output = size.args(command.split(' ').skip(1)).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && page.contains(&printed), "the page lacks\n{printed}");
}

#[test]
fn each_claim_on_security_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../SECURITY.md")).unwrap();
    let named: Vec<_> = page.split('`').filter_map(|text| text.split_once("::")).collect();
    for (file, test) in &named {
        let path = if file.contains('/') { root.join("..").join(file) } else { root.join("tests").join(file) };
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        let wanted = format!("fn {test}()");
        assert!(source.contains(&wanted), "SECURITY.md names {file}::{test}, which does not exist");
    }
    assert!(named.len() > 15, "{} tests", named.len());
}
