//! The stored form of a sample that was decoded before: 18 bytes without text.
//!
//! ```text
//! stored := 0x01 type:u8 timestamp:u64 bits:u64        little-endian; type 0 is u64, 1 is i64, 2 is f64
//! ```
//!
//! An ingest endpoint that has decoded a payload to check it writes this instead of the text. A sample with a source,
//! or with a text for its value, keeps the JSON form.

use derived_stats::{Number, Numeric as _, ValueType};

use super::{WireError, WireSample, encode_json, encode_text};

/// The first byte. No text begins with it.
pub(super) const MARK: u8 = 1;

const LENGTH: usize = 18;

/// Appends a sample in the stored form.
///
/// ```
/// use proxy_uve::wire::{decode, encode_stored};
///
/// let sample = decode(br#"{"ts":1490306665057644,"value":31}"#)?;
/// let mut stored = Vec::new();
/// encode_stored(&sample, &mut stored);
/// assert_eq!(decode(&stored)?, sample);
/// # Ok::<(), proxy_uve::wire::WireError>(())
/// ```
pub fn encode_stored(sample: &WireSample<'_>, out: &mut Vec<u8>) {
    if let Some(text) = &sample.text {
        return encode_text(sample.timestamp, text, sample.source.as_deref(), out);
    }
    if sample.source.is_some() && encode_json(sample.timestamp, sample.value, sample.source.as_deref(), out).is_ok() {
        return;
    }
    let kind = match sample.value.value_type() {
        ValueType::U64 => 0,
        ValueType::I64 => 1,
        ValueType::F64 => 2,
    };
    out.extend([MARK, kind]);
    out.extend(sample.timestamp.to_le_bytes());
    out.extend(sample.value.bits().to_le_bytes());
}

pub(super) fn decode(payload: &[u8]) -> Result<WireSample<'_>, WireError> {
    let broken = || WireError::BrokenStored { length: payload.len() };
    let payload: &[u8; LENGTH] = payload.try_into().map_err(|_| broken())?;
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| payload[at + index]));
    let (timestamp, bits) = (word(2), word(10));
    let value = match payload[1] {
        0 => Number::U64(bits),
        // As everywhere in this module, what is not negative is unsigned: samples are equal however they came.
        1 if i64::from_bits(bits) >= 0 => Number::U64(bits),
        1 => Number::I64(i64::from_bits(bits)),
        2 if f64::from_bits(bits).is_finite() => Number::F64(f64::from_bits(bits)),
        _ => return Err(broken()),
    };
    Ok(WireSample { timestamp, value, text: None, source: None, element: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_number_comes_back_exactly() {
        for value in [Number::U64(u64::MAX), Number::I64(i64::MIN), Number::F64(-0.1), Number::F64(f64::MAX)] {
            let sample = WireSample { timestamp: u64::MAX - 1, value, text: None, source: None, element: None };
            let mut stored = Vec::new();
            encode_stored(&sample, &mut stored);
            assert_eq!((stored.len(), decode(&stored)), (LENGTH, Ok(sample)));
        }
    }

    #[test]
    fn an_integer_that_is_not_negative_comes_back_unsigned() {
        // It used to come back signed, unlike the same sample as text.
        for value in [0, 7, i64::MAX] {
            let sample = |value| WireSample { timestamp: 1, value, text: None, source: None, element: None };
            let mut stored = Vec::new();
            encode_stored(&sample(Number::I64(value)), &mut stored);
            assert_eq!(decode(&stored), Ok(sample(Number::U64(value.unsigned_abs()))));
        }
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        let mut nan = vec![MARK, 2];
        nan.extend(0u64.to_le_bytes());
        nan.extend(f64::NAN.to_bits().to_le_bytes());
        let mut kind = nan.clone();
        kind[1] = 3;
        for payload in [&[MARK][..], &nan, &kind, &[MARK; 19]] {
            assert_eq!(decode(payload), Err(WireError::BrokenStored { length: payload.len() }));
        }
    }
}
