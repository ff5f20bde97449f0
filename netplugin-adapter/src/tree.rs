//! Endpoints, their services and the entries of these by address: three levels in four allocations.
//!
//! A node of a hundred containers has a thousand entries. An allocation for each of their addresses would cost more
//! than all the rest of the decoding, so the addresses stand in one text and every level is one list; an item says
//! which range of the level below is its own.
//!
//! It is filled from below: entries, then the service they are of, and so on. Every range is sorted by address as text
//! when it is closed, so that whoever reads it finds an order and can search.

mod rows;

use std::cmp::Ordering;

pub(crate) use self::rows::{Filler, Row};

/// The largest sum of all addresses, in bytes, and the largest number of entries: positions have 32 bits.
pub(crate) const MAX_SIZE: usize = u32::MAX as usize;

/// A level below that of endpoints holds `T` for each (endpoint, service, entry).
#[derive(Debug, Clone)]
pub(crate) struct Tree<T> {
    text: String,
    endpoints: Vec<Span>,
    services: Vec<Span>,
    entries: Vec<Leaf<T>>,
}

/// An address: where it stands in the text.
#[derive(Debug, Clone, Copy)]
struct Address {
    start: u32,
    len: u32,
}

/// An endpoint or a service, and which range of the level below it has.
#[derive(Debug, Clone, Copy)]
struct Span {
    ip: Address,
    from: u32,
    to: u32,
}

#[derive(Debug, Clone, Copy)]
struct Leaf<T> {
    ip: Address,
    value: T,
}

/// How far a tree is filled, between two endpoints or within one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    text: usize,
    services: usize,
    entries: usize,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { text: String::new(), endpoints: Vec::new(), services: Vec::new(), entries: Vec::new() }
    }
}

impl<T> Tree<T> {
    pub(crate) fn mark(&self) -> Mark {
        Mark { text: self.text.len(), services: self.services.len(), entries: self.entries.len() }
    }

    /// Takes back what was added since `mark`, whole endpoints apart.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.text.truncate(mark.text);
        self.services.truncate(mark.services);
        self.entries.truncate(mark.entries);
    }

    /// Adds an entry to the service that is closed next.
    pub(crate) fn push_entry(&mut self, ip: &str, value: T) {
        let ip = push_text(&mut self.text, ip);
        self.entries.push(Leaf { ip, value });
    }

    /// Makes a service of the entries since `mark`. The error is an address that is there twice.
    pub(crate) fn close_service(&mut self, ip: &str, mark: Mark) -> Result<(), String> {
        let from = mark.entries.min(self.entries.len());
        sort_unique(&self.text, &mut self.entries[from..], |leaf| leaf.ip)?;
        self.seal_service(ip, from);
        Ok(())
    }

    /// Makes a service of the entries from `from` on, which are sorted.
    fn seal_service(&mut self, ip: &str, from: usize) {
        let ip = push_text(&mut self.text, ip);
        self.services.push(Span { ip, from: from as u32, to: self.entries.len() as u32 });
    }

    /// Makes an endpoint of the services since `mark`. The error is an address that is there twice.
    pub(crate) fn close_endpoint(&mut self, ip: &str, mark: Mark) -> Result<(), String> {
        let from = mark.services.min(self.services.len());
        sort_unique(&self.text, &mut self.services[from..], |span| span.ip)?;
        self.seal_endpoint(ip, from);
        Ok(())
    }

    /// Makes an endpoint of the services from `from` on, which are sorted.
    fn seal_endpoint(&mut self, ip: &str, from: usize) {
        let ip = push_text(&mut self.text, ip);
        self.endpoints.push(Span { ip, from: from as u32, to: self.services.len() as u32 });
    }

    /// Sorts the endpoints, keeps the first of each address, and frees what is not needed. Gives each other one to
    /// `twin`.
    pub(crate) fn finish(&mut self, mut twin: impl FnMut(&str)) {
        let text = &self.text;
        if !strictly_sorted(text, &self.endpoints, |span| span.ip) {
            self.endpoints.sort_by(|one, other| compare(text, one.ip, other.ip));
            self.endpoints.dedup_by(|later, first| {
                let same = read(text, later.ip) == read(text, first.ip);
                if same {
                    twin(read(text, later.ip));
                }
                same
            });
        }
        self.text.shrink_to_fit();
        self.endpoints.shrink_to_fit();
        self.services.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    pub(crate) fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    pub(crate) fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// An empty tree with room for what this one holds.
    pub(crate) fn same_size(&self) -> Self {
        Self {
            text: String::with_capacity(self.text.len()),
            endpoints: Vec::with_capacity(self.endpoints.len()),
            services: Vec::with_capacity(self.services.len()),
            entries: Vec::with_capacity(self.entries.len()),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity()
            + size_of::<Span>() * (self.endpoints.capacity() + self.services.capacity())
            + size_of::<Leaf<T>>() * self.entries.capacity()
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = Endpoint<'_, T>> {
        self.endpoints.iter().map(|span| Endpoint { tree: self, span })
    }

    /// The endpoint with this address, after [`finish`](Self::finish).
    pub(crate) fn endpoint(&self, ip: &str) -> Option<Endpoint<'_, T>> {
        let at = self.endpoints.binary_search_by(|span| read(&self.text, span.ip).cmp(ip)).ok()?;
        Some(Endpoint { tree: self, span: &self.endpoints[at] })
    }

    /// The services since `mark`, as services of the endpoint `endpoint_ip` that is not yet closed.
    pub(crate) fn open_services<'a>(
        &'a self,
        endpoint_ip: &'a str,
        mark: Mark,
    ) -> impl Iterator<Item = Service<'a, T>> {
        self.services.iter().skip(mark.services).map(move |span| self.service(endpoint_ip, span))
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = Service<'_, T>> {
        self.endpoints().flat_map(Endpoint::services)
    }

    /// Every entry, sorted by its addresses.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_, T>> {
        self.services().flat_map(|service| service.entries().map(move |(ip, value)| Row { service, ip, value }))
    }

    fn service<'a>(&'a self, endpoint_ip: &'a str, span: &Span) -> Service<'a, T> {
        let ip = read(&self.text, span.ip);
        Service { text: &self.text, endpoint_ip, ip, leaves: range(&self.entries, span) }
    }
}

