//! The connection to Redis, used on a thread of its own for each exchange, so that a server that hangs does not hold up
//! a stop.

use std::time::Duration;

use ::redis::{Client as Address, Connection, ErrorKind, RedisError, RedisResult, ServerErrorKind};
use daemon_base::stop::{Stop, Unfinished};

use super::RedisSettings;

/// How long an exchange may go on after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The kind of a failure, by which an operator can tell what to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FailureKind {
    /// The server refuses the credentials, or the user lacks a permission.
    Auth,
    /// Kafka does not take the messages for alarm-gen.
    Kafka,
    /// The server cannot write now: it loads its data, is a replica, or has no memory.
    Server,
    Timeout,
    Transport,
    Unexpected,
}

impl FailureKind {
    pub(super) const ALL: [Self; 6] =
        [Self::Auth, Self::Kafka, Self::Server, Self::Timeout, Self::Transport, Self::Unexpected];

    /// The label in metrics and messages.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Auth => "auth",
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
    address: Address,
    timeout: Duration,
    stop: Stop,
    connection: Option<Connection>,
}

impl Client {
    pub(super) fn new(settings: &RedisSettings, stop: Stop) -> Self {
        Self { address: settings.client.clone(), timeout: settings.timeout, stop, connection: None }
    }

    /// Runs `work` with the connection.
    pub(super) fn exchange<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> RedisResult<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (address, timeout, open) = (self.address.clone(), self.timeout, self.connection.take());
        let exchange = move || {
            let mut connection = match open {
                Some(connection) => connection,
                None => connect(&address, timeout)?,
            };
            // After an error the connection may be within a transaction, so it is not used again.
            work(&mut connection).map(|outcome| (outcome, connection))
        };
        let (outcome, connection) = self.aside(exchange)?.map_err(failed)?;
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

fn connect(address: &Address, timeout: Duration) -> RedisResult<Connection> {
    let connection = address.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))?;
    Ok(connection)
}

fn failed(error: RedisError) -> Failure {
    let kind = match (error.kind(), error.code()) {
        _ if error.is_timeout() => FailureKind::Timeout,
        (ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm), _)
        | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => FailureKind::Auth,
        (ErrorKind::Io, _) => FailureKind::Transport,
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => FailureKind::Server,
        _ => FailureKind::Unexpected,
    };
    Failure::Failed(kind, error.to_string())
}
