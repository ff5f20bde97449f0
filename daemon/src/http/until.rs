//! A body that ends when something else does.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};

/// The body up to the end of a future.
pub(super) fn ended(body: Body, end: impl Future<Output = ()> + Send + 'static) -> Body {
    Body::new(Until { body, end: Some(Box::pin(end)) })
}

struct Until {
    body: Body,
    /// `None` once it has come.
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl HttpBody for Until {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let has_ended = match &mut self.end {
            None => true,
            Some(end) => end.as_mut().poll(cx).is_ready(),
        };
        if has_ended {
            self.end = None;
            // What is behind the body is free at once.
            self.body = Body::empty();
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}
