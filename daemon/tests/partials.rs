//! Partial states through the real binary: `aggregate --partial` at several edges, `merge`, and `POST /api/v1/partials`
//! with a kill.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use support::{Daemon, Random, command, results, wait_until};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000;
/// The start of a minute.
const START: u64 = 1_488_000_000_000_000 / MINUTE * MINUTE;
const MINUTES: u64 = 10;
const SUM: [&str; 4] = ["--annotation", "1-value:DSSum", "--type", "u64"];

/// The lines of each edge, and those of all in order of time.
struct Recorded {
    edges: Vec<String>,
    all: String,
}

/// Records of a few objects with gaps; each is of one of the edges.
fn recorded(edges: usize, count: u64) -> Recorded {
    let mut random = Random(3);
    let mut recorded = Recorded { edges: vec![String::new(); edges], all: String::new() };
    for index in 0..count {
        let at = START + index * MINUTES * MINUTE / count;
        let (object, attribute) =
            (random.below(30), ["egress_flow_count", "ingress_flow_count"][random.below(2) as usize]);
        if (at / MINUTE) % (object % 4 + 2) == 1 {
            continue;
        }
        let value = random.below(1000);
        let line = format!(
            "{{\"ts\":{at},\"key\":\"ObjectVNTable:vn,{object}\",\"attr\":\"{attribute}\",\"value\":{value},\
             \"source\":\"v{}\"}}\n",
            object % 3
        );
        recorded.edges[random.below(edges as u64) as usize] += &line;
        recorded.all += &line;
    }
    recorded
}

fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The standard output of a successful run.
fn output(subcommand: &str, arguments: &[&str], files: &[PathBuf]) -> String {
    let output = binary::command(&[subcommand]).args(arguments).args(files).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and the standard error of a run.
fn failure(subcommand: &str, arguments: &[&str], files: &[PathBuf]) -> (i32, String) {
    let output = binary::command(&[subcommand]).args(arguments).args(files).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The file of the partial states of each edge.
fn partials(directory: &Path, recorded: &Recorded, arguments: &[&str]) -> Vec<PathBuf> {
    let edge = |(index, lines): (usize, &String)| {
        let input = file(directory, &format!("edge{index}.ndjson"), lines);
        let threads = (index + 1).to_string();
        let arguments = [arguments, &["--partial", "--threads", &threads]].concat();
        file(directory, &format!("partial{index}.ndjson"), output("aggregate", &arguments, &[input]))
    };
    recorded.edges.iter().enumerate().map(edge).collect()
}

#[test]
fn merged_states_are_the_rows_of_one_aggregate_byte_for_byte() {
    let directory = TempDir::new().unwrap();
    let (recorded, out) = (recorded(4, 3000), |name: &str| directory.path().join(name));
    let all = file(directory.path(), "all.ndjson", &recorded.all);
    let schema = file(
        directory.path(),
        "mine.sandesh",
        "struct Mine {\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
         4: optional u64 raw (hidden=\"yes\")\n 5: optional u64 most (stats=\"1-raw:DSMax\")\n \
         6: optional u64 sum (stats=\"5-raw:DSSum\")\n} (period=\"60\", timeout=\"2\")\n\
         struct Slow {\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
         4: optional u64 raw (hidden=\"yes\")\n 5: optional u64 most (stats=\"1-raw:DSMax\")\n} (period=\"90\")\n",
    );
    let schema = ["--schema", schema.to_str().unwrap()];
    let scored = ["--annotation", "1.DSSum-value:DSAnomaly:EWM:0.1", "--header", "--silence", "zero"];
    for (name, arguments) in [("built in", &[][..]), ("schema", &schema), ("annotation", &scored), ("sum", &SUM)] {
        let computed: Vec<&str> = arguments.iter().copied().filter(|argument| *argument != "--header").collect();
        let files = partials(directory.path(), &recorded, &computed);
        let expected = output("aggregate", &[arguments, &["--sorted"]].concat(), std::slice::from_ref(&all));
        assert!(expected.lines().count() > 100, "{name}: {}", expected.lines().count());
        assert_eq!(output("merge", arguments, &files), expected, "{name}");
        let reversed: Vec<_> = files.iter().rev().cloned().collect();
        assert_eq!(output("merge", arguments, &reversed), expected, "{name}, in another order");
    }
    // As JSON lines, and some of the edges merged with plain samples of the others elsewhere.
    let files = partials(directory.path(), &recorded, &SUM);
    let [merged, whole] = ["merged.ndjson", "whole.ndjson"].map(out);
    output("merge", &[&SUM[..], &["--out", merged.to_str().unwrap()]].concat(), &files);
    output(
        "aggregate",
        &[&SUM[..], &["--sorted", "--threads", "3", "--out", whole.to_str().unwrap()]].concat(),
        &[all],
    );
    assert_eq!(std::fs::read_to_string(merged).unwrap(), std::fs::read_to_string(whole).unwrap());
}

/// The sorted rows of a subcommand as CSV, its messages, and the rows as JSON lines.
fn rows(directory: &Path, subcommand: &str, arguments: &[&str], input: &Path) -> (Vec<String>, String, Vec<String>) {
    let out = directory.join(format!("{subcommand}.ndjson"));
    let run = |arguments: &[&str]| {
        let output = binary::command(&[subcommand]).args(arguments).arg(input).output().unwrap();
        assert!(output.status.success(), "{subcommand}: {}", String::from_utf8_lossy(&output.stderr));
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [csv, message] = run(arguments);
    let [_, json_message] = run(&[arguments, &["--out", out.to_str().unwrap()]].concat());
    assert_eq!(message.contains("flawed"), json_message.contains("flawed"), "{message} {json_message}");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    (sorted(&csv), message, sorted(&std::fs::read_to_string(out).unwrap()))
}

/// One object with fewer values than `DSTopK` may have, and one whose sum leaves its type.
#[test]
fn a_result_without_all_numbers_has_a_row_and_a_flawed_one_its_error() {
    let directory = TempDir::new().unwrap();
    let samples = [("one", 5), ("two", 6), ("two", 7), ("much", u64::MAX), ("much", u64::MAX)];
    let line = |(key, value)| format!("{{\"ts\":{START},\"key\":\"VM:{key}\",\"attr\":\"a\",\"value\":{value}}}\n");
    let samples = file(directory.path(), "samples.ndjson", samples.map(line).concat());
    let both = |annotation: &str| {
        let arguments = ["--type", "u64", "--annotation", annotation];
        let parts = output("aggregate", &[&arguments[..], &["--partial"]].concat(), std::slice::from_ref(&samples));
        let parts = file(directory.path(), "parts.ndjson", parts);
        [("aggregate", &samples), ("merge", &parts)]
            .map(|(subcommand, input)| rows(directory.path(), subcommand, &arguments, input))
    };
    for (csv, message, json) in both("1-value:DSTopK:2") {
        assert!(!message.contains("flawed"), "{message}");
        let much = format!("{},2,0,,,", u64::MAX);
        let expected = [("much", &*much), ("one", "5,1,0,,,"), ("two", "6,1,0,7,1,0")];
        assert_eq!(csv, expected.map(|(key, numbers)| format!("VM:{key},a,{START},{numbers}")), "{csv:#?}");
        assert!(json[1].ends_with(r#""value_1":5,"count_1":1,"error_1":0}"#), "{json:#?}");
    }
    for (csv, message, json) in both("1-value:DSAvg") {
        assert_eq!(csv[0], format!("VM:much,a,{START},{}", u64::MAX / 2));
        assert!(message.contains("1 result is flawed: overflow"), "{message}");
        assert!(json[0].contains(r#","error":"overflow: "#) && !json[1].contains("error"), "{json:#?}");
    }
    let (code, stderr) = failure("aggregate", &["--annotation", "1-value:DSCategory:key,5"], &[samples]);
    assert!(code == 2 && stderr.contains("is named `key`, as a part of every row is"), "{code} {stderr}");
}

#[test]
fn sorted_rows_are_the_rows_in_another_order() {
    let directory = TempDir::new().unwrap();
    let all = [file(directory.path(), "all.ndjson", recorded(1, 2000).all)];
    let lines = |arguments: &[&str]| -> Vec<String> {
        output("aggregate", arguments, &all).lines().map(str::to_owned).collect()
    };
    let (rows, sorted) = (lines(&SUM), lines(&[&SUM[..], &["--sorted"]].concat()));
    assert_ne!(rows, sorted);
    assert_eq!(sorted, lines(&[&SUM[..], &["--sorted", "--threads", "5"]].concat()));
    let as_set = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    assert_eq!(as_set(rows), as_set(sorted));
}

#[test]
fn what_has_no_partial_states_is_refused_with_its_name() {
    let directory = TempDir::new().unwrap();
    let input = [file(directory.path(), "empty.ndjson", "")];
    for (annotation, expected) in [
        ("0-value:DSSum", "the attribute `result` has results of single samples, which have no partial state"),
        ("1-value:DSFirst", "the attribute `result` has `DSFirst`, whose states do not merge"),
    ] {
        for (subcommand, arguments) in
            [("aggregate", vec!["--partial", "--annotation", annotation]), ("merge", vec!["--annotation", annotation])]
        {
            let (code, stderr) = failure(subcommand, &arguments, &input);
            assert!(code == 2 && stderr.contains(expected), "{subcommand}: {code} {stderr}");
        }
    }
}

#[test]
fn a_bad_line_is_named_and_the_output_is_not_called_complete() {
    let directory = TempDir::new().unwrap();
    let good = output(
        "aggregate",
        &[&SUM[..], &["--partial"]].concat(),
        &[file(directory.path(), "edge.ndjson", recorded(1, 300).all)],
    );
    let first = good.lines().next().unwrap();
    let counted = first.replacen("\"words\":\"", "\"words\":\"f", 1);
    let cases = [
        (format!("{counted}\n{good}"), ":1: the field `crc` is "),
        (format!("\n{{\"ts\":1}}\n{good}"), ":2: the line is not a partial state as `aggregate --partial` writes it"),
        (format!("{}\n{good}", "x".repeat(1024 * 1024 + 1)), ":1: the line has 1048577 bytes where at most 1048576"),
        (format!("{good}{first}"), "give each output of `aggregate --partial` as a file of its own"),
        (format!("{good}{good}"), "give each output of `aggregate --partial` as a file of its own"),
        (format!("{first}\n{good}"), ": a line was repeated, lost or changed; copy the file again"),
        (good.replacen(&format!("{first}\n"), "", 1), ": a line was repeated, lost or changed; copy the file again"),
        (good[..good.trim_end().rfind('\n').unwrap() + 1].to_owned(), ": the file ends without its last line"),
        (format!("{first}\n"), ":1: the file ends without its last line `{\"partial_end\":…}`: it was cut"),
        (String::new(), ":0: the file ends without its last line"),
        (good.replace("DSSum u64", "DSSum u32"), ":1: the field `crc` is "),
    ];
    for (text, expected) in cases {
        let bad = [file(directory.path(), "bad.ndjson", text)];
        for strict in [&[][..], &["--strict"]] {
            let (code, stderr) = failure("merge", &[&SUM[..], strict].concat(), &bad);
            assert!(code == 1 && stderr.contains(expected), "{code} {expected}: {stderr}");
        }
    }
    let file = [file(directory.path(), "good.ndjson", &good)];
    let (code, stderr) = failure("merge", &["--annotation", "1-value:DSMax", "--type", "u64"], &file);
    let expected = ":1: the state is `60s DSSum u64`, `Recorded-value` takes `60s DSMax u64`; aggregate with the same";
    assert!(code == 1 && stderr.contains(expected), "{code} {stderr}");
    assert_eq!(failure("merge", &SUM, &file).0, 0);
}

#[test]
fn a_bad_line_does_not_hide_that_another_one_is_lost_or_repeated() {
    let directory = TempDir::new().unwrap();
    let edge = [file(directory.path(), "edge.ndjson", recorded(1, 300).all)];
    let good = output("aggregate", &[&SUM[..], &["--partial"]].concat(), &edge);
    let lines: Vec<_> = good.lines().collect();
    let (first, second) = (format!("{}\n", lines[0]), format!("{}\n", lines[1]));
    let bad = good.replacen("\"words\":\"", "\"words\":\"f", 1);
    let cases = [
        (bad.clone(), "the checksum was not compared, a line is bad"),
        (bad.replacen(&second, "", 1), " and 1 bad ones: a line was repeated, lost or changed"),
        (bad.replacen(&second, &second.repeat(2), 1), " and 1 bad ones: a line was repeated, lost or changed"),
        (format!("x\n{}", good.replacen(&first, "", 1).replacen(&second, "", 1)), " and 1 bad ones: a line was"),
    ];
    for (text, expected) in cases {
        let (code, stderr) = failure("merge", &SUM, &[file(directory.path(), "bad.ndjson", text)]);
        assert!(code == 1 && stderr.contains(expected), "{code} {expected}: {stderr}");
    }
}

#[test]
fn a_merge_that_fails_leaves_its_output_as_it_was_and_nothing_beside_it() {
    let directory = TempDir::new().unwrap();
    let good = output(
        "aggregate",
        &[&SUM[..], &["--partial"]].concat(),
        &[file(directory.path(), "edge.ndjson", recorded(1, 300).all)],
    );
    let first = good.lines().next().unwrap();
    let rows = file(directory.path(), "rows.csv", "the rows of before\n");
    let to_rows = [&SUM[..], &["--out", rows.to_str().unwrap()]].concat();
    let cut = [file(directory.path(), "bad.ndjson", format!("{first}\n"))];
    assert_eq!(failure("merge", &to_rows, &cut).0, 1);
    assert_eq!(std::fs::read_to_string(&rows).unwrap(), "the rows of before\n");
    let file = [file(directory.path(), "good.ndjson", &good)];
    assert_eq!(failure("merge", &to_rows, &file).0, 0);
    assert_eq!(std::fs::read_to_string(&rows).unwrap(), output("merge", &SUM, &file));
    let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().ends_with(".tmp")));
}

const SETTINGS: [&str; 6] = [
    "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum",
    "aggregation.idle_timeout=200ms",
    "aggregation.allowed_lateness=20m",
    "log.partitions=2",
    "log.commit_interval=20ms",
    "workers.threads=1",
];

/// Posts partial states; `None` if the connection broke.
fn post(daemon: &Daemon, body: &str, key: &str) -> Option<(u16, String)> {
    daemon.post_to("/api/v1/partials", body.as_bytes(), Some(key))
}

/// The sums of the results by object and start of the window.
fn sums(data: &Path) -> BTreeMap<(String, u64), u64> {
    let sum = |line: &String| {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        let (key, start) = (result["key"].as_str()?.to_owned(), result["start"].as_u64()?);
        Some(((key, start), result["data"]["value"]["value"].as_u64()?))
    };
    let results = results(data);
    let sums: Vec<_> = results.iter().filter_map(sum).collect();
    let count = sums.len();
    let sums: BTreeMap<_, _> = sums.into_iter().collect();
    assert_eq!(sums.len(), count, "a result is there twice");
    sums
}

/// The records of one of the attributes.
fn of_one_attribute(mut recorded: Recorded) -> Recorded {
    for lines in recorded.edges.iter_mut().chain([&mut recorded.all]) {
        *lines = lines.lines().filter(|line| line.contains("egress")).fold(String::new(), |mut lines, line| {
            writeln!(lines, "{line}").unwrap();
            lines
        });
    }
    recorded
}

/// The sums of `aggregate` over all samples.
fn expected_sums(directory: &Path, recorded: &Recorded) -> BTreeMap<(String, u64), u64> {
    let all = file(directory, "all.ndjson", &recorded.all);
    let csv = output("aggregate", &SUM, &[all]);
    let row = |line: &str| {
        let (key, rest) = line.strip_prefix('"').unwrap().split_once("\",").unwrap();
        let fields: Vec<&str> = rest.split(',').collect();
        ((key.to_owned(), fields[1].parse().unwrap()), fields[2].parse().unwrap())
    };
    csv.lines().map(row).collect()
}

/// Closes the windows of the recorded time.
fn end_windows(daemon: &Daemon) {
    // Samples of an hour later, in every partition, end the windows.
    let end = (0..64).fold(String::new(), |mut lines, object| {
        let at = START + 60 * MINUTE;
        writeln!(lines, r#"{{"ts":{at},"key":"VM:{object}","attr":"egress_flow_count","value":1}}"#).unwrap();
        lines
    });
    assert_eq!(daemon.post(end.as_bytes(), None).unwrap().0, 200);
    wait_until("the windows are closed", || {
        daemon.wait_until_applied();
        let (_, status) = daemon.get("/api/v1/partitions");
        let partitions: Vec<serde_json::Value> = serde_json::from_str(&status).unwrap();
        let closed = |it: &serde_json::Value| it["watermark"].as_u64().is_some_and(|at| at >= START + 40 * MINUTE);
        partitions.iter().all(closed).then_some(())
    });
}

#[test]
fn posted_states_count_once_over_kills() {
    let directory = TempDir::new().unwrap();
    let recorded = of_one_attribute(recorded(3, 1500));
    let files = partials(directory.path(), &recorded, &SUM);
    let bodies: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let data = directory.path().join("data");

    // The second batch is written, and never answered.
    let mut start = command("run", &data, &SETTINGS);
    start.env("DERIVED_STATSD_KILL_AT", "append.mid:2");
    let mut daemon = Daemon::spawn(start).unwrap();
    let answer = post(&daemon, &bodies[0], "edge-0").unwrap();
    assert_eq!(answer.0, 200, "{}", answer.1);
    assert_eq!(post(&daemon, &bodies[1], "edge-1"), None);
    assert!(!daemon.wait().success());

    let mut daemon = Daemon::start(&data, &SETTINGS);
    assert_eq!(post(&daemon, &bodies[0], "edge-0"), Some(answer), "the same answer, and it counts once");
    assert_eq!(post(&daemon, &bodies[1], "edge-1").unwrap().0, 200);
    // The third edge sends its samples.
    assert_eq!(daemon.post(recorded.edges[2].as_bytes(), Some("edge-2")).unwrap().0, 200);
    daemon.signal("KILL");
    daemon.wait();

    let daemon = Daemon::start(&data, &SETTINGS);
    assert_eq!(post(&daemon, &bodies[1], "edge-1").unwrap().0, 200);
    assert_eq!(post(&daemon, &bodies[2], "edge-1").unwrap().0, 409, "another body under the same key");
    daemon.wait_until_applied();
    end_windows(&daemon);
    daemon.stop();
    assert_eq!(sums(&data), expected_sums(directory.path(), &recorded));
}

#[test]
fn rejected_states_are_named_by_line_with_the_remedy() {
    let directory = TempDir::new().unwrap();
    let input = file(directory.path(), "edge.ndjson", recorded(1, 300).all);
    let partials = output("aggregate", &[&SUM[..], &["--partial"]].concat(), std::slice::from_ref(&input));
    let of = |attribute: &str| partials.lines().find(|line| line.contains(attribute)).unwrap();
    let maxima = output("aggregate", &["--annotation", "1-value:DSMax", "--type", "u64", "--partial"], &[input]);
    let maximum = maxima.lines().find(|line| line.contains("egress")).unwrap();
    let daemon = Daemon::start(&directory.path().join("data"), &SETTINGS);
    let body = [
        of("egress"),
        "",
        &of("egress").replacen("\"window\":", "\"window\":0", 1),
        &of("egress").replacen("\"words\":\"", "\"words\":\"1", 1),
        of("ingress"),
        maximum,
        r#"{"ts":1488000000000000,"key":"VM:a","attr":"egress_flow_count","value":1}"#,
    ];
    let (status, answer) = post(&daemon, &body.join("\n"), "mixed").unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (207, &1.into(), &5.into()), "{answer}");
    let errors = [
        (3, "not a partial state"),
        (4, "the line was changed or cut, aggregate its samples again"),
        (5, "no stream `ingress_flow_count` is configured"),
        (6, "the state is `60s DSMax u64`, `UveVirtualNetworkAgent-egress_flow_count` takes `60s DSSum u64`"),
        (7, "not a partial state"),
    ];
    for ((line, expected), found) in errors.iter().zip(answer["errors"].as_array().unwrap()) {
        assert_eq!(found["line"], *line, "{answer}");
        assert!(found["error"].as_str().unwrap().contains(expected), "{found}");
    }
    let (status, answer) = daemon.post(of("egress").as_bytes(), None).unwrap();
    assert_eq!(status, 400, "a partial state is not a sample: {answer}");
    daemon.stop();
}
