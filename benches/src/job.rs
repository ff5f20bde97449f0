//! The common job, as far as every system that we write for it shares it: its records, its detector and its rows.
//!
//! Records of Virtual Networks x two attributes come in random order with rising timestamps. Per (key, attribute) they
//! are summed over tumbling minutes; at the end of a minute the sum feeds an exponentially weighted mean and deviation.
//! A minute without samples of a (key, attribute) is nothing: no row, and no zero for the detector.

use std::io::{self, Write};

use crate::{MINUTE, START, SplitMix64};

/// The two attributes of every Virtual Network.
pub const ATTRIBUTES: [&str; 2] = ["ingress_flow_count", "egress_flow_count"];

/// The minutes over which the records are spread.
pub const MINUTES: u64 = 10;

/// The weight of the newest sum in the detector.
const ALPHA: f64 = 0.1;

/// Writes `records` records over `keys` networks as lines of JSON to `json` and, the same records, as
/// `key<TAB>element` in Contrail's XML form to `xml`. The same arguments give the same bytes on every machine.
///
/// Each (key, attribute) has a level of its own between 10 and 209, to which up to 49 are added; one record in ten
/// thousand is twenty times as high.
///
/// # Errors
/// Those of the two writers.
pub fn generate(records: u64, keys: u64, seed: u64, json: &mut impl Write, xml: &mut impl Write) -> io::Result<()> {
    let mut random = SplitMix64(seed);
    for index in 0..records {
        let network = random.below(keys);
        let attribute = (random.draw() >> 63) as usize;
        let value = value(&mut random, network, attribute as u64);
        let at = START + (u128::from(index) * u128::from(MINUTES * MINUTE) / u128::from(records)) as u64;
        let name = ATTRIBUTES[attribute];
        let key = format_args!("ObjectVNTable:default-domain:tenant-{:04}:vn-{network:06}", network % 1000);
        writeln!(json, r#"{{"ts":{at},"key":"{key}","attr":"{name}","value":{value}}}"#)?;
        writeln!(xml, "{key}\t<{name} type=\"u64\" identifier=\"5\" timestamp=\"{at}\">{value}</{name}>")?;
    }
    Ok(())
}

fn value(random: &mut SplitMix64, network: u64, attribute: u64) -> u64 {
    let level = 10 + SplitMix64(network.wrapping_mul(0x123_4567) + attribute).draw() % 200;
    let value = level + random.below(50);
    if random.below(10_000) == 0 { value * 20 } else { value }
}

/// Exponentially weighted mean and variance that start at zero, as Contrail's `DSAnomaly:EWM:0.1` does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ewm {
    mean: f64,
    variance: f64,
}

/// What the detector says of one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The weighted mean, this minute's sum included.
    pub mean: f64,
    /// The weighted standard deviation.
    pub stddev: f64,
    /// How many deviations the sum lies from the mean; 0 without deviation.
    pub sigma: f64,
}

impl Ewm {
    /// Takes the sum of a minute: the variance first, against the old mean; then sigma against the new one.
    pub fn update(&mut self, sum: f64) -> Score {
        let distance = sum - self.mean;
        self.variance = (1.0 - ALPHA) * (self.variance + ALPHA * distance * distance);
        self.mean = (1.0 - ALPHA) * self.mean + ALPHA * sum;
        let stddev = self.variance.sqrt();
        let sigma = if stddev > 0.0 { (sum - self.mean) / stddev } else { 0.0 };
        Score { mean: self.mean, stddev, sigma }
    }
}

/// Appends one result to `out`: `key,attr,window,sum,mean,stddev,sigma`, the window as its start in microseconds.
pub fn push_row(out: &mut Vec<u8>, (key, attribute): (&[u8], &[u8]), window: u64, sum: u64, score: Score) {
    out.extend_from_slice(key);
    out.push(b',');
    out.extend_from_slice(attribute);
    let mut digits = itoa::Buffer::new();
    for number in [window, sum] {
        out.push(b',');
        out.extend_from_slice(digits.format(number).as_bytes());
    }
    let mut digits = zmij::Buffer::new();
    for number in [score.mean, score.stddev, score.sigma] {
        out.push(b',');
        out.extend_from_slice(digits.format_finite(number).as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_records_in_both_forms() {
        let (mut json, mut xml) = (Vec::new(), Vec::new());
        generate(2, 1000, 42, &mut json, &mut xml).unwrap();
        let expected = r#"{"ts":1488000000000000,"key":"ObjectVNTable:default-domain:tenant-0741:vn-000741","attr":"ingress_flow_count","value":92}
{"ts":1488000300000000,"key":"ObjectVNTable:default-domain:tenant-0038:vn-000038","attr":"egress_flow_count","value":32}
"#;
        assert_eq!(String::from_utf8(json).unwrap(), expected);
        let first = String::from_utf8(xml).unwrap().lines().next().unwrap_or_default().to_owned();
        let element =
            r#"<ingress_flow_count type="u64" identifier="5" timestamp="1488000000000000">92</ingress_flow_count>"#;
        assert_eq!(first, format!("ObjectVNTable:default-domain:tenant-0741:vn-000741\t{element}"));
    }

    #[test]
    fn the_first_sum_scores_three_deviations_as_the_original_does() {
        let score = Ewm::default().update(36.0);
        assert_eq!(score.mean, 3.6);
        assert!((score.sigma - 3.0).abs() < 1e-12, "{score:?}");
    }

    #[test]
    fn a_sum_of_zero_over_nothing_has_no_deviation_and_sigma_zero() {
        assert_eq!(Ewm::default().update(0.0), Score { mean: 0.0, stddev: 0.0, sigma: 0.0 });
    }

    #[test]
    fn a_row_names_its_key_attribute_and_window_before_the_numbers() {
        let mut out = Vec::new();
        let score = Score { mean: 3.6, stddev: 10.8, sigma: 3.0 };
        push_row(&mut out, (b"t:n", b"a"), 60_000_000, 36, score);
        assert_eq!(String::from_utf8(out).unwrap(), "t:n,a,60000000,36,3.6,10.8,3.0\n");
    }
}
