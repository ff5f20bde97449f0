//! A compact tree of endpoints, services and entries by address: three levels in four allocations.
//!
//! A node of a hundred containers has a thousand entries. An allocation for each of their addresses would need more
//! memory than the counters, so all addresses are in one text and every level is one list; an item has the range of its
//! children in the level below.
//!
//! A tree is filled top-down in the order of the addresses as text: an endpoint, its first service, that service's
//! entries, the next service. So it is always sorted and can be searched.

/// The largest total length of the addresses, in bytes, and the largest number of entries: offsets have 32 bits.
pub(crate) const MAX_SIZE: usize = u32::MAX as usize;

/// A sorted map from (endpoint, service, entry) to `T`.
///
/// Equality of the fields is equality of the content, because the order of insertion is fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree<T> {
    text: String,
    endpoints: Vec<Span>,
    services: Vec<Span>,
    entries: Vec<Leaf<T>>,
}

/// An address: a range of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address {
    start: u32,
    len: u32,
}

/// An endpoint or a service, and the range of its children in the level below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    ip: Address,
    from: u32,
    to: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leaf<T> {
    ip: Address,
    value: T,
}

/// One entry with its service.
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

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { text: String::new(), endpoints: Vec::new(), services: Vec::new(), entries: Vec::new() }
    }
}

impl<T> Tree<T> {
    /// Adds an endpoint. Its address must be above those of the earlier endpoints.
    pub(crate) fn open_endpoint(&mut self, ip: &str) {
        let from = self.services.len() as u32;
        let ip = push_text(&mut self.text, ip);
        self.endpoints.push(Span { ip, from, to: from });
    }

    /// Adds a service to the last endpoint. Its address must be above those of the endpoint's earlier services.
    pub(crate) fn open_service(&mut self, ip: &str) {
        let from = self.entries.len() as u32;
        let ip = push_text(&mut self.text, ip);
        self.services.push(Span { ip, from, to: from });
        if let Some(endpoint) = self.endpoints.last_mut() {
            endpoint.to = self.services.len() as u32;
        }
    }

    /// Adds an entry to the last service. Its address must be above those of the service's earlier entries.
    pub(crate) fn push_entry(&mut self, ip: &str, value: T) {
        let ip = push_text(&mut self.text, ip);
        self.entries.push(Leaf { ip, value });
        if let Some(service) = self.services.last_mut() {
            service.to = self.entries.len() as u32;
        }
    }

    /// Adds an entry with the addresses of `row`, which must be above those of all earlier entries.
    pub(crate) fn push_row<U>(&mut self, row: &Row<'_, U>, value: T) {
        let [endpoint_ip, service_ip, ip] = row.addresses();
        let is_last = |spans: &[Span], ip: &str| spans.last().is_some_and(|span| read(&self.text, span.ip) == ip);
        let same_endpoint = is_last(&self.endpoints, endpoint_ip);
        let same_service = same_endpoint && is_last(&self.services, service_ip);
        if !same_endpoint {
            self.open_endpoint(endpoint_ip);
        }
        if !same_service {
            self.open_service(service_ip);
        }
        self.push_entry(ip, value);
    }

    /// Frees memory reserved for growth.
    pub(crate) fn shrink_to_fit(&mut self) {
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

    /// Returns an empty tree with the capacity that this one uses.
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

    /// Returns the index of the endpoint with this address, by binary search.
    pub(crate) fn endpoint_index(&self, ip: &str) -> Option<usize> {
        self.endpoints.binary_search_by(|span| read(&self.text, span.ip).cmp(ip)).ok()
    }

    /// Returns the endpoint with this address, by binary search.
    pub(crate) fn endpoint(&self, ip: &str) -> Option<Endpoint<'_, T>> {
        let span = self.endpoints.get(self.endpoint_index(ip)?)?;
        Some(Endpoint { tree: self, span })
    }

    /// Returns the service of a row of any tree, by binary search.
    pub(crate) fn service_of<U>(&self, row: &Row<'_, U>) -> Option<Service<'_, T>> {
        self.endpoint(row.service.endpoint_ip)?.service(row.service.ip)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = Service<'_, T>> {
        self.endpoints().flat_map(Endpoint::services)
    }

    /// Returns every entry, sorted by its addresses.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_, T>> {
        self.services().flat_map(|service| service.entries().map(move |(ip, value)| Row { service, ip, value }))
    }

    fn service<'a>(&'a self, endpoint_ip: &'a str, span: &Span) -> Service<'a, T> {
        let ip = read(&self.text, span.ip);
        Service { text: &self.text, endpoint_ip, ip, leaves: range(&self.entries, span) }
    }
}

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

    /// Returns the service with this address, by binary search.
    pub(crate) fn service(self, ip: &str) -> Option<Service<'a, T>> {
        let (tree, endpoint_ip) = (self.tree, self.ip());
        let services = range(&tree.services, self.span);
        let at = services.binary_search_by(|span| read(&tree.text, span.ip).cmp(ip)).ok()?;
        Some(tree.service(endpoint_ip, services.get(at)?))
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

    /// Returns the entry at `index`, in the order of addresses.
    pub(crate) fn entry(self, index: usize) -> Option<(&'a str, &'a T)> {
        let leaf = self.leaves.get(index)?;
        Some((read(self.text, leaf.ip), &leaf.value))
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = (&'a str, &'a T)> {
        self.leaves.iter().map(move |leaf| (read(self.text, leaf.ip), &leaf.value))
    }

    /// Returns the index of the entry with this address, by binary search.
    pub(crate) fn position(self, ip: &str) -> Option<usize> {
        self.leaves.binary_search_by(|leaf| read(self.text, leaf.ip).cmp(ip)).ok()
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
