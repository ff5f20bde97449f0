//! Questions to a Netmaster on loopback that does as it is told, good or bad.

use std::sync::Mutex as StdMutex;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use daemon_base::clock::{ManualClock, SystemClock};
use tokio::net::TcpListener;

use super::*;

/// What it does with a request.
#[derive(Clone)]
enum Reply {
    Body(String),
    Hang,
    Status(u16),
}

/// A Netmaster; its requests' paths, and how many were under way at once at most.
struct Fake {
    base: String,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    paths: StdMutex<Vec<String>>,
    under_way: StdMutex<(usize, usize)>,
}

type Play = dyn Fn(&str) -> Reply + Send + Sync;

impl Fake {
    async fn start(play: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Seen::default());
        let play: Arc<Play> = Arc::new(play);
        let router = Router::new().fallback(reply).with_state((Arc::clone(&seen), play));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { base, seen, _tasks: tasks }
    }

    fn paths(&self) -> Vec<String> {
        self.seen.paths.lock().unwrap().clone()
    }

    fn netmaster(&self, cache: Duration, clock: Arc<dyn Clock>) -> Arc<Netmaster> {
        let timeout = Duration::from_millis(500);
        let (base, tls) = (self.base.clone(), TlsConfig::default());
        let settings = NetmasterSettings { base, tls, timeout, max_body_bytes: 10_000, cache };
        Arc::new(Netmaster::new(&settings, clock))
    }
}

