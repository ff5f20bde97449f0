//! Requests with labelled series, and what becomes of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Daemon, results};

/// An answer with what tests look at.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Posts a body to a path of a daemon.
pub(crate) fn post(daemon: &Daemon, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut request = agent.post(daemon.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body).expect("the daemon answers");
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (content_type, retry_after) = (header("content-type").unwrap_or_default(), header("retry-after"));
    let status = response.status().as_u16();
    Reply { status, content_type, retry_after, body: response.body_mut().read_to_vec().unwrap() }
}

#[allow(clippy::disallowed_methods, reason = "samples have the time of the clock, as those of a sender")]
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// The start of a minute that ended a while ago, in milliseconds.
pub(crate) fn past_minute() -> i64 {
    (now_ms() / 60_000 - 10) * 60_000
}

/// The value of each object in each window, of all results of one stream in a data directory.
pub(crate) fn values(data: &Path, stream: &str) -> BTreeMap<(String, i64), f64> {
    let row = |line: &String| {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        let is_of_stream = result["uve"].as_str()?.ends_with(stream);
        let value = result["data"]["value"]["value"].as_f64().or_else(|| result["data"]["value"].as_f64())?;
        is_of_stream.then_some(((result["key"].as_str()?.to_owned(), result["start"].as_i64()? / 1000), value))
    };
    results(data).iter().filter_map(row).collect()
}

/// The points of a format with an outcome, as the metrics count them.
pub(crate) fn points(daemon: &Daemon, format: &str, outcome: &str) -> u64 {
    let name = format!("derived_statsd_series_points_total{{format=\"{format}\",outcome=\"{outcome}\"}} ");
    let metrics = daemon.get("/metrics").1;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

/// Runs a program in Python with the clients that `.ci/clients` installs.
pub(crate) fn python(program: &str, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/clients");
    let found = Command::new(script).output().expect(".ci/clients runs");
    assert!(found.status.success(), "no clients to test with: {}", String::from_utf8_lossy(&found.stderr));
    let interpreter = String::from_utf8(found.stdout).unwrap();
    let run = Command::new(interpreter.trim()).arg("-c").arg(program).args(arguments).output();
    run.expect("Python runs")
}

/// The block of a guide that begins with a line.
pub(crate) fn block(guide: &'static str, first_line: &str) -> &'static str {
    let blocks = guide.split("```").skip(1).step_by(2);
    let mut bodies = blocks.filter_map(|block| block.split_once('\n').map(|(_, body)| body));
    bodies.find(|body| body.starts_with(first_line)).unwrap_or_else(|| panic!("no block {first_line:?} in the guide"))
}

/// The command of a block of a guide that ends with the daemon in the foreground, with a data directory and settings for a
/// test as further arguments of its last line.
pub(crate) fn foreground(block: &str, folder: &Path, data: &Path, settings: &[&str]) -> Command {
    // The daemon takes the place of the shell, so that signals reach it.
    let script = block.trim_end().replace("derived-statsd run", "exec derived-statsd run") + " \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-ec", &script, "sh", "--set"]).arg(format!("log.data_dir={}", data.display())).current_dir(folder);
    for setting in ["http.listen=127.0.0.1:0"].iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command.env("PATH", path()).env("RUST_LOG", "info").env("NO_COLOR", "1");
    command
}

/// The search path with the tested program.
fn path() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_derived-statsd")).parent().unwrap();
    format!("{}:{}", program.display(), std::env::var("PATH").unwrap())
}

/// Runs a block of a guide as written in a shell, in a folder; only the address is that of the daemon.
pub(crate) fn run_block(block: &str, folder: &Path, address: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", &block.replace("127.0.0.1:8081", address)]).current_dir(folder).env("PATH", path());
    let output = command.output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{block}\n{out}{error}");
    out.into_owned()
}
