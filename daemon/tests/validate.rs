//! `derived-statsd validate` reports all problems at once.

mod binary;
#[path = "support/certificates.rs"]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod certificates;
mod sandesh;

use binary::{Run, command, finish};
use sandesh::counters;
use tempfile::TempDir;

/// Validates `text` in a directory with other files; the output is without the path of the directory.
fn validate(text: &str, files: &[(&str, &str)]) -> Run {
    let directory = TempDir::new().expect("a directory for tests");
    let path = directory.path().to_str().expect("UTF-8");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("a file for tests");
    }
    std::fs::write(directory.path().join("a.toml"), text.replace("$DIR", path)).expect("a file for tests");
    let mut run = finish(command(&["validate", &format!("{path}/a.toml")]), "");
    run.stderr = run.stderr.replace(&format!("{path}/"), "");
    run.stdout = run.stdout.replace(&format!("{path}/"), "");
    run
}

fn problems(text: &str, files: &[(&str, &str)]) -> String {
    let run = validate(text, files);
    assert_eq!((run.code, run.stdout.as_str()), (Some(64), ""), "{}", run.stderr);
    run.stderr
}

#[test]
fn the_example_file_is_valid() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/derived-statsd.example.toml");
    let directory = TempDir::new().expect("a directory for tests");
    let mut command = command(&["validate", example]);
    command.arg("--set").arg(format!("log.data_dir={}", directory.path().display()));
    let run = finish(command, "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let expected = ": ok: 2 streams with 2 proxy types (AggProxySum, AggProxySumAnomalyEWM01), period 60 s\n";
    assert!(run.stdout.ends_with(expected), "{}", run.stdout);
}

