//! Bodies of responses in chunks, with a permit that is held until the client has taken them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use daemon_base::listener::STALLED;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

/// The bytes from which on a chunk is complete. A chunk of a list is larger by at most one entry.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// A body that is there as a whole.
pub(super) fn whole(body: Vec<u8>, permit: impl Send + 'static) -> Body {
    let mut rest = Bytes::from(body);
    let next = move || {
        let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
        (!chunk.is_empty()).then_some(chunk)
    };
    stream(next, permit)
}

/// A body of the chunks of `next`, which makes each one when the client has taken the one before.
///
/// A client that takes none for [`STALLED`] loses the permit and the connection.
pub(super) fn stream<C: Into<Bytes> + Send + 'static>(
    mut next: impl FnMut() -> Option<C> + Send + 'static,
    permit: impl Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let is_cut = Arc::new(AtomicBool::new(false));
    let of_body = Arc::clone(&is_cut);
    tokio::spawn(async move {
        let _held = permit;
        loop {
            let slot = match timeout(STALLED, sender.reserve()).await {
                Ok(Ok(slot)) => slot,
                Ok(Err(_)) => return debug!("A client left before the end of its response."),
                Err(_) => return cut(&sender, &is_cut),
            };
            let made = tokio::task::spawn_blocking(move || {
                let chunk = next();
                (next, chunk)
            });
            match made.await {
                Ok((_, None)) => return,
                Ok((rest, Some(chunk))) => {
                    next = rest;
                    slot.send(Ok(chunk));
                }
                Err(error) => return slot.send(Err(io::Error::other(error))),
            }
        }
    });
    let chunks = ReceiverStream::new(receiver);
    Body::from_stream(chunks.map(move |chunk| if of_body.load(Ordering::Acquire) { Err(stalled()) } else { chunk }))
}

/// Makes the body end in an error, so that the client does not take the part for the whole.
fn cut<C>(sender: &mpsc::Sender<io::Result<C>>, is_cut: &AtomicBool) {
    warn!("A client has not read its response for a minute; the response is cut off.");
    // The chunk that waits in the channel becomes the error; if it was taken just now, the error takes its place.
    is_cut.store(true, Ordering::Release);
    if let Ok(slot) = sender.try_reserve() {
        slot.send(Err(stalled()));
    }
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client did not read its response")
}
