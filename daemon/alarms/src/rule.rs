//! A rule: when an alarm begins, when it ends, and what it shows.

mod words;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::compile::is_name_of;
use crate::glob;

/// The most periods of `for` and of a clear condition.
pub const MAX_PERIODS: u32 = 10_000;

/// The most rules of a configuration.
pub const MAX_RULES: usize = 256;

/// The most comparisons of a condition: each is made for each object in each window.
pub const MAX_COMPARISONS: usize = 100;

/// The most bytes of a name or a text.
pub const MAX_TEXT: usize = 1024;

/// All rules of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules(Vec<Arc<Rule>>);

/// A rule, which makes at most one alarm of each object.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The name: the `type` of its alarms. The state of an alarm belongs to it.
    pub name: String,
    /// What raises an alarm.
    pub condition: Condition,
    /// The consecutive periods in which the condition must be true, at least 1.
    pub periods: u32,
    /// What ends an alarm.
    pub clear: Clear,
    /// How bad it is.
    pub severity: Severity,
    /// The text of the alarm, with `{key}`, `{rule}` and paths such as `{value.sigma}`, and `{{` for a brace; empty for
    /// the condition in words.
    pub text: String,
    /// Patterns of keys; empty for all objects.
    pub keys: Vec<String>,
    /// The part of an object's name before its last colon, if it must be this one: a project of Contrail.
    pub project: Option<String>,
    /// How an operand without a value compares.
    pub absent: Absent,
}

/// What raises an alarm.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The object had no sample in the windows of this proxy type.
    NoData(String),
    /// All terms of one of the lists are true.
    Terms(Vec<Vec<Term>>),
}

/// A comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The left operand: the UVE or the proxy type, the attribute, and the path below it.
    pub left: Path,
    /// The comparison.
    pub operation: Operation,
    /// The right operand.
    pub right: Right,
    /// Further values that the alarm shows.
    pub variables: Vec<Path>,
}

/// A path such as `AggProxySum.value.value`, split at the dots.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path(pub Vec<String>);

/// The right operand of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Right {
    /// A value of the same result.
    Path(Path),
    /// A constant.
    Constant(Value),
}

/// The comparisons of Contrail's alarms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `>`
    Greater,
    /// `in`: the left one is an element of the right list.
    In,
    /// `<`
    Less,
    /// `!=`
    NotEqual,
    /// `not in`
    NotIn,
    /// `range`: from the first to the second number of the right list, both included.
    Range,
    /// `size==`: the left one has so many members.
    SizeEqual,
    /// `size!=`
    SizeNotEqual,
}

/// What ends an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clear {
    /// The condition; `None` for the opposite of what raises the alarm.
    pub bound: Option<ClearBound>,
    /// The consecutive periods in which it must be true, at least 1.
    pub periods: u32,
}

/// A bound of the left operand that differs from the one that raises the alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClearBound {
    /// The operand is above.
    Above(f64),
    /// The operand is below.
    Below(f64),
}

/// How bad an alarm is, as in Contrail.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// 0
    Critical,
    /// 1
    #[default]
    Major,
    /// 2
    Minor,
}

/// How an operand without a value compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absent {
    /// As null, as in Contrail, whose `alarmgen.py` reads both sides as JSON: null equals null, and is less than
    /// everything else. The text `0.1` is a number, a size is that of a list, and an attribute without a result satisfies
    /// nothing.
    Null,
    /// The period counts neither way: a detector that warms up neither fires nor clears.
    Unknown,
}

impl Rules {
    /// The rules, in order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules.into_iter().map(Arc::new).collect())
    }

    /// The rules, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.0.iter()
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rule {
    /// A rule of one period, for all objects.
    pub fn new(name: impl Into<String>, condition: Condition) -> Self {
        let clear = Clear { bound: None, periods: 1 };
        let (name, severity, text) = (name.into(), Severity::default(), String::new());
        let (keys, project) = (Vec::new(), None);
        Self { name, condition, periods: 1, clear, severity, text, keys, project, absent: Absent::Unknown }
    }

    /// Whether the rule is for an object.
    pub fn is_for(&self, key: &str) -> bool {
        let name = key.split_once(':').map_or(key, |(_, name)| name);
        let project = name.rsplit_once(':').map_or("", |(project, _)| project);
        self.project.as_deref().is_none_or(|wanted| wanted == project)
            && (self.keys.is_empty() || self.keys.iter().any(|pattern| glob::matches(pattern, key)))
    }

    /// Whether the rule is evaluated with the results of a proxy type of a stream, `Struct-attribute`, that has these
    /// proxy types.
    pub fn is_about<'t>(&self, proxy_type: &str, types: impl Iterator<Item = &'t str>, stream: &str) -> bool {
        let uves: Vec<_> = types.map(|name| format!("{name}-{stream}")).collect();
        let (sources, uve) = (self.sources(), format!("{proxy_type}-{stream}"));
        sources.iter().any(|source| is_name_of(source, &uve, stream))
            && sources.iter().all(|source| uves.iter().any(|known| is_name_of(source, known, stream)))
    }

    /// The attribute of the first comparison; `None` for missing data.
    pub(crate) fn attribute(&self) -> Option<&str> {
        match &self.condition {
            Condition::NoData(_) => None,
            Condition::Terms(lists) => lists.iter().flatten().next()?.left.0.get(1).map(String::as_str),
        }
    }

    /// The first parts of all paths: proxy types and UVE names.
    pub(crate) fn sources(&self) -> Vec<&str> {
        match &self.condition {
            Condition::NoData(proxy_type) => vec![proxy_type],
            Condition::Terms(lists) => {
                let paths = lists.iter().flatten().flat_map(Term::paths);
                let mut found: Vec<_> = paths.filter_map(|path| path.0.first().map(String::as_str)).collect();
                found.sort_unstable();
                found.dedup();
                found
            }
        }
    }
}

impl Term {
    /// All paths of the term.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let right = match &self.right {
            Right::Path(path) => Some(path),
            Right::Constant(_) => None,
        };
        [Some(&self.left), right].into_iter().flatten().chain(&self.variables)
    }
}

impl Path {
    /// Splits a text at its dots.
    pub fn parse(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }
}

impl Operation {
    /// All operations, with their texts.
    pub(crate) const ALL: [(Self, &'static str); 11] = [
        (Self::Equal, "=="),
        (Self::NotEqual, "!="),
        (Self::AtMost, "<="),
        (Self::AtLeast, ">="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
        (Self::NotIn, "not in"),
        (Self::In, "in"),
        (Self::Range, "range"),
        (Self::SizeEqual, "size=="),
        (Self::SizeNotEqual, "size!="),
    ];

    /// The operation of a text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == text).map(|(operation, _)| operation)
    }

    /// The text.
    pub fn symbol(self) -> &'static str {
        Self::ALL.iter().find(|(operation, _)| *operation == self).map_or("", |(_, text)| text)
    }
}

impl Severity {
    /// The number of Contrail: 0 is the worst.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The severity of a number of Contrail.
    pub fn from_code(code: u64) -> Option<Self> {
        [Self::Critical, Self::Major, Self::Minor].into_iter().find(|severity| u64::from(severity.code()) == code)
    }

    /// The severity of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Critical, Self::Major, Self::Minor].into_iter().find(|severity| severity.name() == name)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Major => "major",
            Self::Minor => "minor",
        }
    }
}
