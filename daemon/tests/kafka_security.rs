//! A broker that asks for TLS, a user and a password: the real binary gets in with the right ones, says what to look at
//! with wrong ones, and shows a password nowhere.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;

use binary::{Run, finish};
use support::broker::Broker;
use support::{Daemon, certificates, command};
use tempfile::TempDir;

/// Of the user `ds`, for PLAIN as for SCRAM. Of digits, as TOML would take such for a number.
const PASSWORD: &str = "80915723640017";
/// Of nobody.
const WRONG: &str = "80915723640018";

/// The broker with its secure listener, and the files of its clients; one for all tests.
struct Secured {
    broker: Broker,
    folder: TempDir,
}

static SECURED: LazyLock<Secured> = LazyLock::new(Secured::start);

impl Secured {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        certificates::make(folder.path(), "broker");
        let keys = ["broker.key", "broker.pem"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
        let broker_pem = folder.path().join("keystore.pem");
        fs::write(&broker_pem, keys.concat()).unwrap();
        let settings = format!(
            "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
             listener.name.secure.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required user_ds=\"{PASSWORD}\";\n\
             listener.name.secure.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n",
            broker_pem.display()
        );
        let broker = Broker::start_secured(&settings);
        let credentials = format!("SCRAM-SHA-512=[iterations=4096,password={PASSWORD}]");
        broker.tool(
            "kafka.admin.ConfigCommand",
            &["--alter", "--entity-type", "users", "--entity-name", "ds", "--add-config", &credentials],
        );
        Self { broker, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// How a client says who it is.
#[derive(Clone, Copy)]
enum Password<'p> {
    File(&'p str),
    Variable(&'p str),
}

impl Secured {
    /// A command of the user `ds` that trusts the authority in the file `ca`, with all messages.
    fn command(&self, subcommand: &str, data: &Path, sasl: &str, ca: &str, password: Password<'_>) -> Command {
        let settings = [
            "log.kind=kafka".to_owned(),
            "kafka.security=sasl_ssl".to_owned(),
            "kafka.user=ds".to_owned(),
            "kafka.partitions=2".to_owned(),
            // Each test has topics of its own.
            format!("kafka.topic_prefix={sasl}."),
            format!("kafka.group_id={sasl}"),
            format!("kafka.sasl={sasl}"),
            format!("kafka.brokers={}", self.broker.secure_bootstrap()),
            format!("kafka.ca_file={}", self.path(ca).display()),
        ];
        let mut command = command(subcommand, data, &settings.each_ref().map(String::as_str));
        command.env("RUST_LOG", "debug");
        match password {
            Password::Variable(password) => command.env("DERIVED_STATSD_KAFKA__PASSWORD", password),
            Password::File(password) => {
                let file = data.join("password");
                fs::write(&file, format!("{password}\n")).unwrap();
                command.args(["--set", &format!("kafka.password_file={}", file.display())])
            }
        };
        command
    }

    fn topics(&self, sasl: &str, ca: &str, password: Password<'_>) -> Run {
        let data = TempDir::new().unwrap();
        let mut command = self.command("topics", data.path(), sasl, ca, password);
        command.arg("--create");
        finish(command, "")
    }
}

/// Makes the topics, then runs until ready; a sample that is posted is applied.
fn works_end_to_end(sasl: &str, password: Password<'_>) {
    let made = SECURED.topics(sasl, "authority.pem", password);
    assert_eq!(made.code, Some(0), "{made:?}");
    let data = TempDir::new().unwrap();
    let daemon = Daemon::spawn(SECURED.command("run", data.path(), sasl, "authority.pem", password)).unwrap();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let sample = support::line("vn1", "egress_flow_count", 1_488_000_000_000_000, 7);
    assert_eq!(daemon.post(sample.as_bytes(), None).map(|(status, _)| status), Some(200));
    daemon.wait_for("/api/v1/partitions", |(_, body)| body.contains("\"objects\":1").then_some(()));
    assert_shows_no_password(&made);
    let said = daemon.stop();
    assert!(!said.contains(PASSWORD), "{said}");
}

fn assert_shows_no_password(run: &Run) {
    for password in [PASSWORD, WRONG] {
        assert!(!run.stderr.contains(password) && !run.stdout.contains(password), "{run:?}");
    }
}

/// What `topics` says when it is not let in.
fn refusal(run: &Run) -> &str {
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert_shows_no_password(run);
    run.stderr.lines().last().unwrap()
}

#[test]
fn plain_over_tls_works_end_to_end_with_a_password_of_digits_from_the_environment() {
    works_end_to_end("plain", Password::Variable(PASSWORD));
}

#[test]
fn scram_over_tls_works_end_to_end_with_the_password_in_a_file() {
    works_end_to_end("scram-sha-512", Password::File(PASSWORD));
}

#[test]
fn a_wrong_password_is_said_to_be_and_never_shown() {
    // At once, as the client waits 10 s for brokers that may yet let it in.
    let cases = [("plain", Password::Variable(WRONG)), ("scram-sha-512", Password::File(WRONG))];
    thread::scope(|scope| {
        let ask = |(sasl, password)| (sasl, scope.spawn(move || SECURED.topics(sasl, "authority.pem", password)));
        for (sasl, run) in cases.map(ask) {
            let run = run.join().unwrap();
            let said = refusal(&run);
            for part in ["the authentication at kafka.brokers", "failed", "check kafka.user, kafka.password or"] {
                assert!(said.contains(part), "{sasl}: {said}");
            }
        }
    });
}

#[test]
fn a_daemon_with_a_wrong_password_waits_and_says_why() {
    let data = TempDir::new().unwrap();
    let password = Password::Variable(WRONG);
    let daemon = Daemon::spawn(SECURED.command("run", data.path(), "plain", "authority.pem", password)).unwrap();
    let said = daemon.wait_until_said("check kafka.user, kafka.password or");
    assert_eq!(daemon.get("/readyz").0, 503);
    assert!(!said.contains(WRONG), "{said}");
    let said = daemon.stop();
    assert!(!said.contains(WRONG), "{said}");
}

#[test]
fn a_broker_that_no_given_authority_signed_is_refused() {
    let run = SECURED.topics("plain", "stranger.pem", Password::Variable(PASSWORD));
    let said = refusal(&run);
    assert!(said.contains("check that kafka.ca_file contains the authority"), "{said}");
}

#[test]
fn validate_shows_no_password_whatever_is_wrong_with_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.toml");
    let validate = |text: &str, variable: Option<&str>| {
        fs::write(&file, format!("[kafka]\nsecurity = \"sasl_ssl\"\nuser = \"ds\"\n{text}\n")).unwrap();
        let data = format!("log.data_dir={}", folder.path().join("data").display());
        let mut command = binary::command(&["validate", "--set", &data]);
        command.arg(&file).env("RUST_LOG", "debug");
        command.envs(variable.map(|value| ("DERIVED_STATSD_KAFKA__PASSWORD", value)));
        let run = finish(command, "");
        assert_shows_no_password(&run);
        run
    };
    assert_eq!(validate("", Some(PASSWORD)).code, Some(0), "digits are a text");
    assert_eq!(validate(&format!("password = \"{PASSWORD}\""), None).code, Some(0));
    let number = validate(&format!("password = {PASSWORD}"), None);
    assert!(number.stderr.contains("`kafka.password`: expected a text; put it in quotes"), "{number:?}");
    for text in [format!("x{PASSWORD}"), format!("{PASSWORD}x"), format!("\"{PASSWORD}"), format!("[\"{PASSWORD}\"]")] {
        assert_eq!(validate(&format!("password = {text}"), None).code, Some(64), "{text}");
    }
}
