//! A socket with bounds on the time and on the bytes of an exchange, which another thread can end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use daemon_base::clock::{Clock as _, SystemClock};

use super::config::Server;

/// The most bytes of all replies in an exchange. The longest exchange reads 100,000 messages that wait.
pub(super) const EXCHANGE_BYTES: u64 = 256 * 1024 * 1024;

/// Ends the connection that it is attached to, or that is attached later. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut(Arc<Mutex<CutState>>);

#[derive(Debug, Default)]
struct CutState {
    is_cut: bool,
    /// Weak, because the socket must be closed when the connection is dropped.
    socket: Weak<TcpStream>,
}

impl Cut {
    /// Shuts the socket down: a thread that reads or writes gets an error at once.
    pub(super) fn cut(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_cut = true;
        if let Some(socket) = state.socket.upgrade() {
            // It fails for a connection that the server has ended.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn attach(&self, socket: &Arc<TcpStream>) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.socket = Arc::downgrade(socket);
        Ok(())
    }
}

/// A socket that fails when the time of the exchange is over, or when the server has sent too much.
pub(super) struct Bounded {
    socket: Arc<TcpStream>,
    clock: SystemClock,
    /// The time of `clock` at which the exchange ends.
    until: Duration,
    /// The bytes that the server may still send in the reply and in the exchange, with those of TLS.
    of_reply: u64,
    of_exchange: u64,
}

impl Bounded {
    /// Connects to the first address of the server that accepts, within `timeout`, which begins the first exchange.
    pub(super) fn connect(server: &Server, timeout: Duration, cut: &Cut) -> io::Result<Self> {
        let clock = SystemClock::new();
        let socket = Arc::new(connect(server, &clock, timeout)?);
        cut.attach(&socket)?;
        Ok(Self { socket, clock, until: timeout, of_reply: 0, of_exchange: EXCHANGE_BYTES })
    }

    /// Begins an exchange, which may take `timeout` as a whole.
    pub(super) fn begin(&mut self, timeout: Duration) {
        self.until = self.clock.monotonic().saturating_add(timeout);
        self.of_exchange = EXCHANGE_BYTES;
    }

    /// Lets the server send so many bytes from now on.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.of_reply = bytes;
    }

    /// The bytes that the server may still send.
    pub(super) fn allowance(&self) -> u64 {
        self.of_reply.min(self.of_exchange)
    }

    fn remaining(&self) -> io::Result<Duration> {
        remaining(&self.clock, self.until)
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowance = self.allowance();
        if allowance == 0 {
            return Err(io::Error::other("the reply is too long"));
        }
        self.socket.set_read_timeout(Some(self.remaining()?))?;
        let length = buffer.len().min(usize::try_from(allowance).unwrap_or(usize::MAX));
        let read = (&*self.socket).read(&mut buffer[..length]).map_err(with_setting)?;
        self.of_reply = self.of_reply.saturating_sub(read as u64);
        self.of_exchange = self.of_exchange.saturating_sub(read as u64);
        Ok(read)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.remaining()?))?;
        (&*self.socket).write(bytes).map_err(with_setting)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time until `until`, which is never zero.
fn remaining(clock: &SystemClock, until: Duration) -> io::Result<Duration> {
    let remaining = until.saturating_sub(clock.monotonic());
    if remaining.is_zero() { Err(with_setting(io::ErrorKind::TimedOut.into())) } else { Ok(remaining) }
}

/// The error, which names the setting if the time is over.
fn with_setting(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, "no complete answer within sinks.redis.timeout")
        }
        _ => error,
    }
}

/// Connects to the first address of the server that accepts.
fn connect(server: &Server, clock: &SystemClock, until: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name of the server has no address");
    for address in (server.host.as_str(), server.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, remaining(clock, until)?) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = with_setting(error),
        }
    }
    Err(failure)
}