async fn reply(State((seen, play)): State<(Arc<Seen>, Arc<Play>)>, uri: Uri) -> Response {
    seen.paths.lock().unwrap().push(uri.path().to_owned());
    {
        let mut under_way = seen.under_way.lock().unwrap();
        under_way.0 += 1;
        under_way.1 = under_way.1.max(under_way.0);
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    seen.under_way.lock().unwrap().0 -= 1;
    match play(uri.path()) {
        Reply::Body(body) => body.into_response(),
        Reply::Hang => std::future::pending().await,
        Reply::Status(status) => (StatusCode::from_u16(status).unwrap(), "said so\n").into_response(),
    }
}

const LIST: &str = "/api/v1/serviceLBs/";

fn list(names: &[&str]) -> Reply {
    let entry = |name: &&str| serde_json::json!({ "tenantName": "default", "serviceName": name });
    Reply::Body(names.iter().map(entry).collect::<serde_json::Value>().to_string())
}

/// The inspection of a service with one provider and its own name as a selector.
fn inspected(path: &str) -> Reply {
    let name = path.trim_end_matches('/').rsplit(':').next().unwrap();
    Reply::Body(format!(
        r#"{{"Config":{{"selectors":["name={name}"]}},"Oper":{{"providers":[{{"ipAddress":["ip-{name}"]}}]}}}}"#
    ))
}

/// The services in an answer, in its order.
fn services(answer: &Result<Bytes, Arc<str>>) -> Vec<String> {
    let answer: serde_json::Value = serde_json::from_slice(answer.as_ref().unwrap()).unwrap();
    serde_json::from_value(answer["children_struct"]["topLevel"].clone()).unwrap()
}

fn manual() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_and_each_inspection_make_the_structure_in_list_order() {
    let fake = Fake::start(|path| if path == LIST { list(&["z", "a/b ?", "m"]) } else { inspected(path) }).await;
    let answer = fake.netmaster(Duration::ZERO, manual()).services().await;
    assert_eq!(services(&answer), ["default:z", "default:a/b ?", "default:m"]);
    let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    assert_eq!(answer["serviceSelectors"]["default:m"], serde_json::json!({ "name": "m" }));
    assert_eq!(answer["ancestors_struct"]["ip-z"], serde_json::json!(["default:z"]));
    let mut paths = fake.paths();
    assert_eq!(paths.remove(0), LIST);
    paths.sort();
    let inspect = |name: &str| format!("/api/v1/inspect/serviceLBs/default:{name}/");
    assert_eq!(paths, [inspect("a%2Fb%20%3F"), inspect("m"), inspect("z")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_used_again_until_its_time_is_over() {
    let (fake, clock) = (Fake::start(|_| list(&[])).await, manual());
    let netmaster = fake.netmaster(Duration::from_secs(2), clock.clone());
    for (seconds, asked) in [(0, 1), (1, 1), (1, 2), (1, 2), (1, 3)] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(services(&netmaster.services().await), [""; 0]);
        assert_eq!(fake.paths().len(), asked, "at {:?}", clock.monotonic());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_at_once_share_one_question_even_uncached() {
    for good in [true, false] {
        let fake = Fake::start(move |_| if good { list(&[]) } else { Reply::Status(500) }).await;
        let netmaster = fake.netmaster(Duration::ZERO, Arc::new(SystemClock::new()));
        let mut asking = JoinSet::new();
        for _ in 0..20 {
            let netmaster = Arc::clone(&netmaster);
            asking.spawn(async move { netmaster.services().await });
        }
        let answers = asking.join_all().await;
        assert!(answers.iter().all(|answer| answer.is_ok() == good));
        assert_eq!(fake.paths().len(), 1);
        // The next one after that asks anew.
        let _ = netmaster.services().await;
        assert_eq!(fake.paths().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_end_the_question() {
    let fake = Fake::start(|_| list(&["a"])).await;
    let netmaster = fake.netmaster(Duration::from_secs(60), manual());
    let gone = tokio::time::timeout(Duration::from_millis(5), netmaster.services()).await;
    assert!(gone.is_err(), "it was to be cut off");
    let _ = netmaster.services().await;
    assert_eq!(fake.paths().iter().filter(|path| *path == LIST).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn inspections_go_side_by_side_but_not_all_at_once() {
    let names: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let (all, expected) = (names.clone(), names.iter().map(|name| format!("default:{name}")).collect::<Vec<_>>());
    let fake = Fake::start(move |path| {
        if path == LIST { list(&all.iter().map(|name| &**name).collect::<Vec<_>>()) } else { inspected(path) }
    })
    .await;
    let answer = fake.netmaster(Duration::ZERO, manual()).services().await;
    assert_eq!(services(&answer), expected);
    let most = fake.seen.under_way.lock().unwrap().1;
    assert!((2..=8).contains(&most), "{most} at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_refused_is_left_out_but_not_when_all_are() {
    let fake = Fake::start(|path| match path {
        LIST => list(&["gone", "here"]),
        path if path.contains("gone") => Reply::Status(500),
        path => inspected(path),
    })
    .await;
    assert_eq!(services(&fake.netmaster(Duration::ZERO, manual()).services().await), ["default:here"]);

    let fake = Fake::start(|path| if path == LIST { list(&["gone"]) } else { Reply::Status(404) }).await;
    let reason = fake.netmaster(Duration::ZERO, manual()).services().await.unwrap_err();
    let expected = format!(
        "no good answer from {}/api/v1/inspect/serviceLBs/default:gone/; check contiv.netmaster and that Netmaster runs: \
         the status is 404: said so",
        fake.base
    );
    assert_eq!(*reason, *expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_failure_fails_the_whole_and_is_named() {
    let inspections: [(&str, Reply, &str); 4] = [
        ("hangs", Reply::Hang, "no whole answer came in time"),
        ("garbage", Reply::Body("<html>".to_owned()), "the body is not JSON"),
        (
            "another kind",
            Reply::Body("[]".to_owned()),
            "the body is a list, expected an object, the inspection of a service",
        ),
        ("too large", Reply::Body(" ".repeat(10_001)), "the answer is larger than contiv.max_body_bytes"),
    ];
    for (name, reply, expected) in inspections {
        let bad = reply.clone();
        let fake = Fake::start(move |path| match path {
            LIST => list(&["good", "bad"]),
            path if path.contains("bad") => bad.clone(),
            path => inspected(path),
        })
        .await;
        let reason = fake.netmaster(Duration::ZERO, manual()).services().await.unwrap_err();
        assert!(
            reason.contains(expected) && reason.contains("default:bad/; check contiv.netmaster"),
            "{name}: {reason}"
        );
    }
    let fake = Fake::start(|_| Reply::Body("{}".to_owned())).await;
    let reason = fake.netmaster(Duration::ZERO, manual()).services().await.unwrap_err();
    assert!(reason.contains("/serviceLBs/; check") && reason.contains("expected a list"), "{reason}");
}
