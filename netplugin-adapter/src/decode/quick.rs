//! The decoder for what Netplugin writes, in one pass.
//!
//! It says nothing about what is wrong: `None` means that the careful decoder must look.

use super::cursor::Cursor;
use super::{careful, is_address, slot};
use crate::json::Key;
use crate::limits::Limits;
use crate::merge::check;
use crate::stats::{Counters, ServiceStats};
use crate::tree::Tree;

/// A whole body, its endpoints not yet sorted. An endpoint that is not understood is left to the careful decoder.
pub(super) fn body(body: &str, limits: &Limits) -> Option<ServiceStats> {
    let mut stats = ServiceStats::default();
    let mut cursor = Cursor::new(body);
    let (open, close) = if cursor.peek()? == b'[' { (b'[', b']') } else { (b'{', b'}') };
    cursor.take(open)?;
    let mut index = 0;
    while index > 0 || cursor.peek()? != close {
        if index == limits.endpoints {
            return None;
        }
        member(&mut cursor, (open == b'[').then_some(index), limits, &mut stats)?;
        index += 1;
        if cursor.peek()? == close {
            break;
        }
        cursor.take(b',')?;
    }
    cursor.take(close)?;
    cursor.is_at_end().then_some(stats)
}

/// A member of the body: in a list the one at `position`, else one with a key.
fn member(cursor: &mut Cursor<'_>, position: Option<usize>, limits: &Limits, stats: &mut ServiceStats) -> Option<()> {
    cursor.peek()?;
    let before = *cursor;
    let (key, name) = match position {
        Some(index) => (Key::Position(index), ""),
        None => {
            let name = cursor.string()?;
            let key = Key::Name(cursor.since(before)?);
            cursor.take(b':')?;
            (key, name)
        }
    };
    let (start, mark) = (*cursor, stats.tree.mark());
    if endpoint(cursor, name, limits, &mut stats.tree).is_none() {
        stats.tree.roll_back(mark);
        *cursor = start;
        let json = cursor.raw()?;
        careful::endpoint(key, json, limits, stats);
    }
    Some(())
}

/// An endpoint; `key` is empty when there is none.
pub(super) fn endpoint(cursor: &mut Cursor<'_>, key: &str, limits: &Limits, tree: &mut Tree<Counters>) -> Option<()> {
    let mark = tree.mark();
    let mut field = "";
    let mut has_services = false;
    cursor.object(|cursor, name| match name {
        "EndpointIP" => {
            field = cursor.string_or_null()?.unwrap_or_default();
            Some(())
        }
        // A second one would replace the first.
        "SvcStats" if has_services => None,
        "SvcStats" => {
            has_services = true;
            services(cursor, limits, tree)
        }
        _ => cursor.skip(),
    })?;
    let ip = match (key, field) {
        ("", ip) | (ip, "") => ip,
        (key, field) if key == field => key,
        _ => return None,
    };
    if !is_address(ip) {
        return None;
    }
    tree.open_services(ip, mark).try_for_each(check).ok()?;
    tree.close_endpoint(ip, mark).ok()
}

fn services(cursor: &mut Cursor<'_>, limits: &Limits, tree: &mut Tree<Counters>) -> Option<()> {
    let mut count = 0;
    cursor.object(|cursor, ip| {
        count += 1;
        if count > limits.services_per_endpoint || !is_address(ip) {
            return None;
        }
        service(cursor, ip, limits, tree)
    })
}

fn service(cursor: &mut Cursor<'_>, ip: &str, limits: &Limits, tree: &mut Tree<Counters>) -> Option<()> {
    let mark = tree.mark();
    let mut has_entries = false;
    cursor.object(|cursor, name| match name {
        "ProvStats" if has_entries => None,
        "ProvStats" => {
            has_entries = true;
            entries(cursor, limits, tree)
        }
        _ => cursor.skip(),
    })?;
    tree.close_service(ip, mark).ok()
}

fn entries(cursor: &mut Cursor<'_>, limits: &Limits, tree: &mut Tree<Counters>) -> Option<()> {
    let mut count = 0;
    cursor.object(|cursor, ip| {
        count += 1;
        if count > limits.providers_per_service || !is_address(ip) {
            return None;
        }
        let mut counters = Counters::default();
        cursor.object(|cursor, name| match slot(&mut counters, name) {
            Some((_, slot)) => {
                *slot = cursor.counter()?;
                Some(())
            }
            None => cursor.skip(),
        })?;
        tree.push_entry(ip, counters);
        Some(())
    })
}