#[test]
fn streams_that_are_near_the_counters_of_contiv_are_noted() {
    let list = "ContivService-BytesIn:AggProxySum ContivServic-BytesOut:AggProxySum ContivEndpoint-byteIn:AggProxySum \
                UveVirtualNetworkAgent-ingress_flow_count:AggProxySum";
    let text = |contiv: &str| {
        format!("[log]\ndata_dir = \"$DIR/data\"\n[aggregation]\nuve_proxy_list = \"{list}\"\n[contiv]\n{contiv}")
    };
    let run = validate(&text("nodes = [\"n1\"]"), &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stderr, @"
    note: ContivServic-BytesOut: Contiv's nodes have no such counter; did you mean `ContivService-BytesOut`?
    note: ContivEndpoint-byteIn: Contiv's nodes have no such counter; did you mean `ContivEndpoint-BytesIn`?
    ");
    assert_eq!(validate(&text(""), &[]).stderr, "", "nothing is scraped");
}

#[test]
fn every_problem_of_the_file_is_printed_in_its_order() {
    let text = r#"
colour = "red"
[aggregation]
allowed_lateness = 30
period = 0
[http]
listen = "localhost"
max_body_bytes = -1
max_in_flight = 0
[log]
data_dir = "$DIR/data"
partitions = 70000
retention = 5
[sinks.fil]
path = "x"
"#;
    insta::assert_snapshot!(problems(text, &[]), @r#"
    a.toml:2:1: unknown key `colour`; the keys are listed in derived-statsd.example.toml
    a.toml:4:1: `aggregation.allowed_lateness`: 30: a duration needs a unit; write "30s"
    a.toml:5:1: `aggregation.period`: 0 is out of range; set 1 to 86400
    a.toml:7:1: `http.listen`: expected a numeric address and port such as "127.0.0.1:8081" or "[::1]:8081", or "none", found "localhost"
    a.toml:8:1: `http.max_body_bytes`: invalid value: integer `-1`, expected a whole number, 1 to 1073741824
    a.toml:9:1: `http.max_in_flight`: 0 is out of range; set 1 to 1024
    a.toml:12:1: `log.partitions`: invalid value: integer `70000`, expected a whole number, 1 to 1024
    a.toml:13:1: `log.retention` is a section; write `[log.retention]` and its keys below it
    a.toml:14:8: unknown key `sinks.fil`; did you mean `sinks.file`?
    a.toml: 9 problems
    "#);
}

#[test]
fn every_syntax_error_is_printed() {
    insta::assert_snapshot!(problems("[http]\nlisten = \nmax_body_bytes = 1x\n", &[]), @r"
    a.toml:2:10: the file is not valid TOML: string values must be quoted, expected literal string
    a.toml:3:18: the file is not valid TOML: string values must be quoted, expected literal string
    a.toml: 2 problems
    ");
}

#[test]
fn files_of_proxy_types_and_the_list_are_checked() {
    let good = "[log]\ndata_dir = \"$DIR/data\"\n[aggregation]\n";
    let broken = "struct Mine {\n  1: string nam (kee=\"\")\n}\n";
    let text = format!("{good}schema_files = [\"$DIR/mine.sandesh\", \"$DIR/absent.sandesh\"]\n");
    let shown = problems(&text, &[("mine.sandesh", broken)]);
    assert!(shown.contains("mine.sandesh:2:"), "{shown}");
    assert!(shown.contains("absent.sandesh cannot be read"), "{shown}");

    let text = format!("{good}uve_proxy_list = \"A-a:AggProxySun B-b:AggProxySum B-b:AggProxySum\"\n");
    insta::assert_snapshot!(problems(&text, &[]), @r"
    a.toml:4:1: `aggregation.uve_proxy_list`: uve_proxy_list error at 1:5:
        A-a:AggProxySun B-b:AggProxySum B-b:AggProxySum
            ^^^^^^^^^^^
    unknown proxy type `AggProxySun`; did you mean `AggProxySum`?
    a.toml:4:1: `aggregation.uve_proxy_list`: uve_proxy_list error at 1:33:
        A-a:AggProxySun B-b:AggProxySum B-b:AggProxySum
                                        ^^^
    the stream `B-b` has an entry already, at 1:17; add its types there
    a.toml: 2 problems
    ");
}

#[test]
fn a_file_of_another_kind_is_not_quoted() {
    let text = "[log]\ndata_dir = \"$DIR/data\"\n[aggregation]\nschema_files = [\"$DIR/shadow\"]\n";
    let shown = problems(text, &[("shadow", "root:hunter2:19000:0\nhunter3 = \"hunter4\"\n")]);
    assert!(shown.contains("shadow:1:") && shown.contains("does not define proxy types"), "{shown}");
    assert!(!shown.contains("hunter") && shown.contains("name ends in .sandesh"), "{shown}");
}

#[test]
fn the_settings_that_size_prints_are_valid() {
    let sizes = [
        "--objects 1 --rate 1",
        "--objects 100000 --rate 5000",
        "--objects 100000 --streams 4 --rate 20000 --annotation 1.DSSum-raw:DSAnomaly:Seasonal --retention 7d",
        "--objects 10000000 --rate 1000000",
        "--objects 10000000 --rate 1000000 --log kafka",
        "--objects 1000000 --rate 10 --period 1s --retention 30d",
        "--objects 10 --rate 1000000 --retention 1s",
    ];
    for size in sizes {
        let run = binary::run(&["size"].into_iter().chain(size.split(' ')).collect::<Vec<_>>(), "");
        assert_eq!(run.code, Some(0), "{size}: {}", run.stderr);
        // `key = number`, wherever it stands in the text.
        let words: Vec<_> = run.stdout.split_whitespace().collect();
        let settings = words.windows(3).filter(|words| words[1] == "=");
        let settings: Vec<_> =
            settings.map(|words| format!("{} = {}\n", words[0], words[2].trim_end_matches([',', ';']))).collect();
        let wanted = if size.contains("kafka") { 2 } else { 8 };
        assert_eq!(settings.len(), wanted, "{size}: {}", run.stdout);
        let valid = validate(&(settings.concat() + "log.data_dir = \"$DIR/data\"\n"), &[]);
        assert_eq!(valid.code, Some(0), "{size}: {}", valid.stderr);
    }
}

#[test]
fn own_proxy_types_can_be_listed() {
    let own = r#"
struct Mine {
  1: string name (key="")
  2: string proxy
  3: optional bool deleted
  4: optional u64 raw (hidden="yes")
  5: optional u64 value (stats="1-raw:DSAvg")
} (period="45")
"#;
    let text = "[log]\ndata_dir = \"$DIR/data\"\n[aggregation]\nschema_files = [\"$DIR/mine.sandesh\"]\nperiod = 5\n\
                uve_proxy_list = \"A-a:Mine:AggProxySum\"\n";
    let run = validate(text, &[("mine.sandesh", own)]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout, "a.toml: ok: 1 stream with 2 proxy types (AggProxySum, Mine), period 5 s, 45 s\n");

    let run = validate(&text.replace("A-a:Mine:", "A-a:"), &[("mine.sandesh", own)]);
    let note = "note: the proxy type `Mine` runs on no stream; list it in aggregation.uve_proxy_list\n";
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), note));
}

#[test]
fn directories_are_checked_and_not_created() {
    // What a start survives is a note.
    let text = "[log]\ndata_dir = \"$DIR/file/data\"\n[sinks.file]\npath = \"$DIR/absent/results.jsonl\"\n";
    insta::assert_snapshot!(problems(text, &[("file", "")]), @r"
    note: sinks.file.path: the directory absent does not exist; create it or name another path; until then results wait in the log, up to log.retention.results_hard_limit_bytes
    a.toml:2:1: `log.data_dir`: file is a file, not a directory; move it away, or name another path
    a.toml: 1 problem
    ");
    let directory = TempDir::new().expect("a directory for tests");
    let data = directory.path().join("a/b");
    let file = directory.path().join("a.toml");
    std::fs::write(&file, format!("[log]\ndata_dir = {data:?}\n")).expect("a file for tests");
    let run = finish(command(&["validate", file.to_str().expect("UTF-8")]), "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!directory.path().join("a").exists(), "validate made a directory");
}

#[test]
fn an_address_that_other_machines_reach_needs_tokens_or_a_word_that_it_is_guarded() {
    let with = |http: &str| {
        validate(&format!("[log]\ndata_dir = \"$DIR/data\"\n[http]\nlisten = \"0.0.0.0:8081\"\n{http}"), &[])
    };
    let run = with("");
    assert_eq!(run.code, Some(64));
    let parts = [":4:", "`http.listen`", "http.tokens_file", "derived-statsd token", "http.insecure = true"];
    assert!(parts.iter().all(|part| run.stderr.contains(part)), "{}", run.stderr);
    let run = with("insecure = true\n");
    let note = "note: http.listen: 0.0.0.0:8081 is reachable from other machines without authentication";
    assert!(run.code == Some(0) && run.stderr.starts_with(note), "{}", run.stderr);
    let run = with("tokens_file = \"$DIR/none\"\n");
    let parts = ["`http.tokens_file`", "none cannot be read"];
    assert!(run.code == Some(64) && parts.iter().all(|part| run.stderr.contains(part)), "{}", run.stderr);
}

#[test]
fn a_stream_whose_types_read_counters_is_named_with_the_risk_of_samples_without_a_source() {
    let text = r#"
[aggregation]
uve_proxy_list = "UveVirtualNetworkAgent-in_bytes:Bytes UveVirtualNetworkAgent-egress_flow_count:AggProxySum"
schema_files = ["$DIR/types.sandesh"]
[log]
data_dir = "$DIR/data"
"#;
    let counters = counters(r#"period="60", timeout="1""#);
    let increases = counters.replace(", metric=\"agg\"", "").replace("DSSum", "DSIncrease");
    assert!(increases.contains("DSIncrease") && !increases.contains("agg"), "{increases}");
    let expected = "note: UveVirtualNetworkAgent-in_bytes: its proxy types take samples as readings of counters \
                    (metric=\"agg\", `DSIncrease`, `DSRate`), one counter for each `source` that samples name; samples without a source, such as \
                    Contrail's XML, are all of one, which is wrong where several senders share a key\n";
    for types in [&counters, &increases] {
        let run = validate(text, &[("types.sandesh", types)]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.ends_with(expected) && run.stderr.matches("note: ").count() == 1, "{}", run.stderr);
    }
}

#[test]
fn a_stream_whose_types_count_sources_is_named_with_the_meaning_of_samples_without_one() {
    let text = r#"
[aggregation]
uve_proxy_list = "UveVirtualNetworkAgent-egress_flow_count:AggProxySumLast"
[log]
data_dir = "$DIR/data"
"#;
    let run = validate(text, &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let expected = "note: UveVirtualNetworkAgent-egress_flow_count: its proxy types count the last value of each `source` \
                    that samples name; samples without a source, such as Contrail's XML, are all of one, and the newest \
                    of them counts alone\n";
    assert!(run.stderr.ends_with(expected) && run.stderr.matches("note: ").count() == 1, "{}", run.stderr);
}

#[test]
fn a_problem_of_a_key_that_is_not_set_is_at_the_setting_that_requires_it() {
    let text = r#"
[log]
data_dir = "$DIR/data"
[http]
time_unit = 5
[opserver]
password_file = "x"
[sinks.influxdb]
url = "http://127.0.0.1:1"
version = 1
password = "secret"
"#;
    insta::assert_snapshot!(problems(text, &[]), @r"
    a.toml:5:1: `http.time_unit`: invalid type: integer `5`, expected `s`, `ms`, `us`, `ns` or `rfc3339`
    a.toml:7:1: `opserver.user`: user and password_file require each other; set both or neither
    a.toml:11:1: `sinks.influxdb.password`: there is no user for the password; set user too
    a.toml: 3 problems
    ");
    let text = "[sinks.influxdb]\nurl = \"http://127.0.0.1:1\"\nversion = 2\n[log]\nkind = \"kafka\"\n";
    let found = problems(text, &[]);
    assert!(found.contains("a.toml:3:1: `sinks.influxdb.bucket`"), "{found}");
    assert!(found.contains("a.toml:5:1: `kafka.brokers`") && !found.contains("default:"), "{found}");
}

#[test]
fn listeners_that_would_have_the_same_port_are_a_problem() {
    let both = |http: &str, contiv: &str| {
        let text = format!(
            "[log]\ndata_dir = \"$DIR/data\"\n[http]\nlisten = {http:?}\ninsecure = true\n[contiv]\nlisten = {contiv:?}\n\
             nodes = [\"a\"]\n"
        );
        validate(&text, &[])
    };
    let same = [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "0.0.0.0:8080"),
        ("[::]:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::]:8080"),
        ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"),
    ];
    for (http, contiv) in same {
        let run = both(http, contiv);
        let expected =
            format!("a.toml:7:1: `contiv.listen`: {contiv} and `http.listen`, {http}, include the same address");
        assert!(run.code == Some(64) && run.stderr.contains(&expected), "{http} {contiv}: {}", run.stderr);
    }
    for (http, contiv) in [
        ("127.0.0.1:8080", "127.0.0.1:8081"),
        ("127.0.0.1:8080", "127.0.0.2:8080"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:8080", "[::1]:8080"),
    ] {
        let run = both(http, contiv);
        assert_eq!(run.code, Some(0), "{http} {contiv}: {}", run.stderr);
    }
}

/// Runs a command with a data directory, as another user if this one is root, to whom everything is permitted.
fn as_another_user(arguments: &[&str], data: &std::path::Path) -> Run {
    let data = format!("log.data_dir={}", data.display());
    by_another_user(&[arguments, &["--set", &data]].concat())
}

fn by_another_user(arguments: &[&str]) -> Run {
    let binary = command(&[]);
    let is_root = rustix::process::geteuid().is_root();
    let mut command = if is_root { std::process::Command::new("setpriv") } else { command(&[]) };
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary.get_program());
    }
    command.args(arguments);
    finish(command, "")
}

#[test]
fn a_file_that_the_user_may_not_read_is_named_with_its_owner_and_who_must_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().expect("a directory for tests");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    certificates::make(folder.path(), "server");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("me.token"), "a").expect("a file for tests");
    for file in ["server.key", "me.token"] {
        std::fs::set_permissions(path(file), std::fs::Permissions::from_mode(0o200)).expect("permissions");
    }
    let (certificate, key) = (path("server.pem"), path("server.key"));
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}");
    let config = format!("[http]\nlisten = \"none\"\n[[http.listeners]]\naddress = \"127.0.0.1:0\"\n{tls}\n");
    std::fs::write(path("d.toml"), config).expect("a file for tests");
    let (root, own) = (rustix::process::geteuid(), rustix::process::getegid());
    let user = if root.is_root() { "65534".to_owned() } else { root.to_string() };
    let whose = format!("user {root} and group {own} own it with mode 200, this process is user {user}; let that user");
    let data = path("data");
    let set = format!("log.data_dir={data}");
    let cases: [(&[&str], &str, i32); 3] = [
        (&["validate", &path("d.toml"), "--set", &set], "server.key cannot be read", 64),
        (&["run", "--config", &path("d.toml"), "--set", &set], "server.key cannot be read", 64),
        (&["health", "--token-file", &path("me.token")], "read --token-file", 1),
    ];
    for (arguments, expected, code) in cases {
        let run = by_another_user(arguments);
        let parts = [expected, &whose, "SupplementaryGroups= or LoadCredential= of its unit"];
        let is_whole = parts.iter().all(|part| run.stderr.contains(part));
        assert!(run.code == Some(code) && is_whole, "{arguments:?}: {:?} {}", run.code, run.stderr);
    }
}

#[test]
fn a_data_directory_that_the_daemon_could_not_open_is_a_problem() {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    };
    let cases: [(&[&str], &str); 5] = [
        (&["store/"], "contains store"),
        (&["VERSION", "LOCK!"], "LOCK cannot be read and written"),
        (&["VERSION", "store/", "store/journal-0000000001!"], "journal-0000000001 cannot be read and written"),
        (&["VERSION", "store"], "store is not a directory"),
        (&["VERSION", "LOCK/"], "LOCK is not a file"),
    ];
    for (files, expected) in cases {
        let directory = TempDir::new().expect("a directory for tests");
        mode(directory.path(), 0o777);
        for file in files {
            let path = directory.path().join(file.trim_end_matches(['/', '!']));
            let made = if file.ends_with('/') { std::fs::create_dir(&path) } else { Ok(()) };
            let made = made.and_then(|()| match file.ends_with('/') {
                true => Ok(()),
                false => std::fs::write(&path, "derived-statsd log 2\n"),
            });
            made.expect("a file for tests");
            mode(&path, if file.ends_with('!') { 0o400 } else { 0o777 });
        }
        let commands = [&["validate", "/dev/null"][..], &["run", "--set", "http.listen=127.0.0.1:0"]];
        for arguments in commands {
            let run = as_another_user(arguments, directory.path());
            let whole = run.stderr.contains("flag --set: `log.data_dir`") && run.stderr.contains(expected);
            assert!(run.code == Some(64) && whole, "{arguments:?} {files:?}: {:?} {}", run.code, run.stderr);
        }
    }
}

