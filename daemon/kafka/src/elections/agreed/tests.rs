//! The rules, on logs that several readers read: all of it, what compaction leaves, and with delays.

use daemon_base::splitmix::{GAMMA, mix};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Random numbers, all from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0) % bound
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A topic: each record with its cluster, its value, and its time in seconds.
#[derive(Default)]
struct Log(Vec<(&'static str, Option<Entry>, u64)>);

impl Log {
    /// Appends a record; returns its offset.
    fn append(&mut self, cluster: &'static str, entry: Option<Entry>, at: u64) -> u64 {
        self.0.push((cluster, entry, at));
        self.0.len() as u64 - 1
    }

    /// Lets a reader read the records from `from` on, at a time; the records of that daemon were sent at `sent`.
    fn read(&self, reader: &mut Agreed, from: usize, now: Duration, sent: &[(usize, Duration)]) {
        for (offset, (cluster, entry, at)) in self.0.iter().enumerate().skip(from) {
            let at = (at * 1000).cast_signed();
            match entry {
                Some(entry) => {
                    let sent = sent.iter().find(|(it, _)| *it == offset).map(|(_, sent)| *sent);
                    let offset = offset as u64;
                    reader.apply(cluster, entry, Read { offset, at, now, is_of_before: false, sent });
                }
                None => reader.forget(cluster, at),
            }
        }
    }

    /// A reader of all records.
    fn reader(&self, now: Duration) -> Agreed {
        let mut reader = Agreed::new(TIMEOUT);
        self.read(&mut reader, 0, now, &[]);
        reader
    }

    /// What compaction leaves of the records up to `end`, with all that are behind it.
    fn compacted(&self, end: usize) -> impl Iterator<Item = usize> {
        (0..self.0.len()).filter(move |&offset| {
            let is_last = self.0[offset + 1..end.max(offset + 1)].iter().all(|later| later.0 != self.0[offset].0);
            offset >= end || is_last
        })
    }

    /// A reader that starts after a compaction.
    fn late_reader(&self, end: usize, now: Duration) -> Agreed {
        let mut reader = Agreed::new(TIMEOUT);
        for offset in self.compacted(end) {
            let (cluster, Some(entry), at) = &self.0[offset] else { continue };
            let at = (at * 1000).cast_signed();
            let read = Read { offset: offset as u64, at, now, is_of_before: true, sent: None };
            reader.apply(cluster, entry, read);
        }
        reader
    }
}

fn elects(replica: &str, seen: Option<u64>) -> Option<Entry> {
    Some(Entry { replica: replica.to_owned(), seen, ..Entry::default() })
}

fn lives(replica: &str, election: u64, seen: u64) -> Option<Entry> {
    Some(Entry { replica: replica.to_owned(), election: Some(election), seen: Some(seen), ..Entry::default() })
}

fn elected<'a>(reader: &'a Agreed, cluster: &str) -> Option<&'a str> {
    reader.clusters.get(cluster).map(|elected| elected.replica.as_str())
}

#[test]
fn the_first_of_the_log_is_elected_and_has_a_lease_only_where_it_was_sent() {
    let mut log = Log::default();
    log.append("eu", elects("a", None), 0);
    log.append("eu", elects("b", None), 0);
    let [mut one, mut other] = [Agreed::new(TIMEOUT), Agreed::new(TIMEOUT)];
    assert_eq!(one.standing("eu", "a", seconds(100)), Standing::Open);
    log.read(&mut one, 0, seconds(101), &[(0, seconds(100))]);
    log.read(&mut other, 0, seconds(7), &[(1, seconds(5))]);
    assert_eq!(one.standing("eu", "a", seconds(119)), Standing::Counts);
    assert_eq!(one.standing("eu", "a", seconds(120)), Standing::Open, "the lease is over");
    assert_eq!(one.standing("eu", "b", seconds(119)), Standing::LeftOut);
    assert_eq!(other.standing("eu", "a", seconds(7)), Standing::Open, "this daemon has no lease yet");
    assert_eq!(other.standing("eu", "b", seconds(7)), Standing::LeftOut);
    let entry = other.proposal("eu", "a", seconds(7)).unwrap();
    assert_eq!((entry.election, entry.seen), (Some(0), Some(0)));
    log.append("eu", Some(entry), 3);
    log.read(&mut other, 2, seconds(8), &[(2, seconds(7))]);
    assert_eq!(other.standing("eu", "a", seconds(26)), Standing::Counts);
    assert!(other.proposal("eu", "a", seconds(26)).is_none());
}

