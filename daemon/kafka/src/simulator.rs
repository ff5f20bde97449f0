//! Thousands of seeded schedules of the worker on a simulated cluster with a group coordinator and transactions.
//!
//! A test on a real broker runs a handful of schedules in a minute. Here one seed is one schedule, on one thread and
//! with a manual clock: workers freeze between any two steps of a commit, are killed, expelled and rebalanced,
//! transactions time out, fail, or succeed while the response is lost, states are restored late, the topic gets more
//! partitions, its id is known late, daemons with newer configurations take over, and retention deletes input. At the end all faults stop, and the [`audit`] must find no violation.
//!
//! * [`brokers`]: the logs and their transactions. [`coordinator`]: the group. [`member`]: a worker's client of both.
//! * [`world`]: the schedule and its processes. [`random`]: the random numbers of a seed.
//!
//! [Mutations](Mutation) prove that the audit detects errors: each removes one safeguard of exactly-once, and the audit
//! must find a violation in the same schedules.
//!
//! `DERIVED_STATSD_FAULT_SEEDS` sets the number of schedules; `DERIVED_STATSD_FAULT_SEED` selects a single one.

mod audit;
mod brokers;
mod coordinator;
mod member;
mod random;
mod world;

use std::ops::Range;
use std::thread;

use self::world::World;

/// Schedules of a test run by default.
const SEEDS: u64 = 1500;

/// Schedules in which the audit must detect a mutation; most are detected in the first dozens.
const MUTATED_SEEDS: u64 = 2000;

/// The safeguard that a schedule runs without.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mutation {
    /// A process continues states of any configuration.
    AnyConfiguration,
    /// The worker does not get the change that its partitions are lost.
    KeepLostTables,
    /// The coordinator accepts offsets from any client.
    NoFencing,
    None,
    /// Every other process has no rules of alarms.
    OtherRules,
    /// A state is read while transactions are open.
    RestoreWithoutWaiting,
    /// Results are written outside the transaction, so readers see them at once.
    ResultsOutsideTransaction,
}

/// Counts what happened in a schedule, so that a test can prove that every kind of fault occurred.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    alarms_ended: u64,
    alarms_fired: u64,
    backlogs: u64,
    blind: u64,
    commits: u64,
    configurations: u64,
    deletions: u64,
    expelled: u64,
    fenced: u64,
    freezes: u64,
    freezes_in_commits: u64,
    growths: u64,
    input_pauses: u64,
    kills: u64,
    refused: u64,
    results: u64,
    timed_out: u64,
    transient: u64,
    unknown: u64,
    waits: u64,
}

impl Tally {
    /// Each count with its name.
    fn counts(&self) -> [(&'static str, u64); 20] {
        [
            ("alarms that ended", self.alarms_ended),
            ("alarms that fired", self.alarms_fired),
            ("backlogs over a growth", self.backlogs),
            ("partitions whose end a client cannot see", self.blind),
            ("commits", self.commits),
            ("changes of the configuration", self.configurations),
            ("deletions of unread input", self.deletions),
            ("expulsions", self.expelled),
            ("fenced commits", self.fenced),
            ("freezes", self.freezes),
            ("freezes in a commit", self.freezes_in_commits),
            ("growths", self.growths),
            ("pauses of the input for a sink", self.input_pauses),
            ("kills", self.kills),
            ("restores refused to an older configuration", self.refused),
            ("results", self.results),
            ("transactions timed out", self.timed_out),
            ("transient failures", self.transient),
            ("commits whose response was lost", self.unknown),
            ("restores that waited for a transaction", self.waits),
        ]
    }
}

/// Runs the schedule of one seed; returns its counts and the violations.
fn schedule(seed: u64, mutation: Mutation) -> (Tally, Vec<String>) {
    let world = World::new(seed, mutation);
    world.run();
    let reference = World::undisturbed(&world);
    reference.run();
    let violations = audit::violations(&world, &reference);
    let mut tally = *world.tally.borrow();
    tally.expelled = world.coordinator.borrow().expelled;
    tally.timed_out = world.brokers.borrow().timed_out;
    (tally.alarms_fired, tally.alarms_ended) = audit::alarms(&world);
    tally.results = world.brokers.borrow().committed_results().count() as u64;
    (tally, violations)
}

/// Runs the schedules of `seeds` on all cores; returns their counts, and the first seed with violations.
fn campaign(seeds: Range<u64>) -> (Vec<Tally>, Option<(u64, Vec<String>)>) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = |core: usize| {
        let mut tallies = Vec::new();
        for seed in seeds.clone().skip(core).step_by(cores) {
            let (tally, violations) = schedule(seed, Mutation::None);
            tallies.push(tally);
            if !violations.is_empty() {
                return (tallies, Some((seed, violations)));
            }
        }
        (tallies, None)
    };
    let share = &share;
    let shares: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|core| scope.spawn(move || share(core))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let found = shares.iter().filter_map(|(_, found)| found.clone()).min_by_key(|(seed, _)| *seed);
    (shares.into_iter().flat_map(|(tallies, _)| tallies).collect(), found)
}

fn number_from_env(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn assert_detected(mutation: Mutation) {
    let violations = |seed| Some((seed, schedule(seed, mutation).1)).filter(|(_, violations)| !violations.is_empty());
    let found = (0..MUTATED_SEEDS).find_map(violations);
    let (seed, violations) =
        found.unwrap_or_else(|| panic!("the audit does not detect {mutation:?} in {MUTATED_SEEDS} schedules"));
    println!("the audit detects {mutation:?} in seed {seed}: {}", violations[0]);
}

#[test]
fn every_record_counts_once_in_every_schedule() {
    let one = number_from_env("DERIVED_STATSD_FAULT_SEED").map(|seed| seed..seed + 1);
    let seeds = one.clone().unwrap_or_else(|| 0..number_from_env("DERIVED_STATSD_FAULT_SEEDS").unwrap_or(SEEDS));
    let (tallies, found) = campaign(seeds);
    if let Some((seed, violations)) = found {
        panic!("DERIVED_STATSD_FAULT_SEED={seed} shows {} violations:\n{}", violations.len(), violations.join("\n"));
    }
    for index in 0..Tally::default().counts().len() {
        let sum: u64 = tallies.iter().map(|tally| tally.counts()[index].1).sum();
        let (name, _) = Tally::default().counts()[index];
        println!("{sum} {name}");
        assert!(sum > 0 || one.is_some(), "no {name} in any schedule");
    }
}

#[test]
fn the_audit_detects_an_older_configuration_that_continues_newer_states() {
    assert_detected(Mutation::AnyConfiguration);
}

#[test]
fn the_audit_detects_a_group_without_fencing() {
    assert_detected(Mutation::NoFencing);
}

#[test]
fn the_audit_detects_results_outside_the_transaction() {
    assert_detected(Mutation::ResultsOutsideTransaction);
}

#[test]
fn the_audit_detects_a_process_with_other_rules_of_alarms() {
    assert_detected(Mutation::OtherRules);
}

#[test]
fn the_audit_detects_a_restore_that_does_not_wait_for_open_transactions() {
    assert_detected(Mutation::RestoreWithoutWaiting);
}

#[test]
fn the_audit_detects_a_table_kept_after_its_partition_was_lost() {
    assert_detected(Mutation::KeepLostTables);
}

#[test]
fn one_seed_is_one_schedule() {
    let digest = |seed| {
        let (tally, violations) = schedule(seed, Mutation::None);
        (tally.counts(), violations)
    };
    assert_eq!(digest(7), digest(7));
}
