//! Copies of a data directory, made while the daemon runs, and what can be read of a damaged one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Daemon, command, command_of, line, results};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const SETTINGS: [&str; 5] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=0s",
    "log.partitions=2",
    "log.commit_interval=20ms",
    // Segments of a megabyte, of which retention deletes some during the copies.
    "log.retention.max_input_bytes=1",
];
const OBJECTS: u64 = 3_000;

fn batch(window: u64) -> String {
    let sample = |vn| line(&format!("vn{vn}"), "egress_flow_count", START + window * PERIOD, vn + window);
    (0..OBJECTS).map(sample).collect()
}

fn backup(from: &Path, to: &Path) -> Output {
    command("backup", from, &SETTINGS).arg(to).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_copy_of_a_running_daemon_has_what_was_acknowledged_and_goes_on() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let daemon = Daemon::start(&log, &SETTINGS);
    let post = |window| assert_eq!(daemon.post(batch(window).as_bytes(), None).unwrap().0, 200);
    (0..3).for_each(&post);
    let copies: Vec<PathBuf> = std::thread::scope(|scope| {
        let posting = scope.spawn(|| (3..40).for_each(&post));
        let mut copies = Vec::new();
        while !posting.is_finished() || copies.is_empty() {
            let copy = directory.path().join(format!("copy-{}", copies.len()));
            let output = backup(&log, &copy);
            assert!(output.status.success() && said(&output).contains("Copied"), "{}", said(&output));
            copies.push(copy);
        }
        copies
    });
    daemon.wait_until_applied();
    daemon.stop();
    let whole = results(&log);
    let sums = |lines: &[String]| lines.iter().filter(|line| line.contains("AggProxySum-")).count();
    for copy in copies {
        assert!(copy.join("PARTITIONS").exists());
        let copied = results(&copy);
        assert!(whole.starts_with(&copied), "{}: {} of {} results", copy.display(), copied.len(), whole.len());
        let daemon = Daemon::start(&copy, &SETTINGS);
        daemon.wait_until_applied();
        // A time that closes whatever is open.
        daemon.post(batch(100).as_bytes(), None).unwrap();
        daemon.wait_until_applied();
        daemon.stop();
        assert!(sums(&results(&copy)) as u64 >= 3 * OBJECTS, "what was acknowledged before the copy");
    }
}

#[test]
fn a_copy_needs_a_log_and_a_new_directory() {
    let directory = TempDir::new().unwrap();
    let (log, copy) = (directory.path().join("log"), directory.path().join("copy"));
    let output = backup(&log, &copy);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("there is no log") && !copy.exists(), "{}", said(&output));
    Daemon::start(&log, &SETTINGS).stop();
    for inside in [log.join("copy"), log.join("store/copy")] {
        let output = backup(&log, &inside);
        assert!(said(&output).contains("name a directory outside") && !inside.exists(), "{}", said(&output));
    }
    std::fs::create_dir(&copy).unwrap();
    std::fs::write(copy.join("mine"), "kept").unwrap();
    let output = backup(&log, &copy);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("exists") && copy.join("mine").exists(), "{}", said(&output));
}

/// In a mount namespace of its own: the default directory of this machine stays as it is.
#[test]
fn a_copy_without_a_configuration_names_the_default_directory() {
    let directory = TempDir::new().unwrap();
    let copy = directory.path().join("copy");
    let program = command("backup", directory.path(), &[]).get_program().to_owned();
    let hidden = "mount -t tmpfs tmpfs /var/lib && exec \"$0\" backup \"$1\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", hidden]).arg(program).arg(&copy);
    unshare.env_remove("DERIVED_STATSD_CONFIG").env_remove("DERIVED_STATSD_LOG__DATA_DIR");
    let output = unshare.output().unwrap();
    let parts = [
        "copy the log in /var/lib/derived-statsd (the default of log.data_dir; --config FILE names another)",
        "there is no log",
    ];
    assert!(parts.iter().all(|part| said(&output).contains(part)) && !copy.exists(), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_log_that_never_took_a_sample_has_no_time_of_its_last_write() {
    let directory = TempDir::new().unwrap();
    let (log, copy) = (directory.path().join("log"), directory.path().join("copy"));
    Daemon::start(&log, &SETTINGS).stop();
    let copied = backup(&log, &copy);
    assert!(said(&copied).contains(&format!("of {} (log.data_dir) to", log.display())), "{}", said(&copied));
    let checked = command("check", &copy, &SETTINGS).arg(&copy).output().unwrap();
    let stands = said(&checked);
    let stands = stands.lines().find(|line| line.starts_with("The log stands at write ")).unwrap();
    assert!(
        stands.strip_prefix("The log stands at write ").unwrap().trim_end_matches('.').parse::<u64>().is_ok(),
        "{stands}"
    );
}

#[test]
fn a_log_without_its_number_of_partitions_is_not_opened() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let daemon = Daemon::start(&log, &SETTINGS);
    daemon.post(batch(0).as_bytes(), None).unwrap();
    daemon.stop();
    std::fs::remove_file(log.join("PARTITIONS")).unwrap();
    let (status, said) = Daemon::try_spawn(command("run", &log, &SETTINGS)).err().unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("PARTITIONS is missing, which") && said.contains("echo 2 >"), "{said}");
    let copy = directory.path().join("copy");
    let output = backup(&log, &copy);
    assert!(self::said(&output).contains("--partitions N") && copy.exists(), "{}", self::said(&output));
    assert_eq!(output.status.code(), Some(1));
    for damage in ["", "x", "0", "-8", "999999999999"] {
        std::fs::write(log.join("PARTITIONS"), damage).unwrap();
        let (_, said) = Daemon::try_spawn(command("run", &log, &SETTINGS)).err().unwrap();
        assert!(said.contains(&format!("PARTITIONS has {damage:?} instead of")), "{said}");
        assert!(said.contains("if 2, which is configured, is that number: echo 2 >"), "{said}");
    }
    std::fs::write(log.join("PARTITIONS"), "2\n").unwrap();
    Daemon::start(&log, &SETTINGS).stop();
}

