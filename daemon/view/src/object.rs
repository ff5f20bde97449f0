//! The name and the proxy UVEs of one object, encoded in one byte string, so that a result finds both in one place of
//! memory.
//!
//! ```text
//! object := name  uve*
//! uve    := shape  partial:u8  generation:u8  end:u48  length newest  length older
//! newest := (attribute+1  value)*              the newest result, as its block has it
//! older  := (shape  generation:u8  end:u48  attribute+1  value)*   attributes that the newest result does not have
//! ```
//!
//! `shape` is an index into the view's list of shapes; `generation` is where a value is in the results
//! ([`generations`](super::generations)); `end` is the end of its window in milliseconds. Attributes and values are encoded
//! as in a [block](daemon_results::block), so a result is copied and not decoded.

mod older;

use std::ops::Range;
use std::sync::Arc;

use daemon_results::block::{AttributeShape, BlockError, EncodedValue, Reader, Row, UveShape, Values, put_varint};
use derived_stats::Record;
use proxy_uve::json;

use self::older::{encode_older, older_values};
use crate::generations::Generations;
use crate::history::KeptNumber;

/// The size of the end of a window.
const END_BYTES: usize = 6;

/// The name and the encoded structures of one object.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// The size of the name.
    name: u32,
    /// The number that the index of the results gave it.
    pub index_number: KeptNumber,
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
    pub is_partial: bool,
    generation: u8,
    end_ms: u64,
    newest: &'o [u8],
    older: &'o [u8],
    /// Where the whole structure is among the structures' bytes.
    whole_at: Range<usize>,
}

impl Object {
    /// An object without structures; `None` if the name has four gigabytes.
    pub(super) fn new(name: &str) -> Option<Self> {
        Some(Self { name: u32::try_from(name.len()).ok()?, index_number: KeptNumber::default(), bytes: name.into() })
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
        generations: &mut Generations,
    ) {
        if self.replace(number, row, generations) {
            return;
        }
        // Mostly the shape is the same, and no names need be compared.
        let same = self.uves(shapes).find(|uve| uve.number == number);
        let before = same.or_else(|| self.uves(shapes).find(|uve| uve.shape.uve == row.shape.uve));
        self.encode_replaced(shapes, before.as_ref(), number, row, scratch, generations);
        self.set(&scratch.object);
    }

    /// Replaces the newest result of the same shape and size by one that has all attributes; `false` if there is none.
    #[inline]
    fn replace(&mut self, number: usize, row: &Row<'_>, generations: &mut Generations) -> bool {
        let bytes = self.bytes.get_mut(self.name as usize..).unwrap_or_default();
        let Some((partial_at, newest_at)) = find(bytes, number) else { return false };
        let values = row.values.encoded();
        if newest_at.len() != values.len() || !row.values.has_all(row.shape) {
            return false;
        }
        let Some([partial, generation, end @ ..]) = bytes.get_mut(partial_at..partial_at + 2 + END_BYTES) else {
            return false;
        };
        generations.replace(*generation);
        (*partial, *generation) = (row.partial.into(), generations.newest());
        end.copy_from_slice(&end_bytes(row.end / 1_000));
        bytes[newest_at].copy_from_slice(values);
        true
    }

    /// Encodes the object with a result in place of the one before, whose attributes stay that it does not have.
    fn encode_replaced(
        &self,
        shapes: &[Arc<UveShape>],
        before: Option<&Uve<'_>>,
        number: usize,
        row: &Row<'_>,
        Scratch { object, older }: &mut Scratch,
        generations: &mut Generations,
    ) {
        object.clear();
        older.clear();
        let newest = generations.newest();
        generations.add(newest);
        if let Some(before) = before {
            encode_older(shapes, before, row, older, |generation| generations.add(generation));
            before.remove_from(shapes, generations);
        }
        let bytes = self.uve_bytes();
        let Range { start, end } = before.map_or(bytes.len()..bytes.len(), |before| before.whole_at.clone());
        object.extend_from_slice(&bytes[..start]);
        put_varint(object, number as u64);
        object.extend_from_slice(&[row.partial.into(), newest]);
        object.extend_from_slice(&end_bytes(row.end / 1_000));
        for part in [row.values.encoded(), older] {
            put_varint(object, part.len() as u64);
            object.extend_from_slice(part);
        }
        object.extend_from_slice(&bytes[end..]);
    }

    /// Removes the structure `uve`.
    pub(super) fn remove(
        &mut self,
        shapes: &[Arc<UveShape>],
        uve: &str,
        scratch: &mut Scratch,
        generations: &mut Generations,
    ) {
        let Some(uve) = self.uves(shapes).find(|known| *known.shape.uve == *uve) else { return };
        uve.remove_from(shapes, generations);
        let whole_at = uve.whole_at;
        let object = &mut scratch.object;
        object.clear();
        object.extend_from_slice(&self.uve_bytes()[..whole_at.start]);
        object.extend_from_slice(&self.uve_bytes()[whole_at.end..]);
        // An empty object keeps its memory: mostly it comes back.
        self.set(object);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uve_bytes().is_empty()
    }

