//! Faults that a group must survive, with real daemons on a real broker: after each, the committed results are those of
//! a run without faults, every object and window once, byte for byte.
//!
//! Every test proves that its fault happened, and prints its seed. `DERIVED_STATSD_FAULT_SEEDS` sets the number of seeds
//! of each kind (one by default), `DERIVED_STATSD_FAULT_SAMPLES` the samples in a window (`make test-full` uses more).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::thread;
use std::time::Duration;

use support::broker::{Broker, Isolation};
use support::campaign::seeds;
use support::group::{Group, Input, Sample};
use support::{Daemon, Random};

const PARTITIONS: u16 = 6;
const WINDOWS: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(120);
/// What [`publish_to_a_doomed`] divides its samples into: more than the transactions before any failpoint.
const SLICES: usize = 6;
/// `kafka.commit_interval` of the group.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);

fn input(seed: u64) -> Input {
    let samples = std::env::var("DERIVED_STATSD_FAULT_SAMPLES").ok().and_then(|text| text.parse().ok());
    Input::new(seed, PARTITIONS, WINDOWS, samples.unwrap_or(4_000), 300)
}

/// Publishes the input in slices; after each, `disturb` runs with its number.
fn publish(group: &Group<'_>, input: &Input, slices: usize, mut disturb: impl FnMut(usize)) {
    for (number, slice) in input.samples.chunks(input.samples.len().div_ceil(slices)).enumerate() {
        group.publish(slice);
        disturb(number);
    }
}

/// Publishes the samples in slices to a daemon that will be killed or frozen. It gets the next slice once it has applied
/// the one before, so that it needs several transactions however slow the machine is.
fn publish_to_a_doomed(group: &Group<'_>, samples: &[Sample], daemon: &mut Daemon) {
    for slice in samples.chunks(samples.len().div_ceil(SLICES)) {
        group.publish(slice);
        thread::sleep(COMMIT_INTERVAL);
        daemon.wait_until_applied_or_gone();
    }
}

fn verify(group: &Group<'_>, input: &Input, case: &str) {
    let expected = input.expected();
    let mut results = group.results();
    results.wait(input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, case);
}

