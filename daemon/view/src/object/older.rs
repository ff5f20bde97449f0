//! The attributes that the newest result of a structure does not have: `older` of an [object](super).

use std::sync::Arc;

use daemon_results::block::{EncodedValue, Reader, Row, UveShape, Values, put_varint};

use super::{Encoded, Uve, end_bytes, end_ms, shape_number};

/// Encodes the attributes that a result does not have as `older`, and calls `kept` with the generation of each.
pub(super) fn encode_older(
    shapes: &[Arc<UveShape>],
    before: &Uve<'_>,
    row: &Row<'_>,
    older: &mut Vec<u8>,
    mut kept: impl FnMut(u8),
) {
    let name = |value: EncodedValue<'_>| row.shape.attributes.get(value.index).map(|attribute| &*attribute.name);
    let is_new = |known: &str| row.values.iter(row.shape).any(|value| name(value) == Some(known));
    for Encoded { shape, generation, end_ms, attribute, value } in before.encoded(shapes) {
        if !is_new(&attribute.name) {
            put_varint(older, shape as u64);
            older.push(generation);
            older.extend_from_slice(&end_bytes(end_ms));
            put_varint(older, value.index as u64 + 1);
            older.extend_from_slice(value.bytes);
            kept(generation);
        }
    }
}

fn varint_len(value: usize) -> usize {
    (value.max(1).ilog2() as usize / 7) + 1
}

/// An attribute of `older`: its shape, its generation with the end of its window, and its value.
pub(super) type Older<'o> = (usize, (u8, u64), EncodedValue<'o>);

/// The attributes of `older`.
pub(super) fn older_values<'o, 's>(
    older: &'o [u8],
    shapes: &'s [Arc<UveShape>],
) -> impl Iterator<Item = Older<'o>> + use<'o, 's> {
    let mut reader = Reader::new(older);
    std::iter::from_fn(move || older_value(&mut reader, shapes))
}

/// The next attribute of `older`; `None` at the end.
fn older_value<'o>(reader: &mut Reader<'o>, shapes: &[Arc<UveShape>]) -> Option<Older<'o>> {
    let number = shape_number(reader).ok()?;
    let of = (reader.byte("generation").ok()?, end_ms(reader).ok()?);
    let value = Values::split(reader.rest(), shapes.get(number)?).next()?;
    reader.take(varint_len(value.index + 1) + value.bytes.len(), "value").ok()?;
    Some((number, of, value))
}
