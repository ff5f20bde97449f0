//! `derived-statsd detect`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use binary::Run;
use derived_stats::menu;
use serde_json::Value;
use tempfile::TempDir;

const START: u64 = 1_700_438_400;

/// Three days of minutes with a labelled spike.
fn spiky() -> String {
    with_spike(900.0)
}

fn with_spike(spike: f64) -> String {
    (0..4320u64).fold("timestamp,value,label\n".to_owned(), |mut text, minute| {
        let value = if minute == 4300 { spike } else { 100.0 + (minute * 7919 % 101) as f64 / 10.0 };
        writeln!(text, "{},{value},{}", START + 60 * minute, u8::from((4300..4304).contains(&minute))).unwrap();
        text
    })
}

/// Ready 100 minutes before the spike: too short for an alarm by chance.
const ALGORITHM: &str = "Seasonal:warmup=252000";

fn detect(arguments: &[&str], input: &str) -> Run {
    binary::run(&[&["detect"], arguments].concat(), input)
}

fn written(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_series_of_standard_input_has_a_row_for_each_value() {
    let run = detect(&["-", "--algo", ALGORITHM], &spiky());
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        (lines.len(), lines[0]),
        (4321, "timestamp,value,score,expected,low,high,strangeness,threshold,alarm,label")
    );
    assert!(lines[1].starts_with("2023-11-20T00:00:00Z,100,,"), "no score in the warm-up: {}", lines[1]);
    let alarms: Vec<&&str> = lines.iter().filter(|line| line.ends_with(",1,1")).collect();
    // What follows the spike may be an alarm, too.
    assert!(alarms[0].starts_with("2023-11-22T23:40:00Z,900,0."), "{alarms:?}");
    let summary =
        "4320 values in 0.43 weeks: 1 alarm (2.33 a week); 1 of 1 labelled windows hit, 0 false alarms, F1 1.00\n";
    assert_eq!(run.stderr, summary);
}

#[test]
fn the_rows_as_json_of_periods_and_with_a_threshold() {
    let arguments = ["-", "--format", "json", "--algo", "1.DSSum-raw:DSAnomaly:EWM:0.01", "--period", "3600"];
    let run = detect(&arguments, &spiky());
    assert!(
        run.stderr.starts_with("the detector has no alarms; --threshold SCORE makes them of its score\n"),
        "{run:?}"
    );
    let rows = |run: &Run| run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let plain = rows(&run);
    assert_eq!((plain.len(), &plain[0]["timestamp"]), (72, &Value::from("2023-11-20T00:00:00Z")));
    assert!(plain.iter().all(|row| row["alarm"] == false && row["score"].is_null() && row["expected"].is_f64()));
    let run = detect(&["-", "--format", "json", "--algo", "EWM:0.01", "--threshold", "5"], &spiky());
    let alarms = rows(&run).into_iter().filter(|row| row["alarm"] == true).count();
    assert_eq!((run.code, alarms), (Some(0), 1), "{run:?}");
}

#[test]
fn bad_lines_are_named_and_counted() {
    let run = detect(
        &["-"],
        "timestamp,value\n2023-11-20 00:00:00,1\nnever,1\n2023-11-20 00:01:00,\n2023-11-20 00:00:30,2\n",
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout.lines().count(), 3);
    let expected = "standard input: line 3: `never` is not a time; expected a date such as 2017-02-25T05:20:00Z or \
                    2017-02-25 05:20:00, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970\n\
                    standard input: 1 bad lines were left out\n\
                    standard input: 1 rows have no value and were left out\n";
    assert!(run.stderr.starts_with(expected), "{}", run.stderr);
}

