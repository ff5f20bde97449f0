//! A real Prometheus, and a target that it scrapes. It can be killed and restarted with the same port and data.
//!
//! A test fails if Prometheus is not installed; `.ci/setup` installs it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::broker::free_ports;
use super::process::{Running, kill, start, wait_until_it_answers};
use super::{agent, answer};

/// The labels of a series.
pub(crate) type Labels = BTreeMap<String, String>;

/// The samples of each series: milliseconds, and values.
pub(crate) type AllSamples = BTreeMap<Labels, Vec<(i64, f64)>>;

/// A Prometheus that runs or is killed.
pub(crate) struct Prometheus {
    folder: TempDir,
    port: u16,
    program: PathBuf,
    flags: &'static [&'static str],
    running: Option<Running>,
}

impl Prometheus {
    /// Starts a server that scrapes `target` each second as the job `shop`, with `more` at the end of its configuration.
    pub(crate) fn start(target: SocketAddr, more: &str) -> Self {
        Self::start_with(target, more, &[])
    }

    /// As [`start`](Self::start), with flags.
    pub(crate) fn start_with(target: SocketAddr, more: &str, flags: &'static [&'static str]) -> Self {
        let [port] = free_ports();
        Self::at(port, &scraping(target, more), flags)
    }

    /// Starts a server that scrapes itself each second and takes remote write.
    pub(crate) fn of_itself(more: &str) -> Self {
        let [port] = free_ports();
        let itself = SocketAddr::from(([127, 0, 0, 1], port));
        Self::at(port, &scraping(itself, more), &["--web.enable-remote-write-receiver"])
    }

    /// Starts a server that takes remote write, with this configuration.
    pub(crate) fn receiver(config: &str) -> Self {
        let [port] = free_ports();
        Self::at(port, config, &["--web.enable-remote-write-receiver"])
    }

    /// Starts a server that takes OTLP, with this configuration. It is the one that `.ci/otlp-prometheus` builds.
    pub(crate) fn otlp_receiver(config: &str) -> Self {
        let [port] = free_ports();
        Self::of(Self::version_3(), port, config, &["--web.enable-otlp-receiver"])
    }

    /// As [`start`](Self::start), with that server, which can send remote write 2.
    pub(crate) fn start_3(target: SocketAddr, more: &str) -> Self {
        let [port] = free_ports();
        Self::of(Self::version_3(), port, &scraping(target, more), &[])
    }

    fn version_3() -> PathBuf {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/otlp-prometheus");
        let output = Command::new(script).output().expect(".ci/otlp-prometheus runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no Prometheus that takes OTLP: {}:\n{error}", output.status);
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
    }

    fn at(port: u16, config: &str, flags: &'static [&'static str]) -> Self {
        Self::of("prometheus".into(), port, config, flags)
    }

    fn of(program: PathBuf, port: u16, config: &str, flags: &'static [&'static str]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let mut prometheus = Self { folder, port, program, flags, running: None };
        prometheus.restart();
        prometheus
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The samples of the last two hours of each series that a selector has, by its labels.
    pub(crate) fn series(&self, selector: &str) -> AllSamples {
        series_of(&self.url("/api/v1/query"), selector)
    }

    /// What an instant query gives at a time in seconds: the values by the labels.
    pub(crate) fn values(&self, query: &str, at: f64) -> BTreeMap<Labels, f64> {
        values_of(&self.url("/api/v1/query"), query, at)
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(&self.program);
        command.arg(format!("--config.file={}", self.folder.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", self.folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        command.args(self.flags);
        self.running = Some(start(command, &self.folder));
        let ready = format!("http://127.0.0.1:{}/-/ready", self.port);
        wait_until_it_answers(&ready, self.running.as_mut().unwrap(), &self.folder);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            kill(running);
        }
    }

    /// The sum over all series of a metric that the server has of itself.
    pub(crate) fn own_metric(&self, name: &str) -> f64 {
        let (status, page) = answer(agent().get(self.url("/metrics")).call()).expect("Prometheus answers");
        assert_eq!(status, 200, "{page}");
        let is_of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values: Vec<f64> =
            page.lines().filter(is_of_name).map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert!(!values.is_empty(), "no {name} in {page}");
        values.iter().sum()
    }

    /// The stored samples of each series of a metric, by the value of a label: times in seconds, and values.
    pub(crate) fn samples(&self, metric: &str, label: &str) -> BTreeMap<String, Vec<(f64, f64)>> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let response = agent().get(url).query("query", format!("{metric}[1h]")).call();
        let (status, body) = answer(response).expect("Prometheus answers");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let series = answer["data"]["result"].as_array().unwrap();
        let point = |point: &Value| (point[0].as_f64().unwrap(), point[1].as_str().unwrap().parse().unwrap());
        let points = |series: &Value| series["values"].as_array().unwrap().iter().map(point).collect();
        series.iter().map(|series| (series["metric"][label].as_str().unwrap().to_owned(), points(series))).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A configuration that scrapes a target each second as the job `shop`.
fn scraping(target: SocketAddr, more: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}]\n{more}"
    )
}

/// The `result` of a query, at a time in seconds.
fn query_of(url: &str, query: &str, at: Option<f64>) -> Value {
    let mut request = agent().get(url).query("query", query);
    if let Some(at) = at {
        request = request.query("time", at.to_string());
    }
    let (status, body) = answer(request.call()).expect("the server answers");
    assert_eq!(status, 200, "{query}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["data"]["result"].clone()
}

/// The values by the labels that an instant query of any server with Prometheus' API gives at a time in seconds.
pub(crate) fn values_of(url: &str, query: &str, at: f64) -> BTreeMap<Labels, f64> {
    let result = query_of(url, query, Some(at));
    let value = |series: &Value| (labels(&series["metric"]), series["value"][1].as_str().unwrap().parse().unwrap());
    result.as_array().unwrap().iter().map(value).collect()
}

/// The samples of the last two hours, read from any server with Prometheus' API.
pub(crate) fn series_of(url: &str, selector: &str) -> AllSamples {
    let result = query_of(url, &format!("{selector}[2h]"), None);
    let point = |point: &Value| {
        let ms = (point[0].as_f64().unwrap() * 1e3).round() as i64;
        (ms, point[1].as_str().unwrap().parse().unwrap())
    };
    let points = |series: &Value| series["values"].as_array().unwrap().iter().map(point).collect();
    result.as_array().unwrap().iter().map(|series| (labels(&series["metric"]), points(series))).collect()
}

fn labels(metric: &Value) -> Labels {
    let label = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap().to_owned());
    metric.as_object().unwrap().iter().map(label).collect()
}

/// A server whose only page is a text. It ends with the process.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    page: Arc<Mutex<String>>,
}

impl Target {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Self { address: listener.local_addr().unwrap(), page: Arc::default() };
        let page = Arc::clone(&target.page);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut head = [0; 4096];
                // One read has the whole head of a scrape.
                let _ = stream.read(&mut head);
                let body = page.lock().unwrap().clone();
                let kind = "Content-Type: text/plain; version=0.0.4\r\nConnection: close";
                let _ = write!(stream, "HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        target
    }

    /// Sets what the next scrape gets.
    pub(crate) fn set(&self, page: String) {
        *self.page.lock().unwrap() = page;
    }
}
