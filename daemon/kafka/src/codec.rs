//! Sealed values: the stored format of the records of the state topic.
//!
//! The format is `version u8 | crc32 u32 | payload`. The checksum also covers the key, so that it detects a value under
//! a wrong key. CRC-32 is fast and detects every single bit flip; it protects against disk errors and program errors,
//! and not against an attacker who can write the files.

const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;

/// Joins the parts of a payload and puts version and checksum in front, for a value with the key `key`.
pub(crate) fn seal(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    let mut sealed = Vec::with_capacity(HEADER_LEN + size);
    sealed.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    parts.iter().for_each(|part| sealed.extend_from_slice(part));
    let crc = checksum(key, &sealed[HEADER_LEN..]);
    sealed[1..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    sealed
}

/// Verifies a sealed value with the key `key` and returns its payload.
///
/// # Errors
/// A text with the failed check, its expected and its found value.
pub(crate) fn open<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], String> {
    let Some((header, payload)) = sealed.split_first_chunk::<HEADER_LEN>() else {
        return Err(format!("{} bytes are too short for a stored value", sealed.len()));
    };
    let [version, crc @ ..] = *header;
    if version != VERSION {
        return Err(format!("unknown format version {version}, supported is {VERSION}"));
    }
    let (stored, computed) = (u32::from_le_bytes(crc), checksum(key, payload));
    if stored != computed {
        return Err(format!("checksum is {computed:08x}, stored is {stored:08x}"));
    }
    Ok(payload)
}

/// Returns the checksum that [`seal`] stored, which identifies the value.
pub(crate) fn stored_checksum(sealed: &[u8]) -> u32 {
    sealed.get(1..HEADER_LEN).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn checksum(key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // The length distinguishes (key "a", payload "bc") from (key "ab", payload "c").
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize()
}

/// A reader of the fixed-width, little-endian numbers of a payload.
#[derive(Debug)]
pub(crate) struct Fields<'a>(
    /// The bytes that are not read yet.
    pub(crate) &'a [u8],
);

impl<'a> Fields<'a> {
    /// Reads the next eight bytes as a number.
    ///
    /// # Errors
    /// A text, if fewer than eight bytes remain.
    pub(crate) fn u64(&mut self) -> Result<u64, String> {
        let (number, rest) = self.0.split_first_chunk().ok_or("a stored number is cut short")?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    /// Reads the next four bytes as a number.
    ///
    /// # Errors
    /// A text, if fewer than four bytes remain.
    pub(crate) fn u32(&mut self) -> Result<u32, String> {
        let (number, rest) = self.0.split_first_chunk().ok_or("a stored number is cut short")?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*number))
    }

    /// The bytes that are not read yet.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_of_a_later_format_is_refused_by_its_version() {
        let mut sealed = seal(b"key", &[b"val", b"ue"]);
        sealed[0] = 2;
        assert_eq!(open(b"key", &sealed).unwrap_err(), "unknown format version 2, supported is 1");
    }

    #[test]
    fn a_value_under_another_key_is_refused() {
        assert!(open(b"other", &seal(b"key", &[b"val", b"ue"])).is_err());
        assert!(open(b"a", &seal(b"ab", &[b"c"])).is_err());
        assert!(open(b"key", b"").is_err());
    }

    #[test]
    fn fields_come_back_in_order_and_a_short_one_is_an_error() {
        let mut fields = Fields(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!((fields.u64(), fields.u32()), (Ok(1), Ok(2)));
        assert!(fields.u32().is_err());
        assert_eq!(fields.rest(), [3]);
    }

    proptest! {
        #[test]
        fn property_a_sealed_value_opens_to_its_payload(key: Vec<u8>, payload: Vec<u8>) {
            let sealed = seal(&key, &[&payload]);
            prop_assert_eq!(open(&key, &sealed), Ok(&payload[..]));
        }

        #[test]
        fn property_any_changed_byte_of_a_sealed_value_is_detected(
            payload: Vec<u8>, at: prop::sample::Index, flip in 1..=255_u8,
        ) {
            let mut sealed = seal(b"key", &[&payload]);
            let at = at.index(sealed.len());
            sealed[at] ^= flip;
            prop_assert!(open(b"key", &sealed).is_err());
        }

        #[test]
        fn property_a_cut_or_longer_sealed_value_is_detected(payload: Vec<u8>, cut: prop::sample::Index, extra: u8) {
            let sealed = seal(b"key", &[&payload]);
            prop_assert!(open(b"key", &sealed[..cut.index(sealed.len())]).is_err());
            let longer = [&sealed[..], &[extra]].concat();
            prop_assert!(open(b"key", &longer).is_err());
        }
    }
}
