//! Sources that do not answer for a while, and kills of the daemon meanwhile: no object is deleted, no detector takes a
//! part, each window has what the sources sent, and what came over an outage is in a window that is partial.
//!
//! Real daemons fetch from simulated nodes of Contiv and from a simulated analytics API, whose answers are recorded.
//! The nodes have services with two ports, of which an answer shows one, an endpoint that moves from node to node, and
//! the form of 2016 or today's, to which one of them changes now and then.
//! The servers fail at times, each in a way and for a time that the seed chooses; the daemon is killed at a failpoint or
//! at any instant, and stays down for a while. In the end all servers answer.
//!
//! Every message has the seed; `DERIVED_STATSD_FAULT_SEEDS` sets the number of seeds (4 by default). They run side by
//! side, since they wait for windows that the wall clock closes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test waits for windows that the wall clock closes")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::analytics::AnalyticsApi;
use support::campaign::seeds;
use support::contiv_field::{FieldNode, Form, Pair, Reading, Readings};
use support::outage::{Outage, Switch};
use support::{Daemon, Random, command, results, wait_until};
use tempfile::TempDir;

/// Silence of one window deletes, and the detector scores from its second value on.
const SCHEMA: &str = r#"
struct OutageSum {
    1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional u64 value (stats="1-raw:DSSum")
} (period="2", timeout="1")
struct OutageScore {
    1: string name (key="") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden="yes")
    5: optional derived_stats_results.AnomalyResult value (stats="1.DSSum-raw:DSAnomaly:EWM:0.5")
} (period="2", timeout="1")
"#;

/// The length of a window and the interval of fetches, in microseconds.
const PERIOD: u64 = 2_000_000;
const INTERVAL: u64 = 1_000_000;

const SETTINGS: [&str; 4] =
    ["aggregation.allowed_lateness=1s", "aggregation.idle_timeout=1s", "log.commit_interval=100ms", "log.partitions=2"];

const POINTS: [&str; 7] =
    ["append.before", "append.mid", "append.after", "commit.before", "commit.mid", "commit.after", "restore.mid"];

/// How many times the daemon is killed.
const KILLS: usize = 2;

/// How many seeds run at a time.
const SIDE_BY_SIDE: usize = 8;

/// Ends the threads of a run, also of one that failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A run with one seed.
struct Campaign {
    seed: u64,
    random: Random,
    folder: TempDir,
    settings: Vec<String>,
}

impl Campaign {
    fn new(seed: u64, stream: &str, settings: &[String]) -> Self {
        let folder = TempDir::new().unwrap();
        let schema = folder.path().join("outage.sandesh");
        std::fs::write(&schema, SCHEMA).unwrap();
        let own = [
            format!("aggregation.schema_files={}", schema.display()),
            format!("aggregation.uve_proxy_list={stream}:OutageScore:OutageSum"),
        ];
        let settings = SETTINGS.iter().map(|it| (*it).to_owned()).chain(own).chain(settings.iter().cloned()).collect();
        Self { seed, random: Random(seed + 1000 * stream.len() as u64), folder, settings }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self) -> std::process::Command {
        let settings: Vec<_> = self.settings.iter().map(String::as_str).collect();
        command("run", &self.data(), &settings)
    }

