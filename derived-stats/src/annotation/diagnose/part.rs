//! A part of an annotation's text with its position, and the ways to split it.
//!
//! Text in parentheses may contain the separators of the grammar. A parenthesis counts as *closed* if the next
//! parenthesis after its `(` is a `)`. The functions named `outside` skip text in closed parentheses, and treat a `(`
//! that is not closed as an ordinary character.

use super::super::piece::Span;

/// A part of the text that is diagnosed.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Part<'a> {
    pub(super) fn span(self) -> Span {
        Span { start: self.start, end: self.start + self.text.len() }
    }

    /// The bytes from `start` to `end`, which must be character boundaries of this part.
    pub(super) fn cut(self, start: usize, end: usize) -> Self {
        Self { text: &self.text[start..end], start: self.start + start }
    }

    /// The text before and the text after the first `separator`, an ASCII character.
    pub(super) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        self.text.find(separator).map(|at| self.around(at))
    }

    /// The text before and the text after the first `separator` outside of parentheses.
    pub(super) fn split_once_outside(self, separator: char) -> Option<(Self, Self)> {
        let (at, _) = self.outside().find(|&(_, character)| character == separator)?;
        Some(self.around(at))
    }

    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let part = Part { text, start };
            start += text.len() + separator.len_utf8();
            part
        })
    }

    /// The links of a chain: the text between each `.` outside of parentheses. The link with a `(`
    /// that is not closed takes the rest.
    pub(super) fn links(self) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        core::iter::from_fn(move || {
            let part = rest.take()?;
            match part.outside().find(|(_, character)| matches!(character, '.' | '(')) {
                Some((at, '.')) => {
                    let (link, after) = part.around(at);
                    rest = Some(after);
                    Some(link)
                }
                Some(_) | None => Some(part),
            }
        })
    }

    /// The span of the first run of characters outside of parentheses for which `is_meant` is true.
    pub(super) fn first_run_outside(self, is_meant: impl Fn(char) -> bool) -> Option<Span> {
        let (at, _) = self.outside().find(|&(_, character)| is_meant(character))?;
        let rest = &self.text[at..];
        let length = rest.find(|character| !is_meant(character)).unwrap_or(rest.len());
        Some(self.cut(at, at + length).span())
    }

    /// The parts before and after the ASCII character at byte `at`.
    fn around(self, at: usize) -> (Self, Self) {
        (self.cut(0, at), self.cut(at + 1, self.text.len()))
    }

    /// The characters outside of closed parentheses, and their offsets; a `)` counts as outside. Linear: from each
    /// `(` the search for its `)` ends at the next parenthesis.
    fn outside(self) -> impl Iterator<Item = (usize, char)> {
        let mut closed = 0;
        self.text.char_indices().filter(move |&(at, character)| {
            if at >= closed && character == '(' {
                closed = closing(self.text, at).unwrap_or(closed);
            }
            at >= closed
        })
    }
}

/// The offset of the `)` that closes the `(` at `open`.
fn closing(text: &str, open: usize) -> Option<usize> {
    let inside = open + 1;
    let at = inside + text[inside..].find(['(', ')'])?;
    text[at..].starts_with(')').then_some(at)
}
