//! How a server of a test fails its clients.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// A way to answer without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outage {
    /// An error.
    Refuse,
    /// The end of the connection.
    Close,
    /// Nothing, until the outage ends.
    Hang,
    /// The first half of an answer, and then the end of the connection.
    Tear,
}

impl Outage {
    pub(crate) const ALL: [Self; 4] = [Self::Refuse, Self::Close, Self::Hang, Self::Tear];
}

/// The outage of a server, if it has one, which a test begins and ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    outage: Option<Outage>,
    /// The connections without an answer.
    held: Vec<TcpStream>,
}

impl Switch {
    /// Begins an outage, or ends it.
    pub(crate) fn set(&self, outage: Option<Outage>) {
        *self.0.lock().unwrap() = State { outage, held: Vec::new() };
    }

    /// Sends the head and the body of an answer, or what the outage leaves of it; whether it was sent as a whole.
    pub(crate) fn answer(&self, mut stream: TcpStream, refusal: &str, body: &str) -> bool {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
        let head = head + "connection: close\r\n\r\n";
        let mut state = self.0.lock().unwrap();
        // A killed client reads no answer.
        match state.outage {
            None => stream.write_all((head + body).as_bytes()).is_ok(),
            Some(outage) => {
                let _ = match outage {
                    Outage::Refuse => write!(stream, "HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n"),
                    Outage::Tear => stream.write_all((head + &body[..body.len() / 2]).as_bytes()),
                    Outage::Close | Outage::Hang => Ok(()),
                };
                if outage == Outage::Hang {
                    state.held.push(stream);
                }
                false
            }
        }
    }
}