    fn milliseconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.random.below(most - least))
    }

    /// Kills daemons while the servers fail, then lets a daemon and the servers work until the detector of
    /// `object` has taken further values.
    fn run(&mut self, servers: &[&Switch], object: &str) {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _end = End(&is_over);
            for (number, server) in servers.iter().enumerate() {
                let (mut random, is_over) = (Random(self.seed * 100 + number as u64), &is_over);
                // Together they leave some windows whole.
                let least_rest = 1_000 * servers.len() as u64;
                scope.spawn(move || fail_at_times(server, least_rest, &mut random, is_over));
            }
            for number in 0..KILLS {
                self.live_and_die(number);
            }
        });
        let daemon = Daemon::try_spawn(self.command()).unwrap_or_else(|(status, said)| panic!("{status}:\n{said}"));
        let taken = values_taken(&daemon, object);
        wait_until("windows after the last outage", || (values_taken(&daemon, object) >= taken + 3).then_some(()));
        daemon.stop();
    }

    /// Starts the daemon, and has it killed at a failpoint or after some seconds; waits before the next start.
    fn live_and_die(&mut self, number: usize) {
        let points = if number == 0 { &POINTS[..6] } else { &POINTS };
        let point = points[self.random.below(points.len() as u64) as usize];
        let hit = if point == "restore.mid" { 1 } else { 1 + self.random.below(6) };
        let point = format!("{point}:{hit}");
        let until = Instant::now() + self.milliseconds(3_000, 5_000);
        let mut daemon = Daemon::doomed(self.command(), &point);
        while daemon.is_running() && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        let is_at_point = !daemon.is_running();
        if !is_at_point {
            daemon.signal("KILL");
        }
        assert!(!daemon.wait().success(), "seed {}: the daemon ended by itself", self.seed);
        let down = if self.random.below(2) == 0 { Duration::ZERO } else { self.milliseconds(0, 3_000) };
        let point = if is_at_point { &point } else { "the end" };
        println!("seed {}: kill {number} at {point}, down for {down:?}", self.seed);
        thread::sleep(down);
    }
}

/// How many values the detector of an object has taken, 0 before the second.
fn values_taken(daemon: &Daemon, object: &str) -> u64 {
    let (_, body) = daemon.get(&format!("/analytics/uves/{object}"));
    let counts = body.split("\"samples\":").skip(1);
    counts.filter_map(|rest| rest.split([',', '}']).next()?.trim().parse().ok()).max().unwrap_or(0)
}

/// Lets a server fail at times, each time in another way, after at least `least_rest` milliseconds without a failure.
fn fail_at_times(server: &Switch, least_rest: u64, random: &mut Random, is_over: &AtomicBool) {
    let rest = |milliseconds: u64| {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    };
    while !is_over.load(Ordering::Relaxed) {
        rest(least_rest + random.below(3_000));
        let outage = Outage::ALL[random.below(4) as usize];
        server.set(Some(outage));
        rest(700 + random.below(2_300));
        server.set(None);
    }
}

/// A result of the sum or of the score, of one object and window.
#[derive(Debug)]
struct Window {
    value: u64,
    is_partial: bool,
    /// How many values the detector has taken; `None` if it did not take this one, or for a sum.
    samples: Option<u64>,
}

/// The windows of each object by their begin, of sums and scores. None is a deletion.
#[derive(Default)]
struct Outcome {
    sums: BTreeMap<String, BTreeMap<u64, Window>>,
    scores: BTreeMap<String, BTreeMap<u64, Window>>,
}

impl Outcome {
    fn of(results: &[Value], case: &str) -> Self {
        let mut outcome = Self::default();
        for result in results {
            let Some(uve) = result["uve"].as_str() else { continue };
            let data = &result["data"];
            assert_ne!(data["deleted"], true, "{case}: an outage was taken for silence: {result}");
            let value = data["value"]["value"].as_u64().or_else(|| data["value"]["metric"].as_u64());
            let window = Window {
                value: value.unwrap_or_else(|| panic!("{case}: no value in {result}")),
                is_partial: data["partial"] == true,
                samples: data["value"]["samples"].as_u64(),
            };
            let objects = if uve.starts_with("OutageSum") { &mut outcome.sums } else { &mut outcome.scores };
            let object = objects.entry(result["key"].as_str().unwrap().to_owned()).or_default();
            let earlier = object.insert(result["start"].as_u64().unwrap(), window);
            assert!(earlier.is_none(), "{case}: the window was closed twice, again as {result}");
        }
        outcome
    }

