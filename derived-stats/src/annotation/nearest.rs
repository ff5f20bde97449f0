//! The known name that is most similar to a misspelt one.
//!
//! Names are compared case-insensitively by the *optimal string alignment* distance: insertions, deletions,
//! replacements and swaps of neighbours, the common typing errors, cost one each. The distance may be a third of the
//! length of the name, at least one: with a larger limit `DSAvg` would be proposed for every name that starts with
//! `DS`. A name that only lacks a prefix (`sum` for `DSSum`) counts as similar too.

/// The shortest ending that is compared: shorter ones match too many names.
#[cfg(feature = "parser")]
const SHORTEST_ENDING: usize = 3;

/// The candidate nearest to `name`, or `None` if none is similar enough.
///
/// Always `None` without the Cargo feature `parser`.
///
/// Returns the first of equally near candidates. The cost is proportional to the length of the name times the length of
/// each candidate of about that length; use it on error paths only.
///
/// ```
/// use derived_stats::annotation::nearest;
///
/// let known = ["DSSum", "DSAvg", "DSAnomaly"];
/// # #[cfg(feature = "parser")]
/// assert_eq!(nearest("DSAnomly", known), Some("DSAnomaly"));
/// assert_eq!(nearest("xyz", known), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = near_distance(&wanted, &candidate.to_lowercase())?;
            Some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(not(feature = "parser"))]
fn near_distance(_wanted: &str, _candidate: &str) -> Option<usize> {
    None
}

/// The distance of two lower-case names; `None` if it is too large to propose the candidate.
#[cfg(feature = "parser")]
fn near_distance(wanted: &str, candidate: &str) -> Option<usize> {
    let (length, other) = (wanted.chars().count(), candidate.chars().count());
    let allowed = (length / 3).max(1);
    if length >= SHORTEST_ENDING && candidate.ends_with(wanted) {
        return Some(other - length);
    }
    if length.abs_diff(other) > allowed {
        return None;
    }
    let distance = strsim::osa_distance(wanted, candidate);
    // Names with no letter in common are not similar, however short.
    (distance <= allowed && distance < length).then_some(distance)
}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 8] = ["DSNone", "DSNull", "DSSum", "DSAvg", "DSChange", "DSNon0", "DSEWM", "DSAnomaly"];

    #[test]
    fn slips_find_the_name_that_was_meant() {
        let cases = [
            ("dssum", Some("DSSum")),
            ("DSSUM", Some("DSSum")),
            ("DSsuum", Some("DSSum")),
            ("DSusm", Some("DSSum")),
            ("SSum", Some("DSSum")),
            ("sum", Some("DSSum")),
            ("anomaly", Some("DSAnomaly")),
            ("DSAnomalie", Some("DSAnomaly")),
            ("DSEMW", Some("DSEWM")),
            ("DSNul", Some("DSNull")),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, KNOWN), expected, "{name}");
        }
    }

    #[test]
    fn unlike_names_find_nothing() {
        for name in ["", "x", "xyz", "DSMax", "DSSet", "DSXYZ", "DSPercentile", "DS", "Mittelwert", "é"] {
            assert_eq!(nearest(name, KNOWN), None, "{name}");
        }
    }

    #[test]
    fn the_first_of_equally_near_candidates_wins() {
        assert_eq!(nearest("DSNun", ["DSNon", "DSNul"]), Some("DSNon"));
        assert_eq!(nearest("DSNun", ["DSNul", "DSNon"]), Some("DSNul"));
    }

    #[test]
    fn the_nearest_wins_wherever_it_stands() {
        assert_eq!(nearest("DSChance", ["DSChants", "DSChange"]), Some("DSChange"));
    }

    #[test]
    fn a_missing_prefix_counts_its_letters() {
        assert_eq!(nearest("active", ["actiyx", "Xactive"]), Some("Xactive"), "one letter is nearer than two");
        assert_eq!(nearest("sum", ["DSSum", "Sun"]), Some("Sun"), "two letters are farther than one");
        assert_eq!(nearest("sum", ["LongSum", "DSSum"]), Some("DSSum"));
    }

    #[test]
    fn one_letter_is_not_near_another() {
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("x", ["X"]), Some("X"));
    }

    #[test]
    fn without_candidates_there_is_no_nearest_name() {
        assert_eq!(nearest("DSSum", []), None);
    }
}
