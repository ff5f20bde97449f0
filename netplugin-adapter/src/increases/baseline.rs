//! One entry's readings over time: which counter of the switch a reading shows, and what it adds.
//!
//! An entry is one counter of the switch for a service with one port. With more ports Netplugin shows the counter of
//! the flow that it read last, now of one port and then of another. So an entry has *tracks*: a track is the readings
//! of one counter, with the port that came with them. The rules are in [`super`].

use std::cmp::Reverse;

use crate::stats::{Counters, Form, Port, Reading};

/// How many tracks an entry has at most; beyond, the one that was seen least recently is dropped.
pub(super) const MAX_TRACKS: usize = 8;

/// How many times the highest rate that was observed is plausible: a window of the usual traffic may be twice another,
/// and what is more is rather a counter of another age.
pub(super) const PLAUSIBLE_FACTOR: u128 = 2;

pub(super) const SECOND: u128 = 1_000_000;

/// The readings of one counter of the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) counters: Counters,
    pub(super) port: Port,
    /// The form of its service.
    pub(super) form: Form,
    /// The time of the last scrape that showed it.
    pub(super) seen: u64,
    /// The rate of its last rise, in bytes and packets together, a second; 0 before the first.
    pub(super) rise: u64,
    /// Whether that was a jump since its last reading, which may be another counter's.
    pub(super) is_jump: bool,
    /// Whether a reset was taken for its end.
    pub(super) is_ended: bool,
}

/// The tracks of an entry, and what is known of its rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Baseline {
    /// The track that was seen last.
    pub(super) last: Track,
    /// The others, the one that was seen last first.
    pub(super) others: Box<[Track]>,
    /// The time of the last scrape that added something or began a track.
    pub(super) changed: u64,
    /// The highest rate of a rise, in bytes and packets together, a second.
    pub(super) rate: u64,
}

/// An entry after a reading.
pub(super) struct Next {
    pub(super) entry: Baseline,
    /// What the reading adds.
    pub(super) added: Counters,
    /// The rates of the counter's last two rises, if the reading is one; else zeros.
    pub(super) rates: [u64; 2],
}

/// A track that a reading may continue.
#[derive(Clone, Copy)]
struct Rise {
    index: usize,
    counters: Counters,
    is_plausible: bool,
}

/// What a reading is taken for.
enum Found {
    /// The next reading of the base track, which rose more than is plausible.
    Jump(Rise),
    /// The next reading of a track.
    Next(Rise),
    /// A counter that began at zero since the last reading.
    Reset,
    /// A counter of unknown age.
    Unknown,
}

impl Track {
    fn new(reading: Reading, seen: u64) -> Self {
        let Reading { counters, port, form } = reading;
        Self { counters, port, form, seen, rise: 0, is_jump: false, is_ended: false }
    }

    /// Returns the rate of its last rise if that was a jump; else 0.
    fn jump(&self) -> u64 {
        if self.is_jump { self.rise } else { 0 }
    }

    /// Sets the rate of a rise from `before`. Returns the rates of the last two rises; zeros if this is none.
    fn set_rise(&mut self, before: &Self, rise: Counters) -> [u64; 2] {
        if rise == Counters::default() {
            self.rise = before.rise;
            return [0; 2];
        }
        self.rise = per_second(rise, self.seen.saturating_sub(before.seen));
        [before.rise, self.rise]
    }
}

impl Baseline {
    /// Begins with the first reading of an entry.
    pub(super) fn new(reading: Reading, at: u64) -> Self {
        Self { last: Track::new(reading, at), others: Box::default(), changed: at, rate: 0 }
    }

    /// Returns the entry after a reading of other counters, of which it has the rate.
    pub(super) fn restarted(&self, reading: Reading, at: u64) -> Self {
        Self { rate: self.rate, ..Self::new(reading, at) }
    }