#[test]
fn a_log_of_another_number_of_partitions_is_a_problem() {
    let directory = TempDir::new().expect("a directory for tests");
    for (name, text) in [("VERSION", "derived-statsd log 2\n"), ("PARTITIONS", "4\n")] {
        std::fs::write(directory.path().join(name), text).expect("a file for tests");
    }
    let data = format!("log.data_dir={}", directory.path().display());
    let validate = |partitions: &str, kind: &str| {
        let settings = ["--set", &data, "--set", partitions, "--set", kind, "--set", "kafka.brokers=a:1"];
        finish(command(&[&["validate", "/dev/null"], &settings[..]].concat()), "")
    };
    let run = validate("log.partitions=5", "log.kind=embedded");
    let expected = "flag --set: `log.partitions`: the log in ";
    assert!(run.code == Some(64) && run.stderr.contains(expected), "{}", run.stderr);
    assert!(run.stderr.contains("was made with log.partitions=4, not 5; set that"), "{}", run.stderr);
    for (partitions, kind) in [("log.partitions=4", "log.kind=embedded"), ("log.partitions=5", "log.kind=kafka")] {
        let run = validate(partitions, kind);
        assert_eq!(run.code, Some(0), "{partitions} {kind}: {}", run.stderr);
    }
}

/// The sections with a client, each with a key with which it uses TLS.
const WITH_TLS: [(&str, &str); 10] = [
    ("contiv", "netplugin_tls = true"),
    ("kafka", "security = \"ssl\""),
    ("opserver", "servers = \"https://a\""),
    ("sinks.alertmanager", "url = \"https://a\""),
    ("sinks.influxdb", "url = \"https://a\""),
    ("sinks.otlp", "url = \"https://a\""),
    ("sinks.redis", "url = \"rediss://a\""),
    ("sinks.remote_write", "url = \"https://a\""),
    ("sinks.results_webhook", "url = \"https://a\""),
    ("sinks.webhook", "url = \"https://a\""),
];

