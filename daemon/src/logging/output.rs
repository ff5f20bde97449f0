//! Where messages are written: an output that never fails.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_appender::non_blocking::ErrorCounter;

/// Messages that could not be written.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);

/// Counts the messages that found the queue full.
static UNQUEUED: OnceLock<ErrorCounter> = OnceLock::new();

/// Messages that were dropped since the start: not written, or not even queued.
pub(crate) fn dropped() -> u64 {
    let unqueued = UNQUEUED.get().map_or(0, |counter| counter.dropped_lines() as u64);
    UNWRITTEN.load(Ordering::Relaxed) + unqueued
}

pub(super) fn count_unqueued(counter: ErrorCounter) {
    // A second subscriber of one process does not get here: the first one stays.
    let _ = UNQUEUED.set(counter);
}

/// An output that drops what it cannot write, and says so in the first line after it.
pub(super) struct Output<W> {
    inner: W,
    /// Messages that are lost since the last one that was written.
    lost: u64,
}

impl<W: Write> Output<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, lost: 0 }
    }

    fn try_write(&mut self, message: &[u8]) -> io::Result<()> {
        if self.lost > 0 {
            let lost = self.lost;
            writeln!(self.inner, "({lost} messages could not be written here)")?;
            self.lost = 0;
        }
        self.inner.write_all(message)
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        if self.try_write(message).is_err() {
            self.lost += 1;
            UNWRITTEN.fetch_add(1, Ordering::Relaxed);
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.inner.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Disk {
        room: usize,
        text: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.text.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    /// An output that is stuck until its other end is dropped.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_is_stuck_holds_nobody_up_and_counts_what_does_not_fit_the_queue() {
        let (free, stuck) = std::sync::mpsc::channel();
        let builder = tracing_appender::non_blocking::NonBlockingBuilder::default().lossy(true).buffered_lines_limit(4);
        let (mut writer, guard) = builder.finish(Output::new(Stuck(stuck)));
        for _ in 0..100 {
            writer.write_all(b"message\n").unwrap();
        }
        let dropped = writer.error_counter().dropped_lines();
        assert!((95..=96).contains(&dropped), "one is being written, four wait: {dropped}");
        // It waits for a moment, and no longer.
        drop(guard);
        drop(free);
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_said_once_there_is_room() {
        let mut output = Output::new(Disk { room: 6, text: Vec::new() });
        let before = dropped();
        for message in ["first\n", "second\n", "third\n"] {
            assert_eq!(output.write(message.as_bytes()).unwrap(), message.len());
        }
        output.flush().unwrap();
        assert_eq!(dropped() - before, 2);
        output.inner.room = 1000;
        output.write_all(b"fourth\n").unwrap();
        let text = String::from_utf8(output.inner.text).unwrap();
        assert_eq!(text, "first\n(2 messages could not be written here)\nfourth\n");
    }
}
