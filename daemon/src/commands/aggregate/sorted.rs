//! Rows in the order of the ends of their windows, and of their bytes: an order that depends on the rows alone.
//!
//! The order of rows within a window is otherwise that in which the objects came first, which partial states do not
//! have. So `merge` sorts, and `aggregate --sorted` gives the same bytes. In a buffer each row has a header:
//!
//! ```text
//! row := end:u64 length:u32 bytes        big-endian; the end of the window in microseconds, the length of the bytes
//! ```

use std::ops::Range;

const HEADER: usize = 12;

/// Reserves the header of a row, and returns where the row begins.
pub(super) fn begin(rows: &mut Vec<u8>) -> usize {
    let start = rows.len();
    rows.extend([0; HEADER]);
    start
}

/// Writes the header of the row that begins at `start`, whose window ends at `end`.
pub(super) fn end(rows: &mut [u8], start: usize, end: u64) {
    let Some((header, bytes)) = rows.get_mut(start..).and_then(|row| row.split_at_mut_checked(HEADER)) else { return };
    let (to, length) = header.split_at_mut(size_of::<u64>());
    to.copy_from_slice(&end.to_be_bytes());
    // A row is at most a few lines long.
    length.copy_from_slice(&(bytes.len() as u32).to_be_bytes());
}

/// Sorts the rows of one advance and appends them to `out` without their headers.
pub(crate) fn sort(rows: &[u8], out: &mut Vec<u8>) {
    let mut found: Vec<(u64, Range<usize>)> = Vec::new();
    let mut at = 0;
    while let Some((end, length)) = header(rows, at) {
        let start = at + HEADER;
        at = start.saturating_add(length).min(rows.len());
        found.push((end, start..at));
    }
    found.sort_unstable_by(|(end, row), (other_end, other)| {
        (end, rows.get(row.clone())).cmp(&(other_end, rows.get(other.clone())))
    });
    found.into_iter().for_each(|(_, row)| out.extend_from_slice(rows.get(row).unwrap_or_default()));
}

fn header(rows: &[u8], at: usize) -> Option<(u64, usize)> {
    let (end, rest) = rows.get(at..)?.split_first_chunk()?;
    let (length, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*end), u32::from_be_bytes(*length) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_the_end_of_their_window_and_their_bytes() {
        let mut rows = Vec::new();
        for (to, text) in [(300, "b\n"), (60, "b\n"), (300, "a\n"), (60, "\"a\nb\"\n"), (300, "")] {
            let start = begin(&mut rows);
            rows.extend_from_slice(text.as_bytes());
            end(&mut rows, start, to);
        }
        let mut out = b"before ".to_vec();
        sort(&rows, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "before \"a\nb\"\nb\na\nb\n");
    }
}
