//! FNV-1a with 128 bits: a short name for a long text that is the same on every machine and in every version.
//!
//! <https://datatracker.ietf.org/doc/html/rfc9923>
//!
//! It is no protection against a sender who looks for two texts with one digest.

/// What the digest of an empty text is.
const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Returns the digest of `bytes`. Names of stored states contain it, so it must never change.
pub fn digest(bytes: &[u8]) -> u128 {
    bytes.iter().fold(OFFSET_BASIS, |digest, &byte| (digest ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_are_those_of_the_specification() {
        assert_eq!(digest(b""), OFFSET_BASIS);
        assert_eq!(digest(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(digest(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
