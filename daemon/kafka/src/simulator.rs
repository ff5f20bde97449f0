//! Thousands of seeded schedules of the worker against a fake cluster: group coordinator, transactions and all.
//!
//! A real broker shows a handful of schedules in a minute. Here one seed is one schedule, on one thread and by a clock
//! of its own: workers freeze between any two steps of a commit, are killed, expelled and rebalanced, transactions time
//! out, fail, or succeed without an answer, states are restored late, the topic is grown, and retention deletes input.
//! In the end every worker thaws, and then the [`audit`] must find nothing.
//!
//! * [`brokers`]: the logs and the transactions over them. [`coordinator`]: the group. [`member`]: a worker's end of
//!   both.
//! * [`world`]: who does what when. [`random`]: the seed's numbers.
//!
//! That the audit is not blind is shown by [mutations](Mutation): each takes away one of the things that exactly-once
//! rests on, and the same schedules must find it out.
//!
//! `DERIVED_STATSD_FAULT_SEEDS` says how many schedules, `DERIVED_STATSD_FAULT_SEED` asks for a single one.

mod audit;
mod brokers;
mod coordinator;
mod member;
mod random;
mod world;

use std::ops::Range;
use std::thread;

use self::world::World;

/// Schedules in an ordinary run of the tests.
const SEEDS: u64 = 1500;

/// Schedules in which a mutation must be found out; most are within the first dozens.
const MUTATED_SEEDS: u64 = 2000;

/// What is taken away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mutation {
    /// The worker is not told that its partitions are lost.
    KeepsTheLost,
    /// The group takes offsets from anybody.
    NoFencing,
    None,
    /// A state is read while transactions are open.
    RestoresAtOnce,
    /// Results are visible at once.
    ResultsOutside,
}

/// What happened, to know that the schedules were not all fair weather.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    commits: u64,
    cuts: u64,
    expelled: u64,
    fenced: u64,
    freezes: u64,
    freezes_in_commits: u64,
    growths: u64,
    holds: u64,
    kills: u64,
    results: u64,
    timed_out: u64,
    transient: u64,
    unknown: u64,
    waits: u64,
}

impl Tally {
    fn numbers(&self) -> [(&'static str, u64); 14] {
        [
            ("commits", self.commits),
            ("cuts of unread input", self.cuts),
            ("expulsions", self.expelled),
            ("fenced commits", self.fenced),
            ("freezes", self.freezes),
            ("freezes in a commit", self.freezes_in_commits),
            ("growths", self.growths),
            ("times input waited for a sink", self.holds),
            ("kills", self.kills),
            ("results", self.results),
            ("transactions timed out", self.timed_out),
            ("transient failures", self.transient),
            ("commits without an answer", self.unknown),
            ("restores that had to wait", self.waits),
        ]
    }
}

/// The schedule of one seed: what happened, and what the audit found.
fn schedule(seed: u64, mutation: Mutation) -> (Tally, Vec<String>) {
    let world = World::new(seed, mutation);
    world.run();
    let reference = World::undisturbed(&world);
    reference.run();
    let violations = audit::violations(&world, &reference);
    let mut tally = *world.tally.borrow();
    tally.expelled = world.coordinator.borrow().expelled;
    tally.timed_out = world.brokers.borrow().timed_out;
    tally.results = world.brokers.borrow().committed_results().count() as u64;
    (tally, violations)
}

/// Runs the schedules of `seeds` on every core; the tallies, and the first seed in which something was found.
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

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn is_found_out(mutation: Mutation) {
    let violations = |seed| Some((seed, schedule(seed, mutation).1)).filter(|(_, violations)| !violations.is_empty());
    let found = (0..MUTATED_SEEDS).find_map(violations);
    let (seed, violations) =
        found.unwrap_or_else(|| panic!("{mutation:?} stays unnoticed in {MUTATED_SEEDS} schedules"));
    println!("{mutation:?} is found out by seed {seed}: {}", violations[0]);
}

#[test]
fn whatever_happens_to_the_workers_every_record_counts_once() {
    let one = number("DERIVED_STATSD_FAULT_SEED").map(|seed| seed..seed + 1);
    let seeds = one.clone().unwrap_or_else(|| 0..number("DERIVED_STATSD_FAULT_SEEDS").unwrap_or(SEEDS));
    let (tallies, found) = campaign(seeds);
    if let Some((seed, violations)) = found {
        panic!("DERIVED_STATSD_FAULT_SEED={seed} shows {} violations:\n{}", violations.len(), violations.join("\n"));
    }
    for index in 0..Tally::default().numbers().len() {
        let sum: u64 = tallies.iter().map(|tally| tally.numbers()[index].1).sum();
        let (name, _) = Tally::default().numbers()[index];
        println!("{sum} {name}");
        assert!(sum > 0 || one.is_some(), "no {name} in any schedule");
    }
}

#[test]
fn a_group_that_fences_nobody_is_found_out() {
    is_found_out(Mutation::NoFencing);
}

#[test]
fn results_outside_the_transaction_are_found_out() {
    is_found_out(Mutation::ResultsOutside);
}

#[test]
fn a_restore_that_does_not_wait_for_open_transactions_is_found_out() {
    is_found_out(Mutation::RestoresAtOnce);
}

#[test]
fn a_table_that_is_kept_although_its_partition_was_lost_is_found_out() {
    is_found_out(Mutation::KeepsTheLost);
}

#[test]
fn one_seed_is_one_schedule() {
    let digest = |seed| {
        let (tally, violations) = schedule(seed, Mutation::None);
        (tally.numbers(), violations)
    };
    assert_eq!(digest(7), digest(7));
}
