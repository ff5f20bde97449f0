//! A reader of protobuf messages that borrows from them, and the parts of a writer.
//!
//! A decoder of whole messages multiplies the memory of a body of many empty messages, and takes an allocation for each
//! text of each message. This reader yields the fields of one message in their order, without an allocation; what contains
//! a message is read by another reader, so that nesting is as deep as the code that reads it.
//!
//! The small functions are always inlined: a field that is returned through memory, in pieces of other sizes than it is
//! read, takes four times the time.
//!
//! Unknown fields are skipped by the callers. Groups are an error: proto3 has none, and neither have the formats here.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// The most bytes of a varint: ten times seven bits hold 64.
const MAX_VARINT_BYTES: usize = 10;

/// What is wrong with a message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at byte {offset}: {reason}")]
pub(crate) struct ProtobufError {
    /// Where, from the beginning of the message.
    offset: usize,
    reason: String,
    /// Whether a text is not UTF-8, while the message around it can be read.
    is_text: bool,
}

impl ProtobufError {
    fn new(offset: usize, reason: String) -> Self {
        Self { offset, reason, is_text: false }
    }

    /// Whether only a text is wrong, which is not UTF-8: the fields after it can be read.
    pub(crate) fn is_text(&self) -> bool {
        self.is_text
    }
}

/// An iterator over the fields of a message. It ends with the first error.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'m> {
    length: usize,
    rest: &'m [u8],
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field<'m> {
    pub(crate) number: u32,
    offset: usize,
    content: Content<'m>,
}

/// The content of a field by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Content<'m> {
    Bytes(&'m [u8]),
    Fixed32(u32),
    Fixed64(u64),
    Varint(u64),
}

impl<'m> Fields<'m> {
    /// The fields of a message.
    #[inline(always)]
    pub(crate) fn of(message: &'m [u8]) -> Self {
        Self { length: message.len(), rest: message }
    }

    #[inline(always)]
    fn field(&mut self, offset: usize) -> Result<Field<'m>, String> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| format!("{} is not the number of a field", key >> 3))?;
        let content = match key & 7 {
            0 => Content::Varint(self.varint()?),
            1 => Content::Fixed64(u64::from_le_bytes(self.array(number)?)),
            2 => Content::Bytes(self.bytes(number)?),
            5 => Content::Fixed32(u32::from_le_bytes(self.array(number)?)),
            other => return Err(format!("field {number} has wire type {other}, which these messages do not use")),
        };
        Ok(Field { number, offset, content })
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, String> {
        // Keys and lengths of most fields have one byte.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(MAX_VARINT_BYTES).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index + 1 == MAX_VARINT_BYTES && *byte > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err("a number is cut, or has more than 64 bits".to_owned())
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self, number: u32) -> Result<[u8; N], String> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(|| short(number, N as u64, self.rest.len()))?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline(always)]
    fn bytes(&mut self, number: u32) -> Result<&'m [u8], String> {
        let claimed = self.varint()?;
        let split = usize::try_from(claimed).ok().and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) = split.ok_or_else(|| short(number, claimed, self.rest.len()))?;
        self.rest = rest;
        Ok(bytes)
    }
}

#[cold]
fn short(number: u32, claimed: u64, left: usize) -> String {
    format!("field {number} claims {claimed} bytes, {left} are left")
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<Field<'m>, ProtobufError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.length - self.rest.len();
        Some(self.field(offset).map_err(|reason| {
            self.rest = &[];
            ProtobufError::new(offset, reason)
        }))
    }
}

impl<'m> Field<'m> {
    /// The content as bytes, or as a message.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> Result<&'m [u8], ProtobufError> {
        match self.content {
            Content::Bytes(bytes) => Ok(bytes),
            _ => Err(self.unexpected("bytes")),
        }
    }

    /// The fields of the message in this field.
    #[inline(always)]
    pub(crate) fn message(&self) -> Result<Fields<'m>, ProtobufError> {
        self.bytes().map(Fields::of)
    }

    /// The content as a text.
    pub(crate) fn text(&self) -> Result<&'m str, ProtobufError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtobufError { is_text: true, ..self.fault("is not UTF-8") })
    }

    /// The content as a `fixed64`.
    pub(crate) fn fixed64(&self) -> Result<u64, ProtobufError> {
        match self.content {
            Content::Fixed64(value) => Ok(value),
            _ => Err(self.unexpected("64 bits")),
        }
    }

    /// The content as a double.
    #[inline(always)]
    pub(crate) fn double(&self) -> Result<f64, ProtobufError> {
        match self.content {
            Content::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.unexpected("a double")),
        }
    }

    /// The content as an unsigned number, of `uint32` and `uint64`.
    #[inline(always)]
    pub(crate) fn unsigned(&self) -> Result<u64, ProtobufError> {
        match self.content {
            Content::Varint(value) => Ok(value),
            _ => Err(self.unexpected("a varint")),
        }
    }

    /// The content as a signed number, of `int32` and `int64`.
    #[inline(always)]
    pub(crate) fn signed(&self) -> Result<i64, ProtobufError> {
        self.unsigned().map(u64::cast_signed)
    }

    /// Adds the numbers of a repeated field, packed or not.
    pub(crate) fn add_unsigned(&self, out: &mut Vec<u64>) -> Result<(), ProtobufError> {
        let Content::Bytes(packed) = self.content else {
            out.push(self.unsigned()?);
            return Ok(());
        };
        let mut packed = Fields::of(packed);
        while !packed.rest.is_empty() {
            out.push(packed.varint().map_err(|reason| ProtobufError::new(self.offset, reason))?);
        }
        Ok(())
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> ProtobufError {
        let found = match self.content {
            Content::Bytes(_) => "bytes",
            Content::Fixed32(_) => "32 bits",
            Content::Fixed64(_) => "64 bits",
            Content::Varint(_) => "a varint",
        };
        self.fault(&format!("has {found}, not {expected}"))
    }

    fn fault(&self, what: &str) -> ProtobufError {
        ProtobufError::new(self.offset, format!("field {} {what}", self.number))
    }
}

