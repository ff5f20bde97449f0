//! Numbers that look like chance and are the same everywhere.

/// What a state grows by with each step.
pub const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The number of a step of SplitMix64 that begins at `state`, of which any is a good one. The digests of stored states
/// rest on it: it must stay as it is.
pub fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_original() {
        // The first ones of https://prng.di.unimi.it/splitmix64.c for the seed 1234567.
        let states = [0, 1, 2].map(|step| 1_234_567_u64.wrapping_add(GAMMA.wrapping_mul(step)));
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(states.map(mix), expected);
    }
}
