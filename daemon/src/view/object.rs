//! The proxy UVEs of one object, encoded in one byte string.
//!
//! ```text
//! object    := uve*
//! uve       := shape  partial:u8  length  attribute*
//! attribute := shape  index  value
//! ```
//!
//! `shape` is an index into the view's list of shapes: in `uve` that of the newest result, in `attribute` that of the
//! newest result with this attribute. `value` is encoded as in a [block](daemon_results::block).

use std::sync::Arc;

use daemon_results::block::{AttributeShape, BlockError, Reader, Row, UveShape, put_value, put_varint, read_value};
use derived_stats::Record;
use proxy_uve::json;

/// The encoded structures of one object.
#[derive(Debug, Default)]
pub(super) struct Object(Box<[u8]>);

/// Reusable buffers for the next encoding of an object.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    object: Vec<u8>,
    attributes: Vec<u8>,
}

/// A decoded structure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uve<'o> {
    pub shape: &'o UveShape,
    is_partial: bool,
    /// The encoded structure.
    whole: &'o [u8],
    /// The encoded attributes.
    attributes: &'o [u8],
}

impl Object {
    /// Applies a result whose shape has the index `shape`.
    pub(super) fn apply(&mut self, shapes: &[Arc<UveShape>], shape: usize, row: &Row<'_>, scratch: &mut Scratch) {
        let Scratch { object, attributes } = scratch;
        object.clear();
        attributes.clear();
        for &(index, ref record) in row.values {
            let Some(attribute) = row.shape.attributes.get(index) else { continue };
            put_varint(attributes, shape as u64);
            put_varint(attributes, index as u64);
            put_value(attributes, record, attribute.numbers());
        }
        for uve in self.uves(shapes) {
            if uve.shape.uve == row.shape.uve {
                let is_new = |name: &str| row.attributes().any(|(attribute, _)| *attribute.name == *name);
                uve.each(shapes, |attribute, _, bytes| {
                    if !is_new(&attribute.name) {
                        attributes.extend_from_slice(bytes);
                    }
                });
            } else {
                object.extend_from_slice(uve.whole);
            }
        }
        put_varint(object, shape as u64);
        object.push(row.partial.into());
        put_varint(object, attributes.len() as u64);
        object.extend_from_slice(attributes);
        self.set(object);
    }

    /// Removes the structure `uve`.
    pub(super) fn remove(&mut self, shapes: &[Arc<UveShape>], uve: &str, scratch: &mut Scratch) {
        let object = &mut scratch.object;
        object.clear();
        self.uves(shapes)
            .filter(|known| *known.shape.uve != *uve)
            .for_each(|known| object.extend_from_slice(known.whole));
        self.set(object);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The structures, in the order of their newest results.
    pub(super) fn uves<'o>(&'o self, shapes: &'o [Arc<UveShape>]) -> impl Iterator<Item = Uve<'o>> {
        let mut reader = Reader::new(&self.0);
        // The bytes are this file's own: the errors cannot happen.
        std::iter::from_fn(move || if reader.is_at_end() { None } else { uve(&mut reader, shapes).ok().flatten() })
    }

    fn set(&mut self, bytes: &[u8]) {
        if self.0.len() == bytes.len() {
            self.0.copy_from_slice(bytes);
        } else {
            self.0 = bytes.into();
        }
    }
}

fn uve<'o>(reader: &mut Reader<'o>, shapes: &'o [Arc<UveShape>]) -> Result<Option<Uve<'o>>, BlockError> {
    let from = reader.rest();
    let shape = reader.varint("shape")?;
    let is_partial = reader.byte("partial")? != 0;
    let length = reader.count("length")?;
    let attributes = reader.take(length, "attributes")?;
    let whole = &from[..from.len() - reader.rest().len()];
    let shape = usize::try_from(shape).ok().and_then(|shape| shapes.get(shape));
    Ok(shape.map(|shape| Uve { shape, is_partial, whole, attributes }))
}

impl<'o> Uve<'o> {
    /// Calls `take` for each member of the structure with its name and a function that appends its JSON.
    pub(super) fn members(&self, shapes: &[Arc<UveShape>], mut take: impl FnMut(&str, &dyn Fn(&mut Vec<u8>))) {
        take("deleted", &|out| out.extend_from_slice(b"false"));
        if !self.shape.proxy.is_empty() {
            take("proxy", &|out| json::write_text(&self.shape.proxy, out));
        }
        if self.is_partial {
            take("partial", &|out| out.extend_from_slice(b"true"));
        }
        self.each(shapes, |attribute, record, _| take(&attribute.name, &|out| attribute.write_json(record, out)));
    }

    /// Calls `take` for each attribute with its value and its encoding.
    fn each(&self, shapes: &[Arc<UveShape>], mut take: impl FnMut(&AttributeShape, &Record, &'o [u8])) {
        let mut reader = Reader::new(self.attributes);
        while !reader.is_at_end() {
            let from = reader.rest();
            // The bytes are this file's own: the errors cannot happen.
            let Ok(Some((attribute, record))) = attribute(&mut reader, shapes) else { return };
            take(attribute, &record, &from[..from.len() - reader.rest().len()]);
        }
    }
}

fn attribute<'s>(
    reader: &mut Reader<'_>,
    shapes: &'s [Arc<UveShape>],
) -> Result<Option<(&'s AttributeShape, Record)>, BlockError> {
    let (shape, index) = (reader.varint("shape")?, reader.varint("index")?);
    let position = |number| usize::try_from(number).unwrap_or(usize::MAX);
    let Some(attribute) = shapes.get(position(shape)).and_then(|shape| shape.attributes.get(position(index))) else {
        return Ok(None);
    };
    Ok(Some((attribute, read_value(reader, attribute.numbers())?)))
}
