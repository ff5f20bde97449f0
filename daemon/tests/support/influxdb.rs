//! A real InfluxDB, and a VictoriaMetrics, which accepts writes of InfluxDB's version 2: servers on loopback with their
//! data in a temporary folder. They can be stopped and restarted with the same port and data.
//!
//! A test fails if its server is not installed; `.ci/setup` installs them.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::broker::free_ports;
use super::process::{Running, kill, start, stop, wait_until_it_answers};
use super::{agent, answer};

/// An InfluxDB 1 that runs or is stopped, killed on drop.
pub(crate) struct InfluxDb {
    folder: TempDir,
    port: u16,
    user: Option<(&'static str, &'static str)>,
    running: Option<Running>,
}

impl InfluxDb {
    /// Starts a server without databases and waits until it responds.
    pub(crate) fn start() -> Self {
        Self::start_with("", None)
    }

    /// Starts a server that accepts only this user, an administrator.
    pub(crate) fn start_closed(name: &'static str, password: &'static str) -> Self {
        let influxdb = Self::start_with("auth-enabled = true", Some((name, password)));
        influxdb.query("", &format!("CREATE USER {name} WITH PASSWORD '{password}' WITH ALL PRIVILEGES"));
        influxdb
    }

    fn start_with(http: &str, user: Option<(&'static str, &'static str)>) -> Self {
        let folder = TempDir::new().unwrap();
        let [port, backup] = free_ports();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{backup}\"\n\
             [meta]\ndir = {:?}\n[data]\ndir = {:?}\nwal-dir = {:?}\nquery-log-enabled = false\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n{http}\n",
            path("meta"),
            path("data"),
            path("wal"),
        );
        std::fs::write(folder.path().join("influxdb.conf"), config).unwrap();
        let mut influxdb = Self { folder, port, user, running: None };
        influxdb.restart();
        influxdb
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it with the same port and data and waits until it responds.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let mut command = Command::new("influxd");
        command.arg("run").arg("-config").arg(self.folder.path().join("influxdb.conf"));
        self.running = Some(start(command, &self.folder));
        wait_until_it_answers(&format!("{}/ping", self.url()), self.running.as_mut().unwrap(), &self.folder);
    }

    /// Stops in order, as an operator does.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            stop(running);
        }
    }

    /// Freezes it: connections stay open without a response.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends a [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The results of statements; times are in microseconds.
    pub(crate) fn query(&self, database: &str, statements: &str) -> Value {
        let mut request = agent().post(format!("{}/query", self.url()));
        if let Some((name, password)) = self.user {
            request = request.query("u", name).query("p", password);
        }
        let form = [("db", database), ("q", statements), ("epoch", "u")];
        let (status, body) = answer(request.send_form(form)).expect("InfluxDB answers");
        assert_eq!(status, 200, "{statements}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["results"].take()
    }

    /// The results of one statement on Telegraf's database, sent like the first query of Contiv's page: in the URL.
    pub(crate) fn ask_as_page_get(&self, statement: &str) -> Value {
        let request = agent().get(format!("{}/query", self.url())).query("db", "telegraf").query("q", statement);
        results(request.call())
    }

    /// The results of statements on Telegraf's database, sent like the other queries of the page: in a form.
    pub(crate) fn ask_as_page_post(&self, statements: &str) -> Value {
        let request = agent().post(format!("{}/query", self.url()));
        results(request.send_form([("db", "telegraf"), ("q", statements)]))
    }

    /// The values of the only row of a statement, without its time; `None` if there is no row yet.
    pub(crate) fn row(&self, statement: &str) -> Option<Vec<Value>> {
        let results = self.query("telegraf", statement);
        let row = results[0]["series"][0]["values"][0].as_array()?;
        Some(row[1..].to_vec())
    }

    /// Writes lines.
    pub(crate) fn write(&self, database: &str, lines: &str) {
        let request = agent().post(format!("{}/write", self.url())).query("db", database);
        let (status, body) = answer(request.send(lines)).expect("InfluxDB answers");
        assert_eq!(status, 204, "{body}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.as_ref().expect("it runs").server), signal).unwrap();
    }
}

fn results(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
    let (status, body) = answer(response).expect("InfluxDB answers");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["results"].take()
}

impl Drop for InfluxDb {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            kill(running);
        }
    }
}

/// A running VictoriaMetrics, killed on drop.
pub(crate) struct VictoriaMetrics {
    folder: TempDir,
    port: u16,
    running: Option<Running>,
}

impl VictoriaMetrics {
    /// Starts a server that keeps data of any time, and waits until it responds.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let [port] = free_ports();
        let mut command = Command::new("victoria-metrics");
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}")).arg("-retentionPeriod=100y");
        command.arg(format!("-storageDataPath={}", folder.path().join("data").display()));
        let mut running = start(command, &folder);
        wait_until_it_answers(&format!("http://127.0.0.1:{port}/health"), &mut running, &folder);
        Self { folder, port, running: Some(running) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All series of a name, with labels, values and times in milliseconds.
    pub(crate) fn export(&self, name: &str) -> Vec<Value> {
        // Written data is visible after a flush.
        let _ = answer(agent().get(format!("{}/internal/force_flush", self.url())).call());
        let request = agent().get(format!("{}/api/v1/export", self.url())).query("match[]", name);
        let (status, body) = answer(request.call()).expect("VictoriaMetrics answers");
        assert_eq!(status, 200, "{body}");
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for VictoriaMetrics {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            kill(running);
        }
        // The folder goes after the process that writes to it.
        let _ = self.folder.path();
    }
}
