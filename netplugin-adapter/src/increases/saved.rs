//! The saved form of a node's counters.
//!
//! ```text
//! saved    := version:u8 last? unread endpoint*       `known` is 0 before the first scrape, and nothing follows
//! last     := known:u8 time:number
//! unread   := count:number text*
//! endpoint := text count:number service*              the first one follows the count of endpoints
//! service  := text count:number entry*
//! entry    := text bytes_in bytes_out packets_in packets_out age unchanged
//! text     := length:number byte*
//! number   := seven bits a byte, the lowest first, the highest bit set on all but the last
//! ```
//!
//! `age` is the time between the entry's last scrape and `last`: 0 for a present entry. `unchanged` is the time from the
//! first scrape with these counters to that one; version 1 does not have it, there it is 0. The addresses of a level
//! rise; another order is an error. The log that stores the bytes has the checksums.

use super::{Baseline, NodeCounters};
use crate::decode::is_address;
use crate::stats::Counters;
use crate::tree::{MAX_SIZE, Tree};

const VERSION: u8 = 2;

/// The oldest version that is loaded.
const OLDEST_VERSION: u8 = 1;

/// Why bytes cannot be loaded as saved counters. Nothing is loaded in part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CountersError {
    /// The bytes are complete, but contradict the format.
    #[error("the saved counters of the node are inconsistent: {problem}")]
    Inconsistent {
        /// The contradiction, and what is expected instead.
        problem: &'static str,
    },
    /// The bytes end too early.
    #[error("the saved counters of the node end before `{field}`, expected more bytes")]
    Truncated {
        /// The field that is missing.
        field: &'static str,
    },
    /// The bytes have the format of another version of this crate.
    #[error("the saved counters of the node have version {found}, this build reads {OLDEST_VERSION} to {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
}

impl NodeCounters {
    /// Appends the state as bytes for [`load`](Self::load). Equal states give equal bytes.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let Some(last) = self.last else { return out.push(0) };
        out.push(1);
        push_number(last, out);
        push_number(self.unread.len() as u64, out);
        for ip in &self.unread {
            push_text(ip, out);
        }
        push_number(self.entries.endpoint_count() as u64, out);
        for endpoint in self.entries.endpoints() {
            push_text(endpoint.ip(), out);
            push_number(endpoint.service_count() as u64, out);
            for service in endpoint.services() {
                push_text(service.ip, out);
                push_number(service.len() as u64, out);
                for (ip, baseline) in service.entries() {
                    push_text(ip, out);
                    let Counters { bytes_in, bytes_out, packets_in, packets_out } = baseline.counters;
                    let age = last.saturating_sub(baseline.seen);
                    let unchanged = baseline.seen.saturating_sub(baseline.changed);
                    for number in [bytes_in, bytes_out, packets_in, packets_out, age, unchanged] {
                        push_number(number, out);
                    }
                }
            }
        }
    }

    /// Loads the bytes that [`save`](Self::save) wrote. Memory is proportional to their number, whatever they contain.
    ///
    /// # Errors
    ///
    /// [`CountersError`] when the bytes are truncated, have another format, or are followed by others.
    pub fn load(bytes: &[u8]) -> Result<Self, CountersError> {
        if bytes.len() > MAX_SIZE {
            return Err(CountersError::Inconsistent { problem: "more than 4 GiB, expected the counters of one node" });
        }
        let (&version, rest) = bytes.split_first().ok_or(CountersError::Truncated { field: "version" })?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(CountersError::Version { found: version });
        }
        let mut saved = Saved { bytes: rest, version };
        let counters = match saved.byte("known")? {
            0 => Self::default(),
            1 => saved.known()?,
            _ => return Err(CountersError::Inconsistent { problem: "`known` is neither 0 nor 1" }),
        };
        if saved.bytes.is_empty() {
            Ok(counters)
        } else {
            Err(CountersError::Inconsistent { problem: "bytes after the end" })
        }
    }
}

fn push_number(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    push_number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// The bytes that are still to be read.
struct Saved<'b> {
    bytes: &'b [u8],
    version: u8,
}

impl<'b> Saved<'b> {
    fn known(&mut self) -> Result<NodeCounters, CountersError> {
        let last = self.number("time")?;
        let mut unread: Vec<Box<str>> = Vec::new();
        self.each("unread", |_, ip| {
            unread.push(ip.into());
            Ok(())
        })?;
        let mut entries = Tree::default();
        self.each("endpoints", |saved, ip| saved.endpoint(ip, last, &mut entries))?;
        entries.shrink_to_fit();
        Ok(NodeCounters { last: Some(last), unread, entries })
    }

    fn endpoint(&mut self, ip: &str, last: u64, tree: &mut Tree<Baseline>) -> Result<(), CountersError> {
        tree.open_endpoint(ip);
        self.each("services", |saved, ip| saved.service(ip, last, tree))
    }

    fn service(&mut self, ip: &str, last: u64, tree: &mut Tree<Baseline>) -> Result<(), CountersError> {
        tree.open_service(ip);
        self.each("entries", |saved, ip| {
            let counters = Counters {
                bytes_in: saved.number("bytes_in")?,
                bytes_out: saved.number("bytes_out")?,
                packets_in: saved.number("packets_in")?,
                packets_out: saved.number("packets_out")?,
            };
            let age = saved.number("age")?;
            let seen = last
                .checked_sub(age)
                .ok_or(CountersError::Inconsistent { problem: "an age exceeds the time of the last scrape" })?;
            let unchanged = if saved.version == 1 { 0 } else { saved.number("unchanged")? };
            let changed = seen
                .checked_sub(unchanged)
                .ok_or(CountersError::Inconsistent { problem: "an entry is unchanged since before 1970" })?;
            tree.push_entry(ip, Baseline { counters, seen, changed });
            Ok(())
        })
    }

    /// Reads a count and as many items, each of which begins with an address above the last one.
    fn each(
        &mut self,
        field: &'static str,
        mut item: impl FnMut(&mut Self, &'b str) -> Result<(), CountersError>,
    ) -> Result<(), CountersError> {
        let mut before = "";
        for _ in 0..self.number(field)? {
            let ip = self.address()?;
            if ip <= before {
                return Err(CountersError::Inconsistent { problem: "addresses are not in ascending order" });
            }
            item(self, ip)?;
            before = ip;
        }
        Ok(())
    }

    fn address(&mut self) -> Result<&'b str, CountersError> {
        let length = self.number("length")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(CountersError::Truncated { field: "address" })?;
        self.bytes = rest;
        let address = str::from_utf8(text).ok().filter(|text| is_address(text));
        address.ok_or(CountersError::Inconsistent { problem: "an address is empty, too long or not visible ASCII" })
    }

    fn number(&mut self, field: &'static str) -> Result<u64, CountersError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(field)?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(CountersError::Inconsistent { problem: "a number is not minimal or exceeds 64 bits" })
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, CountersError> {
        let (&byte, rest) = self.bytes.split_first().ok_or(CountersError::Truncated { field })?;
        self.bytes = rest;
        Ok(byte)
    }
}
