//! Text to definitions: the only file that uses pest.
//!
//! The grammar takes any text, so there is always a tree; text that is not a definition becomes stray lines. Each run
//! of them is one error, found by parsing the first line again as what it was meant to be.

use std::ops::Range;

use pest::Parser as _;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::Pair;

use super::ast::{Alias, Annotation, Definition, Field, File, Type, Word};
use super::kind::SchemaErrorKind;
use grammar::{Grammar, Rule};

/// A mistake and its range.
pub(super) type SyntaxError = (SchemaErrorKind, Range<usize>);

/// What a broken definition should have looked like.
const A_STRUCT: &str = "a definition such as `struct AggProxySum { … } (period=\"60\")`";

/// The private parser, so that neither `Rule` nor pest's errors reach the interface.
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "schema/sandesh.pest"]
    pub(super) struct Grammar;
}

/// Every definition that can be read, and every syntax error.
pub(super) fn parse(text: &str) -> (File, Vec<SyntaxError>) {
    let mut reading = Reading { text, file: File::default(), errors: Vec::new() };
    match Grammar::parse(Rule::file, text) {
        Ok(mut pairs) => reading.file(pairs.next()),
        // The grammar takes everything; kept so that a later grammar cannot fail without an error.
        Err(_) => reading.report(0, Rule::definition, A_STRUCT),
    }
    (reading.file, reading.errors)
}

struct Reading<'t> {
    text: &'t str,
    file: File,
    errors: Vec<SyntaxError>,
}

impl Reading<'_> {
    fn file(&mut self, file: Option<Pair<'_, Rule>>) {
        let mut in_stray = false;
        for item in file.into_iter().flat_map(Pair::into_inner) {
            let is_stray = item.as_rule() == Rule::stray;
            match item.as_rule() {
                Rule::definition => {
                    let definition = self.definition(item);
                    self.file.definitions.extend(definition);
                }
                Rule::typedef => self.file.aliases.extend(alias(item)),
                Rule::stray if !in_stray || begins_anew(item.as_str()) => self.stray(&item),
                _ => {}
            }
            in_stray = is_stray;
        }
    }

    fn definition(&mut self, definition: Pair<'_, Rule>) -> Option<Definition> {
        let (mut name, mut fields, mut found) = (None, Vec::new(), Vec::new());
        let (mut before, errors) = (None, self.errors.len());
        for part in definition.into_inner() {
            let (rule, span) = (part.as_rule(), part.as_span());
            match rule {
                Rule::name => name = Some(word(&part)),
                Rule::field => fields.extend(field(part)),
                Rule::annotations => found = annotations(part),
                Rule::stray_field => {
                    if self.goes_on(before, span.start()) {
                        // The rest of its line would show what the field was meant to be.
                        fields.pop();
                    }
                    let anew = part.as_str().starts_with(|first: char| first.is_ascii_digit());
                    if anew || before.is_none_or(|(rule, _)| rule != Rule::stray_field) {
                        self.stray_field(&part);
                    }
                }
                Rule::unclosed => self.unclosed(name.as_ref()),
                _ => {}
            }
            before = Some((rule, span.end()));
        }
        let broken = self.errors.len() > errors;
        Some(Definition { name: name?, fields, annotations: found, broken })
    }

    /// Whether text that could not be read belongs to the field before it: it is on the same line, or is a list of
    /// annotations.
    fn goes_on(&self, before: Option<(Rule, usize)>, at: usize) -> bool {
        let Some((Rule::field, end)) = before else {
            return false;
        };
        self.text[at..].starts_with('(') || !self.text[end..at].contains('\n')
    }

    fn unclosed(&mut self, name: Option<&Word>) {
        let kind = SchemaErrorKind::UnclosedStruct { name: name.map(|name| name.text.clone()).unwrap_or_default() };
        self.errors.push((kind, name.map_or(0..0, |name| name.span.clone())));
    }

    fn stray(&mut self, stray: &Pair<'_, Rule>) {
        let start = stray.as_span().start();
        let meant = match stray.as_str() {
            text if text.starts_with('(') => Rule::annotations,
            text if text.starts_with("uve") => Rule::wrapper,
            text if text.starts_with("include") => Rule::include,
            text if text.starts_with("typedef") => Rule::typedef,
            _ => Rule::definition,
        };
        self.report(start, meant, A_STRUCT);
    }

    fn stray_field(&mut self, stray: &Pair<'_, Rule>) {
        let start = stray.as_span().start();
        if stray.as_str().starts_with('(') {
            return self.report(start, Rule::annotations, "annotations such as `(hidden=\"yes\")`");
        }
        self.report(start, Rule::field, "a field such as `1: string name (key=\"\")`");
    }

    /// Reports why the text at `start` is not `meant`, which is named `expected` if nothing of it is found.
    fn report(&mut self, start: usize, meant: Rule, expected: &str) {
        let text = &self.text[start..];
        if text.starts_with("/*") {
            return self.errors.push((SchemaErrorKind::UnclosedComment, start..start + 2));
        }
        let furthest = match Grammar::parse(meant, text) {
            Err(error) => furthest(&error).filter(|(at, _)| *at > 0),
            Ok(_) => None,
        };
        let (at, expected) = furthest.unwrap_or_else(|| (0, expected.to_owned()));
        let rest = &text[at..];
        let found = first_token(rest);
        let kind = SchemaErrorKind::Syntax { expected, found: found.to_owned() };
        self.errors.push((kind, start + at..start + at + found.len()));
    }
}

