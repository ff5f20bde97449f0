//! What a sink posts: the results that wait for a request, as items.

use std::ops::Range;

use daemon_results::record::Stored;

/// A request.
pub(crate) struct Request {
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// The items of a request that the server did not take although its answer is a success, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LeftOut {
    pub items: u64,
    pub text: String,
}

/// What became of a result that was to be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Added {
    /// It must not be in one request with what is there; nothing is added.
    Later,
    /// It is added, but for so many items that cannot be sent.
    Taken { left_out: u64 },
}

/// The results that wait for a request, as items: the parts that a server takes or refuses one by one.
pub(crate) trait Payload: Send {
    /// Adds the items of a result.
    ///
    /// # Errors
    ///
    /// If the result cannot be read; nothing is added.
    fn add(&mut self, result: &Stored<'_>) -> Result<Added, String>;

    /// The number of items.
    fn items(&self) -> usize;

    /// The size of the items.
    fn bytes(&self) -> usize;

    /// Removes all items.
    fn clear(&mut self);

    /// A request with the items of a range that are not pruned, at the time `now` (µs UTC).
    fn request(&self, items: Range<usize>, now: u64) -> Request;

    /// Marks the items of a range that the server is known to refuse, and returns how many are new.
    fn prune(&mut self, _items: Range<usize>) -> usize {
        0
    }

    /// The items of a range that are not pruned.
    fn left(&self, items: Range<usize>) -> usize {
        items.len()
    }

    /// What the body of a success says of items that the server did not take.
    fn left_out(&self, _answer: &[u8]) -> Option<LeftOut> {
        None
    }

    /// Records that the server refuses an item.
    fn rejected(&mut self, _item: usize, _text: &str) {}

    /// Whether the text of an answer with a status of 500 to 599 blames the items, which then are not sent again.
    fn is_rejection(&self, _text: &str) -> bool {
        false
    }
}