#[test]
fn results_in_front_of_damage_are_printed_and_those_behind_it_on_demand() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let daemon = Daemon::start(&log, &SETTINGS);
    for window in 0..6 {
        daemon.post(batch(window).as_bytes(), None).unwrap();
        daemon.wait_until_applied();
    }
    daemon.stop();
    let whole = results(&log);
    let file = log.join("store/results-0000000001");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let print = |arguments: &[&str]| {
        let output = command("results", &log, &SETTINGS).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(65), "{}", said(&output));
        let lines: Vec<_> = String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect();
        (lines, String::from_utf8(output.stderr).unwrap())
    };
    let (before, said) = print(&[]);
    assert!(said.contains("is damaged") && said.contains("--skip-damaged"), "{said}");
    assert!(!before.is_empty() && before.len() < whole.len() && whole.starts_with(&before), "{}", before.len());
    let (both, said) = print(&["--skip-damaged"]);
    assert!(said.contains("between damage, and left out") && said.matches("it is left out").count() == 1, "{said}");
    assert!(both.len() > before.len() && both.len() < whole.len() && both.starts_with(&before));
    assert!(whole.ends_with(&both[before.len()..]), "what is behind the damage");
}

/// A command that knows none of these settings.
#[test]
fn a_group_on_kafka_has_nothing_to_copy() {
    let directory = TempDir::new().unwrap();
    let mut command: Command = command("backup", directory.path(), &["log.kind=kafka", "kafka.brokers=127.0.0.1:1"]);
    let output = command.arg(directory.path().join("copy")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("Kafka's tools"), "{}", said(&output));
}

#[test]
fn what_root_restores_below_the_directory_of_another_user_is_opened_by_that_user() {
    let directory = TempDir::new().unwrap();
    if directory.path().metadata().unwrap().uid() != 0 {
        eprintln!("not run: only root may give files to another user");
        return;
    }
    let service = Some(61_234);
    let open = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    open(directory.path());
    let [log, copy, state] = ["log", "copy", "state"].map(|name| directory.path().join(name));
    let daemon = Daemon::start(&log, &SETTINGS);
    for window in 0..2 {
        assert_eq!(daemon.post(batch(window).as_bytes(), None).unwrap().0, 200);
    }
    daemon.wait_until_applied();
    assert!(backup(&log, &copy).status.success());
    daemon.stop();
    std::fs::create_dir(&state).unwrap();
    chown(&state, service, service).unwrap();
    // Of what is below the directory of the service, and what this user may run.
    let program = directory.path().join("derived-statsd");
    std::fs::copy(env!("CARGO_BIN_EXE_derived-statsd"), &program).unwrap();
    let [restored, salvaged, copied] = ["restored", "salvaged", "copied"].map(|name| state.join(name));
    let made = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_derived-statsd")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    made(&["restore", &text(&copy), &text(&restored)]);
    made(&["check", "--salvage", &text(&salvaged), &text(&copy)]);
    assert!(backup(&log, &copied).status.success());
    for made in [&restored, &salvaged, &copied] {
        // It opens the log as `run` does, with its lock and for writing.
        let mut command = command_of(&program, "results", made, &SETTINGS);
        let output = command.uid(61_234).gid(61_234).current_dir("/").output().unwrap();
        assert!(output.status.success(), "{}: {}", made.display(), said(&output));
        assert!(String::from_utf8_lossy(&output.stdout).lines().count() > 0, "{}", made.display());
    }
}
