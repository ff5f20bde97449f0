//! A real OpenTelemetry Collector and a real Telegraf write here by the guides' configuration while the daemon is killed
//! and answers are lost, and everything counts once.
//!
//! Building the two takes minutes of CPU, so `make test` leaves them out and `make test-full` runs them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "agents send the time of the clock")]

mod support;

use std::io::{Read as _, Write as _, copy};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use support::broker::free_ports;
use support::process::{Running, start, stop};
use support::series::{block, now_ms, points, post, python, values};
use support::{Daemon, wait_until};
use tempfile::TempDir;

const OPENTELEMETRY: &str = include_str!("../../docs/src/guide/from-opentelemetry.md");
const TELEGRAF: &str = include_str!("../../docs/src/guide/from-telegraf.md");

const STREAMS: &str = r#"streams=[
    {name = "requests", metric = "requests_total", object = ["job"], kind = "counter",
     aggregations = ["Sum = 1-raw:DSSum"]},
    {name = "errors", metric = "errors_total", object = ["job"], kind = "delta", aggregations = ["Sum = 1-raw:DSSum"]},
    {name = "cpu", metric = "cpu.usage", object = ["host"], aggregations = ["Sum = 1-raw:DSSum"]},
]"#;

/// A program that a script of `.ci` builds.
fn program(script: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci").join(script);
    let output = Command::new(path).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nothing to test with: .ci/{script} ended with {}:\n{error}", output.status);
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// Starts a daemon on a port; windows take what comes up to two minutes late.
fn start_daemon(data: &TempDir, port: u16, more: &[&str]) -> Daemon {
    let listen = format!("http.listen=127.0.0.1:{port}");
    let own = ["log.partitions=1", "aggregation.uve_proxy_list=", "aggregation.allowed_lateness=2m", STREAMS, &listen];
    Daemon::start(data.path(), &[&own[..], more].concat())
}

/// Closes the windows of all streams by samples of a later time, and returns the sum of all windows of each stream.
fn totals<const N: usize>(daemon: Daemon, data: &TempDir, port: u16, streams: [&str; N]) -> [f64; N] {
    daemon.stop();
    let daemon = start_daemon(data, port, &["aggregation.allowed_skew=1h"]);
    let later = now_ms() + 600_000;
    let sum = |name: &str, temporality: u8| {
        let point = format!(r#"{{"asInt":"0","timeUnixNano":"{later}000000"}}"#);
        let kind = format!(r#""aggregationTemporality":{temporality},"isMonotonic":true"#);
        format!(r#"{{"name":"{name}","sum":{{{kind},"dataPoints":[{point}]}}}}"#)
    };
    let metrics = format!("{},{}", sum("requests", 2), sum("errors", 1));
    let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    let body =
        format!(r#"{{"resourceMetrics":[{{"resource":{resource},"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#);
    let json = [("content-type", "application/json")];
    assert_eq!(post(&daemon, "/v1/metrics", &json, body.as_bytes()).text(), "{}");
    let line = format!("cpu,host=a usage=0 {later}");
    assert_eq!(post(&daemon, "/write?precision=ms", &[], line.as_bytes()).status, 204);
    daemon.wait_until_applied();
    daemon.stop();
    streams.map(|stream| values(data.path(), stream).values().sum())
}

/// Adds to a cumulative counter and one of deltas ten times, with an export each time.
const SDK: &str = r#"
import sys
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

for name, temporality in [("requests", AggregationTemporality.CUMULATIVE), ("errors", AggregationTemporality.DELTA)]:
    exporter = OTLPMetricExporter(endpoint=sys.argv[1], preferred_temporality={Counter: temporality})
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider(resource=Resource.create({"service.name": "shop"}), metric_readers=[reader])
    counter = provider.get_meter("cart").create_counter(name)
    for step in range(10):
        counter.add(3)
        assert provider.force_flush()
    # The last reading is exported once more, as the end, and a delta of nothing may be.
    provider.shutdown()
"#;

/// Starts a collector by the exporter and the pipeline of the guide.
fn start_collector(folder: &TempDir, port: u16, daemon: u16) -> Running {
    let exporters = block(OPENTELEMETRY, "exporters:").replace("127.0.0.1:8081", &format!("127.0.0.1:{daemon}"));
    let exporters = exporters.replace("service:\n", "service:\n  telemetry: {metrics: {level: none}}\n");
    let receivers = format!("receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n");
    let config = folder.path().join("collector.yaml");
    std::fs::write(&config, receivers + &exporters).unwrap();
    let mut command = Command::new(program("otel-collector"));
    command.arg("--config").arg(config);
    let running = start(command, folder);
    wait_until("the collector listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
    running
}

#[test]
#[ignore = "builds a collector of Go modules; make test-full runs it"]
fn a_collector_exports_everything_once_over_kills_of_the_daemon() {
    let (data, folder, [port, own]) = (TempDir::new().unwrap(), TempDir::new().unwrap(), free_ports());
    let mut daemon = start_daemon(&data, own, &[]);
    let collector = start_collector(&folder, port, own);
    let endpoint = format!("http://127.0.0.1:{port}/v1/metrics");
    // The metric shows with the first point.
    let name = "derived_statsd_series_points_total{format=\"otlp\",outcome=\"stored\"} ";
    let stored = |daemon: &Daemon| {
        let metrics = daemon.get("/metrics").1;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    for _ in 0..2 {
        // It takes what the SDK exports also while the daemon is down.
        daemon.signal("KILL");
        daemon.wait();
        let output = python(SDK, &[&endpoint]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        daemon = start_daemon(&data, own, &[]);
        wait_until("the collector has exported everything", || (stored(&daemon) >= 20).then_some(()));
    }
    stop(collector);
    assert_eq!(points(&daemon, "otlp", "rejected"), 0);
    let totals = totals(daemon, &data, own, ["requests-requests_total", "errors-errors_total"]);
    assert_eq!(totals, [60.0, 60.0]);
}

/// Passes connections on to a daemon, and keeps the answers of every second one to itself.
struct LossyProxy {
    port: u16,
    lost: Arc<AtomicU64>,
    is_lossy: Arc<AtomicBool>,
}

impl LossyProxy {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (lost, is_lossy) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
        let (counter, lossy) = (Arc::clone(&lost), Arc::clone(&is_lossy));
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let is_lost = number % 2 == 0 && lossy.load(Ordering::Relaxed);
                let counter = Arc::clone(&counter);
                thread::spawn(move || pass(&client.unwrap(), to, is_lost.then_some(&*counter)));
            }
        });
        Self { port, lost, is_lossy }
    }
}

/// Passes one request on; `lost` counts the answer that is kept.
fn pass(client: &TcpStream, to: u16, lost: Option<&AtomicU64>) -> Option<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).ok();
    let Some(server) = server else { return client.shutdown(Shutdown::Both).ok() };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(&mut &*client, &mut &server);
            let _ = server.shutdown(Shutdown::Write);
        });
        // The answer is one small piece. The connection ends with it, so that the next request has the next one.
        let mut answer = [0; 65_536];
        let length = (&server).read(&mut answer).unwrap_or(0);
        match lost {
            Some(lost) if length > 0 => drop(lost.fetch_add(1, Ordering::Relaxed)),
            _ => drop((&*client).write_all(&answer[..length])),
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
    Some(())
}

/// Starts a Telegraf that reads a point each second, keeps it in a file and writes it by an output of the guide.
fn start_telegraf(folder: &TempDir, output: &str, port: u16) -> Running {
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("point"), "cpu,host=a usage=1i\n").unwrap();
    let output = block(TELEGRAF, output).replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let (point, sent) = (path("point"), path("sent"));
    let agent = "[agent]\ninterval = \"200ms\"\nflush_interval = \"700ms\"\nomit_hostname = true\n";
    let files = format!(
        "[[inputs.file]]\nfiles = ['{point}']\ndata_format = \"influx\"\n[[outputs.file]]\nfiles = ['{sent}']\n{output}"
    );
    std::fs::write(path("telegraf.conf"), agent.to_owned() + &files).unwrap();
    let mut command = Command::new(program("telegraf"));
    command.args(["--config", &path("telegraf.conf")]);
    start(command, folder)
}

#[test]
#[ignore = "builds a Telegraf of Go modules; make test-full runs it"]
fn what_telegraf_writes_counts_once_over_lost_answers_and_kills_of_the_daemon() {
    for output in ["[[outputs.influxdb]]", "[[outputs.influxdb_v2]]"] {
        let (data, folder, [own]) = (TempDir::new().unwrap(), TempDir::new().unwrap(), free_ports());
        let (mut daemon, proxy) = (start_daemon(&data, own, &[]), LossyProxy::start(own));
        let telegraf = start_telegraf(&folder, output, proxy.port);
        for _ in 0..3 {
            let before = proxy.lost.load(Ordering::Relaxed);
            wait_until("answers are lost", || (proxy.lost.load(Ordering::Relaxed) > before + 1).then_some(()));
            daemon.signal("KILL");
            daemon.wait();
            daemon = start_daemon(&data, own, &[]);
        }
        proxy.is_lossy.store(false, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(2));
        stop(telegraf);
        let sent = std::fs::read_to_string(folder.path().join("sent")).unwrap().lines().count();
        assert!(sent > 10, "{sent}");
        assert_eq!(totals(daemon, &data, own, ["cpu-cpu_usage"]), [sent as f64], "{output}");
    }
}
