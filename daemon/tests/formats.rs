//! What files of samples may hold besides plain lines, with the commands that read them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::io::Write as _;
use std::path::Path;

use binary::Run;
use flate2::write::GzEncoder;
use support::line;
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;
const MINUTE: u64 = 60_000_000;

fn samples() -> String {
    (0..600).map(|at| line(["a", "b"][at as usize % 2], "egress_flow_count", START + at * MINUTE, at)).collect()
}

fn array(pretty: bool) -> String {
    let elements: Vec<serde_json::Value> = samples().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    if pretty { serde_json::to_string_pretty(&elements) } else { serde_json::to_string(&elements) }.unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Each content that is as good as the plain lines.
fn same() -> Vec<(&'static str, Vec<u8>)> {
    let marked = |text: String| format!("\u{FEFF}{text}").into_bytes();
    vec![
        ("an array", array(false).into_bytes()),
        ("an array over many lines", array(true).into_bytes()),
        ("lines with a mark", marked(samples())),
        ("an array with a mark", marked(array(true))),
        ("a compressed array", gzip(array(true).as_bytes())),
        ("compressed lines with a mark", zstd::encode_all(&marked(samples())[..], 1).unwrap()),
    ]
}

/// Each content that is named, with what the error must have.
fn named() -> Vec<(Vec<u8>, [&'static str; 2])> {
    let utf16: Vec<u8> = samples().encode_utf16().flat_map(u16::to_be_bytes).collect();
    let pretty = samples().lines().next().unwrap().replace("{", "{\n").replace(",", ",\n");
    vec![
        (utf16.clone(), ["UTF-16", "iconv"]),
        (gzip(&utf16), ["UTF-16", "iconv"]),
        (gzip(&gzip(samples().as_bytes())), ["gzip", "compressed twice"]),
        (b"\xFD7zXZ\0\0\x04".to_vec(), ["xz", "unxz"]),
        (b"BZh91AY&SY".to_vec(), ["bzip2", "bunzip2"]),
        (pretty.into_bytes(), ["several lines", "jq -c"]),
        (array(true).into_bytes()[..9_000].to_vec(), ["the array of samples has no end", "`]`"]),
        (format!("{}{}", array(false), samples()).into_bytes(), ["follows the end of the array", "one sample a line"]),
    ]
}

fn aggregate(path: &str, input: &[u8]) -> Run {
    binary::run(&["aggregate", "--annotation", "1.DSSum-value:DSAnomaly:EWM:0.1", path], input)
}

#[test]
fn aggregate_reads_an_array_and_skips_a_byte_order_mark() {
    let plain = aggregate("-", samples().as_bytes());
    assert_eq!(plain.stdout.lines().count(), 600, "{plain:?}");
    for (name, content) in same() {
        let run = aggregate("-", &content);
        assert!(run.stdout == plain.stdout && run.code == Some(0), "{name}: {}", run.stderr);
        assert!(run.stderr.starts_with("600 records"), "{name}: {}", run.stderr);
    }
}

#[test]
fn a_bad_element_of_an_array_is_named_by_its_number() {
    let lines = samples();
    let lines: Vec<_> = lines.lines().take(2).collect();
    let run = aggregate("-", format!("[\n{},\n {{\"key\":7}},\n{}\n]", lines[0], lines[1]).as_bytes());
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 2), "{run:?}");
    assert!(run.stderr.contains("standard input:2: "), "{run:?}");
}

#[test]
fn aggregate_names_other_formats_and_the_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("samples.bin");
    for (content, parts) in named() {
        std::fs::write(&path, content).unwrap();
        let run = aggregate(path.to_str().unwrap(), b"");
        assert_eq!(run.code, Some(1), "{parts:?}: {run:?}");
        for part in parts.into_iter().chain(["samples.bin"]) {
            assert!(run.stderr.contains(part), "no {part:?}: {run:?}");
        }
    }
}

fn replay(data: &Path, content: &[u8]) -> (Option<i32>, String) {
    let path = data.with_extension("samples");
    std::fs::write(&path, content).unwrap();
    let output = support::command("replay", data, &[]).arg("--close-windows").arg(&path).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn replay_reads_an_array_and_skips_a_byte_order_mark() {
    let data = TempDir::new().unwrap();
    let plain = data.path().join("plain");
    assert_eq!(replay(&plain, samples().as_bytes()).0, Some(0));
    let expected = support::results(&plain);
    assert!(expected.len() >= 600, "{}", expected.len());
    for (name, content) in same() {
        let log = data.path().join(name.replace(' ', "-"));
        let (code, messages) = replay(&log, &content);
        assert!(code == Some(0) && messages.contains("600 records") && messages.contains(" 0 bad lines"), "{messages}");
        assert_eq!(support::results(&log).len(), expected.len(), "{name}");
    }
}

#[test]
fn replay_names_other_formats_and_the_file() {
    let data = TempDir::new().unwrap();
    for (content, parts) in named() {
        let (code, messages) = replay(&data.path().join("log"), &content);
        assert_eq!(code, Some(1), "{parts:?}: {messages}");
        for part in parts.into_iter().chain(["log.samples"]) {
            assert!(messages.contains(part), "no {part:?}: {messages}");
        }
    }
}
