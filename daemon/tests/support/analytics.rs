//! An analytics API of Contrail with one network.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The response to every request: one network, summed over its sources.
const ANSWER: &str = r#"{"value":[{"name":"default-domain:demo:vn1","value":{"UveVirtualNetworkAgent":{"egress_flow_count":31,"ingress_flow_count":7}}}]}"#;

/// An API whose thread ends with the process.
pub(crate) struct AnalyticsApi {
    address: String,
    refuses: Arc<AtomicBool>,
}

impl AnalyticsApi {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Self { address: listener.local_addr().unwrap().to_string(), refuses: Arc::default() };
        let refuses = Arc::clone(&api.refuses);
        let serve = move |stream| drop(answer(stream, refuses.load(Ordering::Relaxed)));
        thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
        api
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether all requests get 401 from now on.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }
}

fn answer(mut stream: TcpStream, refuses: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = if refuses { ("401 Unauthorized", "") } else { ("200 OK", ANSWER) };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}
