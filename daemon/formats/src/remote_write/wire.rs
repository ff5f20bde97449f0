//! The fields of the outer message, one by one.
//!
//! prost decodes a whole message at once, which multiplies the memory of a body of many empty series. So the outer
//! message is walked here, and prost decodes what it contains one series at a time.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

use bytes::Bytes;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::RequestError;

/// An iterator over the fields of a message: number, and content of what has a length. It ends with the first error.
pub(super) struct Fields {
    length: usize,
    rest: Bytes,
}

impl Fields {
    pub(super) fn of(message: &Bytes) -> Self {
        Self { length: message.len(), rest: message.clone() }
    }

    fn field(&mut self) -> Result<(u32, Option<Bytes>), String> {
        let text = |error: prost::DecodeError| error.to_string();
        let (number, wire_type) = decode_key(&mut self.rest).map_err(text)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, number, &mut self.rest, DecodeContext::default()).map_err(text)?;
            return Ok((number, None));
        }
        let claimed = decode_varint(&mut self.rest).map_err(text)?;
        let length = usize::try_from(claimed).ok().filter(|length| *length <= self.rest.len());
        let length =
            length.ok_or_else(|| format!("field {number} claims {claimed} bytes, {} are left", self.rest.len()))?;
        Ok((number, Some(self.rest.split_to(length))))
    }
}

impl Iterator for Fields {
    type Item = Result<(u32, Option<Bytes>), RequestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.length - self.rest.len();
        Some(self.field().map_err(|reason| {
            self.rest.clear();
            RequestError::NotProtobuf { reason: format!("at byte {offset}: {reason}") }
        }))
    }
}
