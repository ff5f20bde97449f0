//! A run over batches that must give the same results after any number of crashes of the daemon.
//!
//! An unacknowledged batch is sent again under the same idempotency key to the restarted daemon. An acknowledged batch
//! is never sent again, so a sample of it that the daemon loses is missing in the results.

use std::path::Path;
use std::thread;

use super::{Daemon, POLL, Random, command, is_applied, line};

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const WINDOWS: u64 = 8;
const BATCHES_PER_WINDOW: u64 = 3;

/// One stream with one partition: the whole results log has one order, so it is compared as a whole.
pub(crate) const ONE_PARTITION: [&str; 6] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=5s",
    "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySumAnomalyEWM01:AggProxySum",
    "log.partitions=1",
    "log.commit_interval=20ms",
    "workers.threads=1",
];

/// One stream with one partition, whose objects count the last value of each source.
pub(crate) const LAST_VALUES: [&str; 6] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=5s",
    "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySumLast",
    "log.partitions=1",
    "log.commit_interval=20ms",
    "workers.threads=1",
];

/// Two streams with four partitions: results of different partitions have no common order.
pub(crate) const MANY_PARTITIONS: [&str; 5] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=5s",
    "log.partitions=4",
    "log.commit_interval=20ms",
    "workers.threads=2",
];

/// A batch of lines with its idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub key: String,
    pub body: String,
}

/// The input of a run: a few networks, some of them silent at times, and samples out of order within the lateness.
pub(crate) fn batches(seed: u64) -> Vec<Batch> {
    batches_of(seed, WINDOWS)
}

/// The same over a number of windows.
pub(crate) fn batches_of(seed: u64, windows: u64) -> Vec<Batch> {
    let batch = |index: u64| {
        let mut random = Random(seed * 1000 + index);
        let mut body = String::new();
        for _ in 0..40 {
            let at = START + index * PERIOD / BATCHES_PER_WINDOW + random.below(PERIOD / 3);
            let network = random.below(12);
            if network < 3 && (index / BATCHES_PER_WINDOW) % 3 == 1 {
                continue;
            }
            let attribute = ["egress_flow_count", "ingress_flow_count"][random.below(2) as usize];
            body += &line(&format!("vn{network}"), attribute, at, random.below(100));
        }
        Batch { key: format!("batch-{index}"), body }
    };
    (0..windows * BATCHES_PER_WINDOW).map(batch).collect()
}

/// The same batches, whose samples are of three sources and of none.
pub(crate) fn from_sources(batches: Vec<Batch>) -> Vec<Batch> {
    let with_source = |(index, line): (usize, &str)| match index % 4 {
        0 => format!("{line}\n"),
        source => format!("{},\"source\":\"compute-{source}\"}}\n", line.trim_end_matches('}')),
    };
    let body = |batch: &Batch| batch.body.lines().enumerate().map(with_source).collect();
    batches.into_iter().map(|batch| Batch { body: body(&batch), ..batch }).collect()
}

/// Sends batches until the daemon is killed at the failpoint `point`, and returns the number of acknowledged batches.
pub(crate) fn run_until_killed(data: &Path, settings: &[&str], batches: &[Batch], point: &str) -> usize {
    let mut daemon = Daemon::doomed(command("run", data, settings), point);
    let answered = batches.iter().position(|batch| daemon.post(batch.body.as_bytes(), Some(&batch.key)).is_none());
    let answered = answered.unwrap_or_else(|| panic!("no kill at {point}, so the run proves nothing"));
    assert!(!daemon.wait().success(), "the daemon exited, but not at the failpoint {point}");
    answered
}

/// Sends all batches, restarts the daemon after each crash, and returns the number of crashes.
pub(crate) fn run(data: &Path, settings: &[&str], batches: &[Batch], kill_at: Option<&str>) -> u32 {
    let mut kill_at = kill_at;
    let mut deaths = 0;
    let mut start = || loop {
        let mut command = command("run", data, settings);
        let armed = kill_at.take();
        if let Some(point) = armed {
            command.env("DERIVED_STATSD_KILL_AT", point);
        }
        match Daemon::try_spawn(command) {
            Ok(daemon) => return daemon,
            Err(_) if armed.is_some() => deaths += 1,
            Err((status, messages)) => panic!("the daemon does not start, {status}:\n{messages}"),
        }
    };
    let mut daemon = start();
    let mut died = 0;
    for batch in batches {
        while daemon.post(batch.body.as_bytes(), Some(&batch.key)).is_none() {
            daemon.wait();
            died += 1;
            daemon = start();
        }
    }
    // The failpoint may kill a worker after the last response.
    while !has_applied(&mut daemon) {
        died += 1;
        daemon = start();
    }
    daemon.stop();
    deaths + died
}

/// Waits until everything is applied; `false` if the daemon dies before.
pub(crate) fn has_applied(daemon: &mut Daemon) -> bool {
    while daemon.is_running() {
        if applied(daemon) {
            return true;
        }
        thread::sleep(POLL);
    }
    false
}

fn applied(daemon: &Daemon) -> bool {
    let Ok(mut response) = ureq::get(daemon.url("/api/v1/partitions")).call() else {
        return false;
    };
    response.body_mut().read_to_string().is_ok_and(|body| is_applied(&body))
}

/// The results sorted by object, in order within an object, for a comparison without a common order of partitions.
pub(crate) fn by_object(mut lines: Vec<String>) -> Vec<String> {
    let object = |line: &String| line.split_once("\"start\"").map(|(head, _)| head.to_owned());
    // The name of other UVEs has the stream.
    let stream = |line: &String| {
        let of_alarms = line.contains("\"uve\":\"UVEAlarms\"").then(|| line.split_once("\"proxy\":\""));
        of_alarms.flatten().and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned)
    };
    lines.sort_by_key(|line| (object(line), stream(line)));
    lines
}

/// Fails unless the results are those of the undisturbed run, line by line.
pub(crate) fn assert_same(got: &[String], expected: &[String], case: &str) {
    let different = got.iter().zip(expected).find(|(got, expected)| got != expected);
    assert_eq!(different, None, "{case}");
    assert_eq!(got.len(), expected.len(), "{case}");
}

/// The number of seeds of a fault test: `DERIVED_STATSD_FAULT_SEEDS`, or else `otherwise`.
pub(crate) fn seeds(otherwise: u64) -> u64 {
    std::env::var("DERIVED_STATSD_FAULT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
