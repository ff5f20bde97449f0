//! A server between a sink and a real Redis, which answers in ways that no Redis does.
//!
//! The file uses no other test support, because the tests of `daemon-sinks` include it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// What Redis answers.
    Redis,
    /// These bytes, then the same byte for ever.
    Endless(&'static str),
    /// These bytes, then a byte every 100 ms.
    Drip(&'static str),
    /// Nothing.
    Silence,
}

/// A listener on loopback.
pub(crate) struct Hostile {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The port of the real Redis.
    redis: u16,
    /// The request from which on the answer is this one; those before go to Redis.
    answer: Mutex<(&'static str, Answer)>,
    /// The most bytes that it could send by itself on one connection.
    most_sent: AtomicU64,
    /// The connections that are open.
    open: AtomicUsize,
}

impl Hostile {
    pub(crate) fn start(redis: u16, from: &'static str, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Mutex::new((from, answer));
        let shared = Arc::new(Shared { redis, answer, most_sent: AtomicU64::new(0), open: AtomicUsize::new(0) });
        let of_listener = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&of_listener);
                shared.open.fetch_add(1, Ordering::AcqRel);
                std::thread::spawn(move || {
                    shared.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                    shared.open.fetch_sub(1, Ordering::AcqRel);
                });
            }
        });
        Self { port, shared }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Answers as Redis does on connections from now on.
    pub(crate) fn become_redis(&self) {
        *self.shared.answer.lock().unwrap() = ("", Answer::Redis);
    }

    pub(crate) fn most_sent(&self) -> u64 {
        self.shared.most_sent.load(Ordering::Acquire)
    }

    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Acquire)
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream) {
        let (from, answer) = *self.answer.lock().unwrap();
        let Ok(redis) = TcpStream::connect(("127.0.0.1", self.redis)) else { return };
        let (mut replies, mut to_client) = (redis.try_clone().unwrap(), client.try_clone().unwrap());
        let copy = std::thread::spawn(move || {
            let _ = std::io::copy(&mut replies, &mut to_client);
        });
        let mut bytes = vec![0; 1024 * 1024];
        while let Ok(length @ 1..) = { client }.read(&mut bytes) {
            let is_reached = bytes[..length].windows(from.len().max(1)).any(|part| part.starts_with(from.as_bytes()));
            if !matches!(answer, Answer::Redis) && is_reached {
                self.answer(client, answer);
                break;
            }
            if { &redis }.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = redis.shutdown(Shutdown::Both);
        copy.join().unwrap();
    }

    /// Sends until the client closes the connection.
    fn answer(&self, mut client: &TcpStream, answer: Answer) {
        let (beginning, bytes, pause) = match answer {
            Answer::Redis => return,
            Answer::Endless(beginning) => (beginning, vec![b'x'; 64 * 1024], Duration::ZERO),
            Answer::Drip(beginning) => (beginning, vec![b'x'], Duration::from_millis(100)),
            Answer::Silence => {
                while let Ok(1..) = client.read(&mut [0; 1024]) {}
                return;
            }
        };
        let mut sent = 0;
        let mut next = beginning.as_bytes();
        while let Ok(length) = client.write(next) {
            sent += length as u64;
            self.most_sent.fetch_max(sent, Ordering::AcqRel);
            next = &bytes;
            std::thread::sleep(pause);
        }
    }
}
