//! The queue of lines to one client, bounded in lines and in bytes.

use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

/// The bytes of the lines that wait for one client. A longer line waits alone.
const QUEUE_BYTES: u32 = 1024 * 1024;

/// The end of a queue that lines are added to.
#[derive(Debug)]
pub(super) struct LineQueue<T> {
    sender: Sender<(T, OwnedSemaphorePermit)>,
    /// The bytes that are free.
    free: Arc<Semaphore>,
}

impl<T> Clone for LineQueue<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), free: Arc::clone(&self.free) }
    }
}

/// A queue of at most so many lines, and what the client takes from it.
pub(super) fn line_queue<T>(lines: usize) -> (LineQueue<T>, impl Stream<Item = T> + use<T>) {
    let (sender, receiver): (_, Receiver<(T, OwnedSemaphorePermit)>) = mpsc::channel(lines);
    let queue = LineQueue { sender, free: Arc::new(Semaphore::new(QUEUE_BYTES as usize)) };
    (queue, ReceiverStream::new(receiver).map(|(line, _)| line))
}

/// The bytes that a line takes in the queue.
fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(QUEUE_BYTES).min(QUEUE_BYTES)
}

impl<T> LineQueue<T> {
    /// Waits for room for a line of so many bytes and adds it; `None` if the client disconnected.
    pub(super) async fn send(&self, bytes: usize, line: impl FnOnce() -> T) -> Option<()> {
        let permit = Arc::clone(&self.free).acquire_many_owned(weight(bytes)).await.ok()?;
        self.sender.send((line(), permit)).await.ok()
    }

    /// Adds a line of so many bytes; `false` if it has no room or the client disconnected.
    pub(super) fn try_send(&self, bytes: usize, line: impl FnOnce() -> T) -> bool {
        let (Ok(slot), Ok(permit)) =
            (self.sender.try_reserve(), Arc::clone(&self.free).try_acquire_many_owned(weight(bytes)))
        else {
            return false;
        };
        slot.send((line(), permit));
        true
    }

    /// Whether no line has room, however short it is.
    pub(super) fn is_full(&self) -> bool {
        self.sender.capacity() == 0 || self.free.available_permits() == 0
    }

    /// Waits until the client disconnected.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const LINE: usize = 100_000;

    #[test]
    fn the_lines_that_wait_are_bounded_in_bytes_and_in_number() {
        let (queue, lines) = line_queue(256);
        let mut lines = pin!(lines);
        let mut context = Context::from_waker(Waker::noop());
        let mut next = || match lines.as_mut().poll_next(&mut context) {
            Poll::Ready(line) => line,
            Poll::Pending => None,
        };
        let fill = |bytes| (0..1000).take_while(|_| queue.try_send(bytes, || vec![0_u8; bytes])).count();
        assert_eq!(fill(LINE), 10, "a MiB has room for ten lines of 100 kB");
        let waiting: usize = std::iter::from_fn(&mut next).map(|line| line.len()).sum();
        assert_eq!(waiting, 10 * LINE);
        assert_eq!(fill(10), 256);
        assert_eq!(std::iter::from_fn(&mut next).count(), 256);
        assert_eq!(fill(3 << 20), 1, "a line above the bound waits alone");
        assert!(!queue.try_send(1, || vec![0]));
        assert_eq!(next().map(|line| line.len()), Some(3 << 20));
        assert!(queue.try_send(1, || vec![0]));
    }

    #[test]
    fn a_sender_waits_for_the_bytes_of_a_client_that_does_not_read() {
        let (queue, lines) = line_queue(256);
        let mut lines = Box::pin(lines);
        let mut context = Context::from_waker(Waker::noop());
        (0..10).for_each(|line| assert!(queue.try_send(LINE, || line)));
        let mut waiting = pin!(queue.send(LINE, || 10));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(lines.as_mut().poll_next(&mut context), Poll::Ready(Some(0)));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(Some(())));
        let mut waiting = pin!(queue.send(LINE, || 11));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        drop(lines);
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(None), "the client is gone");
    }
}