    /// The structures, in the order of their first results.
    pub(super) fn uves<'o>(&'o self, shapes: &'o [Arc<UveShape>]) -> impl Iterator<Item = Uve<'o>> {
        let mut reader = Reader::new(self.uve_bytes());
        // The bytes are this file's own: the errors cannot happen.
        std::iter::from_fn(move || if reader.is_at_end() { None } else { uve(&mut reader, shapes).ok().flatten() })
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

/// Where the `partial` and the newest result of the structure of shape `number` are in the structures' bytes; `None` if
/// there is none, or it has older attributes.
#[inline]
fn find(bytes: &[u8], number: usize) -> Option<(usize, Range<usize>)> {
    let mut reader = Reader::new(bytes);
    while !reader.is_at_end() {
        let shape = reader.varint("shape").ok()?;
        let partial_at = reader.offset();
        reader.take(2 + END_BYTES, "partial").ok()?;
        let length = reader.count("length").ok()?;
        let newest_at = reader.offset()..reader.offset() + length;
        reader.take(length, "newest").ok()?;
        let older = reader.count("length").ok()?;
        if shape == number as u64 {
            return (older == 0).then_some((partial_at, newest_at));
        }
        reader.take(older, "older").ok()?;
    }
    None
}

/// The end of a window as it is stored.
fn end_bytes(end_ms: u64) -> [u8; END_BYTES] {
    let [a, b, c, d, e, f, _, _] = end_ms.min((1 << 48) - 1).to_le_bytes();
    [a, b, c, d, e, f]
}

fn end_ms(reader: &mut Reader<'_>) -> Result<u64, BlockError> {
    Ok(reader.take(END_BYTES, "end")?.iter().rev().fold(0, |end, byte| end << 8 | u64::from(*byte)))
}

/// Reads an index of a shape, which may be larger than the number of bytes behind it.
fn shape_number(reader: &mut Reader<'_>) -> Result<usize, BlockError> {
    Ok(usize::try_from(reader.varint("shape")?).unwrap_or(usize::MAX))
}

fn uve<'o>(reader: &mut Reader<'o>, shapes: &'o [Arc<UveShape>]) -> Result<Option<Uve<'o>>, BlockError> {
    let start = reader.offset();
    let number = shape_number(reader)?;
    let is_partial = reader.byte("partial")? != 0;
    let generation = reader.byte("generation")?;
    let end_ms = end_ms(reader)?;
    let length = reader.count("length")?;
    let newest = reader.take(length, "newest")?;
    let length = reader.count("length")?;
    let older = reader.take(length, "older")?;
    let whole_at = start..reader.offset();
    Ok(shapes.get(number).map(|shape| Uve { shape, number, is_partial, generation, end_ms, newest, older, whole_at }))
}

impl<'o> Uve<'o> {
    /// Takes its values out of the counts of `generations`.
    fn remove_from(&self, shapes: &[Arc<UveShape>], generations: &mut Generations) {
        generations.remove(self.generation);
        older_values(self.older, shapes).for_each(|(_, (generation, _), _)| generations.remove(generation));
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
        for Encoded { attribute, value, .. } in self.encoded(shapes) {
            // The block was checked when it was read.
            let Some(record) = value.decode(attribute) else { continue };
            take(&attribute.name, &|out| attribute.write_json(&record, out));
        }
    }

    /// The attributes with their newest results, each with the end of its window in milliseconds.
    pub(super) fn results<'s>(
        &self,
        shapes: &'s [Arc<UveShape>],
    ) -> impl Iterator<Item = (&'s AttributeShape, u64, Record)> + use<'o, 's> {
        // The block was checked when it was read.
        let encoded = self.encoded(shapes);
        encoded
            .filter_map(|Encoded { attribute, end_ms, value, .. }| Some((attribute, end_ms, value.decode(attribute)?)))
    }

    /// The attributes, encoded.
    pub(super) fn encoded<'s>(
        &self,
        shapes: &'s [Arc<UveShape>],
    ) -> impl Iterator<Item = Encoded<'o, 's>> + use<'o, 's> {
        let (shape, newest, of) = (self.number, self.newest, (self.generation, self.end_ms));
        let newest = shapes.get(shape).into_iter().flat_map(move |shape| Values::split(newest, shape));
        let values = newest.map(move |value| (shape, of, value)).chain(older_values(self.older, shapes));
        values.filter_map(|(shape, (generation, end_ms), value)| {
            let attribute = shapes.get(shape)?.attributes.get(value.index)?;
            Some(Encoded { shape, generation, end_ms, attribute, value })
        })
    }
}

/// An attribute of a structure.
pub(super) struct Encoded<'o, 's> {
    /// The index of its shape.
    shape: usize,
    generation: u8,
    /// The end of its window.
    end_ms: u64,
    pub attribute: &'s AttributeShape,
    pub value: EncodedValue<'o>,
}
