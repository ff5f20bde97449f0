//! The encoded definition of a proxy type.

use derived_stats::Record;

use crate::block::shape::UveShape;

/// The encoded definition and the sizes of one proxy type.
#[derive(Debug)]
pub(super) struct TypeCode {
    pub(super) definition: Vec<u8>,
    /// The name of each attribute, and how many numbers it has.
    pub(super) attributes: Box<[(Box<str>, usize)]>,
    /// The largest size of the attributes of a row.
    pub(super) largest: usize,
    /// Whether an attribute has more numbers than a reader of [`NARROW_VERSION`](crate::block::NARROW_VERSION) takes.
    pub(super) is_wide: bool,
}

impl TypeCode {
    pub(super) fn new(shape: &UveShape) -> Self {
        let definition = shape.definition();
        let attributes: Box<[_]> =
            shape.attributes.iter().map(|attribute| (attribute.name.clone(), attribute.numbers())).collect();
        // Index, flaw and types take at most 16 bytes, or 26 with two words of types, and each number at most ten.
        let is_wide = |numbers: usize| numbers > Record::INLINE_NUMBERS;
        let head = |numbers| if is_wide(numbers) { 26 } else { 16 };
        let largest = attributes.iter().map(|&(_, numbers)| head(numbers) + 10 * numbers).sum();
        let is_wide = attributes.iter().any(|&(_, numbers)| is_wide(numbers));
        Self { definition, attributes, largest, is_wide }
    }
}
