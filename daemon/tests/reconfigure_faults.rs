//! Kills between which the configuration changes: what stays configured has the results of an undisturbed run.
//!
//! Each run starts the daemon several times, in a data directory of its own. A start ends with a SIGKILL at a failpoint
//! or at any instant, or with an orderly stop, and the next one has another configuration: other proxy types of the
//! same stream in another order, a second stream, a file of results, other intervals of commits and other numbers of
//! workers. One type stays configured throughout, and its results must be those of an undisturbed run, byte for byte. A
//! type that comes back starts anew: the windows that had begun are partial, and those after them are as in the
//! undisturbed run.
//!
//! Every message has the seed; `DERIVED_STATSD_FAULT_SEEDS` sets the number of seeds (6 by default).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::campaign::{Batch, assert_same, batches_of, by_object, has_applied, run, seeds};
use support::{Daemon, Random, command, results};
use tempfile::TempDir;

/// `Sum` has the windows of `Score`, `Zeros` the same windows with another rule for silence, `Mean` windows of its own,
/// `Slow` longer ones.
const SCHEMA: &str = r#"
struct Score {
    1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional derived_stats_results.AnomalyResult value (stats="1.DSSum-raw:DSAnomaly:EWM:0.5")
} (period="10", timeout="1")
struct Sum {
    1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional u64 value (stats="1-raw:DSSum")
} (period="10", timeout="1")
struct Zeros {
    1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional derived_stats_results.AnomalyResult value (stats="1.DSSum-raw:DSAnomaly:EWM:0.25")
} (period="10", timeout="2", silence="zero")
struct Mean {
    1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional u64 value (stats="1-raw:DSAvg")
} (period="10", timeout="1")
struct Slow {
    1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional u64 value (stats="1-raw:DSSum")
} (period="20", timeout="2")
"#;

const TYPES: [&str; 5] = ["Score", "Sum", "Zeros", "Mean", "Slow"];

/// The types whose results depend on the samples of their window alone.
const SUMS: [&str; 3] = ["Sum", "Mean", "Slow"];

const FIRST: &str = "UveVirtualNetworkAgent-egress_flow_count";
const SECOND: &str = "UveVirtualNetworkAgent-ingress_flow_count";

/// The proxy types of the second stream.
const OF_SECOND: [&str; 2] = ["Score", "Sum"];

const WINDOWS: u64 = 12;
const LATENESS: u64 = 5_000_000;

const POINTS: [&str; 7] =
    ["append.before", "append.mid", "append.after", "commit.before", "commit.mid", "commit.after", "restore.mid"];

/// The settings that are the same in all runs: the schema, the rules of time, and the number of partitions.
fn common(folder: &Path, partitions: u16) -> Vec<String> {
    let schema = folder.join("types.sandesh");
    std::fs::write(&schema, SCHEMA).unwrap();
    let schema = format!("aggregation.schema_files={}", schema.display());
    vec![schema, "aggregation.allowed_lateness=5s".to_owned(), format!("log.partitions={partitions}")]
}

/// The list of streams: `types` of the first one, and the second one with its types.
fn list(types: &[&str], has_second: bool) -> String {
    let second = if has_second { format!(" {SECOND}:{}", OF_SECOND.join(":")) } else { String::new() };
    format!("aggregation.uve_proxy_list={FIRST}:{}{second}", types.join(":"))
}

/// The batches with the lines of one stream only, each with a key of its own.
fn of_stream(batches: &[Batch], stream: &str) -> Vec<Batch> {
    let attribute = stream.split_once('-').unwrap().1;
    let is_of = |line: &&str| line.contains(attribute);
    let lines = |batch: &Batch| batch.body.lines().filter(is_of).map(|line| format!("{line}\n")).collect();
    batches.iter().map(|batch| Batch { key: format!("{attribute}-{}", batch.key), body: lines(batch) }).collect()
}

/// The newest timestamp of some batches, of one object or of all; 0 of none.
fn newest(batches: &[Batch], object: Option<&str>) -> u64 {
    let lines = batches.iter().flat_map(|batch| batch.body.lines());
    let samples = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_object = samples.filter(|sample| object.is_none_or(|object| sample["key"] == object));
    of_object.map(|sample| sample["ts"].as_u64().unwrap()).max().unwrap_or(0)
}

