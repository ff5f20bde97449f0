//! The configuration of `run`: rejected settings, their error texts, and the exit code.

mod binary;

use std::path::PathBuf;
use std::process::Command;

use binary::{Run, command, finish};
use tempfile::TempDir;

/// A directory with one configuration file.
struct Fixture {
    directory: TempDir,
    file: PathBuf,
}

impl Fixture {
    fn new(name: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory for tests");
        let file = directory.path().join(name);
        std::fs::write(&file, text).expect("a file for tests");
        Self { directory, file }
    }

    fn validate(&self) -> Command {
        let mut command = command(&["validate", self.file.to_str().expect("UTF-8")]);
        // The default directory needs permissions that the test lacks.
        command.arg("--set").arg(format!("log.data_dir={}", self.directory.path().join("data").display()));
        command
    }

    /// Runs the command; the output is without the path of the directory.
    fn shown(&self, command: Command) -> Run {
        let mut run = finish(command, "");
        let path = format!("{}/", self.directory.path().display());
        run.stderr = run.stderr.replace(&path, "");
        run.stdout = run.stdout.replace(&path, "");
        run
    }
}

fn refusal(name: &str, text: &str) -> String {
    let fixture = Fixture::new(name, text);
    let run = fixture.shown(fixture.validate());
    assert_eq!((run.code, run.stdout.as_str()), (Some(64), ""), "{text}");
    run.stderr
}

