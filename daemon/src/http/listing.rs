//! Lists of objects, of any length, in bounded memory.
//!
//! A list is made in chunks while its client reads it, on the blocking pool, so that neither long lists nor slow
//! clients hold up other requests. [`HttpSettings::max_readers`](super::HttpSettings) limits the lists under way, of
//! which a client has half at most; further requests get 429. With a limit, the response is one page, and its `Link`
//! header (RFC 8288) leads to the next one.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use daemon_base::listener::Client;
use daemon_base::outbound::{RESERVED_BUT_COLON, percent_encoded};
use percent_encoding::NON_ALPHANUMERIC;
use serde::Serialize;

use crate::http::chunks::{CHUNK_BYTES, stream};
use crate::http::{Shared, problem};
use daemon_view::{Names, UveDocument, UveView, Walk};

/// The chunks from which on a page is complete, whatever its limit: 1 MiB.
const PAGE_CHUNKS: usize = 64;

/// The slices of the view for a chunk: a filter that few objects pass gives small chunks.
const CHUNK_SLICES: usize = 64;

/// What a list shows of each object.
pub(super) enum Form {
    /// A link to the list of a type; the list is an array. Holds what precedes the type in the link.
    Types(String),
    /// A link to the object; the list is an array. Holds what precedes and what follows the name in the link.
    Links(String, String),
    /// The structures of the object; the list is the `value` of a JSON object, as in Contrail.
    Structures,
}

/// The part of a list that a request selects.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// The most objects of the response.
    pub limit: Option<usize>,
    /// The name after which the response begins.
    pub after: Option<String>,
    /// Contrail's filters, as the request has them: of structures and of names.
    pub cfilt: String,
    pub kfilt: Option<Vec<String>>,
    /// The name of one object.
    pub name: Option<String>,
}

impl Selection {
    /// The names that begin with `prefix` and pass the filter.
    pub(super) fn names(&self, prefix: &str) -> Names {
        match &self.kfilt {
            Some(kfilt) => Names::of(prefix, kfilt.iter().map(String::as_str)),
            None => Names::with_prefix(prefix),
        }
    }
}

/// A list that is being made.
pub(super) struct Listing {
    view: Arc<UveView>,
    walk: Walk,
    form: Form,
    /// How many more objects the list may have.
    left: usize,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq)]
enum Progress {
    Start,
    /// No object is written yet.
    Empty,
    Rest,
    End,
}

/// A list's entry with a link.
#[derive(Serialize)]
struct Link<'l> {
    href: String,
    name: &'l str,
}

/// A list's entry with structures.
#[derive(Serialize)]
struct Named<'l> {
    name: &'l str,
    value: &'l UveDocument,
}

impl Listing {
    pub(super) fn new(view: Arc<UveView>, walk: Walk, form: Form) -> Self {
        Self { view, walk, form, left: usize::MAX, progress: Progress::Start }
    }

    /// The next chunk; `None` at the end.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self.progress {
            Progress::Start => {
                self.progress = Progress::Empty;
                out.extend_from_slice(if self.is_object() { b"{\"value\":[" } else { b"[" });
            }
            Progress::Empty | Progress::Rest => {}
            Progress::End => return None,
        }
        for _ in 0..CHUNK_SLICES {
            if out.len() >= CHUNK_BYTES || self.is_complete() {
                break;
            }
            self.slice(&mut out);
        }
        if self.is_complete() {
            self.finish(&mut out);
        }
        Some(out)
    }

    fn is_object(&self) -> bool {
        matches!(self.form, Form::Structures)
    }

    fn is_complete(&self) -> bool {
        self.walk.is_done() || self.left == 0
    }

    fn slice(&mut self, out: &mut Vec<u8>) {
        let Self { view, walk, form, left, progress } = self;
        view.slice(walk, |name, document| {
            if *progress == Progress::Rest {
                out.push(b',');
            }
            *progress = Progress::Rest;
            *left -= 1;
            // The serialization of plain data into memory cannot fail.
            let _ = match form {
                Form::Types(base) => {
                    let name = format!("{name}s");
                    let href = format!("{base}{}", percent_encoded(&name, RESERVED_BUT_COLON));
                    serde_json::to_writer(&mut *out, &Link { href, name: &name })
                }
                Form::Links(base, query) => {
                    let href = link(base, name, query);
                    serde_json::to_writer(&mut *out, &Link { href, name })
                }
                Form::Structures => serde_json::to_writer(&mut *out, &Named { name, value: document }),
            };
            *left > 0 && out.len() < CHUNK_BYTES
        });
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.progress = Progress::End;
        out.extend_from_slice(if self.is_object() { b"]}" } else { b"]" });
    }

    /// One page of at most `limit` objects, and the name to continue after if there may be more.
    fn page(mut self, limit: usize) -> (Vec<Vec<u8>>, Option<String>) {
        self.left = limit;
        let mut chunks = Vec::new();
        while let Some(chunk) = self.chunk() {
            chunks.push(chunk);
            if chunks.len() == PAGE_CHUNKS && self.progress != Progress::End {
                let mut tail = Vec::new();
                self.finish(&mut tail);
                chunks.push(tail);
            }
        }
        let last = self.walk.last().filter(|_| !self.walk.is_done()).map(str::to_owned);
        (chunks, last)
    }
}

/// The URL of an object. Clients take the segments `.` and `..` out of a path, however they are encoded (WHATWG URL), and
/// leave a query as it is.
fn link(base: &str, name: &str, query: &str) -> String {
    let encoded = percent_encoded(name, RESERVED_BUT_COLON);
    if matches!(name, "." | "..") {
        return format!("{}?name={encoded}{}", base.trim_end_matches('/'), query.replacen('?', "&", 1));
    }
    format!("{base}{encoded}{query}")
}

/// Who reads a list, and from where on this server.
#[derive(Clone, Copy)]
pub(super) struct Requester<'r> {
    pub client: Client,
    pub uri: &'r Uri,
}

/// Responds with a list, or with one page of it.
pub(super) async fn answer(
    shared: &Shared,
    listing: Listing,
    Requester { client, uri }: Requester<'_>,
    selection: &Selection,
) -> Response {
    let permit = match shared.permits.readers.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    let Some(limit) = selection.limit else {
        let mut listing = listing;
        return response(stream(move || listing.chunk(), permit));
    };
    // With the permit: the work goes on when its client is gone.
    let page = tokio::task::spawn_blocking(move || (listing.page(limit), permit)).await;
    let Ok(((chunks, last), permit)) = page else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made");
    };
    let mut chunks = chunks.into_iter();
    let mut response = response(stream(move || chunks.next(), permit));
    let link = last.and_then(|last| HeaderValue::try_from(next_page(uri, limit, &last, selection)).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    response
}

fn response(body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The `Link` to the page after the object `last`.
fn next_page(uri: &Uri, limit: usize, last: &str, selection: &Selection) -> String {
    let parameter = |(name, text): (&str, &str)| format!("&{name}={}", percent_encoded(text, NON_ALPHANUMERIC));
    let cfilt = Some(selection.cfilt.as_str()).filter(|text| !text.is_empty()).map(|text| ("cfilt", text));
    let kfilt = selection.kfilt.as_ref().map(|names| Names::join(names));
    let kfilt = kfilt.as_deref().map(|text| ("kfilt", text));
    let rest: String = [Some(("after", last)), cfilt, kfilt].into_iter().flatten().map(parameter).collect();
    format!("<{}?limit={limit}{rest}>; rel=\"next\"", uri.path())
}