    /// Checks that the detector of each object took each whole window, in order, and no other one.
    fn assert_fed(&self, case: &str) {
        let none = BTreeMap::new();
        for (object, sums) in &self.sums {
            let scores = self.scores.get(object).unwrap_or(&none);
            // The first window of a partition feeds its detector although it is partial, unless it is of unknown time.
            let mut taken_first = None;
            let mut taken = 0;
            for (index, (start, sum)) in sums.iter().enumerate() {
                let is_first = index == 0 && sum.is_partial;
                taken += u64::from(!sum.is_partial);
                // Without a score for a value like the one before, and before the second one.
                let Some((score, samples)) = scores.get(start).and_then(|score| Some((score, score.samples?))) else {
                    continue;
                };
                let case = format!("{case}: {object} at {start}: {score:?} of {sums:?}");
                assert!((is_first || !sum.is_partial) && score.value == sum.value, "{case}");
                let first = *taken_first.get_or_insert_with(|| samples.saturating_sub(taken).min(1));
                assert_eq!(samples, taken + first, "{case}");
            }
        }
    }

    /// How many windows were whole and how many partial, beside the first of each object.
    fn counts(&self) -> [usize; 2] {
        let windows = || self.sums.values().flat_map(|windows| windows.values().skip(1));
        [false, true].map(|partial| windows().filter(|window| window.is_partial == partial).count())
    }
}

