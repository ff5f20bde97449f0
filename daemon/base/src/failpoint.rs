//! Named points at which a test kills or freezes the process, or panics, as `kill -9`, a power cut, a starved machine
//! or a bug would.
//!
//! With the feature `fault-points`, [`point`] sends SIGKILL to its own process when the variable
//! `DERIVED_STATSD_KILL_AT=name:n` names this point and it is reached for the n-th time (from 1). With
//! `DERIVED_STATSD_STOP_AT` it sends SIGSTOP, which lasts until a SIGCONT; with `DERIVED_STATSD_PANIC_AT` the thread
//! panics; with `DERIVED_STATSD_HANG_AT` it hangs, as in a disk that does not answer. After a kill no destructor, flush or
//! `atexit` handler runs. `DERIVED_STATSD_WITHOUT` disables a safeguard by its name ([`is_without`]): a test that passes
//! without it proves nothing. Without the feature all of this is empty inline functions, so that a release has neither
//! the variables nor the system calls.

/// The environment variable that arms one point to kill: `name:n`.
#[cfg(feature = "fault-points")]
pub const KILL_AT: &str = "DERIVED_STATSD_KILL_AT";

/// The environment variable that arms one point to freeze: `name:n`.
#[cfg(feature = "fault-points")]
pub const STOP_AT: &str = "DERIVED_STATSD_STOP_AT";

/// The environment variable that arms one point to panic: `name:n`.
#[cfg(feature = "fault-points")]
pub const PANIC_AT: &str = "DERIVED_STATSD_PANIC_AT";

/// The environment variable that arms one point at which the thread hangs for ten seconds: `name:n`.
#[cfg(feature = "fault-points")]
pub const HANG_AT: &str = "DERIVED_STATSD_HANG_AT";

/// The environment variable that names a safeguard to disable: `fencing` or `transactions`.
#[cfg(feature = "fault-points")]
pub const WITHOUT: &str = "DERIVED_STATSD_WITHOUT";

/// The names of all points, for tests that kill at each of them.
///
/// `*.before`: nothing is written yet. `*.mid`: written to the operating system, not yet synced to the disk, not yet
/// acknowledged. `*.after`: durable, not yet acknowledged. `restore.mid`: half of the state is read. `*.run`: the loop
/// of a thread. `transaction.*`: a commit on Kafka; `results` is `before` of a commit that has results; at `mid`
/// results and states are on the brokers; at `late` the offsets are too, and only the end of the transaction is
/// missing. `change.*`: a change of the configuration: before the new file has the name of the old one, after it, and once
/// the engine has started again. `migrate.mid`: all states are written to another log, which does not have them yet.
pub const POINTS: [&str; 23] = [
    "append.before",
    "append.mid",
    "append.after",
    "commit.before",
    "commit.mid",
    "commit.after",
    "retention.before",
    "retention.mid",
    "restore.mid",
    "change.before",
    "change.mid",
    "change.after",
    "migrate.mid",
    "transaction.before",
    "transaction.results",
    "transaction.mid",
    "transaction.late",
    "transaction.after",
    "backpressure.run",
    "contiv.run",
    "opserver.run",
    "sink.run",
    "topics.run",
];

/// Kills the process if this point is armed and was reached often enough.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_name: &str) {}

/// Kills or freezes the process, or panics, if this point is armed and was reached often enough.
#[cfg(feature = "fault-points")]
pub fn point(name: &str) {
    use rustix::process::Signal;
    debug_assert!(POINTS.contains(&name), "the failpoint {name} is not in the list");
    let [kill, stop, panic, hang] = armed();
    if panic.as_ref().is_some_and(|armed| armed.is_hit(name)) {
        panic!("the failpoint {name} is armed");
    }
    if kill.as_ref().is_some_and(|armed| armed.is_hit(name)) {
        raise(Signal::KILL);
        // The signal cannot be caught; abort is for the case that the kernel refuses it.
        std::process::abort();
    }
    if hang.as_ref().is_some_and(|armed| armed.is_hit(name)) {
        std::thread::sleep(std::time::Duration::from_secs(10));
    }
    if stop.as_ref().is_some_and(|armed| armed.is_hit(name)) {
        raise(Signal::STOP);
        // Another thread may be the one that takes the signal; until then this one must not pass the point.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// Whether a safeguard is disabled.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn is_without(_safeguard: &str) -> bool {
    false
}

/// Whether a safeguard is disabled.
#[cfg(feature = "fault-points")]
pub fn is_without(safeguard: &str) -> bool {
    std::env::var(WITHOUT).is_ok_and(|named| named == safeguard)
}

#[cfg(feature = "fault-points")]
fn raise(signal: rustix::process::Signal) {
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
}

#[cfg(feature = "fault-points")]
struct Armed {
    name: String,
    at: u64,
    hits: std::sync::atomic::AtomicU64,
}

#[cfg(feature = "fault-points")]
impl Armed {
    fn is_hit(&self, name: &str) -> bool {
        use std::sync::atomic::Ordering;
        self.name == name && self.hits.fetch_add(1, Ordering::SeqCst) + 1 == self.at
    }
}

#[cfg(feature = "fault-points")]
fn armed() -> &'static [Option<Armed>; 4] {
    static ARMED: std::sync::OnceLock<[Option<Armed>; 4]> = std::sync::OnceLock::new();
    ARMED.get_or_init(|| [KILL_AT, STOP_AT, PANIC_AT, HANG_AT].map(|variable| parse(&std::env::var(variable).ok()?)))
}

#[cfg(feature = "fault-points")]
fn parse(text: &str) -> Option<Armed> {
    let (name, at) = text.rsplit_once(':')?;
    let at = at.parse().ok().filter(|at| *at > 0)?;
    POINTS.contains(&name).then(|| Armed { name: name.to_owned(), at, hits: Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_its_own_name() {
        let mut names = POINTS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), POINTS.len());
    }

    #[test]
    fn an_unarmed_point_lets_the_process_live() {
        POINTS.iter().for_each(|name| point(name));
    }

    #[cfg(feature = "fault-points")]
    #[test]
    fn only_a_known_name_with_a_positive_count_arms_a_point() {
        assert!(parse("append.mid:2").is_some_and(|armed| armed.name == "append.mid" && armed.at == 2));
        for text in ["append.mid", "append.mid:0", "append.mid:x", "nowhere:1", ""] {
            assert!(parse(text).is_none(), "{text} armed a point");
        }
    }
}
