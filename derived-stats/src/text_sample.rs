//! Texts as samples.

use crate::fnv::{OFFSET_BASIS, fnv_1a};
use crate::number::Number;

/// The largest length of a text sample in bytes.
pub const MAX_TEXT_SAMPLE: usize = 256;

/// A text that is too long for a sample.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the text has {bytes} bytes; a text sample has at most {}, so send a shorter one", MAX_TEXT_SAMPLE)]
pub struct TextSampleError {
    /// The length of the text.
    pub bytes: usize,
}

/// The sample that stands for a text in a pipeline of `u64`: its 64-bit hash.
///
/// A metric of texts, such as a status or the name of a client, is a metric of type `u64` whose samples are these
/// hashes. So texts need no memory in states and no other type of sample. `DSCategory` counts the texts that its
/// annotation lists, and `DSDistinct` the number of different ones; `DSTopK` returns the hashes of the most frequent
/// texts.
///
/// The hash is FNV-1a (G. Fowler, L. Noll, P. Vo, RFC 9923) with the finaliser of SplitMix64. It never changes, because
/// saved states depend on it. Two texts have the same hash with a probability of 2^-64, but such texts can be
/// constructed on purpose.
///
/// ```
/// use derived_stats::{Pipeline, text_sample};
///
/// let mut statuses = Pipeline::parse("raw:DSCategory:ok,error")?;
/// for status in ["ok", "timeout", "ok"] {
///     statuses.update(0, text_sample(status)?)?;
/// }
/// let result = statuses.report(0).forced().expect("a result after every sample");
/// let counts = ["ok", "error", "other"].map(|name| result.number(name).map_or(0.0, |count| count.as_f64()));
/// assert_eq!(counts, [2.0, 0.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`TextSampleError`] for a text of more than [`MAX_TEXT_SAMPLE`] bytes.
pub fn text_sample(text: &str) -> Result<Number, TextSampleError> {
    match text.len() {
        0..=MAX_TEXT_SAMPLE => Ok(Number::U64(hash(text))),
        bytes => Err(TextSampleError { bytes }),
    }
}

/// The hash of a text of any length.
pub(crate) fn hash(text: &str) -> u64 {
    mix(fnv_1a(OFFSET_BASIS, text.as_bytes()))
}

/// A permutation of the integers whose result depends on every bit: the finaliser of SplitMix64 (G. Steele, D. Lea, C.
/// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), after the addition of its constant.
#[inline]
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_text_never_changes() {
        // SplitMix64 of the seed 0 starts with this number.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        // FNV-1a of these texts, from its authors' list, with the finaliser.
        assert_eq!(hash(""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash("foobar"), mix(0x8594_4171_f739_67e8));
        assert_eq!(text_sample("foobar"), Ok(Number::U64(hash("foobar"))));
    }

    #[test]
    fn a_text_sample_has_at_most_256_bytes() {
        let text = "é".repeat(128);
        assert!(text_sample(&text).is_ok());
        let error = text_sample(&(text + "x")).expect_err("257 bytes");
        let sentence = "the text has 257 bytes; a text sample has at most 256, so send a shorter one";
        assert_eq!((error.bytes, error.to_string().as_str()), (257, sentence));
    }
}
