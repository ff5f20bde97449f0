//! A connection to Redis with bounds on the time and on the bytes of each exchange.
//!
//! The crate `redis` packs commands and parses replies. Its own connection has a timeout for each read and no bound on
//! a reply: a server that sends one byte at a time holds it for ever, and one that sends an endless reply fills the
//! memory.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, ConnectionLike, ErrorKind, Parser, RedisError, RedisResult, ServerErrorKind, Value};
use daemon_base::outbound::ClientTls;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::bounded::{Bounded, Cut, EXCHANGE_BYTES};
use super::settings::Target;

/// The most bytes of the reply to one command. The longest replies are the messages of two steps of a withdrawal, and a
/// page of the messages that wait: about 2,000 messages of at most 2 KiB.
const REPLY_BYTES: u64 = 8 * 1024 * 1024;

/// The most bytes of the replies to a transaction, and for each of its commands. These only write: Redis replies
/// `+QUEUED` and a number, or an error of some hundred bytes.
const TRANSACTION_BYTES: u64 = 64 * 1024;
const COMMAND_BYTES: u64 = 1024;

/// A connection that is logged in and has its database selected.
pub(super) struct Connection {
    stream: Stream,
    parser: Parser,
    database: u32,
}

impl Connection {
    /// Connects within `timeout`, which covers TLS, the login and the database too, but not the name service.
    pub(super) fn open(target: &Target, timeout: Duration, cut: &Cut) -> RedisResult<Self> {
        let bounded = Bounded::connect(&target.server, timeout, cut)?;
        let stream = match &target.tls {
            None => Stream::Plain(bounded),
            Some(tls) => {
                let name = ServerName::try_from(target.server.host.clone()).map_err(io::Error::other)?;
                let config = tls_config(tls).map_err(io::Error::other)?;
                let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(client, bounded)))
            }
        };
        let mut connection = Self { stream, parser: Parser::new(), database: target.database };
        connection.log_in(target)?;
        connection.select(target.database)?;
        Ok(connection)
    }

    /// Begins an exchange, which may take `timeout` as a whole.
    pub(super) fn begin(&mut self, timeout: Duration) {
        self.stream.bounded().begin(timeout);
    }

    fn log_in(&mut self, target: &Target) -> RedisResult<()> {
        let Some(password) = &target.password else { return Ok(()) };
        let mut reply = self.authenticate(target.user.as_deref(), password.reveal())?;
        // Before version 6 Redis has no users.
        let is_old = |error: &str| error.contains("wrong number of arguments for 'auth' command");
        if let Value::ServerError(error) = &reply
            && error.details().is_some_and(is_old)
        {
            reply = self.authenticate(None, password.reveal())?;
        }
        match reply {
            Value::Okay => Ok(()),
            _ => Err((ErrorKind::AuthenticationFailed, "Password authentication failed").into()),
        }
    }

    fn authenticate(&mut self, user: Option<&str>, password: &str) -> RedisResult<Value> {
        let mut command = ::redis::cmd("AUTH");
        command.arg(user).arg(password);
        self.req_command(&command)
    }

    fn select(&mut self, database: u32) -> RedisResult<()> {
        if database == 0 {
            return Ok(());
        }
        match self.req_command(::redis::cmd("SELECT").arg(database))? {
            Value::ServerError(error) => {
                let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
                let detail = error.details().unwrap_or_default().to_owned();
                Err((kind, "Redis server refused to switch database", detail).into())
            }
            _ => Ok(()),
        }
    }

    /// Sends commands whose replies have at most so many bytes.
    fn send(&mut self, commands: &[u8], reply_bytes: u64) -> RedisResult<()> {
        self.stream.bounded().expect(reply_bytes);
        self.stream.write_all(commands)?;
        Ok(self.stream.flush()?)
    }

    fn receive(&mut self, reply_bytes: u64) -> RedisResult<Value> {
        let reply = self.parser.parse_value(&mut self.stream);
        reply.map_err(|error| match self.stream.bounded().allowance() {
            0 => too_long(reply_bytes.min(EXCHANGE_BYTES)),
            _ => error,
        })
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.send(command, REPLY_BYTES)?;
        self.receive(REPLY_BYTES)
    }

    fn req_command(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.req_packed_command(&command.get_packed_command())
    }

    /// Returns the last `count` replies; those before, `offset`, are to commands that are queued. The first that Redis
    /// does not queue is an error, as it then executes none of them.
    fn req_packed_commands(&mut self, commands: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let bytes = TRANSACTION_BYTES.saturating_add(COMMAND_BYTES.saturating_mul((offset + count) as u64));
        self.send(commands, bytes)?;
        for _ in 0..offset {
            if let Value::ServerError(error) = self.receive(bytes)? {
                return Err(error.into());
            }
        }
        (0..count).map(|_| self.receive(bytes)).collect()
    }

    fn get_db(&self) -> i64 {
        self.database.into()
    }

    fn check_connection(&mut self) -> bool {
        ::redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        true
    }
}

/// The error of a reply without an end, or of an end that is too far away.
fn too_long(bytes: u64) -> RedisError {
    let detail = format!("more than {bytes} bytes");
    (ErrorKind::Parse, "the reply is longer than any of Redis", detail).into()
}

/// A socket, with TLS or without.
enum Stream {
    Plain(Bounded),
    Tls(Box<StreamOwned<ClientConnection, Bounded>>),
}

impl Stream {
    fn bounded(&mut self) -> &mut Bounded {
        match self {
            Self::Plain(bounded) => bounded,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bounded) => bounded.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bounded) => bounded.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(bounded) => bounded.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// The TLS of a client that trusts the authorities of its file, or those of the system without one.
fn tls_config(tls: &ClientTls) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match tls.authorities_pem() {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
        }
        // What of the system cannot be used is left out: another may be the server's.
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    anyhow::ensure!(!roots.is_empty(), "the system has no certificate of an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    Ok(match tls.own_pem() {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?
        }
    })
}