#[test]
fn files_of_tls_that_cannot_be_used_are_problems_of_their_settings() {
    let folder = TempDir::new().expect("a directory for tests");
    certificates::make(folder.path(), "server");
    certificates::sign(folder.path(), "client", "authority");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let fifo = std::process::Command::new("mkfifo").arg(path("fifo")).status();
    assert!(fifo.is_ok_and(|status| status.success()));
    let own = |certificate: &str, key: &str| {
        format!("certificate_file = {:?}\nkey_file = {:?}", path(certificate), path(key))
    };
    let cases = [
        (format!("ca_file = {:?}", path("missing.pem")), "ca_file", "missing.pem cannot be read (No such file"),
        (format!("ca_file = {:?}", path("server.key")), "ca_file", "server.key has no certificate in PEM"),
        (format!("ca_file = {:?}", path("fifo")), "ca_file", "fifo cannot be read (it is not a regular file"),
        (own("missing.pem", "client.key"), "certificate_file", "missing.pem cannot be read"),
        (own("client.pem", "client.pem"), "key_file", "client.pem has no private key in PEM"),
        (own("client.pem", "server.key"), "key_file", "cannot be used together"),
        (own("client.pem", "client.key"), "", ""),
    ];
    for (section, url) in WITH_TLS {
        for (keys, key, expected) in &cases {
            let run = validate(&format!("[log]\ndata_dir = \"$DIR/data\"\n[{section}]\n{url}\n{keys}\n"), &[]);
            let is_reported = run.stderr.contains(&format!("`{section}.{key}`: ")) && run.stderr.contains(expected);
            let expected_code = if key.is_empty() { 0 } else { 64 };
            assert!(run.code == Some(expected_code), "{section} {keys}: {}", run.stderr);
            assert!(key.is_empty() || is_reported && run.stderr.contains(": 1 problem\n"), "{section}: {}", run.stderr);
        }
    }
}

