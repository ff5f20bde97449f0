//! The name and the proxy UVEs of one object, encoded in one byte string, so that a result finds both in one place of
//! memory.
//!
//! ```text
//! object := name  uve*
//! uve    := shape  partial:u8  length newest  length older
//! newest := (attribute+1  value)*              the newest result, as its block has it
//! older  := (shape  attribute+1  value)*       attributes that the newest result does not have
//! ```
//!
//! `shape` is an index into the view's list of shapes. Attributes and values are encoded as in a
//! [block](daemon_results::block), so a result is copied and not decoded.

use std::ops::Range;
use std::sync::Arc;

use daemon_results::block::{
    AttributeShape, BlockError, EncodedValue, Reader, Row, UveShape, Values, put_varint, read_value,
};
use derived_stats::Record;
use proxy_uve::json;

/// The name and the encoded structures of one object.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// The size of the name.
    name: u32,
    bytes: Vec<u8>,
}

/// Reusable buffers for the next encoding of an object.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    object: Vec<u8>,
    older: Vec<u8>,
}

/// A structure.
#[derive(Clone, Debug)]
pub(super) struct Uve<'o> {
    pub shape: &'o UveShape,
    /// The index of `shape`.
    number: usize,
    is_partial: bool,
    newest: &'o [u8],
    older: &'o [u8],
    /// The place of the whole structure among the object's bytes.
    place: Range<usize>,
}

/// What the object has of the UVE of a result.
enum Known {
    /// Nothing.
    Nothing,
    /// A result of the same shape and size at this place, which the new one replaces altogether.
    Same { partial: usize, newest: Range<usize> },
    /// Anything else.
    Other { place: Range<usize> },
}

impl Object {
    /// An object without structures; `None` if the name has four gigabytes.
    pub(super) fn new(name: &str) -> Option<Self> {
        Some(Self { name: u32::try_from(name.len()).ok()?, bytes: name.into() })
    }

    /// The name as UTF-8.
    pub(super) fn name(&self) -> &[u8] {
        self.bytes.get(..self.name as usize).unwrap_or_default()
    }

    /// The encoded structures.
    fn uve_bytes(&self) -> &[u8] {
        self.bytes.get(self.name as usize..).unwrap_or_default()
    }

    /// Applies a result whose shape has the index `number`.
    #[inline]
    pub(super) fn apply(&mut self, shapes: &[Arc<UveShape>], number: usize, row: &Row<'_>, scratch: &mut Scratch) {
        let place = match self.known(shapes, number, row) {
            Known::Same { partial, newest } => {
                let bytes = &mut self.bytes[self.name as usize..];
                bytes[partial] = row.partial.into();
                return bytes[newest].copy_from_slice(row.values.encoded());
            }
            Known::Other { place } => place,
            Known::Nothing => self.uve_bytes().len()..self.uve_bytes().len(),
        };
        self.replace(shapes, place, number, row, scratch);
    }

    fn known(&self, shapes: &[Arc<UveShape>], number: usize, row: &Row<'_>) -> Known {
        // Mostly the shape is the same, and no names need be compared.
        let same = self.uves(shapes).find(|uve| uve.number == number);
        let Some(uve) = same.or_else(|| self.uves(shapes).find(|uve| uve.shape.uve == row.shape.uve)) else {
            return Known::Nothing;
        };
        let (has_all, encoded) = (row.values.has_all(row.shape), row.values.encoded());
        if uve.number != number || !has_all || !uve.older.is_empty() || uve.newest.len() != encoded.len() {
            return Known::Other { place: uve.place };
        }
        // Behind it is the length of `older`, which is zero.
        let end = uve.place.end - 1;
        let newest = end - encoded.len()..end;
        Known::Same { partial: newest.start - varint_len(encoded.len()) - 1, newest }
    }

    /// Puts a result in the place of an older one, and keeps the attributes that it does not have.
    fn replace(
        &mut self,
        shapes: &[Arc<UveShape>],
        place: Range<usize>,
        number: usize,
        row: &Row<'_>,
        scratch: &mut Scratch,
    ) {
        let Scratch { object, older } = scratch;
        object.clear();
        older.clear();
        let name = |value: EncodedValue<'_>| row.shape.attributes.get(value.index).map(|attribute| &*attribute.name);
        let is_new = |known: &str| row.values.iter(row.shape).any(|value| name(value) == Some(known));
        let before = self.uves(shapes).find(|uve| uve.place == place);
        for (number, attribute, value) in before.iter().flat_map(|before| before.encoded(shapes)) {
            if !is_new(&attribute.name) {
                put_varint(older, number as u64);
                put_varint(older, value.index as u64 + 1);
                older.extend_from_slice(value.bytes);
            }
        }
        object.extend_from_slice(&self.uve_bytes()[..place.start]);
        put_varint(object, number as u64);
        object.push(row.partial.into());
        for part in [row.values.encoded(), older] {
            put_varint(object, part.len() as u64);
            object.extend_from_slice(part);
        }
        object.extend_from_slice(&self.uve_bytes()[place.end..]);
        self.set(object);
    }

