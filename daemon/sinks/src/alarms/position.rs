//! The stored position of a sink of alarms.

use anyhow::Context as _;
use daemon_log::{Log, LogError, SinkPosition};

use super::AlarmSink;

/// The most bytes of the detail of a position, unless the log takes fewer: 4,096 alerts.
pub(super) const DETAIL_BYTES: usize = 8 + 4096 * 8;

/// The beginning of a word whose last byte has the length of the digests after it.
const SHORT: [u8; 7] = [0xff; 7];

/// The alerts that a notifier holds back, by whole digests if there is room, or else by their first bytes. A start
/// takes those for which there was no room as sent, and sends them without waiting.
///
/// ```text
/// held := digest:u64* | 0xff[7] length:u8 (digest:u8[length])*          little-endian
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Held {
    digests: Vec<u64>,
    /// The bytes of a digest.
    length: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self { digests: Vec::new(), length: 8 }
    }
}

impl Held {
    /// As many of these digests as fit into so many bytes. Digests of three bytes take one sent alert of 25,000 for one
    /// that is held if 677 are: it then waits once more.
    pub(super) fn within(bytes: usize, digests: &[u64]) -> Self {
        let fit = |length: usize| if length == 8 { bytes / 8 } else { bytes.saturating_sub(8) / length };
        let length = [8, 4].into_iter().find(|length| digests.len() <= fit(*length)).unwrap_or(3);
        let digests: Vec<_> = digests.iter().take(fit(length)).map(|digest| first_bytes(*digest, length)).collect();
        if digests.is_empty() { Self::default() } else { Self { digests, length } }
    }

    pub(super) fn contains(&self, digest: u64) -> bool {
        self.digests.contains(&first_bytes(digest, self.length))
    }

    pub(super) fn len(&self) -> usize {
        self.digests.len()
    }

    fn encode(&self) -> impl Iterator<Item = u8> {
        let length = u8::try_from(self.length).unwrap_or(8);
        let header = (length < 8).then(|| SHORT.into_iter().chain([length]));
        let digests = self.digests.iter().flat_map(move |digest| digest.to_le_bytes().into_iter().take(length.into()));
        header.into_iter().flatten().chain(digests)
    }

    fn decode(bytes: &[u8]) -> Self {
        let (length, bytes) = match bytes.split_first_chunk::<8>() {
            Some(([short @ .., length], rest)) if *short == SHORT => (usize::from(*length).clamp(1, 8), rest),
            _ => (8, bytes),
        };
        let number = |digest: &[u8]| digest.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Self { digests: bytes.chunks_exact(length).map(number).collect(), length }
    }
}

fn first_bytes(digest: u64, length: usize) -> u64 {
    digest & u64::MAX.checked_shr(u32::try_from(8 * (8 - length)).unwrap_or(0)).unwrap_or(0)
}

/// Where a sink goes on.
///
/// ```text
/// detail := (oldest:u64 held)?          little-endian; empty until a new sink has sent what fires
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Position {
    /// The first offset whose changes are not sent.
    pub next: u64,
    /// The offset of the oldest row of an alarm that fires; `None` for a new sink.
    pub oldest: Option<u64>,
    /// What the notifier holds back.
    pub held: Held,
}

impl From<SinkPosition> for Position {
    fn from(SinkPosition { next, detail }: SinkPosition) -> Self {
        let Some((oldest, held)) = detail.split_first_chunk() else { return Self { next, ..Self::default() } };
        Self { next, oldest: Some(u64::from_le_bytes(*oldest)), held: Held::decode(held) }
    }
}

impl From<&Position> for SinkPosition {
    fn from(position: &Position) -> Self {
        let Some(oldest) = position.oldest else { return Self { next: position.next, detail: Vec::new() } };
        Self { next: position.next, detail: oldest.to_le_bytes().into_iter().chain(position.held.encode()).collect() }
    }
}

