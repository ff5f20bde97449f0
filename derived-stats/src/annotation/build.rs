//! Annotations built in code, without the parser.
//!
//! A part outside of an annotation has the span of its own text, from 0 on. [`Annotation::new`] prints the annotation
//! in its canonical form and sets every span to its position there, so that errors point into the text as they do for a
//! parsed annotation.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use thiserror::Error;

use super::ast::{Annotation, Call, Period, Source};
use super::fault::NameFault;
use super::piece::{Arguments, Ident, Span};
use crate::excerpt::quoted;

/// The reason why a part of an annotation cannot be built.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PartError {
    /// A text that is not a name.
    #[error("{} is not a name: {fault}", quoted(text))]
    BadName {
        /// The text.
        text: String,
        /// What is wrong with it.
        fault: NameFault,
    },

    /// Arguments with a control character.
    #[error("the arguments {} hold the control character `{}`; remove it", quoted(text), character.escape_default())]
    ControlCharacter {
        /// The arguments.
        text: String,
        /// The first one found.
        character: char,
    },

    /// An empty text instead of a name.
    #[error("expected a name, letters, digits and `_` such as `DSSum`, found nothing")]
    EmptyName,

    /// Arguments of a link that hold `(` or `)`, which only those of the algorithm may.
    #[error(
        "the arguments {} of {} hold a parenthesis, which a chain does not allow; remove it",
        quoted(text),
        quoted(link)
    )]
    Parenthesis {
        /// Name of the link.
        link: String,
        /// The arguments.
        text: String,
    },

    /// A path without names or with more than three.
    #[error("the path has {found} names; expected one to three, `attribute.component.subcomponent`")]
    PathLength {
        /// Number of names.
        found: usize,
    },
}

impl Ident {
    /// A name.
    ///
    /// # Errors
    ///
    /// [`PartError::EmptyName`], and [`PartError::BadName`] for a text other than `[A-Za-z_][A-Za-z0-9_]*`.
    pub fn new(text: &str) -> Result<Self, PartError> {
        if text.is_empty() {
            return Err(PartError::EmptyName);
        }
        match NameFault::find(text) {
            Some((fault, _)) => Err(PartError::BadName { text: text.to_owned(), fault }),
            None => Ok(Self { text: text.into(), span: whole(text) }),
        }
    }
}

impl Arguments {
    /// Arguments; an empty text means none.
    ///
    /// # Errors
    ///
    /// [`PartError::ControlCharacter`].
    pub fn new(text: &str) -> Result<Self, PartError> {
        match text.chars().find(|character| character.is_control()) {
            Some(character) => Err(PartError::ControlCharacter { text: text.to_owned(), character }),
            None => Ok(Self { text: text.into(), span: whole(text) }),
        }
    }
}

impl Call {
    /// A name with its arguments; `Arguments::default()` for none.
    #[must_use]
    pub fn new(name: Ident, arguments: Arguments) -> Self {
        let mut call = Self { name, arguments, span: whole("") };
        Writer::default().algorithm(&mut call);
        call
    }
}

impl Period {
    /// The period `every`, 0 to act on every sample, with the pre-aggregations inside it.
    ///
    /// The length of the chain is not limited here.
    ///
    /// # Errors
    ///
    /// [`PartError::Parenthesis`].
    pub fn new(every: u32, chain: Vec<Call>) -> Result<Self, PartError> {
        if let Some(link) = chain.iter().find(|link| link.arguments.as_str().contains(['(', ')'])) {
            let (link, text) = (link.name.to_string(), link.arguments.to_string());
            return Err(PartError::Parenthesis { link, text });
        }
        let mut period = Self { every, chain, span: whole("") };
        Writer::default().period(&mut period);
        Ok(period)
    }
}

impl Source {
    /// A path of one to three names: attribute, component, subcomponent.
    ///
    /// # Errors
    ///
    /// [`PartError::PathLength`].
    pub fn new(names: impl IntoIterator<Item = Ident>) -> Result<Self, PartError> {
        let mut names = names.into_iter();
        let Some(attribute) = names.next() else {
            return Err(PartError::PathLength { found: 0 });
        };
        let mut source = Self { attribute, component: names.next(), subcomponent: names.next() };
        match names.count() {
            0 => Writer::default().source(&mut source),
            surplus => return Err(PartError::PathLength { found: 3 + surplus }),
        }
        Ok(source)
    }
}

impl Annotation {
    /// An annotation from parts that were built in code or taken from another annotation.
    ///
    /// Its [`text`](Self::text) is the canonical form, and the spans of its parts point into that text.
    /// The limits of the parser do not apply.
    ///
    /// ```
    /// use derived_stats::annotation::{Annotation, Arguments, Call, Ident, Period, Source};
    ///
    /// let sum = Call::new(Ident::new("DSSum")?, Arguments::default());
    /// let period = Period::new(1, vec![sum])?;
    /// let source = Source::new([Ident::new("raw")?])?;
    /// let detector = Call::new(Ident::new("DSAnomaly")?, Arguments::new("EWM:0.1")?);
    /// let annotation = Annotation::new(Some(period), source, detector);
    /// assert_eq!(annotation.text(), "1.DSSum-raw:DSAnomaly:EWM:0.1");
    /// assert_eq!(annotation.source().span().range(), 8..11);
    /// # Ok::<(), derived_stats::annotation::PartError>(())
    /// ```
    #[must_use]
    pub fn new(mut period: Option<Period>, mut source: Source, mut algorithm: Call) -> Self {
        let mut writer = Writer::default();
        if let Some(period) = &mut period {
            writer.period(period);
            writer.text.push('-');
        }
        writer.source(&mut source);
        writer.text.push(':');
        writer.algorithm(&mut algorithm);
        Self { text: writer.text.into(), period, source, algorithm }
    }
}