/// The same endpoints, services and entries, wherever they stand.
impl<T: PartialEq> PartialEq for Tree<T> {
    fn eq(&self, other: &Self) -> bool {
        self.endpoints().eq(other.endpoints())
    }
}

impl<T: Eq> Eq for Tree<T> {}

/// One endpoint of a tree.
#[derive(Debug)]
pub(crate) struct Endpoint<'a, T> {
    tree: &'a Tree<T>,
    span: &'a Span,
}

impl<'a, T> Endpoint<'a, T> {
    pub(crate) fn ip(&self) -> &'a str {
        read(&self.tree.text, self.span.ip)
    }

    pub(crate) fn service_count(&self) -> usize {
        range(&self.tree.services, self.span).len()
    }

    pub(crate) fn services(self) -> impl Iterator<Item = Service<'a, T>> {
        let (tree, ip) = (self.tree, self.ip());
        range(&tree.services, self.span).iter().map(move |span| tree.service(ip, span))
    }
}

impl<T: PartialEq> PartialEq for Endpoint<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        let services = |endpoint: &Self| Endpoint { tree: endpoint.tree, span: endpoint.span }.services();
        self.ip() == other.ip() && services(self).eq(services(other))
    }
}

/// One service of an endpoint, with its entries.
#[derive(Debug)]
pub(crate) struct Service<'a, T> {
    text: &'a str,
    pub(crate) endpoint_ip: &'a str,
    pub(crate) ip: &'a str,
    leaves: &'a [Leaf<T>],
}

impl<T> Clone for Service<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Service<'_, T> {}

impl<'a, T> Service<'a, T> {
    pub(crate) fn len(self) -> usize {
        self.leaves.len()
    }

    /// The entry at `index`, in the order of addresses.
    pub(crate) fn entry(self, index: usize) -> Option<(&'a str, &'a T)> {
        let leaf = self.leaves.get(index)?;
        Some((read(self.text, leaf.ip), &leaf.value))
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = (&'a str, &'a T)> {
        self.leaves.iter().map(move |leaf| (read(self.text, leaf.ip), &leaf.value))
    }

    /// Where the entry with this address is.
    pub(crate) fn position(self, ip: &str) -> Option<usize> {
        self.leaves.binary_search_by(|leaf| read(self.text, leaf.ip).cmp(ip)).ok()
    }
}

impl<T: PartialEq> PartialEq for Service<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        (self.endpoint_ip, self.ip) == (other.endpoint_ip, other.ip) && self.entries().eq(other.entries())
    }
}

fn push_text(text: &mut String, ip: &str) -> Address {
    let start = text.len() as u32;
    text.push_str(ip);
    Address { start, len: ip.len() as u32 }
}

fn read(text: &str, ip: Address) -> &str {
    let start = ip.start as usize;
    text.get(start..start + ip.len as usize).unwrap_or_default()
}

fn range<'a, I>(items: &'a [I], span: &Span) -> &'a [I] {
    items.get(span.from as usize..span.to as usize).unwrap_or_default()
}

fn compare(text: &str, one: Address, other: Address) -> Ordering {
    read(text, one).cmp(read(text, other))
}

fn strictly_sorted<I>(text: &str, items: &[I], ip: impl Fn(&I) -> Address) -> bool {
    items.is_sorted_by(|one, other| compare(text, ip(one), ip(other)).is_lt())
}

/// Sorts by address; the error is an address that is there twice.
fn sort_unique<I>(text: &str, items: &mut [I], ip: impl Fn(&I) -> Address) -> Result<(), String> {
    // Go writes maps in this order, so there is mostly nothing to do.
    if strictly_sorted(text, items, &ip) {
        return Ok(());
    }
    items.sort_by(|one, other| compare(text, ip(one), ip(other)));
    match items.windows(2).find(|pair| compare(text, ip(&pair[0]), ip(&pair[1])).is_eq()) {
        Some(pair) => Err(read(text, ip(&pair[0])).to_owned()),
        None => Ok(()),
    }
}
