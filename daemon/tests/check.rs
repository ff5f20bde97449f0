//! The commands on the files of a data directory: `check`, with salvage, and `restore`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Daemon, command, line, results};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const SETTINGS: [&str; 4] =
    ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.partitions=2", "log.commit_interval=20ms"];

fn batch(window: u64) -> String {
    (0..50).map(|vn| line(&format!("vn{vn}"), "egress_flow_count", START + window * PERIOD, vn + window)).collect()
}

/// A data directory with some windows.
fn written(directory: &Path) -> PathBuf {
    let log = directory.join("log");
    let daemon = Daemon::start(&log, &SETTINGS);
    for window in 0..4 {
        assert_eq!(daemon.post(batch(window).as_bytes(), None).unwrap().0, 200);
        daemon.wait_until_applied();
    }
    daemon.stop();
    log
}

fn run(name: &str, arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_derived-statsd")).arg(name).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Flips a bit in the middle of the newest file of a kind; returns the file.
fn damage(log: &Path, kind: &str) -> PathBuf {
    let files = std::fs::read_dir(log.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.filter(|file| file.to_string_lossy().contains(&format!("store/{kind}-"))).max().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn a_running_daemons_directory_is_sound_and_damage_is_named_with_file_and_byte() {
    let directory = TempDir::new().unwrap();
    let log = written(directory.path());
    let daemon = Daemon::start(&log, &SETTINGS);
    let output = run("check", &[&log]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    assert!(text.ends_with("Sound.\n") && text.contains("200 records of input of which 0 are not applied"), "{text}");
    daemon.stop();
    let file = damage(&log, "results");
    let output = run("check", &[&log]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let named = format!("DAMAGED {} at byte ", file.display());
    assert!(said(&output).contains(&named) && said(&output).contains("records of the results are missing"));
    std::fs::write(log.join("PARTITIONS"), "1\n").unwrap();
    let output = run("check", &[&log]);
    assert!(said(&output).contains("PARTITIONS has 1 partitions only"), "{}", said(&output));
    std::fs::remove_file(log.join("PARTITIONS")).unwrap();
    let output = run("check", &[&log]);
    assert!(said(&output).contains("PARTITIONS: it cannot be read"), "{}", said(&output));
}

#[test]
fn what_is_no_log_has_another_exit_code_than_damage() {
    let directory = TempDir::new().unwrap();
    for arguments in [&[directory.path()][..], &[]] {
        let output = run("check", arguments);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}

#[test]
fn a_salvaged_directory_runs_and_has_what_is_not_counted_as_lost() {
    let directory = TempDir::new().unwrap();
    let log = written(directory.path());
    let whole = results(&log);
    let out = directory.path().join("out");
    damage(&log, "results");
    let output = run("check", &[&log, Path::new("--salvage"), &out]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("Lost are: 0 records of input that were not applied, 0 that were, 1 records of results"));
    let output = run("check", &[&out]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let found = results(&out);
    assert!(found.len() < whole.len() && found.iter().all(|line| whole.contains(line)), "{}", found.len());
    let daemon = Daemon::start(&out, &SETTINGS);
    assert_eq!(daemon.post(batch(4).as_bytes(), None).unwrap().0, 200);
    daemon.wait_until_applied();
    let said = daemon.stop();
    assert!(!said.contains("damaged") && results(&out).len() > found.len(), "{said}");
}

#[test]
fn states_are_decoded_and_those_of_a_damaged_file_are_lost() {
    let directory = TempDir::new().unwrap();
    let log = written(directory.path());
    let out = directory.path().join("out");
    let files = std::fs::read_dir(log.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let state = files.filter(|file| file.to_string_lossy().contains("store/state-")).max().unwrap();
    std::fs::remove_file(&state).unwrap();
    let (status, text) = Daemon::try_spawn(command("run", &log, &SETTINGS)).err().unwrap();
    assert_eq!(status.code(), Some(65), "no restart would help: {text}");
    let output = run("check", &[&log, Path::new("--salvage"), &out]);
    let text = said(&output);
    assert!(output.status.code() == Some(1) && text.contains(&state.display().to_string()), "{text}");
    assert!(!text.contains(" 0 states of partitions"), "{text}");
    let daemon = Daemon::start(&out, &SETTINGS);
    daemon.wait_until_applied();
    daemon.stop();
}

#[test]
fn a_copy_is_restored_and_runs_on_and_a_damaged_one_is_refused() {
    let directory = TempDir::new().unwrap();
    let log = written(directory.path());
    let [copy, onto, restored, linked] = ["copy", "onto", "restored", "linked"].map(|name| directory.path().join(name));
    let backup = |to: &Path, more: &[&Path]| {
        let output = command("backup", &log, &SETTINGS).arg(to).args(more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    backup(&copy, &[]);
    assert!(backup(&onto, &[Path::new("--onto"), &copy]).contains("and linked 0 MiB of"));
    for (to, more) in [(&restored, &[][..]), (&linked, &[Path::new("--link")])] {
        let output = run("restore", &[&[&copy, to.as_path()][..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("The log stands at write "), "{}", said(&output));
        let daemon = Daemon::start(to, &SETTINGS);
        assert_eq!(daemon.post(batch(4).as_bytes(), None).unwrap().0, 200);
        daemon.wait_until_applied();
        daemon.stop();
        assert!(results(to).starts_with(&results(&copy)) && results(to).len() > results(&copy).len());
        let output = run("restore", &[&copy, to]);
        assert!(said(&output).contains("is not empty"), "{}", said(&output));
    }
    let nowhere = directory.path().join("nowhere");
    let partitions = std::fs::read(copy.join("PARTITIONS")).unwrap();
    std::fs::write(copy.join("PARTITIONS"), "1\n").unwrap();
    let output = run("restore", &[&copy, &nowhere]);
    assert!(said(&output).contains("PARTITIONS has 1 partitions only") && !nowhere.exists(), "{}", said(&output));
    std::fs::write(copy.join("PARTITIONS"), partitions).unwrap();
    damage(&copy, "results");
    let output = run("restore", &[&copy, &nowhere]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("at byte") && said(&output).contains("--salvage") && !nowhere.exists());
}

/// The commands that write a directory of a log, with their arguments.
fn writing(partitions: Option<&str>, log: &Path, out: &Path) -> [(&'static str, Vec<PathBuf>); 2] {
    let mut given: Vec<PathBuf> = ["--set", "aggregation.period=10"].map(PathBuf::from).to_vec();
    given.extend(partitions.into_iter().flat_map(|number| ["--partitions", number]).map(PathBuf::from));
    let arguments = |first: Option<&str>, last: [&Path; 2]| {
        let (first, last) = (first.into_iter().map(PathBuf::from), last.map(Path::to_owned));
        given.iter().cloned().chain(first).chain(last).collect::<Vec<_>>()
    };
    [("restore", arguments(None, [log, out])), ("check", arguments(Some("--salvage"), [out, log]))]
}

#[test]
fn without_a_readable_number_of_partitions_nothing_is_written_until_it_is_given() {
    let directory = TempDir::new().unwrap();
    let log = written(directory.path());
    let number = std::fs::read_to_string(log.join("PARTITIONS")).unwrap();
    let out = directory.path().join("out");
    std::fs::write(log.join("PARTITIONS"), "many\n").unwrap();
    let writing = |partitions| writing(partitions, &log, &out);
    let attempts =
        [(None, "give it with --partitions N"), (Some("1"), "more partitions than 1"), (Some("3"), "if there are 3")];
    for (given, expected) in attempts {
        for (command, arguments) in writing(given) {
            let output = run(command, &arguments.iter().map(PathBuf::as_path).collect::<Vec<_>>());
            assert!(said(&output).contains(expected), "{command} {given:?}: {}", said(&output));
            assert!(output.status.code() == Some(1) && !out.exists(), "{}", said(&output));
        }
    }
    let output = run("restore", &[Path::new("--partitions"), Path::new("2"), &log, &out]);
    assert!(said(&output).contains("give that of the daemon with --config") && !out.exists(), "{}", said(&output));
    for (command, arguments) in writing(Some(number.trim())) {
        let output = run(command, &arguments.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{command}: {}", said(&output));
        assert_eq!(std::fs::read_to_string(out.join("PARTITIONS")).unwrap(), number, "{command}");
        assert_eq!(run("check", &[&out]).status.code(), Some(0), "{command}");
        std::fs::remove_dir_all(&out).unwrap();
    }
    std::fs::write(log.join("PARTITIONS"), &number).unwrap();
    for (command, arguments) in writing(Some("1")) {
        let output = run(command, &arguments.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        assert!(said(&output).contains("leave --partitions out") && !out.exists(), "{}", said(&output));
    }
}

#[test]
fn another_number_of_partitions_that_could_be_right_is_damage() {
    let directory = TempDir::new().unwrap();
    let (log, out) = (written(directory.path()), directory.path().join("out"));
    std::fs::write(log.join("PARTITIONS"), "3\n").unwrap();
    let output = run("check", &[Path::new("--set"), Path::new("aggregation.period=10"), &log]);
    assert!(
        said(&output).contains("the file PARTITIONS is wrong") && output.status.code() == Some(1),
        "{}",
        said(&output)
    );
    for (command, arguments) in writing(None, &log, &out) {
        let output = run(command, &arguments.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        assert!(said(&output).contains("the file PARTITIONS is wrong") && !out.exists(), "{}", said(&output));
    }
}

/// Runs a command that may wait for ever, for a while; without a status it was ended.
fn ended(command: &Command) -> Output {
    let mut limited = Command::new("timeout");
    limited.args(["--signal=KILL", "60"]).arg(command.get_program()).args(command.get_args());
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.output().unwrap()
}

/// To open a pipe waits for its other end.
#[test]
fn a_pipe_in_the_place_of_a_file_of_the_data_directory_is_named_and_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let log = written(directory.path());
    let (before, out) = (directory.path().join("before"), directory.path().join("out"));
    // The daemon reads all of them; the other commands do not lock a directory that they only read, nor need ABSENCES.
    for name in ["VERSION", "LOCK", "PARTITIONS", "ABSENCES", "acknowledged"] {
        let file = log.join(name);
        let existed = std::fs::rename(&file, &before).is_ok();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        let mut migrate = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        migrate.args(["migrate", "--partitions", "4", "--set", "aggregation.period=10"]).args([&log, &out]);
        let mut check = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        check.arg("check").arg(&log);
        let mut backup = command("backup", &log, &SETTINGS);
        backup.arg(&out);
        let commands =
            [("run", command("run", &log, &SETTINGS)), ("check", check), ("backup", backup), ("migrate", migrate)];
        for (what, command) in commands {
            let output = ended(&command);
            let text = said(&output);
            assert!(output.status.code().is_some_and(|code| code != 137), "{what} waits for {name}: {text}");
            // A copy has regular files only, and then lacks one of them.
            let is_named = text.contains(name) && (what == "backup" || text.contains("it is not a regular file"));
            assert!(is_named || (what != "run" && output.status.success()), "{what} with {name}: {text}");
            let _ = std::fs::remove_dir_all(&out);
        }
        std::fs::remove_file(&file).unwrap();
        if existed {
            std::fs::rename(&before, &file).unwrap();
        }
    }
    assert_eq!(run("check", &[&log]).status.code(), Some(0));
}
