use std::io::Error;
use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// A request whose body does not come.
const HALF: &[u8] = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";

/// A request that is in flight until the test opens the gate.
const HELD: &[u8] = b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n";

static GATE: Semaphore = Semaphore::const_new(0);

const LIMITS: Limits = Limits {
    connections: 8,
    per_client: 8,
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(75),
};

/// A server; its address, what stops it, and its end.
async fn start(limits: Limits) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let chunks = || std::iter::repeat_with(|| Ok::<_, Error>(vec![0; 4096]));
    let router = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/endless", get(move || async move { Body::from_stream(tokio_stream::iter(chunks())) }))
        .route("/held", get(|| async { GATE.acquire().await.map(|_| "ok").map_err(|_| "closed") }))
        .route("/body", post(|_: Bytes| async { "ok" }));
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(serve(listener, router, limits, stopping));
    (address, stop, serving)
}

/// Sends a request and reads what fits one read.
async fn request(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// Waits until the server has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let read = timeout(Duration::from_secs(600), stream.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
}

/// Connections that have sent this.
async fn connect(address: SocketAddr, number: usize, sends: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..number {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sends).await.unwrap();
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn idle_connections_make_room_for_requests_first_those_without_any() {
    let (address, stop, serving) = start(LIMITS).await;
    let mut used = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut used).await.contains("200 OK"));
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let mut honest = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut honest).await.contains("200 OK"));
    for stream in &mut idle[..90] {
        closed(stream).await;
    }
    assert!(request(&mut used).await.contains("200 OK"), "a connection with requests is closed last");
    stop.send_replace(true);
    serving.await.unwrap();
}

#[tokio::test]
async fn bodies_that_do_not_come_make_room_for_requests_but_a_stop_leaves_them_their_time() {
    let (address, stop, serving) = start(LIMITS).await;
    let mut silent = connect(address, 100, HALF).await;
    let mut honest = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut honest).await.contains("200 OK"));
    for stream in &mut silent[..90] {
        closed(stream).await;
    }
    stop.send_replace(true);
    let last = &mut silent[99];
    last.write_all(b"123456789").await.unwrap();
    assert!(answer(last).await.contains("200 OK"));
    drop(silent);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_client_with_its_share_of_requests_in_flight_gets_429_and_the_others_are_served() {
    let (address, stop, serving) = start(Limits { per_client: 2, ..LIMITS }).await;
    let mut held = connect(address, 2, HELD).await;
    // The server has read the heads once it refuses: until then the connections wait, and are closed for the next one.
    let refused = timeout(Duration::from_secs(10), async {
        loop {
            let mut third = TcpStream::connect(address).await.unwrap();
            if timeout(Duration::from_millis(50), answer(&mut third)).await.is_ok_and(|answer| answer.contains("429")) {
                return;
            }
            held = connect(address, 2, HELD).await;
        }
    });
    refused.await.expect("a third connection is refused");
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    assert!(request(&mut other).await.contains("200 OK"), "another client has a share of its own");
    GATE.add_permits(1);
    for stream in &mut held {
        assert!(answer(stream).await.contains("200 OK"));
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut third).await.contains("200 OK"), "a connection of the client between requests makes room");
    stop.send_replace(true);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_whole_head_is_closed_after_the_time_for_it() {
    let (address, _stop, _serving) = start(LIMITS).await;
    for begun in [&b""[..], b"GET / HTTP/1.1\r\nhos"] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        closed(&mut stream).await;
        let open = began.elapsed();
        assert!(open >= LIMITS.header_timeout && open < 2 * LIMITS.header_timeout, "{open:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_between_requests_but_not_for_ever() {
    let (address, _stop, _serving) = start(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut stream).await.contains("200 OK"));
    sleep(LIMITS.idle_timeout - LIMITS.header_timeout).await;
    assert!(request(&mut stream).await.contains("200 OK"));
    let began = Instant::now();
    closed(&mut stream).await;
    let open = began.elapsed();
    assert!(open >= LIMITS.idle_timeout && open < 2 * LIMITS.idle_timeout, "{open:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_response_loses_the_connection() {
    let (address, stop, serving) = start(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.contains("200 OK"));
    let began = Instant::now();
    stop.send_replace(true);
    // The server ends with its last connection.
    serving.await.unwrap();
    assert!(began.elapsed() >= STALLED && began.elapsed() < 2 * STALLED, "{:?}", began.elapsed());
    drop(stream);
}

#[tokio::test]
async fn a_stop_closes_connections_without_a_request_and_finishes_those_with_one() {
    let (address, stop, serving) = start(LIMITS).await;
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
    let mut body = connect(address, 1, HALF).await.remove(0);
    let mut used = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut used).await.contains("200 OK"));
    stop.send_replace(true);
    closed(&mut half).await;
    closed(&mut used).await;
    body.write_all(b"123456789").await.unwrap();
    let answer = answer(&mut body).await;
    assert!(answer.contains("200 OK") && answer.contains("connection: close"), "{answer}");
    serving.await.unwrap();
}
