//! Names of fields that contain a part of an argument.

use alloc::string::String;

/// A part of an argument, which completes the name of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ArgumentPart {
    /// The index of the argument.
    pub argument: usize,
    /// The position among the parts of the argument, which have `,` between them.
    pub part: usize,
}

impl ArgumentPart {
    /// The part of an argument as a part of a name: `-` becomes `m`, and every other character that a name cannot have
    /// becomes `_`. Empty if the argument has no such part.
    ///
    /// ```
    /// use derived_stats::entry::ArgumentPart;
    ///
    /// let part = |part| ArgumentPart { argument: 0, part }.of("-5,99.9");
    /// assert_eq!([part(0), part(1), part(2)], ["m5", "99_9", ""]);
    /// ```
    pub fn of(self, argument: &str) -> String {
        let part = argument.split(',').nth(self.part).unwrap_or_default();
        let in_name = |character: char| match character {
            '-' => 'm',
            character if character.is_ascii_alphanumeric() => character,
            _ => '_',
        };
        part.chars().map(in_name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_argument_is_written_as_a_name() {
        let cases =
            [("50,99.9", 0, "50"), ("50,99.9", 1, "99_9"), ("-1e-3", 0, "m1em3"), ("a b,é", 1, "_"), ("", 0, "")];
        for (argument, part, name) in cases {
            assert_eq!(ArgumentPart { argument: 0, part }.of(argument), name, "part {part} of {argument}");
        }
    }
}
