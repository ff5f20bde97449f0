//! An HTTP server on loopback for tests, with good and bad answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// The answer to a request.
pub(crate) enum Reply {
    /// 200 and this body.
    Body(String),
    /// A head that announces this body, and half of the body.
    Cut(String),
    /// None; the connection stays open.
    Hang,
    /// Status 302 and this Location.
    Redirect(String),
    /// This status and no body.
    Status(u16),
}

type Play = dyn FnMut(&str) -> Reply + Send;

/// A running server.
pub(crate) struct Fake {
    pub address: SocketAddr,
    /// The heads of the requests so far.
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts a server that answers each request as `play` decides by its path.
    pub(crate) fn start(play: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (heads, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let mut play: Box<Play> = Box::new(play);
        let thread = thread::spawn(move || {
            let mut hanging = Vec::new();
            for connection in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let mut connection = connection.unwrap();
                let head = read_head(&connection);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                heads.lock().unwrap().push(head);
                match play(&path) {
                    Reply::Hang => hanging.push(connection),
                    reply => answer(&mut connection, reply),
                }
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// Starts a server that answers every request with what `body` returns.
    pub(crate) fn of_bodies(mut body: impl FnMut() -> String + Send + 'static) -> Self {
        Self::start(move |_| Reply::Body(body()))
    }

    /// Returns the heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread: there may be no client any more.
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn read_head(connection: &TcpStream) -> String {
    let lines = BufReader::new(connection).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn answer(connection: &mut TcpStream, reply: Reply) {
    let mut location = String::new();
    let (status, body, length) = match reply {
        Reply::Redirect(to) => {
            location = format!("location: {to}\r\n");
            (302, String::new(), 0)
        }
        Reply::Body(body) => (200, body.clone(), body.len()),
        Reply::Cut(body) => (200, body[..body.len() / 2].to_owned(), body.len()),
        Reply::Status(status) => (status, String::new(), 0),
        Reply::Hang => return,
    };
    let head = format!("HTTP/1.1 {status} x\r\n{location}content-length: {length}\r\nconnection: close\r\n\r\n");
    // The client may be dropped already.
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body.as_bytes()));
}
