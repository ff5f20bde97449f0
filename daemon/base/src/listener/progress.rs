//! A connection that breaks off when its client does not read: hyper has no timeout for writes.
//!
//! Under TLS it is below the encryption: what it counts is what the network has taken.
//!
//! When it ends before a body does, the rest is read and dropped for a while (RFC 9112, 9.6): a socket that is closed
//! with unread bytes is reset, and the client may lose the response.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::requests::Requests;
use super::socket::Stream;
use super::{LINGER, LINGER_AFTER_STOP, LINGER_BYTES, MIN_PROGRESS, STALLED};

/// A stream that fails when its client takes too long to read.
pub(super) struct TimedStream {
    stream: Stream,
    requests: Arc<Requests>,
    unread: Option<Unread>,
    lingering: Option<Lingering>,
}

/// A client that has not read all that was written.
struct Unread {
    deadline: Pin<Box<Sleep>>,
    written: usize,
}

/// A connection that is closed for writes.
struct Lingering {
    deadline: Pin<Box<Sleep>>,
    left: usize,
    /// Whether the deadline is that of a stop.
    is_stop: bool,
}

impl TimedStream {
    pub(super) fn new(stream: Stream, requests: Arc<Requests>) -> Self {
        Self { stream, requests, unread: None, lingering: None }
    }

    /// Checks the outcome of a write.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some(unread) = &mut self.unread {
                    unread.written = unread.written.saturating_add(bytes);
                }
                self.unread.take_if(|unread| unread.written >= MIN_PROGRESS);
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                let begin = || Unread { deadline: Box::pin(sleep(STALLED)), written: 0 };
                let unread = self.unread.get_or_insert_with(begin);
                unread.deadline.as_mut().poll(cx).map(|()| {
                    self.requests.stall();
                    Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read the response"))
                })
            }
        }
    }
}

impl TimedStream {
    /// Reads and drops what the client sends, up to its end and the bounds.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begin = || Lingering { deadline: Box::pin(sleep(LINGER)), left: LINGER_BYTES, is_stop: false };
        let lingering = self.lingering.get_or_insert_with(begin);
        if self.requests.is_stopping() && !lingering.is_stop {
            let stop = Instant::now() + LINGER_AFTER_STOP;
            lingering.is_stop = true;
            let deadline = lingering.deadline.deadline().min(stop);
            lingering.deadline.as_mut().reset(deadline);
        }
        let mut bytes = [0; 16 * 1024];
        while lingering.left > 0 && lingering.deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            lingering.left = lingering.left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(())
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Is called when everything is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unread = None;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.requests.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.requests.is_cut() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx).map(Ok)
    }
}