#[test]
fn another_replica_is_elected_a_timeout_after_the_last_record_was_read() {
    let mut log = Log::default();
    log.append("eu", elects("a", None), 0);
    let mut reader = log.reader(seconds(1));
    log.append("eu", lives("a", 0, 0), 5);
    log.read(&mut reader, 1, seconds(6), &[]);
    assert_eq!(reader.standing("eu", "b", seconds(35)), Standing::LeftOut);
    assert!(reader.proposal("eu", "b", seconds(35)).is_none());
    let entry = reader.proposal("eu", "b", seconds(36)).unwrap();
    assert_eq!((entry.election, entry.seen), (None, Some(1)));
    // The former one is back before the election is in the log: it is void.
    let mut beaten = Log(log.0.clone());
    beaten.append("eu", lives("a", 0, 1), 36);
    beaten.append("eu", Some(entry.clone()), 36);
    assert_eq!(elected(&beaten.reader(seconds(40)), "eu"), Some("a"));
    // It is back afterwards: its heartbeat is void.
    log.append("eu", Some(entry), 36);
    log.append("eu", lives("a", 0, 1), 36);
    let reader = log.reader(seconds(40));
    assert_eq!(elected(&reader, "eu"), Some("b"));
    assert_eq!(reader.clusters["eu"].last, 2);
    // The last lease of the former one began at 5 s.
    let former = |reader: &Agreed| ["a", "b"].map(|replica| reader.former_until_ms("eu", replica));
    assert_eq!(former(&reader), [None, Some(25_000)]);
    log.append("eu", lives("b", 2, 2), 41);
    assert_eq!(former(&log.reader(seconds(42))), [None, Some(25_000)], "it stays known");
    log.0.pop();
    // Of two that replace the same one, the first of the log does.
    log.append("eu", elects("c", Some(1)), 36);
    assert_eq!(elected(&log.reader(seconds(40)), "eu"), Some("b"));
}

/// What one daemon takes under a lease, another does not take for another replica at the same time, whatever the delays.
#[test]
fn a_lease_is_over_before_another_daemon_can_elect() {
    for delay in [0, 1, 5, 19, 25] {
        let mut log = Log::default();
        log.append("eu", elects("a", None), 0);
        let [mut one, mut other] = [Agreed::new(TIMEOUT), Agreed::new(TIMEOUT)];
        // Sent at 0, and read by both so much later.
        log.read(&mut one, 0, seconds(delay), &[(0, seconds(0))]);
        log.read(&mut other, 0, seconds(delay), &[]);
        let last = (0..200).filter(|&now| one.standing("eu", "a", seconds(now)) == Standing::Counts).max();
        let first = (0..200).find(|&now| other.standing("eu", "b", seconds(now)) == Standing::Open).unwrap();
        assert!(last.is_none_or(|last| last + 10 <= first), "{delay}: {last:?} {first}");
    }
}

#[test]
fn heartbeats_are_sent_while_samples_arrive_and_at_an_interval() {
    let mut log = Log::default();
    log.append("eu", elects("a", None), 0);
    let mut reader = Agreed::new(TIMEOUT);
    log.read(&mut reader, 0, seconds(100), &[(0, seconds(100))]);
    assert!(reader.due(seconds(110)).is_empty(), "no sample was taken");
    reader.took("eu", "b");
    assert!(reader.due(seconds(110)).is_empty(), "b is not elected");
    reader.took("eu", "a");
    assert!(reader.due(seconds(104)).is_empty(), "the election is as good");
    let due = reader.due(seconds(105));
    assert_eq!(due, [("eu".to_owned(), lives("a", 0, 0).unwrap())]);
    reader.took("eu", "a");
    assert!(reader.due(seconds(109)).is_empty());
    assert_eq!(reader.due(seconds(110)).len(), 1);
}