#[test]
fn a_certificate_of_contivs_page_without_its_key_is_a_problem() {
    let folder = TempDir::new().expect("a directory for tests");
    certificates::make(folder.path(), "server");
    certificates::sign(folder.path(), "client", "authority");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let listen = |key: &str| {
        format!(
            "[log]\ndata_dir = \"$DIR/data\"\n[contiv]\nlisten = \"127.0.0.1:1\"\n\
             listen_tls = {{ certificate = {:?}, key = {:?} }}",
            path("server.pem"),
            path(key)
        )
    };
    assert!(problems(&listen("client.key"), &[]).contains("`contiv.listen_tls`: "));
    assert_eq!(validate(&listen("server.key"), &[]).code, Some(0));
}

#[test]
fn contivs_page_on_the_network_needs_certificates_of_clients_or_http_insecure() {
    let folder = TempDir::new().expect("a directory for tests");
    certificates::make(folder.path(), "server");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let page =
        |listen: &str, rest: &str| format!("[log]\ndata_dir = \"$DIR/data\"\n[contiv]\nlisten = \"{listen}\"\n{rest}");
    let tls = |client_ca: &str| {
        let [certificate, key] = ["server.pem", "server.key"].map(path);
        format!("listen_tls = {{ certificate = {certificate:?}, key = {key:?}{client_ca} }}\n")
    };
    for rest in [String::new(), tls(""), "[http]\ntokens_file = \"/dev/null\"".to_owned()] {
        let found = problems(&page("0.0.0.0:4000", &rest), &[]);
        let expected = ["a.toml:4:1: `contiv.listen`: everybody who reaches 0.0.0.0:4000", "http.insecure = true"];
        assert!(expected.iter().all(|part| found.contains(part)), "{rest}: {found}");
    }
    let guarded = tls(&format!(", client_ca = {:?}", path("authority.pem")));
    let insecure = "[http]\ninsecure = true".to_owned();
    for (listen, rest) in [("0.0.0.0:4000", guarded), ("0.0.0.0:4000", insecure), ("127.0.0.1:4000", String::new())] {
        let run = validate(&page(listen, &rest), &[]);
        assert_eq!(run.code, Some(0), "{listen} {rest}: {}", run.stderr);
    }
}

