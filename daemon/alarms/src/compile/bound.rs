//! The proxy types of one stream that a rule compares.

use derived_stats::annotation::nearest;
use proxy_uve::{Plan, UveDescription};

use crate::rule::{Condition, Path, Rule};

/// The proxy types of one stream that a rule compares, with their indices in the plan. That of the first comparison is
/// the first.
#[derive(Clone, Debug)]
pub(crate) struct Bound<'p> {
    stream: String,
    uves: Vec<(usize, UveDescription<'p>)>,
}

impl<'p> Bound<'p> {
    /// The proxy types of a rule in a plan; `None` if the plan lacks one of them.
    pub(crate) fn new(rule: &Rule, plan: &'p Plan) -> Option<Self> {
        let mut bound = Self { stream: plan.stream().to_string(), uves: Vec::new() };
        let first = match &rule.condition {
            Condition::NoData(_) => None,
            Condition::Terms(lists) => lists.iter().flatten().next().and_then(|term| term.left.0.first()),
        };
        for source in first.map(String::as_str).into_iter().chain(rule.sources()) {
            let found = plan.uves().enumerate().find(|(_, uve)| is_name_of(source, uve.name(), &bound.stream))?;
            if !bound.uves.iter().any(|(index, _)| *index == found.0) {
                bound.uves.push(found);
            }
        }
        (!bound.uves.is_empty()).then_some(bound)
    }

    /// The proxy type of a path, with its index.
    ///
    /// # Errors
    ///
    /// When the rule does not compare that type.
    pub(crate) fn of(&self, path: &Path) -> Result<(usize, &UveDescription<'p>), String> {
        let name = path.0.first().map_or("", String::as_str);
        let found = self.uves.iter().find(|(_, uve)| is_name_of(name, uve.name(), &self.stream));
        found.map(|(index, uve)| (*index, uve)).ok_or_else(|| {
            let names: Vec<_> = self.uves.iter().map(|(_, uve)| uve.name()).collect();
            let meant = nearest(name, names.iter().copied()).map(|meant| format!("; did you mean `{meant}`?"));
            format!("`{path}` is not of {}{}", names.join(" or "), meant.unwrap_or_default())
        })
    }

    /// A path in the text of an alarm: it begins with a proxy type of the rule, or is below that of the first comparison.
    pub(crate) fn in_text(&self, path: &str) -> Path {
        let whole = Path::parse(path);
        match self.of(&whole) {
            Ok(_) => whole,
            Err(_) => Path::parse(&format!("{}.{path}", self.first())),
        }
    }

    /// The name of the proxy UVE of the first comparison.
    pub(crate) fn first(&self) -> &'p str {
        self.uves.first().map_or("", |(_, uve)| uve.name())
    }

    /// All proxy types.
    pub(crate) fn uves(&self) -> &[(usize, UveDescription<'p>)] {
        &self.uves
    }
}

/// Whether a name is that of a proxy UVE of a stream, or of its proxy type.
pub(crate) fn is_name_of(name: &str, uve: &str, stream: &str) -> bool {
    name == uve || name == type_name(uve, stream)
}

/// The proxy type of a proxy UVE of a stream.
pub(crate) fn type_name<'u>(uve: &'u str, stream: &str) -> &'u str {
    uve.strip_suffix(stream).and_then(|rest| rest.strip_suffix('-')).unwrap_or(uve)
}
