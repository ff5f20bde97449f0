//! The connection to Redis, used on a thread of its own for each exchange, so that a server that hangs does not hold up
//! a stop.

use std::time::Duration;

use ::redis::{ErrorKind, RedisError, RedisResult};
use daemon_base::stop::{Stop, Unfinished};

use super::RedisSettings;
use super::bounded::Cut;
use super::connection::Connection;
use super::settings::Target;

/// How long an exchange may go on after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The kind of a failure, by which an operator can tell what to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FailureKind {
    /// The server refuses the credentials, or the user lacks a permission.
    Auth,
    /// The server does not have the database, or is a node of a cluster.
    Database,
    /// Kafka does not take the messages for alarm-gen.
    Kafka,
    /// The server cannot write now: it loads its data, is a replica, or has no memory.
    Server,
    Timeout,
    Transport,
    Unexpected,
}

impl FailureKind {
    pub(super) const ALL: [Self; 7] =
        [Self::Auth, Self::Database, Self::Kafka, Self::Server, Self::Timeout, Self::Transport, Self::Unexpected];

    /// The label in metrics and messages.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Database => "database",
            Self::Kafka => "kafka",
            Self::Server => "server_error",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Unexpected => "unexpected",
        }
    }
}

/// Why an exchange has no outcome.
#[derive(Debug)]
pub(super) enum Failure {
    Failed(FailureKind, String),
    Stopped,
}

/// The connection, which is opened when it is needed and dropped after an error.
pub(super) struct Client {
    target: Target,
    timeout: Duration,
    stop: Stop,
    connection: Option<Connection>,
    /// Ends the exchange that a stop abandons.
    cut: Cut,
}

impl Client {
    pub(super) fn new(settings: &RedisSettings, stop: Stop) -> Self {
        let (target, timeout) = (settings.target.clone(), settings.timeout);
        Self { target, timeout, stop, connection: None, cut: Cut::default() }
    }

    /// Runs `work` with the connection. To connect, and then `work` as a whole, may each take `sinks.redis.timeout`.
    /// [`STOP_PATIENCE`] after a stop both end, whatever the server does.
    pub(super) fn exchange<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> RedisResult<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (target, cut, timeout, open) =
            (self.target.clone(), self.cut.clone(), self.timeout, self.connection.take());
        let exchange = move || {
            let mut connection = match open {
                Some(connection) => connection,
                None => Connection::open(&target, timeout, &cut)?,
            };
            connection.begin(timeout);
            // After an error the connection may be within a transaction, so it is not used again.
            work(&mut connection).map(|outcome| (outcome, connection))
        };
        let ended = self.aside(exchange).inspect_err(|failure| {
            if let Failure::Stopped = failure {
                self.cut.cut();
            }
        });
        let (outcome, connection) = ended?.map_err(failed)?;
        self.connection = Some(connection);
        Ok(outcome)
    }

    /// Runs `work` on a thread of its own.
    pub(super) fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        self.stop.aside("redis-exchange", STOP_PATIENCE, work).map_err(|unfinished| match unfinished {
            Unfinished::Died => Failure::Failed(FailureKind::Unexpected, "the exchange panicked".to_owned()),
            Unfinished::Stopped => Failure::Stopped,
            Unfinished::Thread(error) => {
                Failure::Failed(FailureKind::Transport, format!("no thread could be started: {error}"))
            }
        })
    }

    /// Waits for `time`; returns `false` as soon as the daemon stops.
    pub(super) fn wait(&self, time: Duration) -> bool {
        self.stop.rest(time)
    }
}

fn failed(error: RedisError) -> Failure {
    let text = error.to_string();
    Failure::Failed(kind_of(&error, &text), text)
}

/// The kind of a failure. The error of a transaction is that it was aborted; why, is in the errors of its commands.
fn kind_of(error: &RedisError, text: &str) -> FailureKind {
    if text.contains("switch database") {
        return kind_of_selection(text);
    }
    let errors = error.clone().into_server_errors();
    let has_code =
        |codes: &[&str]| errors.iter().flat_map(|errors| errors.iter()).any(|(_, error)| codes.contains(&error.code()));
    match error.kind() {
        _ if error.is_timeout() => FailureKind::Timeout,
        ErrorKind::AuthenticationFailed => FailureKind::Auth,
        _ if has_code(&["NOAUTH", "NOPERM", "WRONGPASS"]) => FailureKind::Auth,
        _ if has_code(&["ASK", "CROSSSLOT", "MOVED"]) => FailureKind::Database,
        ErrorKind::Io => FailureKind::Transport,
        ErrorKind::Server(_) | ErrorKind::Extension => FailureKind::Server,
        _ => FailureKind::Unexpected,
    }
}

/// The kind of a failure to select the database, of which only the text is known.
fn kind_of_selection(text: &str) -> FailureKind {
    let has = |part: &&str| text.contains(*part);
    if ["Authentication required", "permission"].iter().any(has) {
        FailureKind::Auth
    } else if text.contains("loading") {
        FailureKind::Server
    } else {
        FailureKind::Database
    }
}

#[cfg(test)]
mod tests {
    use ::redis::{Pipeline, Value, make_extension_error};

    use super::super::marker::tests::Answering;
    use super::*;

    fn kind(error: &RedisError) -> FailureKind {
        kind_of(error, &error.to_string())
    }

    #[test]
    fn what_no_retry_mends_has_a_kind_of_its_own() {
        let cases = [
            ("NOAUTH", FailureKind::Auth),
            ("WRONGPASS", FailureKind::Auth),
            ("NOPERM", FailureKind::Auth),
            ("MOVED", FailureKind::Database),
            ("CROSSSLOT", FailureKind::Database),
            ("OOM", FailureKind::Server),
            ("LOADING", FailureKind::Server),
        ];
        for (code, expected) in cases {
            assert_eq!(kind(&make_extension_error(code.to_owned(), None)), expected, "{code}");
        }
        let selections = [
            ("DB index is out of range", FailureKind::Database),
            ("SELECT is not allowed in cluster mode", FailureKind::Database),
            ("Authentication required.", FailureKind::Auth),
            ("Redis is loading the dataset in memory", FailureKind::Server),
        ];
        for (text, expected) in selections {
            let text = format!("Redis server refused to switch database: {text}");
            assert_eq!(kind_of(&make_extension_error("ERR".to_owned(), None), &text), expected, "{text}");
        }
    }

    #[test]
    fn the_errors_of_all_commands_of_a_transaction_decide_on_the_kind() {
        let mut commands = Pipeline::new();
        commands.atomic().cmd("DEL").arg("a").ignore().cmd("DEL").arg("b").ignore();
        let mut server = Answering::new(&["ERR other", "NOPERM no permission"]);
        let error = commands.query::<Value>(&mut server).unwrap_err();
        assert_eq!(kind(&error), FailureKind::Auth);
    }
}