/// Whether a line that could not be read is an error of its own, not the rest of the one before.
fn begins_anew(line: &str) -> bool {
    ["include", "struct", "typedef", "uve"].iter().any(|keyword| line.starts_with(keyword))
}

/// The end of the longest match, and what was expected there.
fn furthest(error: &pest::error::Error<Rule>) -> Option<(usize, String)> {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        return None;
    };
    let mut expected: Vec<&str> = positives.iter().filter_map(|&rule| in_words(rule)).collect();
    expected.dedup();
    match expected.split_last() {
        Some((last, [])) => Some((at, (*last).to_owned())),
        Some((last, others)) => Some((at, format!("{} or {last}", others.join(", ")))),
        None => None,
    }
}

/// `None` for what is not worth naming where other things are expected too.
fn in_words(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::annotation => "an annotation",
        Rule::close_angle => "`>`",
        Rule::close_brace => "`}`",
        Rule::close_paren => "`)`",
        Rule::colon => "`:`",
        Rule::comma => "`,`",
        Rule::equals => "`=`",
        Rule::field | Rule::number => "a field such as `1: string name`",
        Rule::literal | Rule::double_quoted | Rule::single_quoted => "text in quotes on one line",
        Rule::name => "a name",
        Rule::open_angle => "`<`",
        Rule::open_brace => "`{`",
        Rule::open_paren => "`(`",
        Rule::sandesh_word => "`sandesh`",
        Rule::type_name | Rule::r#type => "a type",
        _ => return None,
    })
}

/// A name or number, or one character.
fn first_token(text: &str) -> &str {
    let word = text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len());
    let length = if word > 0 { word } else { text.chars().next().map_or(0, char::len_utf8) };
    text[..length].trim_end()
}

fn alias(typedef: Pair<'_, Rule>) -> Option<Alias> {
    let mut parts = typedef.into_inner().skip_while(|part| part.as_rule() != Rule::r#type);
    Some(Alias { ty: ty(parts.next()?)?, name: word(&parts.next()?) })
}

fn field(field: Pair<'_, Rule>) -> Option<Field> {
    let mut parts = field.into_inner().filter(|part| part.as_rule() != Rule::colon).peekable();
    let number = word(&parts.next()?);
    let presence = parts.next_if(|part| part.as_rule() == Rule::presence);
    let optional = presence.is_some_and(|presence| presence.as_str() == "optional");
    let (ty, name) = (ty(parts.next()?)?, word(&parts.next()?));
    Some(Field { number, optional, ty, name, annotations: parts.next().map(annotations).unwrap_or_default() })
}

fn ty(ty: Pair<'_, Rule>) -> Option<Type> {
    let shape = ty.into_inner().next()?;
    let whole = word(&shape);
    let rule = shape.as_rule();
    let mut names = shape.into_inner().filter(|part| part.as_rule() == Rule::type_name).map(|part| word(&part));
    Some(match rule {
        Rule::list => Type::List(whole, names.next()?),
        Rule::map => Type::Map(whole, names.next()?, names.next()?),
        _ => Type::Named(whole),
    })
}

fn annotations(annotations: Pair<'_, Rule>) -> Vec<Annotation> {
    let each = annotations.into_inner().filter(|part| part.as_rule() == Rule::annotation);
    each.filter_map(annotation).collect()
}

fn annotation(annotation: Pair<'_, Rule>) -> Option<Annotation> {
    let mut parts = annotation.into_inner();
    let name = word(&parts.next()?);
    let literal = parts.find(|part| part.as_rule() == Rule::literal);
    let value = literal.and_then(|literal| literal.into_inner().next()).map(|value| word(&value));
    Some(Annotation { name, value })
}

fn word(part: &Pair<'_, Rule>) -> Word {
    let span = part.as_span();
    Word { text: part.as_str().to_owned(), span: span.start()..span.end() }
}
