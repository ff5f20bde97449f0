//! SplitMix64: pseudo-random numbers that are the same on every machine.

/// The increment of the state between two steps.
pub const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Returns the output of the step of SplitMix64 that starts at `state`; every state is a good seed. Digests of stored
/// states are computed with it, so it must never change.
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