/// The results of a data directory.
fn parsed(campaign: &Campaign) -> Vec<Value> {
    results(&campaign.data()).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a campaign for each seed, some of them side by side, and checks that there were whole and partial windows.
fn for_each_seed(run: impl Fn(u64) -> [usize; 2] + Sync) {
    let (run, seeds): (_, Vec<u64>) = (&run, (0..seeds(4)).collect());
    let mut counts = [0, 0];
    for seeds in seeds.chunks(SIDE_BY_SIDE) {
        thread::scope(|scope| {
            let runs: Vec<_> = seeds.iter().map(|&seed| scope.spawn(move || run(seed))).collect();
            for run in runs {
                let [whole, partial] = run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                counts = [counts[0] + whole, counts[1] + partial];
            }
        });
    }
    println!("{} whole windows, {} partial ones", counts[0], counts[1]);
    assert!(counts[0] >= seeds.len() && counts[1] > 0, "{counts:?} windows prove nothing");
}

const SERVICES: [&str; 2] = ["100.1.1.3", "100.1.1.4"];

/// Endpoints of one node, of one with two ports, and one that moves from node to node.
const FIXED: [&str; 2] = ["11.1.1.2", "11.1.1.3"];
const WITH_PORTS: &str = "11.1.1.4";
const MOVING: &str = "11.1.1.50";

const PORT: u16 = 80;
const OTHER_PORT: u16 = 443;

/// What the counters of two ports have at the start: no rate could give it.
const OLD: u64 = 1_000_000_000_000;

/// The stored scrapes of a node: the readings by scrape time.
type Scrapes = BTreeMap<u64, Readings>;

/// The stored scrapes of each node. Each must be an answer of the node.
fn scrapes(results: &[Value], nodes: &[FieldNode], case: &str) -> Vec<Scrapes> {
    let mut scrapes = vec![BTreeMap::new(); nodes.len()];
    for record in results.iter().filter(|result| result["scrape"].is_string()) {
        let node = record["node"].as_str().unwrap();
        let index = nodes.iter().position(|it| it.address() == node).unwrap_or_else(|| panic!("{case}: {record}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let points = record["points"].as_array().unwrap().iter();
        let stored: BTreeMap<_, _> =
            points.map(|point| ((text(&point[0]), text(&point[1])), point[3].as_u64().unwrap())).collect();
        let bytes = |readings: &Readings| -> BTreeMap<_, _> {
            readings
                .iter()
                .map(|((endpoint, service), it)| (((*endpoint).to_owned(), (*service).to_owned()), it.bytes))
                .collect()
        };
        let answer = nodes[index].answers().into_iter().rev().find(|answer| bytes(answer) == stored);
        let answer = answer.unwrap_or_else(|| panic!("{case}: {node} never sent {stored:?}"));
        let earlier = scrapes[index].insert(record["at"].as_u64().unwrap(), answer);
        assert_eq!(earlier, None, "{case}: two scrapes of {node} have the time of {record}");
    }
    scrapes
}

/// What is known of a node's counters.
#[derive(Default)]
struct Counted {
    /// The form of each pair in its last reading.
    forms: BTreeMap<Pair, Form>,
    /// The last reading of each port since the pair has that form.
    ports: BTreeMap<(Pair, u16), u64>,
}

impl Counted {
    /// What a reading adds: the rise of its port. A port that did not rise is no sample, as that of two scrapes around a
    /// kill at once may not; neither is a change of form or a port of unknown age, which begin anew; and an endpoint that
    /// moved here began at zero.
    fn add(&mut self, pair: Pair, reading: Reading, is_first: bool) -> Option<u64> {
        let Reading { form, port, bytes } = reading;
        let known = self.forms.insert(pair, form);
        if known.is_some_and(|known| known != form) {
            self.ports.retain(|(of, _), _| *of != pair);
        }
        let added = match (self.ports.insert((pair, port), bytes), known) {
            (Some(before), _) => Some(bytes - before),
            (None, None) if !is_first && bytes < OLD => Some(bytes),
            (None, _) => None,
        };
        added.filter(|added| *added > 0)
    }
}

/// The increases of a service in each window, summed over the nodes, and the windows that have some of a time in which
/// a node did not answer.
fn increases(scrapes: &[Scrapes], service: &str) -> (BTreeMap<u64, u64>, BTreeSet<u64>) {
    let (mut sums, mut torn) = (BTreeMap::new(), BTreeSet::new());
    for scrapes in scrapes {
        let (mut counted, mut before) = (Counted::default(), None);
        for (at, readings) in scrapes {
            let start = at - at % PERIOD;
            for (pair, reading) in readings.iter().filter(|((_, of), _)| *of == service) {
                if let Some(added) = counted.add(*pair, *reading, before.is_none()) {
                    *sums.entry(start).or_default() += added;
                }
            }
            if let Some(before) = before.replace(*at).filter(|before| at - before > INTERVAL) {
                // All windows without a scrape of the node, and the one of the increase.
                torn.extend((before + INTERVAL - (before + INTERVAL) % PERIOD..=start).step_by(PERIOD as usize));
            }
        }
    }
    (sums, torn)
}

/// Adds traffic to the counters of all nodes until the end. Meanwhile an endpoint moves from node to node, and the last
/// node changes its form.
fn add_traffic(nodes: &[FieldNode], random: &mut Random, is_over: &AtomicBool) {
    let mut home = 0;
    nodes[0].add((WITH_PORTS, SERVICES[1]), PORT, OLD);
    nodes[0].add((WITH_PORTS, SERVICES[1]), OTHER_PORT, 2 * OLD);
    while !is_over.load(Ordering::Relaxed) {
        for (node, endpoint) in nodes.iter().zip(FIXED) {
            SERVICES.iter().for_each(|service| node.add((endpoint, service), PORT, 1 + random.below(10_000)));
        }
        for port in [PORT, OTHER_PORT] {
            nodes[0].add((WITH_PORTS, SERVICES[1]), port, 1 + random.below(10_000));
        }
        nodes[home].add((MOVING, SERVICES[0]), PORT, 1 + random.below(4_000));
        if random.below(25) == 0 {
            home = (home + 1) % nodes.len();
        }
        if random.below(40) == 0 {
            nodes[nodes.len() - 1].change_form();
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Checks that each window has the increases of the stored scrapes, and that none with an outage is whole.
fn assert_increases(outcome: &Outcome, scrapes: &[Scrapes], case: &str) {
    for service in SERVICES {
        let case = format!("{case}, {service}");
        let (truth, torn) = increases(scrapes, service);
        let windows = &outcome.sums[&format!("ContivService:{service}")];
        for (start, window) in windows {
            assert_eq!(Some(&window.value), truth.get(start), "{case} at {start}: {window:?}");
            assert!(window.is_partial || !torn.contains(start), "{case} at {start} has an outage: {window:?}");
        }
        let last = windows.keys().last().unwrap();
        let missing = truth.iter().find(|(start, _)| *start <= last && !windows.contains_key(start));
        assert_eq!(missing, None, "{case}: no window has these increases");
    }
}

/// How often a pair of a node was shown in another form, with another port, and for the first time after the start.
fn changes(scrapes: &[Scrapes]) -> [usize; 3] {
    let mut counts = [0; 3];
    for (earlier, later) in scrapes.iter().flat_map(|scrapes| scrapes.values().zip(scrapes.values().skip(1))) {
        for (pair, now) in later {
            match earlier.get(pair) {
                Some(before) => {
                    counts[0] += usize::from(before.form != now.form);
                    counts[1] += usize::from(before.port != now.port);
                }
                None => counts[2] += 1,
            }
        }
    }
    counts
}

/// Runs a campaign, and adds the changes of a port that were seen.
fn contiv(seed: u64, changes_of_port: &AtomicUsize) -> [usize; 2] {
    let case = format!("seed {seed} of Contiv");
    let forms = if seed.is_multiple_of(2) { [Form::Several, Form::Single] } else { [Form::Single, Form::Several] };
    let nodes = forms.map(|form| FieldNode::start(form, seed));
    let addresses = nodes.each_ref().map(FieldNode::address);
    let settings = [
        format!("contiv.nodes={}", addresses.join(" ")),
        "contiv.interval=1s".to_owned(),
        "contiv.jitter=0s".to_owned(),
        "contiv.timeout=500ms".to_owned(),
    ];
    let mut campaign = Campaign::new(seed, "ContivService-BytesIn", &settings);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&is_over);
        scope.spawn(|| add_traffic(&nodes, &mut Random(seed), &is_over));
        let switches = nodes.each_ref().map(FieldNode::switch);
        campaign.run(&switches, &format!("contivservice/{}", SERVICES[0]));
    });
    let results = parsed(&campaign);
    let outcome = Outcome::of(&results, &case);
    outcome.assert_fed(&case);
    let scrapes = scrapes(&results, &nodes, &case);
    assert_increases(&outcome, &scrapes, &case);
    let [forms, ports, moves] = changes(&scrapes);
    println!("{case}: {forms} changes of form, {ports} of a port, {moves} new endpoints");
    changes_of_port.fetch_add(ports, Ordering::Relaxed);
    outcome.counts()
}

#[test]
fn nodes_that_do_not_answer_between_kills_lose_no_traffic_and_score_no_burst() {
    let changes_of_port = AtomicUsize::new(0);
    for_each_seed(|seed| contiv(seed, &changes_of_port));
    assert!(changes_of_port.into_inner() > 0, "one port only");
}

/// The positions of the one or two of `values` that add up to `sum`: a window has two polls at most.
fn summands(values: &[u64], sum: u64) -> Option<Vec<usize>> {
    if let Some(only) = values.iter().position(|value| *value == sum) {
        return Some(vec![only]);
    }
    let pairs = (0..values.len()).flat_map(|first| (first + 1..values.len()).map(move |second| [first, second]));
    let mut sums = pairs.filter(|[first, second]| values[*first] + values[*second] == sum);
    sums.next().map(Vec::from)
}

fn poller(seed: u64) -> [usize; 2] {
    let case = format!("seed {seed} of the poller");
    let api = AnalyticsApi::changing(seed);
    let settings = [
        format!("opserver.servers=http://{}", api.address()),
        "opserver.interval=1s".to_owned(),
        "opserver.timeout=500ms".to_owned(),
        "opserver.samples=all".to_owned(),
    ];
    let mut campaign = Campaign::new(seed, "UveVirtualNetworkAgent-egress_flow_count", &settings);
    campaign.run(&[api.switch()], "virtual-network/default-domain:demo:vn1");
    let outcome = Outcome::of(&parsed(&campaign), &case);
    outcome.assert_fed(&case);
    let answers = api.answers();
    let windows = &outcome.sums["ObjectVNTable:default-domain:demo:vn1"];
    let mut used = 0;
    for (start, window) in windows {
        // Each answer counts once at most, in the order of answers.
        let summands = summands(&answers[used..], window.value);
        let summands = summands.unwrap_or_else(|| panic!("{case}: {window:?} at {start} is no sum of answers"));
        used += summands.last().unwrap() + 1;
        let is_whole = summands.len() as u64 == PERIOD / INTERVAL;
        assert!(is_whole || window.is_partial, "{case}: {window:?} at {start} lacks a poll");
    }
    outcome.counts()
}

#[test]
fn an_api_that_does_not_answer_between_kills_makes_windows_partial_and_deletes_nothing() {
    for_each_seed(poller);
}
