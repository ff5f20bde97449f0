use std::io::Error;
use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// A request whose body does not come.
const HALF: &[u8] = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";

/// A request that is in flight until the test opens the gate.
const HELD: &[u8] = b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n";

/// A response that no buffer of the kernel holds.
const LARGE: usize = 64 << 20;

static GATE: Semaphore = Semaphore::const_new(0);

const LIMITS: Limits = Limits {
    connections: 8,
    per_client: 8,
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(75),
};

/// A server; its address, what stops it, and its end.
async fn start(limits: Limits) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    start_with(limits, Refusals::default()).await
}

async fn start_with(limits: Limits, refusals: Refusals) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let chunks = || std::iter::repeat_with(|| Ok::<_, Error>(vec![0; 4096]));
    let (stop, stopping) = watch::channel(false);
    let until_stop = stopping.clone();
    let read = move |body: Body| async move {
        let mut chunks = body.into_data_stream();
        tokio::select! {
            () = async { while tokio_stream::StreamExt::next(&mut chunks).await.is_some() {} } => "ok",
            () = end_of_reading(until_stop.clone()) => "stopping",
        }
    };
    let router = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/large", get(|| async { vec![0; LARGE] }))
        .route("/endless", get(move || async move { Body::from_stream(tokio_stream::iter(chunks())) }))
        .route("/held", get(|| async { GATE.acquire().await.map(|_| "ok").map_err(|_| "closed") }))
        .route("/body", post(|_: Bytes| async { "ok" }))
        .route("/read", post(read));
    let serving = tokio::spawn(serve(listener, None, router, limits, refusals, stopping));
    (address, stop, serving)
}

/// Sends a request and reads what fits one read.
async fn request(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 1024];
    // A connection that is closed gives no answer.
    let read = stream.read(&mut answer).await.unwrap_or_default();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// Waits until the server has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let end = timeout(Duration::from_secs(600), stream.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "the connection is open");
}