    /// Returns the entry after a reading at `at`. Tracks that were not seen for `forget_after` are dropped.
    pub(super) fn next(&self, reading: Reading, at: u64, forget_after: u64) -> Next {
        if let Some(continued) = self.continued(reading, at) {
            return continued;
        }
        let mut tracks: Vec<Track> = self.tracks().copied().collect();
        let base = tracks.iter().position(|track| track.port.matches(reading.port));
        let start = || self.restarted(reading, at);
        let (mut next, mut others) = match self.find(&tracks, base, reading, at) {
            Found::Reset => (start().after_reset(&mut tracks, base).adds(reading.counters, [0; 2]), tracks),
            Found::Unknown => (start().adds(Counters::default(), [0; 2]), tracks),
            Found::Next(rise) => self.risen(tracks, rise, start(), false),
            Found::Jump(rise) => self.risen(tracks, rise, start(), true),
        };
        others.retain(|other| at.saturating_sub(other.seen) < forget_after);
        others.sort_by_key(|other| Reverse(other.seen));
        others.truncate(MAX_TRACKS - 1);
        next.entry.others = others.into();
        next
    }

    fn adds(self, added: Counters, rates: [u64; 2]) -> Next {
        Next { entry: self, added, rates }
    }

    /// Returns the same for the next reading of an entry's only counter, which is the usual case; `None` for any other.
    fn continued(&self, reading: Reading, at: u64) -> Option<Next> {
        let Track { counters, port, seen, .. } = self.last;
        let jump = self.last.jump();
        // A jump is settled with the track that it rose from.
        let origins = usize::from(jump > 0);
        let is_origin = |other: &Track| other.port.matches(reading.port) && counters.minus(other.counters).is_some();
        let is_usual = self.others.len() == origins && self.others.iter().all(is_origin);
        let rise = reading.counters.minus(counters).filter(|_| is_usual && port.matches(reading.port))?;
        let (elapsed, before) = (at.saturating_sub(seen), self.rate.max(jump));
        let changed = if rise == Counters::default() { self.changed } else { at };
        let mut next = Self { last: Track::new(reading, at), others: Box::default(), changed, rate: before };
        let rates = next.last.set_rise(&self.last, rise);
        if is_plausible(rise, before, elapsed) {
            next.rate = before.max(rates[1]);
        } else if jump == 0 {
            next.last.is_jump = true;
            next.others = Box::new([self.last]);
        } else {
            return None;
        }
        Some(next.adds(rise, rates))
    }

    /// Returns this new entry after a reset of the base track, of which it has the rate.
    fn after_reset(self, tracks: &mut Vec<Track>, base: Option<usize>) -> Self {
        let Some(base) = base else { return self };
        let (jump, origin) = settle_jumps(tracks, base);
        tracks[base].is_ended = true;
        if let Some(origin) = origin {
            tracks.remove(origin);
        }
        Self { rate: self.rate.max(jump), ..self }
    }

    /// Returns the entry `next` after a rise, and its other tracks. After a jump the track that rose stays among them:
    /// the reading may be another counter's.
    fn risen(&self, mut tracks: Vec<Track>, rise: Rise, mut next: Self, is_jump: bool) -> (Next, Vec<Track>) {
        let before = tracks[rise.index];
        let now = next.last;
        let rates = next.last.set_rise(&before, rise.counters);
        let (jump, origin) = settle_jumps(&mut tracks, rise.index);
        next.rate = self.rate.max(jump);
        next.last.is_jump = is_jump;
        if !is_jump {
            next.rate = next.rate.max(rates[1]);
        }
        if rise.counters == Counters::default() {
            next.changed = self.changed;
        }
        let is_kept = |index: usize, other: &Track| {
            Some(index) != origin && (is_jump || (index != rise.index && !is_passed(other, &before, &now)))
        };
        let kept = tracks.iter().enumerate().filter(|(index, other)| is_kept(*index, other));
        let kept = kept.map(|(_, other)| *other).collect();
        (next.adds(rise.counters, rates), kept)
    }

