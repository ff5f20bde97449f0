//! The name and the proxy UVEs of one object, encoded in one byte string, so that a result finds both in one place of
//! memory.
//!
//! ```text
//! object := name  uve*
//! uve    := shape  partial:u8  age:u8  older age:u8  length newest  length older
//! newest := (attribute+1  value)*              the newest result, as its block has it
//! older  := (shape  attribute+1  value)*       attributes that the newest result does not have
//! ```
//!
//! `shape` is an index into the view's list of shapes; `age` is where the newest result came from, and `older age` where
//! the oldest of the others did ([`ages`](super::ages)). Attributes and values are encoded as in a
//! [block](daemon_results::block), so a result is copied and not decoded.

use std::ops::Range;
use std::sync::Arc;

use daemon_results::block::{
    AttributeShape, BlockError, EncodedValue, Reader, Row, UveShape, Values, put_varint, read_value,
};
use derived_stats::Record;
use proxy_uve::json;

use crate::view::ages::Ages;

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
    age: u8,
    older_age: u8,
    newest: &'o [u8],
    older: &'o [u8],
    /// Where the whole structure, its `partial` and its `newest` are among the structures' bytes.
    whole_at: Range<usize>,
    partial_at: usize,
    newest_at: Range<usize>,
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
    pub(super) fn apply(
        &mut self,
        shapes: &[Arc<UveShape>],
        number: usize,
        row: &Row<'_>,
        scratch: &mut Scratch,
        ages: &mut Ages,
    ) {
        // Mostly the shape is the same, and no names need be compared.
        let same = self.uves(shapes).find(|uve| uve.number == number);
        let before = same.or_else(|| self.uves(shapes).find(|uve| uve.shape.uve == row.shape.uve));
        if let Some(uve) = before.as_ref().filter(|uve| uve.has_form_of(number, row)) {
            let (partial_at, newest_at) = (uve.partial_at, uve.newest_at.clone());
            ages.remove(uve.age);
            ages.add(ages.newest());
            let bytes = &mut self.bytes[self.name as usize..];
            (bytes[partial_at], bytes[partial_at + 1]) = (row.partial.into(), ages.newest());
            return bytes[newest_at].copy_from_slice(row.values.encoded());
        }
        self.encode_replaced(shapes, before.as_ref(), number, row, scratch, ages);
        self.set(&scratch.object);
    }

    /// Encodes the object with a result in place of the one before, whose attributes stay that it does not have.
    fn encode_replaced(
        &self,
        shapes: &[Arc<UveShape>],
        before: Option<&Uve<'_>>,
        number: usize,
        row: &Row<'_>,
        Scratch { object, older }: &mut Scratch,
        ages: &mut Ages,
    ) {
        object.clear();
        older.clear();
        let older_age = before.and_then(|before| encode_older(shapes, before, row, older));
        before.into_iter().for_each(|before| before.remove_from(ages));
        let age = ages.newest();
        [Some(age), older_age].into_iter().flatten().for_each(|age| ages.add(age));
        let bytes = self.uve_bytes();
        let Range { start, end } = before.map_or(bytes.len()..bytes.len(), |before| before.whole_at.clone());
        object.extend_from_slice(&bytes[..start]);
        put_varint(object, number as u64);
        object.extend_from_slice(&[row.partial.into(), age, older_age.unwrap_or(age)]);
        for part in [row.values.encoded(), older] {
            put_varint(object, part.len() as u64);
            object.extend_from_slice(part);
        }
        object.extend_from_slice(&bytes[end..]);
    }

    /// Removes the structure `uve`.
    pub(super) fn remove(&mut self, shapes: &[Arc<UveShape>], uve: &str, scratch: &mut Scratch, ages: &mut Ages) {
        let Some(uve) = self.uves(shapes).find(|known| *known.shape.uve == *uve) else { return };
        uve.remove_from(ages);
        let whole_at = uve.whole_at;
        let object = &mut scratch.object;
        object.clear();
        object.extend_from_slice(&self.uve_bytes()[..whole_at.start]);
        object.extend_from_slice(&self.uve_bytes()[whole_at.end..]);
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

/// Reads an index of a shape, which may be larger than the number of bytes behind it.
fn shape_number(reader: &mut Reader<'_>) -> Result<usize, BlockError> {
    Ok(usize::try_from(reader.varint("shape")?).unwrap_or(usize::MAX))
}

fn uve<'o>(reader: &mut Reader<'o>, total: usize, shapes: &'o [Arc<UveShape>]) -> Result<Option<Uve<'o>>, BlockError> {
    let at = |reader: &Reader<'_>| total - reader.rest().len();
    let start = at(reader);
    let number = shape_number(reader)?;
    let partial_at = at(reader);
    let is_partial = reader.byte("partial")? != 0;
    let (age, older_age) = (reader.byte("age")?, reader.byte("older age")?);
    let length = reader.count("length")?;
    let newest_from = at(reader);
    let newest = reader.take(length, "newest")?;
    let newest_at = newest_from..at(reader);
    let length = reader.count("length")?;
    let older = reader.take(length, "older")?;
    let whole_at = start..at(reader);
    let shape = shapes.get(number);
    Ok(shape.map(|shape| Uve {
        shape,
        number,
        is_partial,
        age,
        older_age,
        newest,
        older,
        whole_at,
        partial_at,
        newest_at,
    }))
}

/// Encodes the attributes that a result does not have as `older`, and returns the age of the oldest of them; `None` if it
/// has all.
fn encode_older(shapes: &[Arc<UveShape>], before: &Uve<'_>, row: &Row<'_>, older: &mut Vec<u8>) -> Option<u8> {
    let name = |value: EncodedValue<'_>| row.shape.attributes.get(value.index).map(|attribute| &*attribute.name);
    let is_new = |known: &str| row.values.iter(row.shape).any(|value| name(value) == Some(known));
    let keep = |older: &mut Vec<u8>, (number, attribute, value): (usize, &AttributeShape, EncodedValue<'_>)| {
        if !is_new(&attribute.name) {
            put_varint(older, number as u64);
            put_varint(older, value.index as u64 + 1);
            older.extend_from_slice(value.bytes);
        }
    };
    before.encoded_newest(shapes).for_each(|value| keep(older, value));
    let of_newest = older.len();
    before.encoded_older(shapes).for_each(|value| keep(older, value));
    match older.len() {
        0 => None,
        len if len == of_newest => Some(before.age),
        _ => Some(before.older_age),
    }
}

fn varint_len(value: usize) -> usize {
    (value.max(1).ilog2() as usize / 7) + 1
}

impl<'o> Uve<'o> {
    /// Takes its values out of the counts of `ages`.
    fn remove_from(&self, ages: &mut Ages) {
        ages.remove(self.age);
        if !self.older.is_empty() {
            ages.remove(self.older_age);
        }
    }

    /// Whether a result has the same shape and size, and replaces this one altogether.
    fn has_form_of(&self, number: usize, row: &Row<'_>) -> bool {
        self.number == number
            && self.older.is_empty()
            && self.newest.len() == row.values.encoded().len()
            && row.values.has_all(row.shape)
    }

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
        self.encoded_newest(shapes).chain(self.encoded_older(shapes))
    }

    fn encoded_newest<'s>(
        &self,
        shapes: &'s [Arc<UveShape>],
    ) -> impl Iterator<Item = (usize, &'s AttributeShape, EncodedValue<'o>)> + use<'o, 's> {
        let (number, newest) = (self.number, self.newest);
        let values = shapes.get(number).into_iter().flat_map(move |shape| Values::split(newest, shape));
        values.filter_map(move |value| Some((number, shapes.get(number)?.attributes.get(value.index)?, value)))
    }

    fn encoded_older<'s>(
        &self,
        shapes: &'s [Arc<UveShape>],
    ) -> impl Iterator<Item = (usize, &'s AttributeShape, EncodedValue<'o>)> + use<'o, 's> {
        let mut reader = Reader::new(self.older);
        let values = std::iter::from_fn(move || older_value(&mut reader, shapes));
        values.filter_map(|(number, value)| Some((number, shapes.get(number)?.attributes.get(value.index)?, value)))
    }
}

/// The next attribute of `older`; `None` at the end.
fn older_value<'o>(reader: &mut Reader<'o>, shapes: &[Arc<UveShape>]) -> Option<(usize, EncodedValue<'o>)> {
    let number = shape_number(reader).ok()?;
    let value = Values::split(reader.rest(), shapes.get(number)?).next()?;
    reader.take(varint_len(value.index + 1) + value.bytes.len(), "value").ok()?;
    Some((number, value))
}

fn decoded(attribute: &AttributeShape, value: &EncodedValue<'_>) -> Result<Record, BlockError> {
    read_value(&mut Reader::new(value.bytes), attribute.numbers())
}
