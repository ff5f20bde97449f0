//! The saved form of a node's counters.
//!
//! ```text
//! saved    := version:u8 last? unread forgotten highest:number endpoint*
//! last     := known:u8 time:number      `known` is 0 before the first scrape, and nothing follows
//! unread   := count:number text*
//! forgotten := count:number hash:number*           the oldest first
//! endpoint := text count:number service*              the first one follows the count of endpoints
//! service  := text count:number entry*
//! entry    := text unchanged rate count:number track+  the one that was seen last first
//! track    := bytes_in bytes_out packets_in packets_out age rise kind port:number
//! text     := length:number byte*
//! number   := seven bits a byte, the lowest first, the highest bit set on all but the last
//! ```
//!
//! `age` is the time between the track's last scrape and `last`: 0 for a present entry. `unchanged` is the time from
//! the last change of the entry to its last scrape. `rise` is the rate of the track's last rise. `kind` is the number of
//! the protocol, plus 256 after a reset, plus 512 times the number of the form, plus 2,048 if the last rise was a jump.
//! The addresses of a level rise; another order is an error. The log that stores the bytes has the checksums.
//!
//! Version 2 has neither `forgotten`, `highest` nor forms, and its `rise` is that of a jump or 0. In version 1 an entry
//! is `text bytes_in bytes_out packets_in packets_out age`: one track, whose rate is not known.

use super::NodeCounters;
use super::baseline::{Baseline, MAX_TRACKS, Track};
use super::new_entries::MAX_FORGOTTEN;
use crate::decode::is_address;
use crate::stats::{Counters, Form, Port};
use crate::tree::{MAX_SIZE, Tree};

const VERSION: u8 = 3;

/// What the kind of a track has above its protocol after a reset.
const ENDED: u64 = 256;

/// What the kind of a track has above that for each form.
const FORM: u64 = 512;

/// What it has above that if the last rise was a jump.
const JUMP: u64 = 2_048;

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
        push_number(self.forgotten.len() as u64, out);
        for hash in &self.forgotten {
            push_number(*hash, out);
        }
        push_number(self.highest, out);
        push_number(self.entries.endpoint_count() as u64, out);
        for endpoint in self.entries.endpoints() {
            push_text(endpoint.ip(), out);
            push_number(endpoint.service_count() as u64, out);
            for service in endpoint.services() {
                push_text(service.ip, out);
                push_number(service.len() as u64, out);
                for (ip, baseline) in service.entries() {
                    push_text(ip, out);
                    push_entry(baseline, last, out);
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

fn push_entry(baseline: &Baseline, last: u64, out: &mut Vec<u8>) {
    let unchanged = baseline.last.seen.saturating_sub(baseline.changed);
    for number in [unchanged, baseline.rate, baseline.tracks().count() as u64] {
        push_number(number, out);
    }
    for track in baseline.tracks() {
        let Counters { bytes_in, bytes_out, packets_in, packets_out } = track.counters;
        let age = last.saturating_sub(track.seen);
        let flags = if track.is_ended { ENDED } else { 0 } + if track.is_jump { JUMP } else { 0 };
        let kind = u64::from(track.port.protocol) + flags + FORM * track.form as u64;
        for number in [bytes_in, bytes_out, packets_in, packets_out, age, track.rise, kind, track.port.number.into()] {
            push_number(number, out);
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
        let forgotten = self.forgotten()?;
        let highest = if self.version < 3 { 0 } else { self.number("highest")? };
        let mut entries = Tree::default();
        self.each("endpoints", |saved, ip| saved.endpoint(ip, last, &mut entries))?;
        entries.shrink_to_fit();
        Ok(NodeCounters { last: Some(last), unread, forgotten, highest, entries })
    }

    fn forgotten(&mut self) -> Result<Vec<u64>, CountersError> {
        let count = if self.version < 3 { 0 } else { self.number("forgotten")? };
        if count > MAX_FORGOTTEN as u64 {
            return Err(CountersError::Inconsistent { problem: "more forgotten entries than are kept" });
        }
        (0..count).map(|_| self.number("hash")).collect()
    }

    fn endpoint(&mut self, ip: &str, last: u64, tree: &mut Tree<Baseline>) -> Result<(), CountersError> {
        tree.open_endpoint(ip);
        self.each("services", |saved, ip| saved.service(ip, last, tree))
    }

    fn service(&mut self, ip: &str, last: u64, tree: &mut Tree<Baseline>) -> Result<(), CountersError> {
        tree.open_service(ip);
        self.each("entries", |saved, ip| {
            tree.push_entry(ip, saved.entry(last)?);
            Ok(())
        })
    }

    fn entry(&mut self, last: u64) -> Result<Baseline, CountersError> {
        if self.version == 1 {
            let track = self.counters_and_age(last)?;
            return Ok(Baseline { last: track, others: Box::default(), changed: track.seen, rate: 0 });
        }
        let (unchanged, rate) = (self.number("unchanged")?, self.number("rate")?);
        let count = self.number("tracks")?;
        if !(1..=MAX_TRACKS as u64).contains(&count) {
            return Err(CountersError::Inconsistent { problem: "an entry has no track, or more than eight" });
        }
        let newest = self.track(last)?;
        let others: Box<[Track]> = (1..count).map(|_| self.track(last)).collect::<Result<_, _>>()?;
        if !std::iter::once(&newest).chain(&others).is_sorted_by_key(|track| std::cmp::Reverse(track.seen)) {
            return Err(CountersError::Inconsistent { problem: "tracks are not in the order of their last scrapes" });
        }
        let changed = newest.seen.checked_sub(unchanged);
        let early = CountersError::Inconsistent { problem: "an entry has not changed since before 1970" };
        Ok(Baseline { last: newest, others, changed: changed.ok_or(early)?, rate })
    }

    fn track(&mut self, last: u64) -> Result<Track, CountersError> {
        let track = self.counters_and_age(last)?;
        let (rise, kind, number) = (self.number("rise")?, self.number("kind")?, self.number("port")?);
        let (forms, is_jump) =
            if self.version < 3 { (&Form::ALL[..1], rise > 0) } else { (&Form::ALL[..], kind / JUMP == 1) };
        let form = if self.version < 3 || kind / JUMP > 1 { kind / FORM } else { kind % JUMP / FORM };
        let form = usize::try_from(form).ok().and_then(|form| forms.get(form));
        let (Some(&form), Ok(number)) = (form, number.try_into()) else {
            return Err(CountersError::Inconsistent { problem: "a protocol, a form or a port is too large" });
        };
        let port = Port { protocol: (kind % ENDED) as u8, number };
        Ok(Track { rise, is_jump, port, form, is_ended: kind % FORM >= ENDED, ..track })
    }

    fn counters_and_age(&mut self, last: u64) -> Result<Track, CountersError> {
        let counters = Counters {
            bytes_in: self.number("bytes_in")?,
            bytes_out: self.number("bytes_out")?,
            packets_in: self.number("packets_in")?,
            packets_out: self.number("packets_out")?,
        };
        let early = CountersError::Inconsistent { problem: "an age exceeds the time of the last scrape" };
        let seen = last.checked_sub(self.number("age")?).ok_or(early)?;
        let (port, form) = (Port::default(), Form::default());
        Ok(Track { counters, port, form, seen, rise: 0, is_jump: false, is_ended: false })
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