impl AlarmSink {
    /// Stores how far changes are sent. That a log takes no such position is a problem to be shown and does not hold up
    /// the sink: what it sends is more than what a start remembers.
    pub(super) fn store(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        let stored = self.store_what_fits(log);
        let problem = match &stored {
            Ok(problem) => problem.clone(),
            Err(error) => Some(format!("{error:#}")),
        };
        if problem != self.store_problem {
            self.store_problem = problem;
            self.telemetry.set_problem(self.notifier.name(), self.partial_problem());
        }
        stored.map(drop)
    }

    /// Why receivers do not get, or a start does not remember, a part of the alarms that others have.
    pub(super) fn partial_problem(&self) -> Option<String> {
        self.notifier.problem().map(str::to_owned).or_else(|| self.store_problem.clone())
    }

    /// Stores as many held alerts as the log takes; returns what a start will not remember.
    fn store_what_fits(&mut self, log: &dyn Log) -> anyhow::Result<Option<String>> {
        let oldest = Some(self.tracker.oldest().unwrap_or(self.sent_to));
        loop {
            let all = self.notifier.held();
            let held = Held::within(self.detail_bytes.saturating_sub(8), all);
            let left_out = all.len() - held.len();
            let position = Position { next: self.sent_to, oldest, held };
            let bytes = SinkPosition::from(&position).detail.len();
            match self.set_position(log, position) {
                Err(LogError::InvalidArgument { .. }) if bytes > 8 => self.detail_bytes = bytes.next_power_of_two() / 2,
                Err(LogError::InvalidArgument { reason }) => return Ok(Some(reason)),
                Err(error) => {
                    let context = || format!("store the position of the sink {}", self.notifier.name());
                    return Err(error).with_context(context);
                }
                Ok(()) if left_out == 0 => return Ok(None),
                Ok(()) => {
                    return Ok(Some(format!(
                        "a restart sends {left_out} of the alerts that wait at once, as the position of the sink has \
                         no room for them; on Kafka raise offset.metadata.max.bytes of the brokers"
                    )));
                }
            }
        }
    }

    pub(super) fn set_position(&mut self, log: &dyn Log, position: Position) -> Result<(), LogError> {
        if self.stored.as_ref() != Some(&position) {
            log.set_sink_position(self.notifier.name(), SinkPosition::from(&position))?;
            self.stored = Some(position);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(oldest: Option<u64>, held: Held) -> Position {
        Position { next: 7, oldest, held }
    }

    #[test]
    fn a_position_is_read_as_it_was_written_also_one_without_held_alerts() {
        let digests: Vec<u64> = (1..=1000).map(|number| number * 0x1234_5678_9abc).collect();
        for held in [&[][..], &[9, 8], &digests[..254], &digests[..500], &digests] {
            let held = Held::within(2040, held);
            let position = position(Some(3), held);
            let stored = SinkPosition::from(&position);
            assert!(stored.detail.len() <= 2048, "{}", stored.detail.len());
            assert_eq!(Position::from(stored), position);
        }
        let new = position(None, Held::default());
        assert_eq!(Position::from(SinkPosition::from(&new)), new);
        // As earlier builds wrote it.
        let earlier = SinkPosition { next: 7, detail: [3_u64, 9, 8].map(u64::to_le_bytes).concat() };
        assert_eq!(Position::from(earlier), position(Some(3), Held::within(16, &[9, 8])));
    }

    #[test]
    fn what_does_not_fit_as_a_whole_is_shortened_then_left_out_and_all_that_is_there_is_known_again() {
        let digests: Vec<u64> = (1..=1000).map(|number| number * 0x1234_5678_9abc).collect();
        for (bytes, length, held) in [(8000, 8, 1000), (4008, 4, 1000), (3008, 3, 1000), (2040, 3, 677), (10, 8, 0)] {
            let found = Held::within(bytes, &digests);
            assert_eq!((found.length, found.len()), (length, held), "{bytes}");
            assert!(digests[..held].iter().all(|digest| found.contains(*digest)));
            assert!(!found.contains(u64::MAX - 7), "{bytes}");
        }
        assert_eq!(Held::within(DETAIL_BYTES, &vec![1; 4096]).length, 8);
    }
}