#[test]
fn a_directory_has_a_table_and_pictures() {
    let directory = TempDir::new().unwrap();
    written(&directory, "in/b/spiky.csv", &spiky());
    written(&directory, "in/a.csv", &with_spike(105.5));
    written(&directory, "in/notes.txt", "not a series");
    let labels = r#"{"a.csv": [], "b/spiky.csv": [["2023-11-22 23:40:00", "2023-11-22 23:45:00"]]}"#;
    let labels = written(&directory, "labels.json", labels);
    let (input, pictures) = (directory.path().join("in"), directory.path().join("out"));
    let (input, pictures) = (input.to_str().unwrap(), pictures.to_str().unwrap());
    let run = detect(&[input, "--algo", ALGORITHM, "--labels", &labels, "--plot", pictures], "");
    assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    file         values  bad_lines  weeks  alarms  alarms_a_week  windows  hits  false_alarms     f1  delay_seconds
    a.csv          4320          0   0.43       0           0.00        0     0             0
    b/spiky.csv    4320          0   0.43       1           2.33        1     1             0  1.000              0
    ");
    for name in ["a.svg", "b/spiky.svg"] {
        let svg = fs::read_to_string(Path::new(pictures).join(name)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("Seasonal") && svg.len() < 60_000, "{name}: {}", svg.len());
    }
    let run = detect(&[input, "--algo", ALGORITHM, "--labels", &labels, "--format", "json"], "");
    let row: Value = serde_json::from_str(run.stdout.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&row["file"], &row["f1"], &row["alarms"]), (&"b/spiky.csv".into(), &1.0.into(), &1.into()));
    let run = detect(&[input, "--algo", ALGORITHM, "--labels", &labels, "--format", "csv"], "");
    assert!(run.stdout.contains("\na.csv,4320,0,0.43,0,0.00,0,0,0,,\n"), "{run:?}");
}

/// The others are in the table all the same. The file of the labels is none of the series, and a pipe would have no end.
#[test]
fn a_bad_file_of_a_directory_is_named() {
    let directory = TempDir::new().unwrap();
    written(&directory, "a.csv", &spiky());
    written(&directory, "b.csv", "");
    let labels = written(&directory, "labels.csv", "2023-11-22 23:40:00,2023-11-22 23:45:00\n2030-01-01,2030-01-02\n");
    std::os::unix::fs::symlink("loop.csv", directory.path().join("loop.csv")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(directory.path().join("pipe.csv")).status().unwrap().success());
    let run = detect(&[directory.path().to_str().unwrap(), "--algo", ALGORITHM, "--labels", &labels], "");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.lines().count() == 2 && run.stdout.contains("\na.csv "), "{run:?}");
    for part in
        ["b.csv: there is no row", "loop.csv", "2 of 3 files could not be scored", "1 of 2 labelled ranges have no"]
    {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}

/// A newest row first, and a label within a period.
#[test]
fn rows_are_scored_in_the_order_of_time_and_labels_are_those_of_their_period() {
    let directory = TempDir::new().unwrap();
    let mut rows: Vec<String> = spiky().lines().skip(1).map(str::to_owned).collect();
    rows.reverse();
    let series = written(&directory, "s.csv", &format!("timestamp,value,label\n{}\n", rows.join("\n")));
    let labels = written(&directory, "l.csv", "2023-11-22 23:41:00,2023-11-22 23:43:00\n");
    let annotation = "1.DSMax-value:DSAnomaly:Seasonal:warmup=252000";
    let run = detect(&[&series, "--algo", annotation, "--period", "600", "--labels", &labels], "");
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 433), "{run:?}");
    assert!(run.stderr.contains("4319 rows are older than the row before; the rows were sorted by time"), "{run:?}");
    assert!(run.stderr.contains("1 of 1 labelled windows hit"), "{run:?}");
}

