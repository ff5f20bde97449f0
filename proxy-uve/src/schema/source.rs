//! A file of definitions, kept so that later errors can show it and types can be compiled again.

use std::collections::BTreeMap;
use std::ops::Range;

use derived_stats::annotation::nearest;
use derived_stats::{Registry, ValueType};

use super::ast::{Definition, Field, File, Type, Word};
use super::error::SchemaError;
use super::kind::SchemaErrorKind;
use super::parse;
use derived_stats::excerpt::Excerpt;

/// A file of a hundred types has some ten kilobytes.
const MAX_LENGTH: usize = 1024 * 1024;

/// Chains of typedefs are followed no further, which also ends circles.
const LONGEST_CHAIN: usize = 16;

/// The scalar types and their kinds.
const SCALARS: [(&str, Kind); 9] = [
    ("bool", Kind::Bool),
    ("double", Kind::Number(ValueType::F64)),
    ("i16", Kind::Number(ValueType::I64)),
    ("i32", Kind::Number(ValueType::I64)),
    ("i64", Kind::Number(ValueType::I64)),
    ("string", Kind::String),
    ("u16", Kind::Number(ValueType::U64)),
    ("u32", Kind::Number(ValueType::U64)),
    ("u64", Kind::Number(ValueType::U64)),
];

/// The kind of a type, after its typedefs are resolved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Bool,
    List,
    Map,
    /// Any width of number, and the type with which pipelines compute.
    Number(ValueType),
    String,
    /// A struct of this file or of another one.
    Struct,
}

/// A parsed file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) registry: Registry,
    name: Box<str>,
    text: Box<str>,
    file: File,
    /// The first definition of each name.
    structs: BTreeMap<String, usize>,
}

impl Source {
    /// Parses a file. Returns the part that can be read, and every error of the syntax and every duplicate name.
    pub(super) fn parse(name: &str, text: &str, registry: &Registry) -> (Self, Vec<SchemaError>) {
        let length = text.len();
        let too_long = length > MAX_LENGTH;
        let text = if too_long { "" } else { text };
        let (file, found) = parse::parse(text);
        let source =
            Self { registry: registry.clone(), name: name.into(), text: text.into(), file, structs: BTreeMap::new() };
        let mut errors: Vec<_> = found.into_iter().map(|(kind, span)| source.error(kind, span)).collect();
        if too_long {
            errors.push(source.error(SchemaErrorKind::TooLong { length, limit: MAX_LENGTH }, 0..0));
        }
        source.with_structs(errors)
    }

    fn with_structs(mut self, mut errors: Vec<SchemaError>) -> (Self, Vec<SchemaError>) {
        let mut structs = BTreeMap::new();
        for (index, definition) in self.file.definitions.iter().enumerate() {
            let name = &definition.name;
            match structs.get(&name.text) {
                None => {
                    structs.insert(name.text.clone(), index);
                }
                Some(&first) => {
                    let first = self.location(self.name_span(first));
                    let kind = SchemaErrorKind::DuplicateType { name: name.text.clone(), first };
                    errors.push(self.error(kind, name.span.clone()));
                }
            }
        }
        self.structs = structs;
        (self, errors)
    }

    /// The structs that are proxy types, or are meant to be.
    pub(super) fn proxy_types(&self) -> impl Iterator<Item = usize> {
        let definitions = self.file.definitions.iter().enumerate();
        definitions.filter(|(_, definition)| !definition.is_plain()).map(|(index, _)| index)
    }

    pub(super) fn definition(&self, index: usize) -> Option<&Definition> {
        self.file.definitions.get(index)
    }

    /// The range of the name of a definition.
    pub(super) fn name_span(&self, index: usize) -> Range<usize> {
        self.definition(index).map_or(0..0, |definition| definition.name.span.clone())
    }

    /// A location, as `file:line:column`.
    pub(super) fn location(&self, span: Range<usize>) -> String {
        let excerpt = Excerpt::new(&self.text, span);
        format!("{}:{}:{}", self.name, excerpt.line(), excerpt.column())
    }

    pub(super) fn error(&self, kind: SchemaErrorKind, span: Range<usize>) -> SchemaError {
        SchemaError::new(kind, &self.name, &self.text, span)
    }

    /// The kind of a type. The error is a name in it that is unknown.
    pub(super) fn kind<'t>(&self, ty: &'t Type) -> Result<Kind, &'t Word> {
        if let Some(unknown) = ty.names().into_iter().find(|name| self.named(&name.text).is_none()) {
            return Err(unknown);
        }
        Ok(match ty {
            Type::List(..) => Kind::List,
            Type::Map(..) => Kind::Map,
            Type::Named(name) => self.named(&name.text).unwrap_or(Kind::Struct),
        })
    }

    /// The fields of a type that is a struct of this file.
    pub(super) fn fields(&self, ty: &Type) -> Option<&[Field]> {
        let mut ty = ty;
        for _ in 0..LONGEST_CHAIN {
            let Type::Named(name) = ty else { return None };
            if let Some(&index) = self.structs.get(&name.text) {
                return self.definition(index).map(|definition| &definition.fields[..]);
            }
            ty = &self.file.aliases.iter().find(|alias| alias.name.text == name.text)?.ty;
        }
        None
    }

    fn named(&self, name: &str) -> Option<Kind> {
        let mut name = name;
        for _ in 0..LONGEST_CHAIN {
            if let Some((_, kind)) = SCALARS.iter().find(|(scalar, _)| *scalar == name) {
                return Some(*kind);
            }
            // A name with a dot is of an included file, which is not read.
            if self.structs.contains_key(name) || name.contains('.') {
                return Some(Kind::Struct);
            }
            match &self.file.aliases.iter().find(|alias| alias.name.text == name)?.ty {
                Type::List(..) => return Some(Kind::List),
                Type::Map(..) => return Some(Kind::Map),
                Type::Named(next) => name = &next.text,
            }
        }
        None
    }

    /// The known type that a name resembles.
    pub(super) fn nearest_type(&self, name: &str) -> Option<String> {
        let scalars = SCALARS.iter().map(|(name, _)| *name);
        let aliases = self.file.aliases.iter().map(|alias| alias.name.text.as_str());
        let known = scalars.chain(aliases).chain(self.structs.keys().map(String::as_str));
        nearest(name, known).map(str::to_owned)
    }
}