#[test]
fn one_mistake_in_a_listener_or_its_guard_is_one_problem() {
    for (listener, key) in [
        (
            "[http]\nlisten = \"none\"\n[[http.listeners]]\naddress = \"127.0.0.1:1\"\nroles = [\"all\"]",
            "http.listeners",
        ),
        ("[http]\nlisten = \"0.0.0.0:1\"\ntokens_file = 5", "http.tokens_file"),
        ("[http]\nlisten = \"0.0.0.0:1\"\ninsecure = \"yes\"", "http.insecure"),
    ] {
        let found = problems(&format!("{listener}\n[log]\ndata_dir = \"$DIR/data\"\n"), &[]);
        assert!(found.contains(&format!("`{key}`: ")) && found.ends_with(": 1 problem\n"), "{found}");
    }
}

#[test]
fn a_name_that_the_log_cannot_store_is_a_problem_with_its_length() {
    let name = format!("S-{}", "a".repeat(254));
    let listed = format!("[log]\ndata_dir = \"$DIR/data\"\n[aggregation]\nuve_proxy_list = \"{name}:AggProxySum\"\n");
    let series = format!(
        "[log]\ndata_dir = \"$DIR/data\"\n[[streams]]\nmetric = \"m\"\nname = \"{name}\"\nobject = [\"job\"]\naggregations = [\"AggProxySum\"]\n"
    );
    // The stream of a series has two characters more.
    for (text, place, start, more) in
        [(listed, "a.toml:4:1: `aggregation.uve_proxy_list`", "S-", 0), (series, "a.toml:5:1: `streams.name`", "S_", 2)]
    {
        let found = problems(&text, &[]);
        let (letters, bytes) = ("a".repeat(38), 256 + more);
        let expected = format!(
            "{place}: the stream `{start}{letters}…` has a name of {bytes} bytes, 255 are the most; shorten it"
        );
        assert!(found.contains(&expected), "{found}");
        let run = validate(&text.replace(&name, &name[..255 - more]), &[]);
        assert_eq!(run.code, Some(0), "{place}: {}", run.stderr);
    }
}

