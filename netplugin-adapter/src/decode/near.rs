//! Whether the name of an unknown field is near one that is read: to keep the misspelt ones of many.
//!
//! Near are names with at most a third of their letters (at least one) that the other has not, in any order and letter
//! case, and endings of three letters or more. That holds for all names with so many typing errors (insertions,
//! deletions, replacements, swaps of neighbours), and for few others.

/// The shortest ending of a name that is near it.
const SHORTEST_ENDING: usize = 3;

/// No longer name is near: the longest that is read has ten letters.
const LONGEST: usize = 16;

/// Returns whether a name is near one of those that are read.
pub(super) fn is_near<'n>(name: &str, mut read: impl Iterator<Item = &'n str>) -> bool {
    let length = name.chars().take(LONGEST + 1).count();
    (1..=LONGEST).contains(&length) && read.any(|read| is_ending(name, read) || has_letters_of(name, length, read))
}

fn is_ending(name: &str, read: &str) -> bool {
    let end = read.len().checked_sub(name.len()).and_then(|start| read.get(start..));
    name.len() >= SHORTEST_ENDING && end.is_some_and(|end| end.eq_ignore_ascii_case(name))
}

fn has_letters_of(name: &str, length: usize, read: &str) -> bool {
    let allowed = (length / 3).max(1);
    if length.abs_diff(read.len()) > allowed {
        return false;
    }
    let mut is_used = [false; LONGEST];
    let common = read.chars().filter(|letter| {
        let mut letters = name.chars().zip(&mut is_used);
        let same = letters.find(|(other, is_used)| !**is_used && letter.eq_ignore_ascii_case(other));
        same.map(|(_, is_used)| *is_used = true).is_some()
    });
    length.max(read.len()) - common.count() <= allowed
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn a_name_is_near_with_few_typing_errors_or_as_an_ending() {
        let read = || ["BytesIn", "BytesOut", "PacketsIn", "PacketsOut", "ProviderIP"].into_iter();
        for name in
            ["ByteOut", "bytesout", "byte_out", "BytseOut", "BytesOutt", "Out", "derIP", "Bytes😀ut", "PcketsIn"]
        {
            assert!(is_near(name, read()), "{name}");
        }
        for name in ["", "A", "x", "In", "New", "Inbound", "ServiceVrf", "Latency", "é", &"BytesIn".repeat(100)] {
            assert!(!is_near(name, read()), "{name}");
        }
    }
}