/// All committed results up to the current end of the topic.
fn committed_results(group: &Group<'_>) -> Vec<String> {
    let messages = group.broker.read_all(&group.topic("results"), Isolation::Committed);
    let text = |payload: Option<Vec<u8>>| String::from_utf8(payload.unwrap_or_default()).unwrap();
    let messages = messages.into_iter().map(|message| text(message.payload));
    messages.flat_map(|message| message.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn pause(random: &mut Random) {
    thread::sleep(Duration::from_millis(100 + random.below(900)));
}

/// Kills a daemon and starts it again.
fn kill_and_restart(group: &Group<'_>, daemons: &mut [Daemon], index: usize) {
    daemons[index].signal("KILL");
    assert!(!daemons[index].wait().success(), "the daemon was killed");
    daemons[index] = group.daemon(NAMES[index]);
}

/// Longer than `kafka.session_timeout` and `kafka.transaction_timeout` of the group. The duration is the fault itself:
/// not every client logs the end of its session, because one whose transaction has failed may leave the group first.
const LONGER_THAN_SESSION: Duration = Duration::from_secs(6);

const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn daemons_killed_in_rotation_commit_every_result_once() {
    let broker = Broker::start();
    for seed in 0..seeds(1) {
        println!("seed {seed}: kills in rotation");
        let (input, mut random) = (input(seed), Random(seed));
        let group = Group::new(&broker, &format!("kills{seed}"), PARTITIONS);
        let mut daemons = NAMES.map(|name| group.daemon(name));
        publish(&group, &input, 6, |number| {
            pause(&mut random);
            kill_and_restart(&group, &mut daemons, number % NAMES.len());
        });
        verify(&group, &input, &format!("seed {seed}, kills in rotation"));
    }
}

#[test]
fn a_kill_at_any_step_of_a_transaction_keeps_every_result_once() {
    let broker = Broker::start();
    let points = ["transaction.before", "transaction.mid", "transaction.late", "transaction.after", "restore.mid"];
    for seed in 0..seeds(1) * points.len() as u64 {
        let (point, hit) = (points[(seed % points.len() as u64) as usize], 1 + Random(seed).below(3));
        let hit = if point == "restore.mid" { 1 } else { hit };
        println!("seed {seed}: killed at {point}:{hit}");
        let input = input(seed);
        let group = Group::new(&broker, &format!("points{seed}"), PARTITIONS);
        let mut dying = Daemon::doomed(group.command("run", "a", &[]), &format!("{point}:{hit}"));
        publish_to_a_doomed(&group, &input.samples, &mut dying);
        assert!(!dying.wait().success(), "seed {seed}: it ended, but not at the failpoint {point}:{hit}");
        let _daemon = group.daemon("b");
        verify(&group, &input, &format!("seed {seed}, killed at {point}:{hit}"));
    }
}

#[test]
fn a_daemon_frozen_for_longer_than_its_session_commits_nothing() {
    let broker = Broker::start();
    for seed in 0..seeds(1) {
        println!("seed {seed}: frozen");
        let (input, mut random) = (input(seed), Random(seed));
        let group = Group::new(&broker, &format!("frozen{seed}"), PARTITIONS);
        let daemons = [group.daemon("a"), group.daemon("b")];
        // Both are members: one that is frozen before has no session that could end.
        for daemon in &daemons {
            daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
        }
        let mut frozen = false;
        publish(&group, &input, 4, |number| {
            pause(&mut random);
            if number == 1 {
                daemons[0].signal("STOP");
                frozen = true;
                // The session is three seconds. Then the other one has taken over.
                daemons[1].wait_for("/api/v1/partitions", |(_, body)| (owners(body) == ["b/0"]).then_some(()));
            }
        });
        assert!(frozen);
        daemons[0].signal("CONT");
        verify(&group, &input, &format!("seed {seed}, frozen"));
        // The zombie has noticed, and is a member again.
        daemons[0].wait_for("/metrics", |(_, body)| (rebalances(body) >= 2).then_some(()));
        daemons.into_iter().for_each(|daemon| drop(daemon.stop()));
    }
}

/// Freezes a daemon just before it writes a transaction, until another one has taken its partitions over and committed
/// all results; then the first one continues to write. Returns all committed results.
fn wake_a_zombie(broker: &Broker, cluster_id: &str, safeguards: Option<&str>) -> (Input, Vec<String>) {
    let input = input(3);
    let group = Group::new(broker, cluster_id, PARTITIONS);
    let mut command = group.command("run", "zombie", &[]);
    command.env("DERIVED_STATSD_STOP_AT", "transaction.results:2");
    if let Some(left_out) = safeguards {
        command.env("DERIVED_STATSD_WITHOUT", left_out);
    }
    let mut zombie = Daemon::spawn(command).expect("the daemon starts");
    let (head, tail) = input.samples.split_at(input.samples.len() / 2);
    publish_to_a_doomed(&group, head, &mut zombie);
    zombie.wait_until_frozen();
    let other = group.daemon("b");
    group.publish(tail);
    let mut results = group.results();
    results.wait(&input, input.expected().len(), PATIENCE);
    zombie.signal("CONT");
    // It is a member again: its transaction has ended before.
    zombie.wait_for("/metrics", |(_, body)| (rebalances(body) >= 2).then_some(()));
    if safeguards.is_none() {
        zombie.wait_until_said("A transaction failed; its partitions");
    }
    // Both daemons have ended, so the results topic has everything that they wrote.
    println!("log of the zombie:\n{}", zombie.stop());
    other.stop();
    let results = committed_results(&group);
    (input, results)
}

#[test]
fn a_zombie_that_continues_to_write_is_fenced() {
    let broker = Broker::start();
    let (input, results) = wake_a_zombie(&broker, "zombie", None);
    input.assert_results(results, &input.expected(), "a zombie continued");
}

#[test]
fn the_test_detects_a_zombie_without_fencing() {
    let broker = Broker::start();
    let (input, results) = wake_a_zombie(&broker, "unfenced", Some("fencing"));
    assert!(
        !input.are_results(results, &input.expected()),
        "fencing was off, and the results are right: the test cannot detect a zombie"
    );
}

#[test]
fn the_test_detects_a_kill_without_transactions() {
    let broker = Broker::start();
    let input = input(4);
    let group = Group::new(&broker, "torn", PARTITIONS);
    let mut armed = group.command("run", "a", &[]);
    armed.env("DERIVED_STATSD_WITHOUT", "transactions");
    let mut dying = Daemon::doomed(armed, "transaction.mid:2");
    publish_to_a_doomed(&group, &input.samples, &mut dying);
    assert!(!dying.wait().success(), "the daemon was not killed");
    let other = group.daemon("b");
    let mut results = group.results();
    let expected = input.expected();
    results.wait(&input, expected.len(), PATIENCE);
    other.stop();
    assert!(
        !input.are_results(committed_results(&group), &expected),
        "transactions were off, and the results are right: the test cannot detect a kill"
    );
}

fn rebalances(metrics: &str) -> u64 {
    counter(metrics, "derived_statsd_rebalances_total ")
}

fn counter(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn daemons_that_join_and_leave_hand_over_every_state() {
    let broker = Broker::start();
    for seed in 0..seeds(1) {
        println!("seed {seed}: 1 -> 3 -> 2");
        let (input, mut random) = (input(seed), Random(seed));
        let group = Group::new(&broker, &format!("rescale{seed}"), PARTITIONS);
        let mut daemons = vec![group.daemon("a")];
        publish(&group, &input, 4, |number| {
            pause(&mut random);
            match number {
                0 => daemons.extend([group.daemon("b"), group.daemon("c")]),
                2 => drop(daemons.remove(0).stop()),
                _ => {}
            }
        });
        verify(&group, &input, &format!("seed {seed}, 1 -> 3 -> 2"));
        let owners = owners(&daemons[0].get("/api/v1/partitions").1);
        assert_eq!(owners, ["b/0", "c/0"], "both remaining daemons own partitions");
    }
}

fn owners(body: &str) -> Vec<String> {
    let mut owners: Vec<_> =
        partitions(body).iter().filter_map(|partition| Some(partition["owner"].as_str()?.to_owned())).collect();
    owners.sort();
    owners.dedup();
    owners
}

/// The lines that a daemon may write while the broker is away: each kind of message once in ten seconds, and some at the
/// beginning.
fn max_lines(outage: Duration) -> usize {
    const KINDS: u64 = 8;
    (KINDS * (outage.as_secs() / 10 + 4)) as usize
}

#[test]
fn an_outage_of_the_broker_longer_than_the_session_loses_no_result() {
    let mut broker = Broker::start();
    let input = input(1);
    let expected = input.expected();
    let group = Group::new(&broker, "outage", PARTITIONS);
    let daemons = [group.daemon("a"), group.daemon("b")];
    // A member that still joins the group has no session yet, and no samples if the other one is quick.
    for daemon in &daemons {
        daemon.wait_for("/api/v1/partitions", |(_, body)| (owners(body) == ["a/0", "b/0"]).then_some(()));
    }
    let half = input.samples.len() / 2;
    group.publish(&input.samples[..half]);
    for daemon in &daemons {
        let has_results = |metrics: &str| counter(metrics, "derived_statsd_results_total ") > 0;
        daemon.wait_for("/metrics", |(_, body)| has_results(body).then_some(()));
    }
    let group = group.detach();
    let count = |daemon: &Daemon| daemon.stderr().lines().count();
    let before = [&daemons[0], &daemons[1]].map(count);
    broker.stop();
    // The full campaign waits for longer than every timeout of the clients.
    let outage = if seeds(1) > 1 { Duration::from_secs(60) } else { LONGER_THAN_SESSION };
    thread::sleep(outage);
    for (daemon, before) in daemons.iter().zip(before) {
        let said = daemon.stderr();
        let lines = count(daemon) - before;
        assert!(lines <= max_lines(outage), "{lines} lines:\n{said}");
    }
    broker.restart();
    let group = group.attach(&broker);
    group.publish(&input.samples[half..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    if !input.are_results(results.lines.clone(), &expected) {
        daemons.iter().for_each(|daemon| println!("{}\n{}", daemon.stderr(), daemon.get("/api/v1/partitions").1));
    }
    input.assert_results(results.lines, &expected, "an outage of the broker");
    for daemon in daemons {
        let said = daemon.stop();
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_topic_that_grows_keeps_the_windows_of_every_object() {
    let broker = Broker::start();
    // A fixed number of samples: with more, event time advances faster in this test, and samples that a producer writes
    // to two partitions milliseconds apart would be further apart than the lateness.
    let mut input = Input::new(2, PARTITIONS, WINDOWS, 4_000, 300);
    // Event time advances so fast here that a lateness of 5 s is some milliseconds, so the lateness below is longer, and
    // the samples that close the last window have later timestamps.
    input.samples.iter_mut().filter(|sample| sample.key.contains(":end-")).for_each(|sample| sample.at += 25_000_000);
    let patient = ["aggregation.allowed_lateness=30s"];
    let group = Group::new(&broker, "growth", PARTITIONS);
    let mut daemons = vec![group.daemon_with("a", &patient), group.daemon_with("b", &patient)];
    publish(&group, &input, 4, |number| match number {
        1 => {
            for attribute in ["egress_flow_count", "ingress_flow_count"] {
                broker.grow_topic(&group.topic(&format!("agg-UveVirtualNetworkAgent-{attribute}")), 2 * PARTITIONS);
            }
            // Producers refresh their metadata every few minutes, daemons every few seconds.
            for daemon in &daemons {
                daemon.wait_for("/api/v1/partitions", |(_, body)| (partitions(body).len() == 24).then_some(()));
            }
            // Workers read the new partitions in their next iteration; a commit on a busy machine may take a second.
            thread::sleep(Duration::from_secs(3));
            group.publish_to(2 * PARTITIONS);
        }
        // The next samples are in old and new partitions before a daemon starts, which must merge them by event time.
        2 => daemons.drain(..).for_each(|daemon| drop(daemon.stop())),
        3 => daemons.push(group.daemon_with("c", &patient)),
        _ => {}
    });
    verify(&group, &input, "grown from 6 to 12 partitions");
    let partitions = partitions(&daemons[0].get("/api/v1/partitions").1);
    let used = partitions
        .iter()
        .filter(|partition| partition["partition"].as_u64() >= Some(6) && partition["cursor"].as_u64() > Some(0));
    assert!(used.count() > 0, "no record was written to a new partition: the test proves nothing");
}

/// What may happen between two slices of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// A daemon is killed and starts again.
    Kill,
    /// A daemon is frozen while a slice comes.
    Freeze,
    /// All daemons are stopped while a slice comes.
    Backlog,
    /// The topics grow, and producers know it at once.
    Grow,
    /// Records a century ahead in every partition.
    Future,
    /// The daemons get a newer configuration, one after the other.
    Reconfigure,
}

/// Every fault of the menu, the growth before the middle, and some again.
fn menu(random: &mut Random) -> Vec<Fault> {
    use Fault::{Backlog, Freeze, Future, Grow, Kill, Reconfigure};
    let mut menu = vec![Kill, Freeze, Backlog, Future, Reconfigure, Kill, Backlog, Reconfigure];
    for index in (1..menu.len()).rev() {
        menu.swap(index, random.below(index as u64 + 1) as usize);
    }
    menu.insert(random.below(4) as usize, Grow);
    menu
}

/// The daemons of a campaign, which share one configuration.
struct Campaign<'g, 'b> {
    group: &'g Group<'b>,
    daemons: Vec<Daemon>,
    version: u32,
    partitions: u16,
}

impl Campaign<'_, '_> {
    fn start(&self, index: usize) -> Daemon {
        let version = format!("kafka.configuration_version={}", self.version);
        // One more stream with each version; it has no samples.
        let more: String = (0..self.version).map(|number| format!(" S-a{number}:AggProxySum")).collect();
        let list = format!("aggregation.uve_proxy_list={} {more}", proxy_uve::proxy_list::DEFAULT_PROXY_LIST);
        self.group.daemon_with(NAMES[index], &[&version, &list])
    }

    fn disturb(&mut self, fault: Fault, slice: &[Sample], random: &mut Random) {
        let index = random.below(self.daemons.len() as u64) as usize;
        match fault {
            Fault::Kill => self.kill(index),
            Fault::Freeze => return self.freeze(index, slice, random),
            Fault::Backlog => return self.collect_backlog(slice),
            Fault::Grow => self.grow(),
            Fault::Future => self.send_to_the_future(slice[0].at),
            Fault::Reconfigure => self.reconfigure(),
        }
        self.group.publish(slice);
    }

    fn kill(&mut self, index: usize) {
        self.daemons[index].signal("KILL");
        assert!(!self.daemons[index].wait().success(), "the daemon was killed");
        self.daemons[index] = self.start(index);
    }

    fn freeze(&self, index: usize, slice: &[Sample], random: &mut Random) {
        self.daemons[index].signal("STOP");
        self.group.publish(slice);
        thread::sleep(Duration::from_millis(200 + random.below(6_000)));
        self.daemons[index].signal("CONT");
    }

    fn collect_backlog(&mut self, slice: &[Sample]) {
        self.daemons.drain(..).for_each(|daemon| drop(daemon.stop()));
        self.group.publish(slice);
        self.daemons = (0..2).map(|index| self.start(index)).collect();
    }

    fn grow(&mut self) {
        self.partitions *= 2;
        for topic in self.topics() {
            self.group.broker.grow_topic(&topic, self.partitions);
        }
        self.group.publish_to(self.partitions);
    }

    fn send_to_the_future(&self, now: u64) {
        let at = now + 100 * 365 * 86_400_000_000;
        let record =
            |partition| (i32::from(partition), "ObjectVNTable:end-future", format!(r#"{{"ts":{at},"value":1}}"#));
        for topic in self.topics() {
            self.group.broker.produce(&topic, (0..self.partitions).map(record));
        }
    }

    fn reconfigure(&mut self) {
        self.version += 1;
        for index in 0..self.daemons.len() {
            // The name is free once the one before has left.
            drop(self.daemons.remove(index).stop());
            let started = self.start(index);
            self.daemons.insert(index, started);
        }
    }

    fn topics(&self) -> [String; 2] {
        ["egress_flow_count", "ingress_flow_count"]
            .map(|attribute| self.group.topic(&format!("agg-UveVirtualNetworkAgent-{attribute}")))
    }
}

#[test]
fn every_fault_of_the_menu_in_any_order_keeps_every_result_once() {
    let broker = Broker::start();
    for seed in 0..seeds(1) {
        let mut random = Random(seed);
        let menu = menu(&mut random);
        println!("seed {seed}: {menu:?}");
        let input = input(seed);
        let group = Group::new(&broker, &format!("menu{seed}"), PARTITIONS);
        let mut campaign = Campaign { group: &group, daemons: Vec::new(), version: 0, partitions: PARTITIONS };
        campaign.daemons = (0..2).map(|index| campaign.start(index)).collect();
        for (fault, slice) in menu.iter().zip(input.samples.chunks(input.samples.len().div_ceil(menu.len()))) {
            campaign.disturb(*fault, slice, &mut random);
            pause(&mut random);
        }
        verify(&group, &input, &format!("seed {seed}, {menu:?}"));
    }
}

fn partitions(body: &str) -> Vec<serde_json::Value> {
    serde_json::from_str(body).unwrap_or_default()
}