    /// Removes the structure `uve`.
    pub(super) fn remove(&mut self, shapes: &[Arc<UveShape>], uve: &str, scratch: &mut Scratch) {
        let Some(place) = self.uves(shapes).find(|known| *known.shape.uve == *uve).map(|known| known.place) else {
            return;
        };
        let object = &mut scratch.object;
        object.clear();
        object.extend_from_slice(&self.uve_bytes()[..place.start]);
        object.extend_from_slice(&self.uve_bytes()[place.end..]);
        self.set(object);
        if self.is_empty() {
            self.bytes.shrink_to_fit();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uve_bytes().is_empty()
    }

    /// The structures, in the order of their first results.
    pub(super) fn uves<'o>(&'o self, shapes: &'o [Arc<UveShape>]) -> impl Iterator<Item = Uve<'o>> {
        let mut reader = Reader::new(self.uve_bytes());
        let total = self.uve_bytes().len();
        // The bytes are this file's own: the errors cannot happen.
        std::iter::from_fn(
            move || if reader.is_at_end() { None } else { uve(&mut reader, total, shapes).ok().flatten() },
        )
    }

    /// Numbers of few digits more or less are usual, so a little room is left.
    fn set(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.name as usize);
        if self.bytes.capacity() - self.bytes.len() < bytes.len() {
            self.bytes.reserve_exact((self.bytes.len() + bytes.len()).next_multiple_of(16) - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }
}

fn uve<'o>(reader: &mut Reader<'o>, total: usize, shapes: &'o [Arc<UveShape>]) -> Result<Option<Uve<'o>>, BlockError> {
    let start = total - reader.rest().len();
    let number = reader.count("shape")?;
    let is_partial = reader.byte("partial")? != 0;
    let length = reader.count("length")?;
    let newest = reader.take(length, "newest")?;
    let length = reader.count("length")?;
    let older = reader.take(length, "older")?;
    let place = start..total - reader.rest().len();
    Ok(shapes.get(number).map(|shape| Uve { shape, number, is_partial, newest, older, place }))
}

fn varint_len(value: usize) -> usize {
    (value.max(1).ilog2() as usize / 7) + 1
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
        for (_, attribute, value) in self.encoded(shapes) {
            // The block was checked when it was read.
            let Ok(record) = decoded(attribute, &value) else { continue };
            take(&attribute.name, &|out| attribute.write_json(&record, out));
        }
    }

    /// The attributes: the index of the shape, the attribute, and its value.
    fn encoded<'s>(
        &self,
        shapes: &'s [Arc<UveShape>],
    ) -> impl Iterator<Item = (usize, &'s AttributeShape, EncodedValue<'o>)> + use<'o, 's> {
        let number = self.number;
        let newest = shapes.get(number).into_iter().flat_map({
            let newest = self.newest;
            move |shape| Values::split(newest, shape).map(move |value| (number, value))
        });
        let mut reader = Reader::new(self.older);
        let older = std::iter::from_fn(move || older_value(&mut reader, shapes));
        newest.chain(older).filter_map(|(number, value)| {
            let attribute = shapes.get(number)?.attributes.get(value.index)?;
            Some((number, attribute, value))
        })
    }
}

/// The next attribute of `older`; `None` at the end.
fn older_value<'o>(reader: &mut Reader<'o>, shapes: &[Arc<UveShape>]) -> Option<(usize, EncodedValue<'o>)> {
    let number = reader.count("shape").ok()?;
    let value = Values::split(reader.rest(), shapes.get(number)?).next()?;
    reader.take(varint_len(value.index + 1) + value.bytes.len(), "value").ok()?;
    Some((number, value))
}

fn decoded(attribute: &AttributeShape, value: &EncodedValue<'_>) -> Result<Record, BlockError> {
    read_value(&mut Reader::new(value.bytes), attribute.numbers())
}