/// The time between a start of the daemon and its end.
struct DaemonRun {
    types: Vec<&'static str>,
    /// The batches of the first stream that were acknowledged before it and at its end.
    acknowledged: [usize; 2],
    /// Stopped in order, so that everything is committed.
    is_complete: bool,
}

/// A run over the batches of both streams.
struct Campaign {
    folder: TempDir,
    random: Random,
    common: Vec<String>,
    kept: &'static str,
    first: Vec<Batch>,
    second: Vec<Batch>,
    runs: Vec<DaemonRun>,
    acknowledged: usize,
    /// The batches of the second stream that were acknowledged.
    of_second: Vec<Batch>,
    /// The batch of the second stream that was sent without a response.
    unanswered: Option<Batch>,
    /// The file of results, if the last start had one.
    file: Option<PathBuf>,
    /// The files since the log may have forgotten the sink: a file continues the one before it.
    files: Vec<PathBuf>,
    kills: usize,
}

impl Campaign {
    fn new(seed: u64, kept: &'static str, partitions: u16, input: &[Batch]) -> Self {
        let folder = TempDir::new().unwrap();
        Self {
            common: common(folder.path(), partitions),
            folder,
            random: Random(seed),
            kept,
            first: of_stream(input, FIRST),
            second: of_stream(input, SECOND),
            runs: Vec::new(),
            acknowledged: 0,
            of_second: Vec::new(),
            unanswered: None,
            file: None,
            files: Vec::new(),
            kills: 0,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The type that stays and some of the others, in any order.
    fn choose_types(&mut self) -> Vec<&'static str> {
        let mut types = vec![self.kept];
        for other in TYPES.into_iter().filter(|other| *other != self.kept) {
            if self.random.below(2) == 0 {
                types.insert(self.random.below(types.len() as u64 + 1) as usize, other);
            }
        }
        types
    }

    /// Switches the file of results on or off, replaces it, or leaves it.
    fn choose_file(&mut self) -> Option<String> {
        let next = self.folder.path().join(format!("results-{}.jsonl", self.runs.len()));
        match self.random.below(4) {
            0 => self.file = None,
            1 => {
                self.file = Some(next.clone());
                self.files.push(next);
            }
            _ => {}
        }
        self.file.as_ref().map(|path| format!("sinks.file.path={}", path.display()))
    }

    /// The settings of the next start.
    fn choose_settings(&mut self, types: &[&str], has_second: bool) -> Vec<String> {
        let interval = ["1ms", "20ms", "1s"][self.random.below(3) as usize];
        let file = self.choose_file();
        let own = [
            list(types, has_second),
            format!("log.commit_interval={interval}"),
            format!("workers.threads={}", 1 + self.random.below(2)),
        ];
        self.common.iter().cloned().chain(own).chain(file).collect()
    }

    /// The failpoint of the next start. The first one must kill: otherwise the run may prove nothing.
    fn choose_kill(&mut self) -> Option<String> {
        let points = if self.runs.is_empty() { &POINTS[..3] } else { &POINTS };
        let point = points[self.random.below(points.len() as u64) as usize];
        let hit = if point == "restore.mid" { 1 } else { 1 + self.random.below(4) };
        (self.runs.is_empty() || self.random.below(3) > 0).then(|| format!("{point}:{hit}"))
    }

    /// Runs the daemon until it is killed, or has taken some batches and is stopped: a few of them, or `all`.
    fn live(&mut self, all: bool) {
        let types = self.choose_types();
        let has_second = all || self.random.below(2) == 0;
        let settings = self.choose_settings(&types, has_second);
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let kill = self.choose_kill().filter(|_| !all);
        let command = command("run", &self.data(), &settings);
        let mut daemon = match &kill {
            Some(point) => Daemon::doomed(command, point),
            None => Daemon::try_spawn(command).unwrap_or_else(|(status, said)| panic!("{status}:\n{said}")),
        };
        let before = self.acknowledged;
        let batches = if all { self.first.len() } else { 4 + self.random.below(5) as usize };
        let until = self.first.len().min(before + batches);
        let is_alive = self.send(&daemon, until, has_second);
        let is_complete = is_alive && self.end(&mut daemon, all);
        if !is_complete {
            daemon.wait();
            self.kills += 1;
        }
        println!(
            "  {types:?}, second stream: {has_second}, {:?}, killed at {kill:?}: {}",
            &settings[self.common.len() + 1..],
            if is_complete { "stopped" } else { "killed" }
        );
        self.runs.push(DaemonRun { types, acknowledged: [before, self.acknowledged], is_complete });
    }

    /// Sends batches up to `until`; whether the daemon still runs.
    fn send(&mut self, daemon: &Daemon, until: usize, has_second: bool) -> bool {
        let post = |batch: &Batch| {
            let (status, answer) = daemon.post(batch.body.as_bytes(), Some(&batch.key))?;
            assert_eq!(status, 200, "{answer}");
            Some(())
        };
        let mut of_second = has_second.then(|| self.unanswered.take()).flatten();
        loop {
            if let Some(batch) = of_second.take() {
                if post(&batch).is_none() {
                    self.unanswered = Some(batch);
                    return false;
                }
                self.of_second.push(batch);
            }
            if self.acknowledged == until {
                return true;
            }
            if post(&self.first[self.acknowledged]).is_none() {
                return false;
            }
            of_second = has_second.then(|| self.second[self.acknowledged].clone());
            self.acknowledged += 1;
        }
    }

    /// Stops a daemon that runs once everything is applied, or, unless `all`, kills it at once; whether it committed
    /// everything.
    fn end(&mut self, daemon: &mut Daemon, all: bool) -> bool {
        let in_order = all || self.random.below(2) == 0;
        if in_order && !has_applied(daemon) {
            return false;
        }
        daemon.signal(if in_order { "TERM" } else { "KILL" });
        daemon.wait().success()
    }

    /// Whether each result is once in the files: in the last one, or in those that it continues. Without a file in the
    /// last start there is nothing to check.
    fn has_whole_files(&self, results: &[String]) -> bool {
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let texts: Vec<_> = self.files.iter().map(read).collect();
        let is_whole = |first: usize| texts[first..].concat().lines().eq(results.iter().map(String::as_str));
        self.file.is_none() || (0..texts.len()).any(is_whole)
    }

    /// Sends all batches, with a change of the configuration at each start.
    fn run(&mut self) {
        while self.acknowledged < self.first.len() {
            self.live(false);
        }
        self.live(true);
        assert!(self.runs.last().is_some_and(|run| run.is_complete), "the last daemon did not stop in order");
    }
}

/// The lines of one proxy type on a stream.
fn of_type(results: &[String], proxy: &str, stream: &str) -> Vec<String> {
    let uve = format!("\"uve\":\"{proxy}-{stream}\"");
    results.iter().filter(|line| line.contains(&uve)).cloned().collect()
}

/// The lines by object and begin of their window; each occurs once.
fn by_window(lines: Vec<String>, case: &str) -> BTreeMap<(String, u64), Value> {
    let mut windows = BTreeMap::new();
    for line in lines {
        let result: Value = serde_json::from_str(&line).unwrap();
        let window = (result["key"].as_str().unwrap().to_owned(), result["start"].as_u64().unwrap());
        let earlier = windows.insert(window, result);
        assert_eq!(earlier, None, "{case}: the window was closed twice, again as {line}");
    }
    windows
}

fn is_partial(result: &Value) -> bool {
    result["data"]["partial"] == true
}

/// The value that a result has of the samples of its window.
fn of_samples(result: &Value) -> Option<u64> {
    let value = &result["data"]["value"];
    value["value"].as_u64().or_else(|| value["metric"].as_u64())
}

/// The intervals in which the results of a type must be complete: each begins after a time, with the first window that
/// starts after the type was configured, and ends with a number of batches, of which a stop has committed everything.
fn complete(campaign: &Campaign, proxy: &str) -> Vec<(u64, usize)> {
    let mut intervals = Vec::new();
    let mut since = None;
    for (index, run) in campaign.runs.iter().enumerate() {
        if !run.types.contains(&proxy) {
            since = None;
            continue;
        }
        let [before, end] = run.acknowledged;
        // One more may be in the log without a response.
        let begun = &campaign.first[..campaign.first.len().min(before + 1)];
        let from = *since.get_or_insert_with(|| if index == 0 { 0 } else { newest(begun, None) });
        if run.is_complete {
            intervals.push((from, end));
        }
    }
    intervals
}

/// Checks the results of a type that was not configured throughout; returns how many windows were complete again after
/// it came back.
fn assert_returned(campaign: &Campaign, proxy: &str, got: &[String], expected: &[String], case: &str) -> usize {
    let case = format!("{case}, {proxy}");
    let [got, expected] = [got, expected].map(|lines| by_window(of_type(lines, proxy, FIRST), &case));
    let begun: BTreeSet<u64> =
        campaign.runs.iter().map(|run| newest(&campaign.first[..run.acknowledged[0]], None)).collect();
    for (window, result) in &got {
        // An object that a longer timeout of another type kept alive is deleted with the next window, as documented.
        let is_silent = result["data"]["deleted"] == true || !SUMS.contains(&proxy) && of_samples(result) == Some(0);
        let wanted = expected.get(window).unwrap_or(&Value::Null);
        let (found, value) = [result, wanted].map(|it| of_samples(it).unwrap_or(0)).into();
        if is_silent {
            assert_eq!(value, 0, "{case}: {result} of {wanted}");
        } else if is_partial(result) {
            let of_change = is_partial(wanted) || begun.iter().any(|&newest| window.1 <= newest);
            // The mean of a part may be larger.
            assert!(of_change && (proxy == "Mean" || found <= value), "{case}: {result} of {wanted}");
        } else if SUMS.contains(&proxy) {
            assert_eq!(result, wanted, "{case}");
        } else {
            assert_eq!(found, value, "{case}: {result} of {wanted}");
        }
    }
    let intervals = complete(campaign, proxy);
    let mut returned = 0;
    for (window @ (object, start), wanted) in &expected {
        let end = wanted["end"].as_u64().unwrap();
        // The newest sample of the object closes windows of its partition, whichever that is.
        let is_closed = |batches: usize| newest(&campaign.first[..batches], Some(object)) >= end + LATENESS;
        let is_complete = |&&(from, batches): &&(u64, usize)| *start > from && is_closed(batches);
        let Some(&(from, _)) = intervals.iter().find(is_complete) else { continue };
        // A detector that starts anew warms up, and an object that is silent then may be unknown to the type.
        if !SUMS.contains(&proxy) || of_samples(wanted).is_none_or(|value| value == 0) {
            continue;
        }
        let found = got.get(window).unwrap_or_else(|| panic!("{case}: {wanted} is missing"));
        // The first window of all is partial in every run.
        assert_eq!(is_partial(found), is_partial(wanted), "{case}: {found}");
        returned += usize::from(from > 0);
    }
    returned
}

#[test]
fn a_changed_configuration_between_kills_changes_no_result_of_what_stays() {
    let input = batches_of(21, WINDOWS);
    let first = of_stream(&input, FIRST);
    let folder = TempDir::new().unwrap();
    let undisturbed = |partitions: u16, batches: &[Batch], types: &[&str]| {
        let (data, mut settings) = (TempDir::new().unwrap(), common(folder.path(), partitions));
        settings.push(list(types, true));
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        assert_eq!(run(data.path(), &settings, batches, None), 0);
        results(data.path())
    };
    let expected = [1, 4].map(|partitions| undisturbed(partitions, &first, &TYPES));
    let mut returned = 0;
    for seed in 0..seeds(6) {
        let kept = TYPES[seed as usize % TYPES.len()];
        let which = seed as usize % 2;
        let partitions = [1, 4][which];
        let case = format!("seed {seed}, {kept} stays, {partitions} partitions");
        println!("{case}");
        let mut campaign = Campaign::new(seed, kept, partitions, &input);
        campaign.run();
        assert!(campaign.kills > 0, "{case}: no kill, so the run proves nothing");
        let got = results(&campaign.data());
        let [of_kept, wanted] = [&got, &expected[which]].map(|lines| by_object(of_type(lines, kept, FIRST)));
        assert!(wanted.len() > 30, "{case}: the input gives too few results to prove anything");
        assert_same(&of_kept, &wanted, &case);
        for proxy in TYPES.into_iter().filter(|proxy| *proxy != kept) {
            returned += assert_returned(&campaign, proxy, &got, &expected[which], &case);
        }
        let second = undisturbed(partitions, &campaign.of_second, &[kept]);
        for proxy in OF_SECOND {
            let [got, wanted] = [&got, &second].map(|lines| by_object(of_type(lines, proxy, SECOND)));
            assert_same(&got, &wanted, &format!("{case}, {proxy} of the second stream"));
        }
        assert!(campaign.has_whole_files(&got), "{case}: the files of results lack some, or have some twice");
    }
    assert!(returned > 0, "no type came back for a whole window, so the runs prove nothing about that");
}
