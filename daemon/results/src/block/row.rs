//! One result. Its attributes are decoded on demand, because most readers need a few, or copy them as they are.

use std::sync::Arc;

use derived_stats::{Number, Record};

use crate::block::bytes::{BlockError, Reader, put_varint};
use crate::block::shape::{AttributeShape, UveShape};
use crate::block::value::{put_value, read_number, read_value, skip_value};

/// One result, which borrows from its block and its reader.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// The object, as `table:name`.
    pub key: &'r str,
    /// The names and types of the result.
    pub shape: &'r Arc<UveShape>,
    /// The start of the window, or the time of the sample of an inline result (µs since the epoch).
    pub start: u64,
    /// The end of the window, or the time of the sample of an inline result (µs since the epoch).
    pub end: u64,
    /// Whether the proxy UVE has expired.
    pub deleted: bool,
    /// Whether the samples do not cover the window from its start.
    pub partial: bool,
    /// The attributes of the result.
    pub values: Values<'r>,
}

impl<'r> Row<'r> {
    /// Decodes the attributes of the result, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (&'r AttributeShape, Record)> + use<'r> {
        self.encoded().filter_map(|(attribute, value)| Some((attribute, value.decode(attribute)?)))
    }

    /// The attributes of the result, in order, encoded.
    #[inline]
    pub fn encoded(&self) -> impl Iterator<Item = (&'r AttributeShape, EncodedValue<'r>)> + use<'r> {
        let shape = &**self.shape;
        self.values.iter(shape).filter_map(|value| Some((shape.attributes.get(value.index)?, value)))
    }
}

/// The attributes of a result, encoded as in a [block](crate::block): `(attribute+1  value)*`, checked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Values<'r> {
    encoded: &'r [u8],
    count: usize,
    /// Whether the indices ascend: then no attribute is there twice.
    is_ordered: bool,
}

/// One attribute of a result, encoded.
#[derive(Clone, Copy, Debug)]
pub struct EncodedValue<'r> {
    /// The index in the attributes of the shape.
    pub index: usize,
    /// The value, which [`read_value`] reads.
    pub bytes: &'r [u8],
}

impl EncodedValue<'_> {
    /// Decodes the number at `index` alone; `None` if it is absent, or the value is damaged.
    #[inline]
    pub fn number(&self, attribute: &AttributeShape, index: usize) -> Option<Number> {
        read_number(&mut Reader::new(self.bytes), attribute.numbers(), index).ok().flatten()
    }

    /// Decodes a value of `attribute`; `None` if it is damaged.
    pub fn decode(&self, attribute: &AttributeShape) -> Option<Record> {
        read_value(&mut Reader::new(self.bytes), attribute.numbers()).ok()
    }
}

impl<'r> Values<'r> {
    /// Reads the attributes of a row of `shape`, and the zero behind them.
    pub(super) fn read(reader: &mut Reader<'r>, shape: &UveShape) -> Result<Self, BlockError> {
        let (from, start) = (reader.rest(), reader.offset());
        let (mut count, mut is_ordered, mut last) = (0, true, 0);
        loop {
            let end = reader.offset() - start;
            let number = reader.varint("attribute")?;
            let Some(index) = number.checked_sub(1) else {
                return Ok(Self { encoded: from.get(..end).unwrap_or_default(), count, is_ordered });
            };
            is_ordered &= number > last;
            last = number;
            let attribute = usize::try_from(index).ok().and_then(|index| shape.attributes.get(index));
            let Some(attribute) = attribute else {
                return Err(reader.damaged("attribute", number.to_string(), "an attribute of the entry"));
            };
            skip_value(reader, attribute.numbers())?;
            count += 1;
        }
    }

    /// Whether each attribute of `shape`, the row's, is there once.
    #[inline]
    pub fn has_all(&self, shape: &UveShape) -> bool {
        self.is_ordered && self.count == shape.attributes.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The encoded attributes.
    #[inline]
    pub fn encoded(&self) -> &'r [u8] {
        self.encoded
    }

    /// The attributes one by one; `shape` is that of the row.
    #[inline]
    pub fn iter<'s>(self, shape: &'s UveShape) -> impl Iterator<Item = EncodedValue<'r>> + use<'r, 's> {
        Self::split(self.encoded, shape)
    }

    /// The attributes in bytes that [`encoded`](Self::encoded) returned for a row of `shape`. Ends at damage.
    #[inline]
    pub fn split<'s>(encoded: &'r [u8], shape: &'s UveShape) -> impl Iterator<Item = EncodedValue<'r>> + use<'r, 's> {
        let mut reader = Reader::new(encoded);
        std::iter::from_fn(move || {
            if reader.is_at_end() {
                return None;
            }
            let index = usize::try_from(reader.varint("attribute").ok()?.checked_sub(1)?).ok()?;
            let from = reader.rest();
            skip_value(&mut reader, shape.attributes.get(index)?.numbers()).ok()?;
            Some(EncodedValue { index, bytes: from.get(..from.len() - reader.rest().len())? })
        })
    }
}

/// The attributes of a result that does not come from a block, or is a part of one: the owner of [`Values`].
#[derive(Clone, Debug, Default)]
pub struct ValuesBuffer {
    encoded: Vec<u8>,
    count: usize,
    /// The index after the last one, and whether all ascended.
    next: usize,
    is_unordered: bool,
}

impl ValuesBuffer {
    /// Removes all attributes.
    pub fn clear(&mut self) {
        self.encoded.clear();
        (self.count, self.next, self.is_unordered) = (0, 0, false);
    }

    /// Adds the attribute `index` of `shape`.
    pub fn push(&mut self, shape: &AttributeShape, index: usize, record: &Record) {
        self.begin(index);
        put_value(&mut self.encoded, record, shape.numbers());
    }

    /// Adds an attribute of another row of the same shape.
    pub fn push_encoded(&mut self, value: EncodedValue<'_>) {
        self.begin(value.index);
        self.encoded.extend_from_slice(value.bytes);
    }

    fn begin(&mut self, index: usize) {
        put_varint(&mut self.encoded, index as u64 + 1);
        self.is_unordered |= index < self.next;
        (self.count, self.next) = (self.count + 1, index + 1);
    }

    /// The attributes.
    pub fn values(&self) -> Values<'_> {
        Values { encoded: &self.encoded, count: self.count, is_ordered: !self.is_unordered }
    }
}
