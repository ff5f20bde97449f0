//! A tree as rows in the order of their addresses: out of one, and into one.

use super::{Mark, Service, Tree};

/// One entry with all that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a, T> {
    pub(crate) service: Service<'a, T>,
    pub(crate) ip: &'a str,
    pub(crate) value: &'a T,
}

impl<'a, T> Row<'a, T> {
    pub(crate) fn addresses(&self) -> [&'a str; 3] {
        [self.service.endpoint_ip, self.service.ip, self.ip]
    }
}

/// Fills a tree with rows in the order of their addresses.
#[derive(Debug)]
pub(crate) struct Filler<'a, T> {
    tree: Tree<T>,
    /// The endpoint and the service that the last row was of.
    open: Option<(&'a str, &'a str)>,
    /// Where the open endpoint and the open service begin.
    from: Mark,
}

impl<'a, T> Filler<'a, T> {
    /// Begins with an empty tree.
    pub(crate) fn new(tree: Tree<T>) -> Self {
        let from = tree.mark();
        Self { tree, open: None, from }
    }

    /// Adds an entry with the addresses of `row`, which come after those of all rows before.
    pub(crate) fn push<U>(&mut self, row: &Row<'a, U>, value: T) {
        let next = (row.service.endpoint_ip, row.service.ip);
        if self.open != Some(next) {
            self.close(Some(next));
        }
        self.tree.push_entry(row.ip, value);
    }

    pub(crate) fn finish(mut self) -> Tree<T> {
        self.close(None);
        self.tree
    }

    /// Closes what `next` is not of.
    fn close(&mut self, next: Option<(&'a str, &'a str)>) {
        let before = std::mem::replace(&mut self.open, next);
        if let Some((endpoint_ip, service_ip)) = before {
            self.tree.seal_service(service_ip, self.from.entries);
            self.from.entries = self.tree.entries.len();
            if next.is_none_or(|(ip, _)| ip != endpoint_ip) {
                self.tree.seal_endpoint(endpoint_ip, self.from.services);
                self.from.services = self.tree.services.len();
            }
        }
    }
}
