//! The first bytes of a body or a file of samples: the text in it, and formats that are named instead of being read as
//! lines.

/// The byte order mark of UTF-8, which some editors and exports write first. It is not a part of the first sample.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The number of bytes that suffice to distinguish the formats.
pub const OPENING_BYTES: usize = 4096;

/// A format whose content is not lines of samples.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Foreign {
    /// bzip2.
    Bzip2,
    /// gzip.
    Gzip,
    /// An object of JSON over several lines.
    PrettyJson,
    /// UTF-16 of either byte order.
    Utf16,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
}

impl Foreign {
    /// The format of a content that begins so; `None` for lines and for an array.
    ///
    /// A key may be of any bytes, so UTF-16 is a byte order mark before a character of ASCII, or a bracket without the
    /// mark: lines have no NUL there.
    pub fn of(opening: &[u8]) -> Option<Self> {
        match opening {
            [0x1F, 0x8B, 0x08, ..] => Some(Self::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Self::Zstd),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', ..] => Some(Self::Bzip2),
            [0xFF, 0xFE, _, 0, ..] | [0xFE, 0xFF, 0, _, ..] | [b'{' | b'[', 0, ..] | [0, b'{' | b'[', ..] => {
                Some(Self::Utf16)
            }
            _ if is_pretty(without_mark(opening)) => Some(Self::PrettyJson),
            _ => None,
        }
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::PrettyJson => "JSON with one sample over several lines",
            Self::Utf16 => "UTF-16",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// The text without a byte order mark at its start.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Whether the second line goes on with the object of the first one. A line of samples never begins with a quote or a
/// closing brace behind one that lacks its end.
fn is_pretty(text: &[u8]) -> bool {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some([b'{', rest @ ..]), Some([b'"' | b'}', ..])) => !rest.ends_with(b"}"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let cases: [(&[u8], Option<Foreign>); 17] = [
            (b"\xFF\xFE{\0\"\0", Some(Foreign::Utf16)),
            (b"\xFE\xFF\0{\0\"", Some(Foreign::Utf16)),
            (b"{\0\"\0", Some(Foreign::Utf16)),
            (b"\0[\0{", Some(Foreign::Utf16)),
            (b"\xFD7zXZ\0", Some(Foreign::Xz)),
            (b"BZh91AY", Some(Foreign::Bzip2)),
            (b"\x1F\x8B\x08\0", Some(Foreign::Gzip)),
            (b"\x28\xB5\x2F\xFD\0", Some(Foreign::Zstd)),
            (b"{\n  \"key\": \"T:a\"", Some(Foreign::PrettyJson)),
            (b"\xEF\xBB\xBF\r\n{ \"key\":\r\n\r\n\t\"T:a\"", Some(Foreign::PrettyJson)),
            (b"{\"key\":\"T:a\"}\n{\"key\":\"T:a\"}", None),
            (b"{\"key\":\"T:\n{\"key\":\"T:a\"}", None),
            (b"{\"key\":\"T:a\"}", None),
            (b"{\"key\"", None),
            (b"[\n  {\n    \"key\"", None),
            (b"\xFF\xFET:a\t<", None),
            (b"", None),
        ];
        for (opening, expected) in cases {
            assert_eq!(Foreign::of(opening), expected, "{opening:?}");
        }
    }
}
