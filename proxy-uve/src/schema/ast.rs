//! A file of definitions as it is written: names and values with their locations, nothing checked yet.

use std::ops::Range;

/// A piece of the file: its text and its range.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// All that a file defines.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) definitions: Vec<Definition>,
    pub(super) aliases: Vec<Alias>,
}

/// `typedef u64 asa_u64`
#[derive(Debug)]
pub(super) struct Alias {
    pub(super) ty: Type,
    pub(super) name: Word,
}

/// `struct Name { … } (…)`
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: Word,
    pub(super) fields: Vec<Field>,
    pub(super) annotations: Vec<Annotation>,
    /// Something in it could not be read, so what is missing cannot be reported.
    pub(super) broken: bool,
}

/// `4: optional u64 raw (hidden="yes")`
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: Word,
    pub(super) optional: bool,
    pub(super) ty: Type,
    pub(super) name: Word,
    pub(super) annotations: Vec<Annotation>,
}

/// `hidden="yes"`
#[derive(Debug)]
pub(super) struct Annotation {
    pub(super) name: Word,
    /// Without its quotes; the span is that of the text between them.
    pub(super) value: Option<Word>,
}

#[derive(Debug)]
pub(super) enum Type {
    /// The whole of `list<…>`, and what is in it.
    List(Word, Word),
    /// The whole of `map<…, …>`, its keys and its values.
    Map(Word, Word, Word),
    Named(Word),
}

impl Type {
    /// The type as it is written.
    pub(super) fn whole(&self) -> &Word {
        match self {
            Self::List(whole, _) | Self::Map(whole, _, _) | Self::Named(whole) => whole,
        }
    }

    /// The names in it.
    pub(super) fn names(&self) -> Vec<&Word> {
        match self {
            Self::List(_, item) => vec![item],
            Self::Map(_, key, value) => vec![key, value],
            Self::Named(name) => vec![name],
        }
    }
}

impl Definition {
    /// Whether this can only be a part of other structs: nothing in it is annotated.
    pub(super) fn is_plain(&self) -> bool {
        self.annotations.is_empty() && self.fields.iter().all(|field| field.annotations.is_empty())
    }
}
