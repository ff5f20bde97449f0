//! Rules as text: the short form of conditions, and words for people.

use std::fmt;

use super::{ClearBound, Condition, Path, Right, Rule, Severity, Term};

impl Rule {
    /// The rule in words, for `explain`.
    pub fn words(&self) -> String {
        let periods = |count: u32| if count == 1 { "1 period".to_owned() } else { format!("{count} periods in a row") };
        let clear = match (self.clear.bound, &self.condition) {
            (Some(ClearBound::Above(bound)), _) => format!("the value is above {bound}"),
            (Some(ClearBound::Below(bound)), _) => format!("the value is below {bound}"),
            (None, Condition::NoData(_)) => "the object has samples".to_owned(),
            (None, Condition::Terms(_)) => "the condition is false".to_owned(),
        };
        let objects = match self.keys.as_slice() {
            [] => "every object".to_owned(),
            keys => format!("every object that matches {}", keys.join(" or ")),
        };
        format!(
            "alarm {:?} ({}): for {objects}, fires when {} for {}, and resolves when {clear} for {}; periods that are \
             partial or without the value count neither way",
            self.name,
            self.severity,
            self.condition,
            periods(self.periods),
            periods(self.clear.periods),
        )
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.left, self.operation.symbol())?;
        match &self.right {
            Right::Path(path) => path.fmt(f),
            Right::Constant(value) => value.fmt(f),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = match self {
            Self::NoData(proxy_type) => return write!(f, "no data in {proxy_type}"),
            Self::Terms(lists) => lists,
        };
        for (index, terms) in lists.iter().enumerate() {
            f.write_str(if index > 0 { " or " } else { "" })?;
            for (index, term) in terms.iter().enumerate() {
                f.write_str(if index > 0 { " and " } else { "" })?;
                term.fmt(f)?;
            }
        }
        Ok(())
    }
}