/// A void record is the last one that compaction leaves of a cluster: the heartbeats after it replace it.
#[test]
fn a_void_record_that_compaction_has_left_does_not_stay() {
    let mut log = Log::default();
    log.append("eu", elects("a", None), 0);
    let mut last = log.append("eu", lives("a", 0, 0), 5);
    log.append("eu", elects("b", Some(0)), 6);
    for at in [10, 15, 20] {
        last = log.append("eu", lives("a", 0, last), at);
    }
    for end in 0..=log.0.len() {
        let late = log.late_reader(end, seconds(2000));
        assert_eq!(elected(&late, "eu"), Some("a"), "compacted up to {end}");
        assert_eq!(late.clusters["eu"].last, last, "compacted up to {end}");
    }
    // With nothing after it, readers differ; the next election is valid for all, as the records are expired.
    log.0.truncate(3);
    let late = log.late_reader(3, seconds(2000));
    assert_eq!((elected(&late, "eu"), elected(&log.reader(seconds(2000)), "eu")), (Some("b"), Some("a")));
    for (mut reader, replica) in [(log.late_reader(3, seconds(0)), "b"), (log.reader(seconds(0)), "a")] {
        let entry = reader.proposal("eu", replica, seconds(700)).unwrap();
        assert_eq!(entry.election, None, "an old one is elected again");
        let mut log = Log(log.0.clone());
        log.append("eu", Some(entry), 6 + EXPIRY.as_secs());
        let next = log.append("eu", lives(replica, 3, 3), 7 + EXPIRY.as_secs());
        for reader in [log.late_reader(3, seconds(3000)), log.reader(seconds(3000))] {
            assert_eq!((elected(&reader, "eu"), reader.clusters["eu"].last), (Some(replica), next));
        }
    }
}

#[test]
fn a_daemon_that_starts_leaves_the_replica_elected_for_a_timeout() {
    let mut log = Log::default();
    log.append("eu", elects("a", None), 0);
    let mut late = log.late_reader(1, seconds(5));
    assert_eq!(late.standing("eu", "b", seconds(34)), Standing::LeftOut);
    assert_eq!(late.standing("eu", "a", seconds(34)), Standing::Open);
    assert_eq!(late.proposal("eu", "a", seconds(34)).unwrap(), elects("a", Some(0)).unwrap());
    assert_eq!(late.standing("eu", "b", seconds(35)), Standing::Open);
}

#[test]
fn the_number_of_clusters_is_limited_and_expired_ones_make_room() {
    let names: Vec<String> = (0..MAX_CLUSTERS + 1).map(|number| number.to_string()).collect();
    let mut reader = Agreed::new(TIMEOUT);
    let entry = elects("a", None).unwrap();
    let read = |at: u64, now| Read { offset: at, at: (at * 1000).cast_signed(), now, ..Read::default() };
    for name in &names {
        reader.apply(name, &entry, read(0, seconds(0)));
    }
    assert_eq!(reader.clusters.len(), MAX_CLUSTERS);
    let more = names.last().unwrap();
    for replica in ["a", "b"] {
        assert_eq!(reader.standing(more, replica, seconds(1)), Standing::Counts);
    }
    let later = EXPIRY.as_secs();
    assert_eq!(reader.standing(more, "a", EXPIRY), Standing::Open);
    reader.apply(more, &entry, read(later, EXPIRY));
    assert_eq!((reader.clusters.len(), elected(&reader, more)), (1, Some("a")));
}

#[test]
fn a_cluster_without_records_for_a_day_is_deleted_unless_it_is_back() {
    let mut log = Log::default();
    log.append("eu", elects("a", None), 0);
    let mut reader = log.reader(seconds(0));
    assert!(reader.gone(GONE - seconds(1)).is_empty());
    assert_eq!(reader.gone(GONE), ["eu"]);
    let day = GONE.as_secs();
    let mut back = Log(log.0.clone());
    back.append("eu", elects("b", None), day - 1);
    back.append("eu", None, day);
    assert_eq!(elected(&back.reader(GONE), "eu"), Some("b"), "it was back before");
    log.append("eu", None, day);
    assert_eq!(elected(&log.reader(GONE), "eu"), None);
}

/// A daemon of a simulated group: what it has read, and what it has sent that is not in the topic yet.
struct Daemon {
    agreed: Agreed,
    next: usize,
    /// The end of the topic when it began to read.
    began_at: usize,
    /// Records with the time at which they reach the topic, and that at which they were sent.
    under_way: Vec<(u64, Duration, Entry)>,
    /// When the records in the topic were sent, by offset.
    sent: HashMap<usize, Duration>,
    /// Until when it reads nothing.
    stalled_until: u64,
}