/// The files of secrets, each with the settings with which the daemon reads it.
const SECRETS: [(&str, &str, &str); 15] = [
    (
        "kafka",
        "password_file",
        "security = \"sasl_plaintext\"\nuser = \"u\"\nbrokers = \"127.0.0.1:9\"\n[log]\nkind = \"kafka\"",
    ),
    ("opserver", "password_file", "servers = \"http://127.0.0.1:9\"\nuser = \"u\""),
    ("sinks.alertmanager", "password_file", "url = \"http://127.0.0.1:9\"\nuser = \"u\""),
    ("sinks.alertmanager", "token_file", "url = \"http://127.0.0.1:9\""),
    ("sinks.influxdb", "password_file", "url = \"http://127.0.0.1:9\"\nuser = \"u\""),
    ("sinks.influxdb", "token_file", "url = \"http://127.0.0.1:9\"\nversion = 2\norg = \"o\"\nbucket = \"b\""),
    ("sinks.otlp", "password_file", "url = \"http://127.0.0.1:9\"\nuser = \"u\""),
    ("sinks.otlp", "token_file", "url = \"http://127.0.0.1:9\""),
    ("sinks.redis", "password_file", "url = \"redis://127.0.0.1:9\""),
    ("sinks.remote_write", "password_file", "url = \"http://127.0.0.1:9\"\nuser = \"u\""),
    ("sinks.remote_write", "token_file", "url = \"http://127.0.0.1:9\""),
    ("sinks.results_webhook", "secret_file", "url = \"http://127.0.0.1:9\""),
    ("sinks.webhook", "password_file", "url = \"http://127.0.0.1:9\"\nuser = \"u\""),
    ("sinks.webhook", "token_file", "url = \"http://127.0.0.1:9\""),
    ("sinks.webhook", "secret_file", "url = \"http://127.0.0.1:9\""),
];

