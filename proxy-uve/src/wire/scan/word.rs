//! Eight bytes of text in one register: which of them ends a token, and what number its digits are.
//!
//! The arithmetic works on all bytes at once. A test sets the high bit of a byte that is hit; a borrow or a carry may
//! also set those of later bytes, never of earlier ones, so the *first* hit is always right, and only that is used.
//! Little endian on every machine: the first byte of the text is the lowest.

/// 1 in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The high bit of every byte.
const HIGH_BITS: u64 = ONES << 7;

/// Eight bytes of text. At the end of the text, zeros, which are not part of a token, fill the word.
#[derive(Clone, Copy)]
pub(super) struct Word(u64);

impl Word {
    #[inline(always)]
    pub(super) fn new(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// The first eight bytes of `text`, or all of a shorter one.
    #[inline(always)]
    pub(super) fn read(text: &[u8]) -> Self {
        match text.first_chunk::<8>() {
            Some(bytes) => Self::new(*bytes),
            None => Self::read_short(text),
        }
    }

    /// The slow path, in a function of its own: only the last word of a text takes it.
    #[inline(never)]
    fn read_short(text: &[u8]) -> Self {
        Self(text.iter().rev().fold(0, |word, &byte| (word << 8) | u64::from(byte)))
    }

    /// The byte at `index`, below 8.
    #[inline(always)]
    pub(super) fn byte(self, index: usize) -> u8 {
        (self.0 >> (8 * (index & 7))) as u8
    }

    /// How many digits the word begins with.
    #[inline(always)]
    pub(super) fn digits(self) -> usize {
        self.not_digits().trailing_zeros() as usize / 8
    }

    /// Whether all sixteen bytes of both words are digits.
    #[inline(always)]
    pub(super) fn all_digits(self, other: Self) -> bool {
        self.not_digits() | other.not_digits() == 0
    }

    /// A digit is 0 to 9 once the bits of `0` are taken off; the sum reaches the high bit from 10 on.
    #[inline(always)]
    fn not_digits(self) -> u64 {
        let digits = self.0 ^ every(b'0');
        (digits.wrapping_add(every(0x80 - 10)) | digits) & HIGH_BITS
    }

    /// The value of the first `count` bytes, 1 to 8, all of which are digits.
    #[inline(always)]
    pub(super) fn first_digits(self, count: usize) -> u64 {
        // Zeros move in at the low end, which is the front of the number.
        Self(((self.0 ^ every(b'0')) << (64 - 8 * count)) ^ every(b'0')).eight_digits()
    }

    /// The value of eight digits: pairs of digits, then of pairs, then of those, in three multiplications.
    #[inline(always)]
    pub(super) fn eight_digits(self) -> u64 {
        const LOW_OF_EACH_HALF: u64 = 0x0000_00ff_0000_00ff;
        let digits = self.0 ^ every(b'0');
        let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
        // The upper half of each product has the sum of pairs 1 and 3, and of pairs 2 and 4.
        let odd = (pairs & LOW_OF_EACH_HALF).wrapping_mul(100 + (1_000_000 << 32));
        let even = ((pairs >> 16) & LOW_OF_EACH_HALF).wrapping_mul(1 + (10_000 << 32));
        odd.wrapping_add(even) >> 32
    }
}

/// The index of the first byte that may end a text: one below `#` (blanks, `!`, `"`, control characters), `\`, or one
/// that is not ASCII. Two tests instead of four, since nothing else is below `#`.
#[inline(always)]
pub(super) fn text_end_in(Word(word): Word) -> Option<usize> {
    // The tests are wrong for bytes that are not ASCII, which `word` itself marks.
    let backslash = (word ^ every(b'\\')).wrapping_sub(ONES);
    first((word.wrapping_sub(every(b'#')) | backslash | word) & HIGH_BITS)
}

/// The index of the first byte that is not part of a name.
#[inline(always)]
pub(super) fn name_end_in(Word(word): Word) -> Option<usize> {
    // Between `-` and `z`, without `/` and what lies between `9` and `A`.
    let outside = word.wrapping_sub(every(b'-')) | word.wrapping_add(every(0x7f - b'z')) | word;
    let slash = (word ^ every(b'/')).wrapping_sub(ONES);
    let between = word.wrapping_add(every(0x7f - b'9')) & !word.wrapping_add(every(0x80 - b'A'));
    first((outside | slash | between) & HIGH_BITS)
}

#[inline(always)]
const fn every(byte: u8) -> u64 {
    ONES * byte as u64
}

#[inline(always)]
fn first(hits: u64) -> Option<usize> {
    (hits != 0).then(|| hits.trailing_zeros() as usize / 8)
}