fn whole(text: &str) -> Span {
    Span { start: 0, end: text.len() }
}

/// Prints parts in their canonical form and sets their spans to the printed positions.
#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn period(&mut self, period: &mut Period) {
        let start = self.text.len();
        self.text.push_str(&period.every.to_string());
        for link in &mut period.chain {
            self.text.push('.');
            self.call(link, "(", ")");
        }
        period.span = self.since(start);
    }

    fn source(&mut self, source: &mut Source) {
        self.name(&mut source.attribute);
        for name in source.component.iter_mut().chain(&mut source.subcomponent) {
            self.text.push('.');
            self.name(name);
        }
    }

    fn algorithm(&mut self, call: &mut Call) {
        self.call(call, ":", "");
    }

    fn call(&mut self, call: &mut Call, before: &str, after: &str) {
        let start = self.text.len();
        let is_bare = call.arguments.is_empty();
        self.name(&mut call.name);
        self.text.push_str(if is_bare { "" } else { before });
        call.arguments.span = self.print(&call.arguments.text);
        self.text.push_str(if is_bare { "" } else { after });
        call.span = self.since(start);
    }

    fn name(&mut self, name: &mut Ident) {
        name.span = self.print(&name.text);
    }

    fn print(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.since(start)
    }

    fn since(&self, start: usize) -> Span {
        Span { start, end: self.text.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> Call {
        Call::new(Ident::new(name).unwrap(), Arguments::new(arguments).unwrap())
    }

    fn path(names: &[&str]) -> Result<Source, PartError> {
        Source::new(names.iter().map(|name| Ident::new(name).unwrap()))
    }

    #[test]
    fn parts_have_spans_of_their_own_text() {
        let call = call("DSAnomaly", "EWM:0.1");
        assert_eq!((call.span().range(), call.arguments().span().range()), (0..17, 10..17));
        let period = Period::new(12, vec![call]).unwrap();
        assert_eq!(period.to_string(), "12.DSAnomaly(EWM:0.1)");
        assert_eq!((period.span().range(), period.chain()[0].span().range()), (0..21, 3..21));
        let source = path(&["a", "bc"]).unwrap();
        assert_eq!((source.to_string().as_str(), source.span().range()), ("a.bc", 0..4));
    }

    #[test]
    fn a_part_that_the_grammar_does_not_allow_is_refused() {
        let link = call("DSX", "f(x)");
        let refused = [
            Ident::new("").unwrap_err(),
            Ident::new("5x").unwrap_err(),
            Ident::new("a-b").unwrap_err(),
            Arguments::new("a\nb").unwrap_err(),
            Period::new(1, vec![call("DSSum", ""), link]).unwrap_err(),
            path(&[]).unwrap_err(),
            path(&["a", "b", "c", "d", "e"]).unwrap_err(),
        ];
        let sentences: String = refused.map(|error| format!("{error}\n")).concat();
        insta::assert_snapshot!(sentences, @r"
        expected a name, letters, digits and `_` such as `DSSum`, found nothing
        `5x` is not a name: a name starts with a letter or `_`
        `a-b` is not a name: `-` is not allowed in a name, it only ends a period
        the arguments `a\nb` hold the control character `\n`; remove it
        the arguments `f(x)` of `DSX` hold a parenthesis, which a chain does not allow; remove it
        the path has 0 names; expected one to three, `attribute.component.subcomponent`
        the path has 5 names; expected one to three, `attribute.component.subcomponent`
        ");
    }

    #[test]
    fn an_annotation_is_printed_and_its_spans_point_into_the_text() {
        let period = Period::new(7, vec![call("DSX", "é:1"), call("DSSum", "")]).unwrap();
        let annotation = Annotation::new(Some(period), path(&["a", "b", "c"]).unwrap(), call("Mine", "f(x)"));
        assert_eq!(annotation.text(), "7.DSX(é:1).DSSum-a.b.c:Mine:f(x)");
        let cut = |span: Span| &annotation.text()[span.range()];
        let chain = annotation.period().unwrap().chain();
        assert_eq!([cut(chain[0].span()), cut(chain[1].span())], ["DSX(é:1)", "DSSum"]);
        assert_eq!([cut(annotation.source().span()), cut(annotation.algorithm().span())], ["a.b.c", "Mine:f(x)"]);
        let part = chain[0].arguments().parts().next().unwrap();
        assert_eq!(cut(part.span()), "é");
    }
}
