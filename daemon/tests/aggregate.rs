//! `derived-statsd aggregate` against an independent recomputation, for several thread counts and every input format.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod sandesh;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sandesh::counters;
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000;
const START: u64 = 1_488_000_000_000_000;
const ALPHA: f64 = 0.1;
const DETECTOR: [&str; 4] = ["--annotation", "1.DSSum-value:DSAnomaly:EWM:0.1", "--period", "60"];
const MEAN_SCHEMA: &str = "struct Mine {\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
                           4: optional u64 raw (hidden=\"yes\")\n 5: optional u64 mean (stats=\"1-raw:DSAvg\")\n} \
                           (period=\"60\")";
/// The longest line, without its line feed.
const LINE_LIMIT: usize = 1024 * 1024;

#[derive(Clone)]
struct Record {
    at: u64,
    key: String,
    attribute: &'static str,
    value: u64,
}

/// Records of 10 minutes in timestamp order; some objects are silent for some minutes.
fn records(count: u64) -> Vec<Record> {
    let mut state = 7u64;
    let mut random = move |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let record = |index| {
        let at = START + index * 10 * MINUTE / count;
        let minute = (at - START) / MINUTE;
        // Object n is silent in the minutes that n divides.
        let object =
            std::iter::repeat_with(|| random(500)).find(|&object| object < 20 || minute % (object % 7 + 2) != 1);
        let key = format!("ObjectVNTable:default-domain:tenant:vn-{:06}", object.unwrap());
        let attribute = ["egress_flow_count", "ingress_flow_count"][random(2) as usize];
        Record { at, key, attribute, value: random(1000) }
    };
    (0..count).map(record).collect()
}

fn ndjson(records: &[Record]) -> String {
    let line = |text: &mut String, Record { at, key, attribute, value }: &Record| {
        writeln!(text, r#"{{"ts":{at},"key":"{key}","attr":"{attribute}","value":{value}}}"#).unwrap();
    };
    records.iter().fold(String::new(), |mut text, record| {
        line(&mut text, record);
        text
    })
}

fn contrail(records: &[Record]) -> String {
    records.iter().fold(String::new(), |mut text, Record { at, key, attribute, value }| {
        writeln!(text, "{key}\t<{attribute} type=\"u64\" identifier=\"5\" timestamp=\"{at}\">{value}</{attribute}>")
            .unwrap();
        text
    })
}

/// The expected rows by key, attribute and window: sum, samples, mean, standard deviation, sigma.
type Expected = BTreeMap<(String, String, u64), (u64, u64, f64, f64, f64)>;

/// The independent recomputation.
fn recompute(records: &[Record]) -> Expected {
    let mut sums: BTreeMap<(String, String), BTreeMap<u64, u64>> = BTreeMap::new();
    for Record { at, key, attribute, value } in records {
        let windows = sums.entry((key.clone(), (*attribute).to_owned())).or_default();
        *windows.entry(at - at % MINUTE).or_default() += value;
    }
    let mut expected = Expected::new();
    for ((key, attribute), windows) in sums {
        let (mut samples, mut mean, mut variance, mut was_silent) = (0, 0.0, 0.0, true);
        for window in (START - START % MINUTE..START + 11 * MINUTE).step_by(MINUTE as usize) {
            // The first silent period counts as zero, later ones are ignored.
            let sum = windows.get(&window).copied();
            if sum.is_none() && was_silent {
                continue;
            }
            was_silent = sum.is_none();
            let x = sum.unwrap_or(0) as f64;
            samples += 1;
            variance = (1.0 - ALPHA) * (variance + ALPHA * ((x - mean) * (x - mean)));
            mean = (1.0 - ALPHA) * mean + ALPHA * x;
            let stddev = f64::sqrt(variance);
            let sigma = if stddev == 0.0 { 0.0 } else { (x - mean) / stddev };
            if let Some(sum) = sum {
                expected.insert((key.clone(), attribute.clone(), window), (sum, samples, mean, stddev, sigma));
            }
        }
    }
    expected
}

fn parsed(csv: &str) -> Expected {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [key, attribute, window, sum, samples, mean, stddev, sigma] = fields[..] else { panic!("{line}") };
        let value = (sum.parse().unwrap(), samples.parse().unwrap());
        let (mean, stddev, sigma) = (mean.parse().unwrap(), stddev.parse().unwrap(), sigma.parse().unwrap());
        ((key.to_owned(), attribute.to_owned(), window.parse().unwrap()), (value.0, value.1, mean, stddev, sigma))
    };
    let rows: Vec<_> = csv.lines().map(row).collect();
    let count = rows.len();
    let expected: Expected = rows.into_iter().collect();
    assert_eq!(expected.len(), count, "a row is there twice");
    expected
}

fn aggregate(arguments: &[&str], files: &[PathBuf]) -> Output {
    binary::command(&["aggregate"]).args(arguments).args(files).output().unwrap()
}

/// The rows of a successful run.
fn rows(arguments: &[&str], files: &[PathBuf]) -> String {
    let output = aggregate(arguments, files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn compressed(program: &str, path: &Path) -> Vec<u8> {
    let output = Command::new(program).args(["-c", "-q"]).arg(path).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn rows_equal_a_recomputation_for_any_format_thread_count_and_division_into_files() {
    let directory = TempDir::new().unwrap();
    let records = records(60_000);
    let expected = recompute(&records);
    assert!(expected.len() > 5000);
    let plain = file(directory.path(), "plain", ndjson(&records));
    let first = rows(&DETECTOR, std::slice::from_ref(&plain));
    assert_eq!(parsed(&first), expected);

    let gzip = file(directory.path(), "gzip", compressed("gzip", &plain));
    let xml = file(directory.path(), "xml", contrail(&records));
    let zstd = zstd::encode_all(std::fs::File::open(&xml).unwrap(), 1).unwrap();
    let zstd = file(directory.path(), "zstd", zstd);
    for (name, files) in [("plain", &plain), ("gzip", &gzip), ("contrail", &xml), ("zstd", &zstd)] {
        for threads in ["1", "2", "3", "16"] {
            let again = rows(&[&DETECTOR[..], &["--threads", threads]].concat(), std::slice::from_ref(files));
            assert!(again == first, "{name} by {threads} threads differs");
        }
    }
    // The files of two collectors for the same hours, and one file for later hours.
    let (half, rest) = records.split_at(40_000);
    let [odd, even] = [0, 1].map(|remainder| half.iter().skip(remainder).step_by(2).cloned().collect::<Vec<_>>());
    let parts = [("later", rest), ("odd", &odd[..]), ("even", &even[..])]
        .map(|(name, records)| file(directory.path(), name, ndjson(records)));
    assert_eq!(parsed(&rows(&DETECTOR, &parts)), expected);
}

#[test]
fn fields_can_be_in_any_order_and_input_can_be_a_pipe() {
    let lines = "{ \"value\": 1.5, \"attr\": \"a,b\", \"note\": [1], \"key\": \"T:\\\"x\\\"\", \"ts\": 1488000060000000 }\r\n\n\
                 {\"ts\":1488000060000001,\"key\":\"T:\\\"x\\\"\",\"attr\":\"a,b\",\"value\":-0.25}";
    let mut child = binary::command(&["aggregate"])
        .args(["--annotation", "1-value:DSSum", "--header", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let expected = "key,attr,window,value\n\"T:\"\"x\"\"\",\"a,b\",1488000060000000,1.25\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn bad_lines_are_printed_counted_and_left_out() {
    let directory = TempDir::new().unwrap();
    let good = r#"{"ts":1488000000000001,"key":"T:a","attr":"x","value":2}"#;
    let lines = [
        good,
        "no record",
        good,
        r#"{"ts":1488000000000001,"key":"T:a","attr":"x"}"#,
        r#"{"ts":1488000000000001,"key":"","attr":"x","value":2}"#,
        good,
    ];
    let path = file(directory.path(), "lines", lines.join("\n"));
    let arguments = ["--annotation", "1-value:DSSum"];
    let output = aggregate(&arguments, std::slice::from_ref(&path));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "T:a,x,1488000000000000,6\n");
    for part in ["lines:2: ", "lines:4: ", "lines:5: ", "3 bad lines"] {
        assert!(stderr.contains(part), "`{part}` is not in:\n{stderr}");
    }
    let output = aggregate(&["--annotation", "1-value:DSSum", "--strict"], &[path]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("lines:2: ") && !stderr.contains("lines:4"), "{stderr}");
}

#[test]
fn a_timestamp_in_another_unit_is_a_bad_line_unless_the_unit_is_named() {
    let directory = TempDir::new().unwrap();
    let cases = [
        ("s", "1488000001", "`s`"),
        ("ms", "1488000001000", "`ms`"),
        ("us", "1488000001000000", ""),
        ("ns", "1488000001000000000", "`ns`"),
        ("rfc3339", "\"2017-02-25T05:20:01Z\"", ""),
    ];
    for (unit, at, named) in cases {
        let text = format!("{{\"ts\":{at},\"key\":\"T:a\",\"attr\":\"x\",\"value\":1}}\n");
        let path = file(directory.path(), unit, &text);
        let arguments = ["--annotation", "1-value:DSSum", "--time-unit", unit];
        // Two files are merged by the same times.
        let twice = [path.clone(), file(directory.path(), "again", &text)];
        assert_eq!(rows(&arguments, &twice), "T:a,x,1488000000000000,2\n", "{unit}");
        let output = aggregate(&["--annotation", "1-value:DSSum"], &[path]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_bad = stderr.contains("1 bad lines") && stderr.contains(named);
        assert_eq!(is_bad, unit != "us", "{unit}: {stderr}");
        let xml = format!("T:a\t<x timestamp=\"{}\">1</x>\n", at.trim_matches('"'));
        let xml = file(directory.path(), "xml", xml);
        assert_eq!(rows(&arguments, &[xml]), "T:a,x,1488000000000000,1\n", "{unit}");
    }
}

#[test]
fn a_record_of_the_far_future_makes_no_other_record_late() {
    let directory = TempDir::new().unwrap();
    let records = records(60_000);
    // A clock that runs ahead by a month, every few hundred records and at the ends of blocks: some in a row.
    let mut wrong = ndjson(&records[..1]).replace("1488000000000000", "1490000000000000");
    for (index, record) in records.iter().enumerate() {
        wrong += &ndjson(std::slice::from_ref(record));
        if index % 397 < 3 && index + 3 < records.len() {
            wrong += &ndjson(&[Record { at: record.at + 30 * 24 * 60 * MINUTE, ..record.clone() }]);
        }
    }
    let (right, wrong) = (file(directory.path(), "right", ndjson(&records)), file(directory.path(), "wrong", wrong));
    let expected = rows(&DETECTOR, std::slice::from_ref(&right));
    for threads in ["1", "4"] {
        let output = aggregate(&[&DETECTOR[..], &["--threads", threads]].concat(), std::slice::from_ref(&wrong));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(String::from_utf8_lossy(&output.stdout) == expected, "other rows by {threads} threads:\n{stderr}");
        assert!(stderr.contains("wrong:1: the timestamp 1490000000000000 is") && !stderr.contains("late"), "{stderr}");
        assert!(stderr.contains("ahead of the records after it and is left out as one of the future"), "{stderr}");
    }
    // The file that has it does not wait for the other one.
    let small = |name: &str, key: &str, ats: &[u64]| {
        let line = |at: &u64| format!("{{\"ts\":{},\"key\":\"T:{key}\",\"attr\":\"x\",\"value\":1}}\n", START + at);
        file(directory.path(), name, ats.iter().map(line).collect::<String>())
    };
    let files = [
        small("a", "a", &[0, 9999 * 60 * MINUTE, MINUTE, 2 * MINUTE, 3 * MINUTE]),
        small("b", "b", &[0, MINUTE, 2 * MINUTE, 3 * MINUTE]),
    ];
    let both = rows(&["--annotation", "1-value:DSSum"], &files);
    assert_eq!(both.lines().count(), 8, "{both}");
    // A gap is not a wrong clock.
    let gap = small("gap", "a", &[0, MINUTE, 9999 * 60 * MINUTE, 9999 * 60 * MINUTE + 1]);
    let gap = rows(&["--annotation", "1-value:DSSum"], &[gap]);
    assert!(gap.lines().count() == 3 && gap.ends_with(",2\n"), "{gap}");
}

#[test]
fn late_records_are_left_out_and_counted_on_standard_error() {
    let directory = TempDir::new().unwrap();
    let line = |at: u64| format!("{{\"ts\":{at},\"key\":\"T:a\",\"attr\":\"x\",\"value\":1}}\n");
    let path = file(directory.path(), "lines", [0, 200 * 1_000_000, 1].map(|at| line(START + at)).concat());
    let arguments = ["--annotation", "1-value:DSSum"];
    let output = aggregate(&arguments, std::slice::from_ref(&path));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "T:a,x,1488000000000000,1\nT:a,x,1488000180000000,1\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--allowed-lateness"));
    let all = rows(&["--annotation", "1-value:DSSum", "--allowed-lateness", "10m"], &[path]);
    assert_eq!(all, "T:a,x,1488000000000000,2\nT:a,x,1488000180000000,1\n");
}

#[test]
fn the_built_in_types_give_json_rows() {
    let directory = TempDir::new().unwrap();
    let path = file(directory.path(), "lines", r#"{"ts":1488000000000001,"key":"T:a","attr":"x","value":7}"#);
    let out = directory.path().join("rows.ndjson");
    rows(&["--out", out.to_str().unwrap()], &[path]);
    let text = std::fs::read_to_string(out).unwrap();
    let expected = "{\"result\":\"AggProxySum.value\",\"key\":\"T:a\",\"attr\":\"x\",\"window\":1488000000000000,\"value\":7}\n\
        {\"result\":\"AggProxySumAnomalyEWM01.value\",\"key\":\"T:a\",\"attr\":\"x\",\"window\":1488000000000000,\"metric\":7,\"samples\":1,";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_schema_defines_further_types() {
    let directory = TempDir::new().unwrap();
    let schema = file(directory.path(), "mine.sandesh", MEAN_SCHEMA);
    let line = |value: i32| format!("{{\"ts\":1488000000000001,\"key\":\"T:a\",\"attr\":\"x\",\"value\":{value}}}\n");
    let path = file(directory.path(), "lines", [7, 9, -9].map(line).concat());
    let output = aggregate(&["--header", "--schema", schema.to_str().unwrap()], &[path]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "result,key,attr,window,value\nMine.mean,T:a,x,1488000000000000,8\n"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("lines:3: the value -9 does not fit"));
}

/// The window of 60 s that begins at 240 s ends after the one of 90 s that begins at 180 s; it used to be left out.
#[test]
fn the_last_window_of_every_period_is_written() {
    let directory = TempDir::new().unwrap();
    let slow = MEAN_SCHEMA.replace("Mine", "Slow").replace("60", "90");
    let schema = file(directory.path(), "two.sandesh", format!("{MEAN_SCHEMA}\n{slow}\n"));
    let at = START / (3 * MINUTE) * (3 * MINUTE) + 250_000_000;
    let input =
        file(directory.path(), "one.ndjson", format!("{{\"ts\":{at},\"key\":\"VM:a\",\"attr\":\"b\",\"value\":7}}\n"));
    let rows = rows(&["--schema", schema.to_str().unwrap()], &[input]);
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    let (fast, slow) = (at / MINUTE * MINUTE, at / 90_000_000 * 90_000_000);
    assert_eq!(rows, [format!("Mine.mean,VM:a,b,{fast},7"), format!("Slow.mean,VM:a,b,{slow},7")]);
}

#[test]
fn invalid_arguments_have_error_texts() {
    let nothing = PathBuf::from("/dev/null");
    let cases: [(&[&str], &str); 3] = [
        (&["--annotation", "1.DSSum-raw:DSAnomaly:EWM:0.1"], "write `value`"),
        (&["--annotation", "1.DSSum-value:DSAnomal:EWM:0.1"], "DSAnomaly"),
        (&["--annotation", "1-value:DSSum", "--period", "0"], "period"),
    ];
    for (arguments, part) in cases {
        let output = aggregate(arguments, std::slice::from_ref(&nothing));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(part), "{arguments:?}: {stderr}");
    }
    let output = aggregate(&DETECTOR, &[PathBuf::from("/nowhere/at all")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at all"));
}

/// Regression: the rows of an inline annotation had the columns of a detector, with a metric of 0 or a missing value.
#[test]
fn inline_results_have_the_columns_of_their_algorithm() {
    let input = "{\"ts\":1488000001000000,\"key\":\"T:a\",\"attr\":\"x\",\"value\":0.5}\n\
                 {\"ts\":1488000002000000,\"key\":\"T:a\",\"attr\":\"x\",\"value\":2}\n";
    for (annotation, expected) in [
        ("0-value:DSSum", "key,attr,window,value\nT:a,x,1488000001000000,0.5\nT:a,x,1488000002000000,2.5\n"),
        ("0-value:DSNull", "key,attr,window,value,samples\nT:a,x,1488000001000000,0.5,1\nT:a,x,1488000002000000,2,2\n"),
        (
            "0-value:DSEWM:0.5",
            "key,attr,window,metric,samples,mean,stddev,sigma\nT:a,x,1488000001000000,0.5,1,0.25,0.25,1\n\
             T:a,x,1488000002000000,2,2,1.125,0.8926785535678563,0.9801960588196068\n",
        ),
        (
            "0-value:DSAnomaly:EWM:1",
            // A second sample in a row with sigma 0 is unchanged and gives no row.
            "key,attr,window,metric,samples,mean,stddev,sigma\nT:a,x,1488000001000000,0.5,1,0.5,0,0\n",
        ),
    ] {
        let run = binary::run(&["aggregate", "--header", "--annotation", annotation, "-"], input);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), expected), "{annotation}: {}", run.stderr);
    }
}

/// Regression: the output was truncated before the input was read.
#[test]
fn an_output_that_is_an_input_is_rejected_and_unchanged() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let line = "{\"ts\":1,\"key\":\"T:a\",\"attr\":\"x\",\"value\":7}\n";
    let (input, other) = (file(directory.path(), "input", line), file(directory.path(), "other", line));
    std::os::unix::fs::symlink(&input, path("symbolic")).unwrap();
    std::fs::hard_link(&input, path("hard")).unwrap();
    let schema = file(directory.path(), "mine.sandesh", MEAN_SCHEMA);
    let refused = |output: &Output, names: [&str; 2], remedy: &str| {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let named = names.iter().all(|name| stderr.contains(name)) && stderr.contains(remedy);
        assert!(output.status.code() == Some(2) && named, "{names:?}: {stderr}");
        assert_eq!(std::fs::read_to_string(&input).unwrap(), line);
    };

    let detours = directory.path().join(".").join("input");
    for out in [&input, &detours, &path("symbolic"), &path("hard")] {
        let arguments = ["--out", out.to_str().unwrap(), "--header"];
        let output = aggregate(&arguments, &[other.clone(), input.clone()]);
        refused(&output, [&format!("{}", out.display()), &format!("{}", input.display())], "--out");
    }
    let arguments = ["--schema", schema.to_str().unwrap(), "--out", schema.to_str().unwrap()];
    refused(&aggregate(&arguments, std::slice::from_ref(&input)), ["mine.sandesh", "schema"], "--out");
    assert!(std::fs::read_to_string(&schema).unwrap().starts_with("struct Mine"));

    // Standard input and output can be files, too.
    let open = |path: &Path| std::fs::OpenOptions::new().read(true).append(true).open(path).unwrap();
    let mut piped = binary::command(&["aggregate", "--out", path("hard").to_str().unwrap(), "-"]);
    refused(&piped.stdin(open(&input)).output().unwrap(), ["hard", "standard input"], "--out");
    let mut appended = binary::command(&["aggregate", path("symbolic").to_str().unwrap()]);
    let output = appended.stdout(open(&input)).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    refused(&output, ["standard output", "symbolic"], "redirect");

    // A device can be input and output.
    let nothing = PathBuf::from("/dev/null");
    assert!(aggregate(&["--out", "/dev/null"], &[nothing]).status.success());
    // An unreadable input leaves the output unchanged.
    assert!(!aggregate(&["--out", other.to_str().unwrap()], &[directory.path().to_owned()]).status.success());
    assert_eq!(std::fs::read_to_string(&other).unwrap(), line);
}

/// A valid line with the key `T:<key>`.
fn good_line(key: char) -> String {
    format!("{{\"ts\":1488000000000001,\"key\":\"T:{key}\",\"attr\":\"x\",\"value\":1}}")
}

/// Lines over the limit, with a record at each multiple of the limit, between valid lines of the keys a to f and two
/// other bad lines; and the numbers and lengths of the lines over the limit.
fn long_lines() -> (Vec<u8>, Vec<(usize, usize)>) {
    let long = |length: usize| {
        let (mut line, record) = (vec![b' '; length], good_line('z').into_bytes());
        for at in (LINE_LIMIT..length.saturating_sub(record.len())).step_by(LINE_LIMIT) {
            line[at..at + record.len()].copy_from_slice(&record);
        }
        line
    };
    let lengths = [LINE_LIMIT + 1, 2 * LINE_LIMIT, 3 * LINE_LIMIT + 7, 10 * LINE_LIMIT];
    let mut lines = Vec::new();
    for (key, &length) in ('a'..).zip(&lengths) {
        lines.extend([good_line(key).into_bytes(), long(length)]);
    }
    // A line of exactly the limit is accepted.
    lines.extend([good_line('e').into_bytes(), vec![b'x'; LINE_LIMIT], b"none".to_vec(), good_line('f').into_bytes()]);
    let last = 2 * LINE_LIMIT + 100;
    lines.push(long(last));
    (lines.join(&b'\n'), [2, 4, 6, 8, 13].into_iter().zip(lengths.into_iter().chain([last])).collect())
}

/// Regression: the end of such a line was read as further records, and later lines had wrong numbers.
#[test]
fn a_line_over_the_limit_is_one_bad_line() {
    let directory = TempDir::new().unwrap();
    let (text, long) = long_lines();
    let plain = file(directory.path(), "plain", &text);
    let gzip = file(directory.path(), "gzip", compressed("gzip", &plain));
    let zstd = file(directory.path(), "zstd", zstd::encode_all(&text[..], 1).unwrap());
    let other = file(directory.path(), "other", good_line('g'));
    let check = |output: &Output, name: &str, keys: std::ops::RangeInclusive<char>| {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected: String = keys.map(|key| format!("T:{key},x,1488000000000000,1\n")).collect();
        let mut rows: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().split_inclusive('\n').collect();
        rows.sort_unstable();
        assert_eq!(rows.concat(), expected, "{name}: {stderr}");
        let long = long.iter().map(|(number, length)| {
            let limit = format!("the line has {length} bytes where at most {LINE_LIMIT} are allowed");
            format!("{name}:{number}: {limit}; write each record on a line of its own")
        });
        let others = [format!("{name}:10: "), format!("{name}:11: "), "7 bad lines".to_owned()];
        for part in long.chain(others) {
            assert!(stderr.contains(&part), "`{part}` is not in:\n{stderr}");
        }
    };
    let arguments = ["--annotation", "1-value:DSSum"];
    let threads = [&arguments[..], &["--threads", "3"]].concat();
    for (name, path) in [("plain", &plain), ("gzip", &gzip), ("zstd", &zstd)] {
        check(&aggregate(&arguments, std::slice::from_ref(path)), name, 'a'..='f');
        check(&aggregate(&threads, &[other.clone(), path.clone()]), name, 'a'..='g');
    }
    let input = std::fs::File::open(&plain).unwrap();
    let output = binary::command(&["aggregate"]).args(arguments).arg("-").stdin(input).output().unwrap();
    check(&output, "standard input", 'a'..='f');
    let strict = aggregate(&[&arguments[..], &["--strict"]].concat(), &[plain]);
    let stderr = String::from_utf8_lossy(&strict.stderr).into_owned();
    assert!(strict.status.code() == Some(1) && stderr.contains("plain:2: the line has 1048577 bytes"), "{stderr}");
}

/// Regression: a key without table was only counted, as "refused by the pipeline".
#[test]
fn a_line_with_an_invalid_key_is_a_bad_line() {
    let long = "k".repeat(1020);
    let (fits, too_long) = (format!("T:{}", &long[..1022 - 2]), format!("T:{long}xyz"));
    let excerpt = format!("the key `{}…` has 1025 bytes where at most 1024 are allowed", &too_long[..64]);
    let cases = [
        ("a", "the key `a` is not `table:name`; write e.g. `VM:a`"),
        ("ä b", "the key `ä b` is not `table:name`; write e.g. `VM:ä b`"),
        (":a", "the key `:a` has no table before its first `:`; write e.g. `VM:a`"),
        ("VM:", "the key `VM:` has no name after its first `:`; write e.g. `VM:a`"),
        ("", "the key is empty; write `table:name`, e.g. `VM:a`"),
        (&too_long, &excerpt),
    ];
    let json = |key: &str| format!("{{\"ts\":1488000000000001,\"key\":\"{key}\",\"attr\":\"x\",\"value\":1}}\n");
    let tabbed = |key: &str| format!("{key}\t<x timestamp=\"1488000000000001\">1</x>\n");
    let arguments = ["aggregate", "--annotation", "1-value:DSSum", "-"];
    for (key, expected) in cases {
        for (bad, good) in [(json(key), json(&fits)), (tabbed(key), tabbed(&fits))] {
            let expected = format!("standard input:2: {expected}");
            let input = format!("{good}{bad}{good}");
            let run = binary::run(&arguments, input.clone());
            assert_eq!((run.code, run.stdout), (Some(0), format!("{fits},x,1488000000000000,2\n")), "{}", run.stderr);
            assert!(
                run.stderr.contains(&expected) && run.stderr.contains("1 bad lines"),
                "{expected}:\n{}",
                run.stderr
            );
            let strict = binary::run(&[&arguments[..], &["--strict"]].concat(), input);
            assert!(strict.code == Some(1) && strict.stderr.contains(&expected), "{expected}:\n{}", strict.stderr);
        }
    }
}

/// Regression: all of these records were counted as "refused by the pipeline".
#[test]
fn the_summary_gives_the_reason_of_records_that_were_left_out() {
    let line = |at: u64| format!("{{\"ts\":{at},\"key\":\"T:a\",\"attr\":\"x\",\"value\":1}}\n");
    let run = |arguments: &[&str], times: &[u64]| {
        let run = binary::run(
            &[&["aggregate"], arguments, &["-"]].concat(),
            times.iter().map(|at| line(START + at)).collect::<String>(),
        );
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stderr
    };
    let times = [100_000_000, 40_000_000, 101_000_000, 99_000_000, 300_000_000, 1_000_000];
    let stderr = run(&["--annotation", "0-value:DSSum:60", "--allowed-lateness", "100s"], &times);
    for part in [
        "2 records are older than the newest record of their key in a ranged window and were left out",
        "sort the files by time",
        "1 records came more than 100s behind the newest one",
    ] {
        assert!(stderr.contains(part), "`{part}` is not in:\n{stderr}");
    }
    assert!(!stderr.contains("refused by the pipeline"), "{stderr}");

    let directory = TempDir::new().unwrap();
    let schema = "struct Mine {\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
                  4: optional i64 raw (metric=\"agg\", hidden=\"yes\")\n 5: optional i64 sum (stats=\"1-raw:DSSum\")\n\
                  } (period=\"60\")";
    let schema = file(directory.path(), "mine.sandesh", schema);
    let line = |value: i64| format!("{{\"ts\":1488000000000001,\"key\":\"T:a\",\"attr\":\"x\",\"value\":{value}}}\n");
    let input = [i64::MIN, i64::MAX, i64::MAX].map(line).concat();
    let run = binary::run(&["aggregate", "--schema", schema.to_str().unwrap(), "-"], input);
    let expected = "a counter moved by more than its type holds";
    assert!(run.stderr.contains(expected), "`{expected}` is not in:\n{}", run.stderr);
}

/// Regression: for an increase that its type does not hold, the message named the order of time only.
#[test]
fn a_refused_increase_has_a_message_with_its_reason() {
    let line = |value: i64| format!(r#"{{"ts":1488000000000001,"key":"T:a","attr":"x","value":{value}}}"#) + "\n";
    let input = [i64::MIN, i64::MAX, i64::MAX].map(line).concat();
    let run = binary::run(&["aggregate", "--annotation", "1-value:DSIncrease", "--type", "i64", "-"], input);
    let expected = "a counter moved by more than its type holds";
    assert!(run.stderr.contains(expected), "`{expected}` is not in:\n{}", run.stderr);
}

/// Regression: every error suggested "--type f64", which is the default and does not change the types of a schema.
#[test]
fn the_error_of_a_value_of_another_type_has_the_matching_remedy() {
    let directory = TempDir::new().unwrap();
    let schema = |kind: &str| {
        let schema = format!(
            "struct Mine {{\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
             4: optional {kind} raw (hidden=\"yes\")\n 5: optional {kind} mean (stats=\"1-raw:DSSum\")\n}} \
             (period=\"60\")"
        );
        file(directory.path(), &format!("{kind}.sandesh"), schema).to_str().unwrap().to_owned()
    };
    let (unsigned, signed) = (schema("u64"), schema("i64"));
    let annotation = ["--annotation", "1-value:DSSum"];
    let typed = |kind| [&annotation[..], &["--type", kind]].concat();
    let built_in =
        "does not fit u64, the type of the metric in the built-in proxy types; use --annotation, which takes f64";
    let of_schema = |kind: &str| {
        let remedy = "change the type there, or use --annotation, which takes f64";
        format!("does not fit {kind}, the type of the metric in the schema; {remedy}")
    };
    let cases: [(&[&str], &str, &str); 7] = [
        (&[], "1.5", built_in),
        (&[], "-1", built_in),
        (&["--schema", &unsigned], "1.5", &of_schema("u64")),
        (&["--schema", &signed], "9223372036854775808", &of_schema("i64")),
        (&typed("u64"), "1.5", "does not fit --type u64; use --type f64"),
        (&typed("u64"), "-3", "does not fit --type u64; use --type i64 or f64"),
        (&typed("i64"), "9223372036854775808", "does not fit --type i64; use --type u64 or f64"),
    ];
    for (arguments, value, expected) in cases {
        let input = format!("{{\"ts\":1488000000000001,\"key\":\"T:a\",\"attr\":\"x\",\"value\":{value}}}\n");
        let run = binary::run(&[&["aggregate"], arguments, &["-"]].concat(), input);
        let expected = format!("standard input:1: the value {value} {expected}");
        assert!(run.stderr.contains(&expected), "`{expected}` is not in:\n{}", run.stderr);
    }
    for value in ["1.5", "-3", "18446744073709551615"] {
        let input = format!("{{\"ts\":1488000000000001,\"key\":\"T:a\",\"attr\":\"x\",\"value\":{value}}}\n");
        let run = binary::run(&[&["aggregate"], &annotation[..], &["--strict", "-"]].concat(), input);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
}

#[test]
fn counters_of_several_senders_add_up_to_their_increases_for_any_number_of_threads() {
    let directory = TempDir::new().unwrap();
    let schema = file(directory.path(), "types.sandesh", counters(r#"period="60", timeout="0""#));
    let mut lines = String::new();
    for (sample, sender) in (0..60u64).flat_map(|sample| (0..3u64).map(move |sender| (sample, sender))) {
        let (at, value) = (1_488_000_000_000_000 + sample * 10_000_000, 1000 * sender + 5 * sample);
        // The first sender is unnamed, and the second has an escape in its name every other time.
        let source = ["", r#","source":"b\u0062""#, r#","source":"c""#][sender as usize];
        let source = if sender == 1 && sample % 2 == 0 { r#","source":"bb""# } else { source };
        for key in ["T:a", "T:b\"", "U:é"] {
            let key = serde_json::Value::from(key);
            lines += &format!("{{\"ts\":{at},\"key\":{key},\"attr\":\"x\",\"value\":{value}{source}}}\n");
        }
    }
    let path = file(directory.path(), "lines", &lines);
    let minute = |minute: u64| 1_488_000_000_000_000 + minute * 60_000_000;
    for threads in ["1", "3"] {
        let arguments = ["--schema", schema.to_str().unwrap(), "--threads", threads];
        let rows = rows(&arguments, std::slice::from_ref(&path));
        let of = |key: &str| rows.lines().filter(|row| row.contains(key)).map(str::to_owned).collect::<Vec<_>>();
        // Six readings a minute; the first one of each sender adds nothing.
        let expected = |key: &str| -> Vec<String> {
            let sums = (0..10).map(|at| (minute(at), if at == 0 { 75 } else { 90 }));
            sums.map(|(start, sum)| format!("Bytes.sum,{key},x,{start},{sum}")).collect()
        };
        assert_eq!((of("T:a"), of("U:é")), (expected("T:a"), expected("U:é")), "{threads} threads:\n{rows}");
    }
}