#[test]
fn files_of_secrets_are_read_and_a_start_ends_as_the_check_does() {
    for (section, key, used) in SECRETS {
        // The settings of another section stay behind those of this one.
        let (own, other) = used.split_once("\n[").map_or((used, ""), |(own, _)| (own, &used[own.len()..]));
        let data = if other.is_empty() { "[log]\n" } else { "" };
        let text = |own: &str, file: &str| {
            format!("[{section}]\n{own}\n{key} = \"$DIR/{file}\"\n{other}\n{data}data_dir = \"$DIR/data\"\n")
        };
        let missing = validate(&text(own, "missing"), &[]);
        let expected = format!("`{section}.{key}`: missing does not exist; create it, or correct the path");
        assert!(missing.code == Some(64) && missing.stderr.contains(&expected), "{section}.{key}: {}", missing.stderr);
        assert!(missing.stderr.contains(": 1 problem\n"), "{}", missing.stderr);
        assert_eq!(validate(&text(own, "a.secret"), &[("a.secret", "hunter2\n")]).code, Some(0), "{section}.{key}");
        let empty = validate(&text(own, "a.secret"), &[("a.secret", "\n")]);
        assert_eq!(empty.code, Some(if key == "secret_file" { 64 } else { 0 }), "{section}.{key}: {}", empty.stderr);
        assert!(empty.stderr.contains("a.secret is empty"), "{section}.{key}: {}", empty.stderr);
        let folder = TempDir::new().expect("a directory for tests");
        let text = text(own, "missing").replace("$DIR", &folder.path().display().to_string());
        std::fs::write(folder.path().join("a.toml"), text).expect("a file for tests");
        let run = finish(command(&["run", "--config", &folder.path().join("a.toml").display().to_string()]), "");
        assert!(run.code == Some(64) && run.stderr.contains(&format!("`{section}.{key}`: ")), "{}", run.stderr);
    }
}

#[test]
fn a_file_of_a_secret_that_nothing_reads_may_be_missing() {
    for (section, key, _) in SECRETS.iter().filter(|(section, ..)| section.starts_with("sinks.")) {
        let text = format!("[log]\ndata_dir = \"$DIR/data\"\n[{section}]\n{key} = \"$DIR/missing\"\n");
        let stderr = validate(&text, &[]).stderr;
        assert!(!stderr.contains("missing does not exist"), "{section}.{key}: {stderr}");
    }
}