#[test]
fn an_unknown_key_is_reported_with_its_location_and_the_nearest_key() {
    insta::assert_snapshot!(refusal("a.toml", "[http]\nlisen = \"127.0.0.1:1\"\n"), @r"
    a.toml:2:1: unknown key `http.lisen`; did you mean `http.listen`?
    a.toml: 1 problem
    ");
    insta::assert_snapshot!(refusal("a.toml", "\n[htpp]\nlisten = \"127.0.0.1:1\"\n"), @r"
    a.toml:2:2: unknown key `htpp`; did you mean `http`?
    a.toml: 1 problem
    ");
    insta::assert_snapshot!(refusal("a.toml", "[log]\nlisten = \"127.0.0.1:1\"\n"), @r"
    a.toml:2:1: unknown key `log.listen`; did you mean `contiv.listen` or `http.listen`?
    a.toml: 1 problem
    ");
}

#[test]
fn run_rejects_a_bad_configuration_with_exit_code_64() {
    let fixture = Fixture::new("a.toml", "[http]\nlisen = 1\n");
    for flag in ["--config", "--conf_file"] {
        let run = fixture.shown(command(&["run", flag, fixture.file.to_str().expect("UTF-8")]));
        assert_eq!(run.code, Some(64), "{flag}");
        assert_eq!(run.stderr, "a.toml:2:1: unknown key `http.lisen`; did you mean `http.listen`?\n");
    }
    let run = fixture.shown(command(&["run", "--config", "/nonexistent.toml"]));
    assert_eq!(run.code, Some(64));
    assert!(run.stderr.starts_with("/nonexistent.toml: the file cannot be read"), "{}", run.stderr);
}

#[test]
fn a_bad_logging_filter_is_rejected_with_exit_code_64() {
    let mut command = command(&["run"]);
    command.env("RUST_LOG", "info,=,=");
    let run = finish(command, "");
    assert_eq!(run.code, Some(64), "{}", run.stderr);
    assert!(run.stderr.starts_with("environment variable RUST_LOG:"), "{}", run.stderr);
}

#[test]
fn a_variable_with_an_unknown_key_is_rejected() {
    let fixture = Fixture::new("a.toml", "");
    let mut command = fixture.validate();
    command.env("DERIVED_STATSD_HTTP__LISEN", "127.0.0.1:1");
    let run = fixture.shown(command);
    assert_eq!(run.code, Some(64));
    insta::assert_snapshot!(run.stderr, @r"
    environment variable DERIVED_STATSD_HTTP__LISEN: unknown key `http.lisen`; did you mean `http.listen`?
    a.toml: 1 problem
    ");
}

#[test]
fn later_sources_win() {
    // Each source has another error, so the error shows which source applies.
    let file = "[aggregation]\nuve_proxy_list = \"FromFile\"\n";
    let fixture = Fixture::new("a.toml", file);
    let from_file = fixture.shown(fixture.validate()).stderr;
    assert!(from_file.starts_with("a.toml:2:1:") && from_file.contains("FromFile"), "{from_file}");

    let mut command = fixture.validate();
    command.env("DERIVED_STATSD_AGGREGATION__UVE_PROXY_LIST", "FromEnvironment");
    let from_environment = fixture.shown(command).stderr;
    let expected = "environment variable DERIVED_STATSD_AGGREGATION__UVE_PROXY_LIST:";
    assert!(from_environment.starts_with(expected), "{from_environment}");
    assert!(!from_environment.contains("FromFile"), "{from_environment}");

    let mut command = fixture.validate();
    command.env("DERIVED_STATSD_AGGREGATION__UVE_PROXY_LIST", "FromEnvironment");
    command.args(["--DEFAULT.uve_proxy_list", "FromFlag"]);
    let from_flag = fixture.shown(command).stderr;
    assert!(from_flag.starts_with("flag --DEFAULT.uve_proxy_list:"), "{from_flag}");
    assert!(from_flag.contains("FromFlag") && !from_flag.contains("FromEnvironment"), "{from_flag}");
}

#[test]
fn the_flag_of_contrail_collector_replaces_the_list_and_repetitions_add_to_it() {
    let fixture = Fixture::new("a.toml", "");
    let mut command = fixture.validate();
    for stream in ["A-a:AggProxySum", "B-b:AggProxySum", "C-c:AggProxySum"] {
        command.args(["--DEFAULT.uve_proxy_list", stream]);
    }
    let run = fixture.shown(command);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "a.toml: ok: 3 streams with 1 proxy type (AggProxySum), period 60 s\n")
    );
}

#[test]
fn the_keys_of_a_collectors_file_are_mapped_and_its_other_keys_are_listed_in_one_line() {
    let text = "[DEFAULT]\nhostip=10.0.0.1\npartitions=30\nkafka_broker_list=10.0.0.1:9092\n\
                uve_proxy_list=A-a:AggProxySum\n[COLLECTOR]\nport=8086\n";
    let fixture = Fixture::new("contrail-collector.conf", text);
    let run = fixture.shown(fixture.validate());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout, @r"contrail-collector.conf: ok: 1 stream with 1 proxy type (AggProxySum), period 60 s");
    insta::assert_snapshot!(run.stderr, @r#"
    note: contrail-collector.conf: ignored the keys DEFAULT.hostip, COLLECTOR.port
    note: contrail-collector.conf: kafka_broker_list sets kafka.brokers, but the daemon uses the embedded log unless log.kind is "kafka"
    "#);
}

#[test]
fn a_file_without_an_end_is_refused_wherever_it_is_named() {
    let data = tempfile::tempdir().expect("a directory for tests");
    let kafka = "log.kind=kafka kafka.brokers=127.0.0.1:1 ";
    let influx = "sinks.influxdb.url=https://127.0.0.1:1 ";
    for (settings, key) in [
        ("", "--config"),
        ("", "--collector-conf"),
        ("", "aggregation.schema_files"),
        ("opserver.servers=127.0.0.1:1 opserver.user=me ", "opserver.password_file"),
        (&format!("{influx}sinks.influxdb.user=me "), "sinks.influxdb.password_file"),
        (&format!("{influx}sinks.influxdb.version=2 sinks.influxdb.bucket=b "), "sinks.influxdb.token_file"),
        (influx, "sinks.influxdb.ca_file"),
        (&format!("{kafka}kafka.security=ssl "), "kafka.ca_file"),
        (&format!("{kafka}kafka.security=ssl "), "kafka.certificate_file"),
        (&format!("{kafka}kafka.security=ssl "), "kafka.key_file"),
        (&format!("{kafka}kafka.security=sasl_plaintext kafka.user=me "), "kafka.password_file"),
    ] {
        let binary = command(&["run", "--set", "http.listen=127.0.0.1:0"]);
        let mut limited = Command::new("sh");
        // Memory for a start, and no more: reading without an end fails instead of taking all of the machine's.
        limited.args(["-c", "ulimit -v 4194304 && exec \"$0\" \"$@\""]).arg(binary.get_program());
        limited.args(binary.get_args()).arg("--set").arg(format!("log.data_dir={}", data.path().display()));
        for setting in settings.split_whitespace() {
            limited.args(["--set", setting]);
        }
        match key.strip_prefix("--") {
            Some(_) => limited.args([key, "/dev/zero"]),
            None => limited.args(["--set", &format!("{key}=/dev/zero")]),
        };
        let run = finish(limited, "");
        assert!(matches!(run.code, Some(1 | 64)), "{key}: {run:?}");
        let is_refused =
            ["larger than 1048576 bytes", "not a regular file"].iter().any(|text| run.stderr.contains(text));
        assert!(is_refused, "{key}: {}", run.stderr);
        assert!(run.stderr.contains("/dev/zero"), "{key}: {}", run.stderr);
        assert!(key.starts_with("--") || run.stderr.contains(key), "{key}: {}", run.stderr);
    }
}

#[test]
fn a_number_beyond_all_machines_is_refused_with_the_range() {
    for number in ["9223372036854775807", "9223372036854775808", "18446744073709551616"] {
        let fixture = Fixture::new("a.toml", "");
        let mut command = fixture.validate();
        command.args(["--set", &format!("aggregation.max_objects_per_partition={number}")]);
        let run = fixture.shown(command);
        assert_eq!(run.code, Some(64), "{run:?}");
        assert!(run.stderr.contains("1 to 1000000000"), "{}", run.stderr);
        let in_file = refusal("a.toml", &format!("[aggregation]\nmax_objects_per_partition = {number}\n"));
        assert!(in_file.starts_with("a.toml:2:1: `aggregation.max_objects_per_partition`"), "{in_file}");
        assert!(in_file.contains("1 to 1000000000"), "{in_file}");
    }
}

/// Files that Boost's program_options reads, with the number of streams that the collector computes from them.
const COLLECTOR_FILES: [(&str, &str, usize); 13] = [
    (
        "repeated keys add up",
        "[DEFAULT]\nuve_proxy_list=A-a:AggProxySum\nuve_proxy_list=B-b:AggProxySum C-c:AggProxySum\n",
        3,
    ),
    (
        "repeated sections",
        "[DEFAULT]\nuve_proxy_list=A-a:AggProxySum\n[COLLECTOR]\nport=1\n[DEFAULT]\nuve_proxy_list=B-b:AggProxySum\n",
        2,
    ),
    ("a dotted key before any section", "DEFAULT.uve_proxy_list=A-a:AggProxySum\n", 1),
    ("a dotted section", "[DEFAULT.]\nuve_proxy_list=A-a:AggProxySum\n", 1),
    (
        "dotted keys add up with the section's",
        "DEFAULT.uve_proxy_list=A-a:AggProxySum\n[DEFAULT]\nuve_proxy_list=B-b:AggProxySum\n",
        2,
    ),
    ("a byte order mark", "\u{feff}[DEFAULT]\nuve_proxy_list=A-a:AggProxySum\n", 1),
    ("CRLF", "[DEFAULT]\r\n; x\r\nuve_proxy_list=A-a:AggProxySum\r\n", 1),
    ("an indented section and key", "  [DEFAULT]\n\t uve_proxy_list \t=  A-a:AggProxySum \n", 1),
    ("a comment within a value", "[DEFAULT]\nuve_proxy_list=A-a:AggProxySum # B-b:AggProxySum\n", 1),
    ("an empty list", "[DEFAULT]\nuve_proxy_list=\n", 0),
    ("an empty list adds nothing", "[DEFAULT]\nuve_proxy_list=\nuve_proxy_list=A-a:AggProxySum\n", 1),
    ("no partitions", "[DEFAULT]\nuve_proxy_list=A-a:AggProxySum\npartitions=0\n", 1),
    ("a key without a name", "[DEFAULT]\nuve_proxy_list=A-a:AggProxySum\n= value\n", 1),
];

#[test]
fn a_collectors_file_means_what_boost_reads() {
    let mut wrong = Vec::new();
    for (name, text, streams) in COLLECTOR_FILES {
        let fixture = Fixture::new("collector.conf", text);
        let run = fixture.shown(fixture.validate());
        let count = format!("ok: {streams} stream");
        if run.code != Some(0) || !run.stdout.contains(&count) {
            wrong.push(format!("{name}: expected `{count}`, found {:?} {} {}", run.code, run.stdout, run.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files that Boost refuses, or in which a key of ours is misspelt, with the start of the error.
const REFUSED_COLLECTOR_FILES: [(&str, &str, &str); 20] = [
    (
        "an indented continuation",
        "[DEFAULT]\nuve_proxy_list=A-a:AggProxySum\n  B-b:AggProxySum\n",
        "3: expected `key = value`",
    ),
    (
        "a line without `=` after comments and blank lines",
        "\n# x\n; y\n\n[DEFAULT]\r\n\r\nport\r\n",
        "7: expected `key = value`",
    ),
    ("an empty section name", "[]\n", "1: expected `key = value`"),
    ("an open section", "\n[DEFAULT\n", "2: expected `key = value`"),
    ("a lone bracket", "[\n", "1: expected `key = value`"),
    ("a comment behind blanks starts with #, not with ;", "[DEFAULT]\n  ; x\n", "2: expected `key = value`"),
    ("a colon", "[DEFAULT]\npartitions: 5\n", "2: expected `key = value`"),
    (
        "a second number",
        "[DEFAULT]\npartitions=5\npartitions=6\n",
        "3: `DEFAULT.partitions` is set a second time; line 2",
    ),
    (
        "a second port",
        "DEFAULT.http_server_port=1\n[DEFAULT]\nhttp_server_port=2\n",
        "3: `DEFAULT.http_server_port` is set a second time",
    ),
    (
        "a number with a fraction",
        "# x\n[DEFAULT]\npartitions=5.0\n",
        "3: `DEFAULT.partitions`: expected a whole number, 0 to 1024, found `5.0`",
    ),
    ("a number of TOML", "[DEFAULT]\npartitions=0x10\n", "2: `DEFAULT.partitions`: expected a whole number"),
    ("an empty number", "[DEFAULT]\npartitions=\n", "2: `DEFAULT.partitions`: expected a whole number"),
    ("an empty port", "[DEFAULT]\nhttp_server_port=#8089\n", "2: `DEFAULT.http_server_port`: expected a port"),
    ("too many partitions", "[COLLECTOR]\nport=1\n\n[DEFAULT]\npartitions=5000\n", "5: `log.partitions`"),
    (
        "a bad entry of the second list",
        "[DEFAULT]\nuve_proxy_list=A-a:AggProxySum\n\nuve_proxy_list=B-b:AggProxySun\n",
        "4: `aggregation.uve_proxy_list`",
    ),
    (
        "a misspelt key",
        "[DEFAULT]\nuve_proxi_list=A-a:AggProxySum\n",
        "2: unknown key `DEFAULT.uve_proxi_list`; did you mean `DEFAULT.uve_proxy_list`?",
    ),
    (
        "a dash",
        "[DEFAULT]\nkafka-broker-list=h:1\n",
        "2: unknown key `DEFAULT.kafka-broker-list`; did you mean `DEFAULT.kafka_broker_list`?",
    ),
    (
        "another case",
        "[default]\npartitions=5\n",
        "2: unknown key `default.partitions`; did you mean `DEFAULT.partitions`?",
    ),
    (
        "no section",
        "uve_proxy_list=A-a:AggProxySum\n",
        "1: unknown key `uve_proxy_list`; did you mean `DEFAULT.uve_proxy_list`?",
    ),
    (
        "a section of its own",
        "[COLLECTOR]\nuve_proxy_list=A-a:AggProxySum\n",
        "2: unknown key `COLLECTOR.uve_proxy_list`; did you mean",
    ),
];

#[test]
fn what_boost_refuses_and_what_is_misspelt_in_a_collectors_file_is_an_error_with_its_line() {
    let mut wrong = Vec::new();
    for (name, text, error) in REFUSED_COLLECTOR_FILES {
        let fixture = Fixture::new("collector.conf", text);
        let run = fixture.shown(fixture.validate());
        let start = format!("collector.conf:{error}");
        if run.code != Some(64) || !run.stderr.lines().any(|line| line.starts_with(&start)) {
            wrong.push(format!("{name}: expected `{error}`, found {:?} {} {}", run.code, run.stdout, run.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
