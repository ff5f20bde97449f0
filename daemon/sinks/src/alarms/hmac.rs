//! HMAC-SHA256, with which a receiver recognises the sender (RFC 2104, <https://datatracker.ietf.org/doc/html/rfc2104>).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The block of SHA-256.
const BLOCK: usize = 64;

/// The HMAC of the parts of a message, in hexadecimal digits.
pub(crate) fn hex(key: &[u8], parts: &[&[u8]]) -> String {
    let mut block = [0_u8; BLOCK];
    let hashed = Sha256::digest(key);
    let key = if key.len() > BLOCK { hashed.as_slice() } else { key };
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte = *key);
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let mut inner = Sha256::new().chain_update(padded(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let digest = Sha256::new().chain_update(padded(0x5c)).chain_update(inner.finalize()).finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::hex;

    /// <https://datatracker.ietf.org/doc/html/rfc4231>, cases 1, 2 and 6.
    #[test]
    fn the_digests_are_those_of_the_specification() {
        let long = [0xaa_u8; 131];
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hex(key, &[message]), expected);
            let (start, end) = message.split_at(3);
            assert_eq!(hex(key, &[start, end]), expected);
        }
    }
}
