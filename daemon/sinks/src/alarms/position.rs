//! The stored position of a sink of alarms.

use daemon_log::SinkPosition;

/// The most held alerts that are stored: 32 KiB. A start takes further ones as sent, and sends them without waiting.
const MAX_HELD: usize = 4096;

/// Where a sink goes on.
///
/// ```text
/// detail := (oldest:u64 held:u64*)?          little-endian; empty until a new sink has sent what fires
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Position {
    /// The first offset whose changes are not sent.
    pub next: u64,
    /// The offset of the oldest row of an alarm that fires; `None` for a new sink.
    pub oldest: Option<u64>,
    /// What the notifier holds back.
    pub held: Vec<u64>,
}

impl Position {
    pub(super) fn new(next: u64, oldest: Option<u64>, held: &[u64]) -> Self {
        Self { next, oldest, held: held.iter().copied().take(MAX_HELD).collect() }
    }
}

impl From<SinkPosition> for Position {
    fn from(SinkPosition { next, detail }: SinkPosition) -> Self {
        let mut numbers = detail.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        Self { next, oldest: numbers.next(), held: numbers.collect() }
    }
}

impl From<&Position> for SinkPosition {
    fn from(position: &Position) -> Self {
        let numbers = position.oldest.into_iter().chain(position.held.iter().copied());
        Self { next: position.next, detail: numbers.flat_map(u64::to_le_bytes).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_also_one_without_held_alerts() {
        for position in
            [Position::new(7, None, &[]), Position::new(7, Some(3), &[]), Position::new(7, Some(3), &[9, 8])]
        {
            assert_eq!(Position::from(SinkPosition::from(&position)), position);
        }
        // As earlier builds wrote it.
        let earlier = SinkPosition { next: 7, detail: 3_u64.to_le_bytes().to_vec() };
        assert_eq!(Position::from(earlier), Position::new(7, Some(3), &[]));
        assert_eq!(Position::new(7, Some(3), &vec![1; MAX_HELD + 1]).held.len(), MAX_HELD);
    }
}