/// Appends the key and the length of a field with bytes. The number of the field is below 16.
pub(crate) fn bytes_head(field: u8, length: usize, out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    varint(length as u64, out);
}

/// Appends a number.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes that [`varint`] appends.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fields of a message as text.
    fn read(message: &[u8]) -> Result<Vec<String>, String> {
        let texts = Fields::of(message).map(|field| field.map(|it| format!("{}: {:?}", it.number, it.content)));
        texts.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    #[test]
    fn every_wire_type_is_read() {
        let message = b"\x08\x96\x01\x12\x02ab\x19\0\0\0\0\0\0\xf0\x3f\x25\x01\0\0\0";
        let expected = ["1: Varint(150)", "2: Bytes([97, 98])", "3: Fixed64(4607182418800017408)", "4: Fixed32(1)"];
        assert_eq!(read(message).unwrap(), expected);
    }

    #[test]
    fn what_is_not_a_message_is_an_error_with_its_offset() {
        let cases: [(&[u8], &str); 7] = [
            (b"\x08\x01\x12\x05ab", "at byte 2: field 2 claims 5 bytes, 2 are left"),
            (b"\x08\x80", "at byte 0: a number is cut, or has more than 64 bits"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "at byte 0: a number is cut, or has more than 64 bits"),
            (b"\x00\x01", "at byte 0: 0 is not the number of a field"),
            (b"\x0b\x0c", "at byte 0: field 1 has wire type 3, which these messages do not use"),
            (b"\x09\x01", "at byte 0: field 1 claims 8 bytes, 1 are left"),
            (b"\xf8\xff\xff\xff\xff\x01\x00", "at byte 0: 8589934591 is not the number of a field"),
        ];
        for (message, expected) in cases {
            assert_eq!(read(message).unwrap_err(), expected, "{message:?}");
        }
    }

    #[test]
    fn another_type_than_the_expected_one_is_an_error() {
        let field = Fields::of(b"\x08\x01").next().unwrap().unwrap();
        assert_eq!(field.bytes().unwrap_err().to_string(), "at byte 0: field 1 has a varint, not bytes");
        assert_eq!(field.double().unwrap_err().to_string(), "at byte 0: field 1 has a varint, not a double");
        let field = Fields::of(b"\x0a\x00").next().unwrap().unwrap();
        assert_eq!(field.signed().unwrap_err().to_string(), "at byte 0: field 1 has bytes, not a varint");
        assert_eq!(field.fixed64().unwrap_err().to_string(), "at byte 0: field 1 has bytes, not 64 bits");
        let field = Fields::of(b"\x0a\x01\xff").next().unwrap().unwrap();
        assert_eq!(field.text().unwrap_err().to_string(), "at byte 0: field 1 is not UTF-8");
    }

    #[test]
    fn repeated_numbers_may_be_packed() {
        let mut numbers = Vec::new();
        for field in Fields::of(b"\x0a\x03\x01\x96\x01\x08\x07") {
            field.unwrap().add_unsigned(&mut numbers).unwrap();
        }
        assert_eq!(numbers, [1, 150, 7]);
    }

    proptest! {
        #[test]
        fn property_numbers_are_those_that_prost_encodes(value: u64, signed: i64, double: f64) {
            let mut message = Vec::new();
            prost::encoding::uint64::encode(1, &value, &mut message);
            prost::encoding::int64::encode(2, &signed, &mut message);
            prost::encoding::double::encode(3, &double, &mut message);
            let fields: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
            prop_assert_eq!(fields[0].unsigned(), Ok(value));
            prop_assert_eq!(fields[1].signed(), Ok(signed));
            prop_assert_eq!(fields[2].double().map(f64::to_bits), Ok(double.to_bits()));
        }
    }
}