    /// Returns all tracks, the one that was seen last first.
    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        std::iter::once(&self.last).chain(&self.others)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Track>() * self.others.len()
    }

    /// Finds what a reading is; `base` is the newest track with its port.
    fn find(&self, tracks: &[Track], base: Option<usize>, reading: Reading, at: u64) -> Found {
        let rises = tracks.iter().enumerate().filter(|(_, track)| track.port.matches(reading.port));
        let rises = rises.filter_map(|(index, track)| {
            let counters = reading.counters.minus(track.counters)?;
            let is_plausible = is_plausible(counters, self.rate.max(track.jump()), at.saturating_sub(track.seen));
            Some(Rise { index, counters, is_plausible })
        });
        let rises: Vec<_> = rises.collect();
        match rises.iter().copied().find(|rise| Some(rise.index) == base) {
            Some(of_base) if of_base.is_plausible => Found::Next(of_base),
            Some(of_base) => {
                let total = of_base.counters.total();
                let is_closer =
                    |rise: &Rise| rise.counters.total() < total && (rise.is_plausible || is_near(rise, reading));
                let best = rises.into_iter().filter(is_closer).min_by_key(|rise| rise.counters.total());
                best.map_or(Found::Jump(of_base), Found::Next)
            }
            None => self.find_fallen(tracks, &rises, reading, at),
        }
    }

    /// Finds what a reading below the base track is. `rises` are the tracks that it may continue.
    fn find_fallen(&self, tracks: &[Track], rises: &[Rise], reading: Reading, at: u64) -> Found {
        let closest = |is_ended: bool| {
            let rises = rises.iter().filter(|rise| tracks[rise.index].is_ended == is_ended);
            rises.copied().min_by_key(|rise| rise.counters.total())
        };
        let (live, ended) = (closest(false), closest(true));
        let is_continued = |rise: &Rise| rise.is_plausible || (self.rate == 0 && is_near(rise, reading));
        if let Some(live) = live.filter(is_continued) {
            return Found::Next(live);
        }
        let highest = if self.rate == 0 { self.last.jump() } else { self.rate };
        if is_plausible(reading.counters, highest, at.saturating_sub(self.last.seen)) {
            return Found::Reset;
        }
        let near = live.into_iter().chain(ended).find(|rise| is_near(rise, reading));
        near.map_or(Found::Unknown, Found::Next)
    }
}

/// Whether a reading is nearer to the track that it may continue than to zero.
fn is_near(rise: &Rise, reading: Reading) -> bool {
    rise.counters.total() <= reading.counters.total() / 2
}

/// Settles the jumps of tracks when the one at `index` is continued: that of this track was its own, and that of a
/// track which rose from this one was not. Returns the rate of the former, and the track that it rose from: the same
/// counter.
fn settle_jumps(tracks: &mut [Track], index: usize) -> (u64, Option<usize>) {
    for other in 0..tracks.len() {
        if other != index && tracks[other].is_jump && origin(tracks, other) == Some(index) {
            (tracks[other].rise, tracks[other].is_jump) = (0, false);
        }
    }
    if !std::mem::take(&mut tracks[index].is_jump) {
        return (0, None);
    }
    (tracks[index].rise, origin(tracks, index))
}

/// Returns the track from which the one at `index` jumped: the next one below it.
fn origin(tracks: &[Track], index: usize) -> Option<usize> {
    let jumped = tracks[index];
    let below = tracks.iter().enumerate().filter(|(at, track)| *at != index && track.port.matches(jumped.port));
    let below = below.filter_map(|(at, track)| Some((jumped.counters.minus(track.counters)?.total(), at)));
    below.min().map(|(_, at)| at)
}

/// Whether a track rose from below another one to above it: the other is not a counter that goes on by itself.
fn is_passed(other: &Track, before: &Track, now: &Track) -> bool {
    other.port.matches(now.port)
        && before.counters.minus(other.counters).is_none()
        && now.counters.minus(other.counters).is_some()
}

fn per_second(rise: Counters, elapsed: u64) -> u64 {
    let rate = (rise.total() * SECOND).div_ceil(u128::from(elapsed.max(1)));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Whether a counter may have risen so much in `elapsed` microseconds, if `rate` a second is the highest that is known.
fn is_plausible(rise: Counters, rate: u64, elapsed: u64) -> bool {
    let most = u128::from(rate).saturating_mul(u128::from(elapsed)).saturating_mul(PLAUSIBLE_FACTOR);
    rise.total() * SECOND <= most
}