impl Daemon {
    fn start(end: usize) -> Self {
        let (under_way, sent) = (Vec::new(), HashMap::new());
        Self { agreed: Agreed::new(TIMEOUT), next: 0, began_at: end, under_way, sent, stalled_until: 0 }
    }

    /// Reads up to `most` records of what compaction has left.
    fn read(&mut self, log: &[(u64, Entry)], most: usize, now: u64) {
        for _ in 0..most {
            let Some((at, entry)) = log.get(self.next) else { return };
            let is_compacted = |later: &(u64, Entry)| later.0 + COMPACTION_LAG.as_secs() < now;
            // Compaction has passed over the records up to the last one that is old enough.
            let is_left = self.next >= self.began_at || !log[self.next + 1..].first().is_some_and(is_compacted);
            if is_left {
                let (offset, is_of_before) = (self.next as u64, self.next < self.began_at);
                let (at, sent) = ((at * 1000).cast_signed(), self.sent.get(&self.next).copied());
                self.agreed.apply("eu", entry, Read { offset, at, now: seconds(now), is_of_before, sent });
            }
            self.next += 1;
        }
    }

    /// Sends a record, which reaches the topic at once or with a delay.
    fn send(&mut self, entry: Entry, now: u64, random: &mut Random) {
        let delay = random.below(2) * random.below(25);
        self.under_way.push((now + delay, seconds(now), entry));
    }

    /// Starts again now and then, and reads most often all, and sometimes nothing for a while.
    fn live(&mut self, log: &mut Vec<(u64, Entry)>, now: u64, random: &mut Random) {
        if random.below(400) == 0 {
            *self = Self::start(log.len());
            self.read(log, usize::MAX, now);
        }
        self.arrive(log, now);
        if random.below(300) == 0 {
            self.stalled_until = now + random.below(60);
        }
        if now >= self.stalled_until {
            self.read(log, random.below(20) as usize, now);
        }
        for (_, entry) in self.agreed.due(seconds(now)) {
            self.send(entry, now, random);
        }
    }

    /// Gets a sample of a replica; returns whether it counts.
    fn take(&mut self, replica: &'static str, now: u64, random: &mut Random) -> bool {
        if self.agreed.standing("eu", replica, seconds(now)) == Standing::Counts {
            self.agreed.took("eu", replica);
            return true;
        }
        if let Some(entry) = self.agreed.proposal("eu", replica, seconds(now))
            && self.under_way.len() < 4
        {
            self.send(entry, now, random);
        }
        false
    }

    /// Appends what has arrived by now.
    fn arrive(&mut self, log: &mut Vec<(u64, Entry)>, now: u64) {
        for (_, sent, entry) in self.under_way.extract_if(.., |(at, ..)| *at <= now) {
            self.sent.insert(log.len(), sent);
            log.push((now, entry));
        }
    }
}

/// Over delays of records and readers, silences of replicas, restarts and compaction, there is no time at which two replicas
/// count, and both do in turn.
#[test]
fn at_no_time_two_replicas_count_in_a_group() {
    const REPLICAS: [&str; 2] = ["a", "b"];
    let mut changes = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let (mut log, mut daemons) = (Vec::new(), [0; 3].map(Daemon::start));
        let (mut silent_until, mut last) = ([0; 2], "");
        for now in 0..5_000 {
            for silent_until in &mut silent_until {
                if random.below(100) == 0 {
                    *silent_until = now + random.below(200) * random.below(2) * (1 + random.below(8));
                }
            }
            let mut counting = Vec::new();
            for daemon in &mut daemons {
                daemon.live(&mut log, now, &mut random);
                let counts = |it: &&str| daemon.agreed.standing("eu", it, seconds(now)) == Standing::Counts;
                counting.extend(REPLICAS.into_iter().filter(counts));
                for (replica, silent_until) in REPLICAS.into_iter().zip(silent_until) {
                    let sends = now >= silent_until && random.below(3) == 0;
                    if sends && daemon.take(replica, now, &mut random) {
                        changes += u64::from(std::mem::replace(&mut last, replica) != replica);
                    }
                }
            }
            assert!(counting.iter().all(|it| *it == counting[0]), "{seed} {now}: {counting:?}");
        }
    }
    assert!(changes > 600, "{changes} changes of the replica that counts");
}
