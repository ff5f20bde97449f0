//! The parser of the short form, by recursive descent.

use serde_json::Value;

use super::TextError;
use super::lexer::{Kind, Token, tokens};
use crate::rule::{Clear, ClearBound, Condition, MAX_PERIODS, MAX_TEXT, Operation, Path, Right, Rule, Severity, Term};

/// The parts of a rule that may each be there once.
const MODIFIERS: [&str; 5] = ["for", "clear", "on", "severity", "text"];

pub(super) struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, TextError> {
        Ok(Self { text, tokens: tokens(text)?, at: 0 })
    }

    pub(super) fn rule(&mut self) -> Result<Rule, TextError> {
        self.keyword("alarm")?;
        let (at, name) = (self.at, self.quoted("the name in quotes")?);
        if name.trim().is_empty() || name.len() > MAX_TEXT {
            let problem = if name.len() > MAX_TEXT { "the name is too long" } else { "the name is empty" };
            return Err(self.error_at(at, problem));
        }
        self.keyword("when")?;
        let mut rule = Rule::new(name, self.condition()?);
        let mut seen = Vec::new();
        loop {
            self.take_comma();
            let Some(word) = self.word() else { break };
            let Some(modifier) = MODIFIERS.into_iter().find(|known| *known == word) else { break };
            if seen.contains(&modifier) {
                return Err(self.error_here(&format!("`{modifier}` is there twice; keep one")));
            }
            seen.push(modifier);
            self.at += 1;
            self.modifier(modifier, &mut rule)?;
        }
        self.end().map(|()| rule)
    }

    fn modifier(&mut self, modifier: &str, rule: &mut Rule) -> Result<(), TextError> {
        match modifier {
            "for" => rule.periods = self.periods()?,
            "clear" => rule.clear = self.clear()?,
            "on" => rule.keys.push(self.quoted("a pattern of keys in quotes")?),
            "severity" => {
                let severity = self.word().and_then(Severity::from_name);
                rule.severity = severity.ok_or_else(|| self.expected("critical, major or minor"))?;
                self.at += 1;
            }
            _ => rule.text = self.quoted("the text of the alarm in quotes")?,
        }
        Ok(())
    }

    pub(super) fn condition(&mut self) -> Result<Condition, TextError> {
        if self.words(&["no", "data", "in"]) {
            self.at += 3;
            let found = self.word().map(str::to_owned).ok_or_else(|| self.expected("a proxy type"))?;
            self.at += 1;
            return Ok(Condition::NoData(found));
        }
        let mut lists = vec![vec![self.term()?]];
        loop {
            let is_or = match self.word() {
                Some("and") => false,
                Some("or") => true,
                _ => return Ok(Condition::Terms(lists)),
            };
            self.at += 1;
            let term = self.term()?;
            match lists.last_mut().filter(|_| !is_or) {
                Some(terms) => terms.push(term),
                None => lists.push(vec![term]),
            }
        }
    }

    fn term(&mut self) -> Result<Term, TextError> {
        let left = self.path()?;
        let operation = self.operation()?;
        let at = self.at;
        let right = match self.kind() {
            Some(Kind::Number(number)) => Right::Constant(Value::Number(number.clone())),
            Some(Kind::Text(text)) => Right::Constant(Value::String(text.clone())),
            Some(Kind::List(list)) => Right::Constant(list.clone()),
            Some(Kind::Word) => Right::Path(self.path()?),
            _ => return Err(self.expected("a number, a text, a list or a path")),
        };
        self.at = at + 1;
        if let Err(problem) = operand_fits(operation, &right) {
            return Err(self.error_at(at, &problem));
        }
        Ok(Term { left, operation, right, variables: Vec::new() })
    }

    fn path(&mut self) -> Result<Path, TextError> {
        let path = self.word().map(Path::parse);
        let path = path.filter(|path| path.0.len() > 1 && path.0.iter().all(|part| !part.is_empty()));
        let path = path.ok_or_else(|| self.expected("a path such as AggProxySum.value"))?;
        self.at += 1;
        Ok(path)
    }

    fn operation(&mut self) -> Result<Operation, TextError> {
        if self.words(&["not", "in"]) {
            self.at += 2;
            return Ok(Operation::NotIn);
        }
        let found = self.tokens.get(self.at).filter(|token| matches!(token.kind, Kind::Sign | Kind::Word));
        let found = found.and_then(|token| Operation::parse(self.text.get(token.span.clone())?));
        let found = found.ok_or_else(|| {
            let all: Vec<_> = Operation::ALL.iter().map(|(_, symbol)| *symbol).collect();
            self.expected(&format!("a comparison, one of {}, without quotes", all.join(", ")))
        })?;
        self.at += 1;
        Ok(found)
    }

    pub(super) fn clear(&mut self) -> Result<Clear, TextError> {
        let bound = match self.word() {
            Some("below") => Some(ClearBound::Below as fn(f64) -> ClearBound),
            Some("above") => Some(ClearBound::Above as fn(f64) -> ClearBound),
            _ => None,
        };
        let bound = match bound {
            None => None,
            Some(bound) => {
                self.at += 1;
                let Some(Kind::Number(number)) = self.kind() else { return Err(self.expected("a number")) };
                let number = number.as_f64().unwrap_or(f64::NAN);
                self.at += 1;
                Some(bound(number))
            }
        };
        let has_periods = self.word() == Some("for");
        if !has_periods && bound.is_none() {
            return Err(self.expected("`below`, `above` or `for`"));
        }
        self.at += usize::from(has_periods);
        let periods = if has_periods { self.periods()? } else { 1 };
        Ok(Clear { bound, periods })
    }

    /// A number of periods, and the word `periods`, which may be left out.
    fn periods(&mut self) -> Result<u32, TextError> {
        let number = match self.kind() {
            Some(Kind::Number(number)) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            _ => None,
        };
        let number = number.filter(|number| (1..=MAX_PERIODS).contains(number));
        let number = number.ok_or_else(|| self.expected(&format!("a number of periods, 1 to {MAX_PERIODS}")))?;
        self.at += 1;
        if matches!(self.word(), Some("period" | "periods")) {
            self.at += 1;
        }
        Ok(number)
    }

    fn end(&self) -> Result<(), TextError> {
        self.end_or(&format!(", or one of {}", MODIFIERS.join(", ")))
    }

    /// The end of a text that is a key of its own: what follows in a rule of one text is another key there.
    pub(super) fn end_of_key(&self) -> Result<(), TextError> {
        let keys = [("for", "`for = 2`"), ("clear", "`clear = \"below 2\"`"), ("on", "`keys = [\"PATTERN\"]`")];
        let keys = keys.into_iter().chain([("severity", "`severity = \"major\"`"), ("text", "`text = \"TEXT\"`")]);
        let key = keys.into_iter().find(|(word, _)| self.word() == Some(word));
        self.end_or(&key.map(|(_, key)| format!("; here it is a key of its own: {key}")).unwrap_or_default())
    }

    fn end_or(&self, others: &str) -> Result<(), TextError> {
        match self.tokens.get(self.at) {
            None => Ok(()),
            Some(_) => Err(self.expected(&format!("the end{others}"))),
        }
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), TextError> {
        if self.word() != Some(keyword) {
            return Err(self.expected(&format!("`{keyword}`")));
        }
        self.at += 1;
        Ok(())
    }

    fn quoted(&mut self, expected: &str) -> Result<String, TextError> {
        let Some(Kind::Text(text)) = self.kind() else { return Err(self.expected(expected)) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    fn take_comma(&mut self) {
        self.at += usize::from(self.kind() == Some(&Kind::Comma));
    }

    fn kind(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    /// The word that is next.
    fn word(&self) -> Option<&'t str> {
        self.word_at(self.at)
    }

    fn word_at(&self, at: usize) -> Option<&'t str> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::Word)?;
        self.text.get(token.span.clone())
    }

    /// Whether these words are next.
    fn words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(index, word)| self.word_at(self.at + index) == Some(word))
    }

    fn expected(&self, expected: &str) -> TextError {
        let found = self.tokens.get(self.at).and_then(|token| self.text.get(token.span.clone()));
        let found = found.map_or_else(|| "the end".to_owned(), |found| format!("`{found}`"));
        self.error_here(&format!("expected {expected}, found {found}"))
    }

    fn error_here(&self, message: &str) -> TextError {
        self.error_at(self.at, message)
    }

    fn error_at(&self, at: usize, message: &str) -> TextError {
        let end = self.text.len();
        let span = self.tokens.get(at).map_or(end..end, |token| token.span.clone());
        TextError { text: self.text.to_owned(), span, message: message.to_owned() }
    }
}

/// Whether a right operand is possible with an operation; the error names what is expected.
pub(crate) fn operand_fits(operation: Operation, right: &Right) -> Result<(), String> {
    let Right::Constant(value) = right else { return Ok(()) };
    let numbers = value.as_array().map(|list| list.iter().map(Value::as_f64).collect::<Vec<_>>());
    let expected = match operation {
        Operation::Range => match numbers.as_deref() {
            Some([Some(low), Some(high)]) if low <= high => return Ok(()),
            _ => "a list of two numbers, the lower one first",
        },
        Operation::In | Operation::NotIn => match value {
            Value::Array(_) => return Ok(()),
            _ => "a list",
        },
        Operation::SizeEqual | Operation::SizeNotEqual => match value {
            Value::Number(_) => return Ok(()),
            _ => "a number",
        },
        Operation::AtLeast | Operation::AtMost | Operation::Greater | Operation::Less => match value {
            Value::Number(_) | Value::String(_) => return Ok(()),
            _ => "a number or a text",
        },
        Operation::Equal | Operation::NotEqual => return Ok(()),
    };
    Err(format!("expected {expected}, found `{value}`"))
}