/// A connection from another address than those of [`connect`].
async fn connect_from(client: &str, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(client.parse().unwrap(), 0)).unwrap();
    socket.connect(address).await.unwrap()
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
    let refusals = Refusals::default();
    let (address, stop, serving) = start_with(LIMITS, refusals.clone()).await;
    let mut used = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut used).await.contains("200 OK"));
    let mut idle = connect(address, 100, b"").await;
    let mut honest = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut honest).await.contains("200 OK"));
    let mut open = 0;
    for stream in &mut idle {
        open += u32::from(timeout(Duration::from_millis(50), stream.read(&mut [0])).await.is_err());
    }
    assert!(open < 8, "{open} idle connections are open");
    assert!(refusals.count(Closed::ForAnother) > 0, "{:?}", counts(&refusals));
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
    stop.send_replace(true);
    let mut answered = 0;
    for stream in &mut silent {
        // The server has closed most of them.
        let is_sent = stream.write_all(b"123456789").await.is_ok();
        answered += u32::from(is_sent && answer(stream).await.contains("200 OK"));
    }
    assert!((1..8).contains(&answered), "{answered} bodies that came are answered");
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
            if timeout(Duration::from_millis(500), answer(&mut third)).await.is_ok_and(|answer| answer.contains("429"))
            {
                return;
            }
            held = connect(address, 2, HELD).await;
        }
    });
    refused.await.expect("a third connection is refused");
    // What no buffer of the kernel holds: the client sends it all before it reads the response.
    let mut sending = TcpStream::connect(address).await.unwrap();
    sending.write_all(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 16777216\r\n\r\n").await.unwrap();
    sending.write_all(&vec![b' '; 16 << 20]).await.expect("the whole request is read");
    let mut response = String::new();
    sending.read_to_string(&mut response).await.expect("the connection ends in order");
    assert!(response.starts_with("HTTP/1.1 429") && response.ends_with('}'), "{response}");
    let mut other = connect_from("127.0.0.2", address).await;
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

#[tokio::test]
async fn a_client_that_reads_no_response_has_no_more_connections_than_its_share() {
    let refusals = Refusals::default();
    let (address, stop, serving) = start_with(Limits { per_client: 2, ..LIMITS }, refusals.clone()).await;
    let mut unread = Vec::new();
    // The whole body of each response is made at once, and waits for the client.
    let refused = timeout(Duration::from_secs(20), async {
        loop {
            let mut next = connect(address, 1, b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.remove(0);
            if answer(&mut next).await.contains("429") {
                return;
            }
            unread.push(next);
            assert!(unread.len() <= 2, "{} responses of one client are under way", unread.len());
        }
    });
    refused.await.expect("a third connection is refused");
    assert_eq!(refusals.count(Closed::Refused), 1);
    drop(unread);
    stop.send_replace(true);
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_at_its_share_delays_no_other_and_its_last_connection_is_served() {
    let (address, stop, serving) = start(Limits { per_client: 2, ..LIMITS }).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.extend(connect(address, 1, b"").await);
        // The server sees each one.
        sleep(Duration::from_millis(1)).await;
    }
    let mut last = connect(address, 1, REQUEST).await.remove(0);
    let began = Instant::now();
    let mut other = connect_from("127.0.0.2", address).await;
    assert!(request(&mut other).await.contains("200 OK"));
    // The connections of the first client take 2.5 seconds: two at a time have 50 ms for their requests.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(answer(&mut last).await.contains("200 OK"), "the oldest of the queue are refused first");
    stop.send_replace(true);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_whole_head_is_closed_after_the_time_for_it() {
    let refusals = Refusals::default();
    let (address, _stop, _serving) = start_with(LIMITS, refusals.clone()).await;
    for begun in [&b""[..], b"GET / HTTP/1.1\r\nhos"] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        closed(&mut stream).await;
        let open = began.elapsed();
        assert!(open >= LIMITS.header_timeout && open < 2 * LIMITS.header_timeout, "{open:?}");
    }
    assert_eq!(counts(&refusals), [(Closed::HeaderTimeout, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_between_requests_but_not_for_ever() {
    let refusals = Refusals::default();
    let (address, _stop, _serving) = start_with(LIMITS, refusals.clone()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut stream).await.contains("200 OK"));
    sleep(LIMITS.idle_timeout - LIMITS.header_timeout).await;
    assert!(request(&mut stream).await.contains("200 OK"));
    let began = Instant::now();
    closed(&mut stream).await;
    let open = began.elapsed();
    assert!(open >= LIMITS.idle_timeout && open < 2 * LIMITS.idle_timeout, "{open:?}");
    assert_eq!(counts(&refusals), [(Closed::IdleTimeout, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_response_loses_the_connection() {
    let refusals = Refusals::default();
    let (address, stop, serving) = start_with(LIMITS, refusals.clone()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream).await.contains("200 OK"));
    let began = Instant::now();
    stop.send_replace(true);
    // The server ends with its last connection.
    serving.await.unwrap();
    assert!(began.elapsed() >= STALLED && began.elapsed() < 2 * STALLED, "{:?}", began.elapsed());
    assert_eq!(counts(&refusals), [(Closed::NotRead, 1)]);
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

#[tokio::test(start_paused = true)]
async fn a_stop_waits_less_than_two_seconds_for_a_body_that_does_not_come() {
    let (address, stop, serving) = start(LIMITS).await;
    let half = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1234";
    let mut silent = connect(address, 3, half).await;
    let mut used = TcpStream::connect(address).await.unwrap();
    assert!(request(&mut used).await.contains("200 OK"));
    let began = Instant::now();
    stop.send_replace(true);
    serving.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for stream in &mut silent {
        assert!(answer(stream).await.ends_with("stopping"));
    }
}

#[test]
fn a_client_of_ipv6_is_its_network_of_64_bits() {
    let client = |address: &str| Client::at(address.parse().unwrap()).0.to_string();
    for (address, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
    ] {
        assert_eq!(client(address), expected, "{address}");
    }
}

/// The reasons for which connections were closed.
fn counts(refusals: &Refusals) -> Vec<(Closed, u64)> {
    let counts = Closed::ALL.into_iter().map(|reason| (reason, refusals.count(reason)));
    counts.filter(|(_, count)| *count > 0).collect()
}
