//! A receiver of alarms that answers late, and has what it took before it answers.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A server that takes every request, and answers it at once, or late.
pub(crate) struct Receiver {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
    /// Locked while requests get no answer.
    answers: Arc<Mutex<()>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (bodies, answers) = <(Arc<Mutex<Vec<Value>>>, Arc<Mutex<()>>)>::default();
        let shared = (Arc::clone(&bodies), Arc::clone(&answers));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (bodies, answers) = shared.clone();
                thread::spawn(move || serve(&stream, &bodies, &answers));
            }
        });
        Self { url, bodies, answers }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs `during` without an answer to any request.
    pub(crate) fn without_answers(&self, during: impl FnOnce()) {
        let _held = self.answers.lock().unwrap();
        during();
    }

    /// The bodies of the requests since the last call.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.bodies.lock().unwrap())
    }

    /// The objects, or the names, of the alerts that fire in requests to an Alertmanager since [`take`](Self::take), and
    /// of those that have ended: the start of one that fires has an end ahead.
    pub(crate) fn alerts(&self) -> [BTreeSet<String>; 2] {
        let (bodies, now) = (self.bodies.lock().unwrap(), jiff::Timestamp::now());
        let of = |alert: &Value| {
            let labels = &alert["labels"];
            let name = labels["object"].as_str().or_else(|| labels["alertname"].as_str()).unwrap();
            (name.to_owned(), alert["endsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() <= now)
        };
        let alerts: Vec<_> = bodies.iter().filter_map(Value::as_array).flatten().map(of).collect();
        [false, true].map(|is_over| alerts.iter().filter(|it| it.1 == is_over).map(|it| it.0.clone()).collect())
    }
}

/// Takes one request after the other; a connection that is cut ends it.
fn serve(stream: &TcpStream, bodies: &Mutex<Vec<Value>>, answers: &Mutex<()>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).ok()? > 0 && line.trim_end() != "" {
            if let Some((_, value)) =
                line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim_end().parse().ok()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        bodies.lock().unwrap().push(serde_json::from_slice(&body).ok()?);
        drop(answers.lock().unwrap());
        write!(&mut &*stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