#[test]
fn a_picture_of_a_file_has_its_labels() {
    let directory = TempDir::new().unwrap();
    let (series, labels) =
        (written(&directory, "s.csv", &spiky()), written(&directory, "l.csv", "1700696400,1700697000\n"));
    let picture = directory.path().join("out.svg");
    let run = detect(&[&series, "--algo", ALGORITHM, "--labels", &labels, "--plot", picture.to_str().unwrap()], "");
    assert_eq!(run.code, Some(0), "{run:?}");
    let svg = fs::read_to_string(picture).unwrap();
    let count = |class: &str| svg.matches(&format!("class=\"{class}\"")).count();
    // One of each is in the legend.
    assert_eq!(["alarm", "label", "band", "value"].map(count), [2, 2, 2, 2]);
}

#[test]
fn a_mistake_has_an_error_with_the_remedy() {
    let directory = TempDir::new().unwrap();
    let series = written(&directory, "s.csv", &spiky());
    let (empty, labels) = (written(&directory, "e.csv", ""), written(&directory, "l.json", "{\"s.csv\": 3}"));
    let empty_directory = directory.path().join("none");
    fs::create_dir(&empty_directory).unwrap();
    let picture = written(&directory, "s.svg", &spiky());
    let cases: [(&[&str], i32, &str); 12] = [
        (&[&series, "--algo", "Seasonall"], 2, "did you mean `Seasonal`?"),
        (&[&series, "--algo", "EWM"], 2, "at most 1 such as `0.1`, found nothing"),
        (&[&series, "--plot", "out.png"], 2, "the picture is SVG; expected a name such as out.svg"),
        (
            &[&series, "--threshold", "1"],
            2,
            "no score of `Seasonal` is as large as 1; choose a threshold of at most 0.99",
        ),
        (&[&series, "--threshold", "0"], 2, "--threshold: expected a finite number above 0, such as 3"),
        (&[&picture, "--plot", &picture], 2, "the picture would replace an input; choose another name"),
        (&[&series, "--period", "900"], 2, "`Seasonal` scores every value; the period is that of an annotation"),
        (&[&series, "--labels", &empty], 1, "e.csv: there is no range; expected lines of a start and an end"),
        (&["/none/s.csv"], 1, "read /none/s.csv: No such file"),
        (&[&empty], 1, "e.csv: there is no row; expected lines such as `2017-02-25T05:20:00Z,3.5`"),
        (&[&series, "--labels", &labels], 1, "s.csv: expected a list of ranges such as [[\"2014-04-10 16:15:00\""),
        (&[empty_directory.to_str().unwrap()], 1, "has no series; expected files whose names end in .csv, .csv.gz"),
    ];
    for (arguments, code, sentence) in cases {
        let run = detect(arguments, "");
        assert!(
            run.code == Some(code) && run.stdout.is_empty() && run.stderr.contains(sentence),
            "{arguments:?}: {:.500}",
            run.stderr
        );
    }
}

#[test]
fn every_annotation_that_the_book_proposes_compiles() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/guide/choosing.md")).unwrap();
    let starts = ["1-value:", "1.DS", "value:DS"];
    let spans: Vec<&str> = page.split('`').filter(|span| starts.iter().any(|start| span.starts_with(start))).collect();
    assert!(spans.len() > 12, "{spans:?}");
    for annotation in spans {
        let run = binary::run(&["explain", annotation], "");
        assert_eq!(run.code, Some(0), "{annotation}: {}", run.stderr);
    }
}

/// The book has a section with pictures of every detector, and the script draws them.
#[test]
fn every_detector_is_in_the_book() {
    let read = |path| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (page, script) = (read("../docs/src/guide/choosing.md"), read("../docs/pictures"));
    let list = script.lines().find_map(|line| line.strip_prefix("detectors=(")).unwrap();
    let words: Vec<&str> = list.split([' ', '"', ')', ':']).collect();
    for entry in menu().iter().filter(|entry| entry.roles().detector) {
        let name = entry.name();
        assert!(words.contains(&name), "docs/pictures does not draw {name}");
        for part in [format!("### {name}\n"), format!("pictures/{name}/nyc_taxi.svg"), format!("`DSAnomaly:{name}")] {
            assert!(page.contains(&part), "choosing.md lacks {part:?}");
        }
    }
}
