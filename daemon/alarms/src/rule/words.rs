//! Rules as text: the short form of conditions, and words for people.

use std::fmt;

use super::{Absent, ClearBound, Condition, Path, Right, Rule, Severity, Term};

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
        let neither = match self.absent {
            Absent::Null => "a missing value is null, and periods that are partial count neither way",
            Absent::Unknown => "periods that are partial or without the value count neither way",
        };
        format!(
            "alarm {:?} ({}): for {objects}, fires when {} for {}, and resolves when {clear} for {}; {neither}",
            self.name,
            self.severity,
            self.condition,
            periods(self.periods),
            periods(self.clear.periods),
        )
    }
}

impl Rule {
    /// The name and all that decides about its alarms, in one line of settings: two rules with the same text make the
    /// same alarms. It must stay the same in later builds, as the groups on Kafka compare it.
    pub fn identity(&self) -> (String, String) {
        let clear = match self.clear.bound {
            Some(ClearBound::Above(bound)) => format!("above {bound} for {}", self.clear.periods),
            Some(ClearBound::Below(bound)) => format!("below {bound} for {}", self.clear.periods),
            None => format!("for {}", self.clear.periods),
        };
        let absent = match self.absent {
            Absent::Null => "null",
            Absent::Unknown => "unknown",
        };
        let Self { condition, periods, severity, text, .. } = self;
        let (keys, project) = (self.keys.join(","), self.project.as_deref().unwrap_or("*"));
        let shown: Vec<_> = self.variables().map(ToString::to_string).collect();
        let text = format!(
            "when={condition}; for={periods}; clear={clear}; severity={severity}; keys={keys}; project={project}; \
             absent={absent}; variables={}; text={text:?}",
            shown.join(",")
        );
        (format!("alarm {:?}", self.name), text)
    }

    /// The further values that the alarm shows.
    fn variables(&self) -> impl Iterator<Item = &Path> {
        let lists = match &self.condition {
            Condition::Terms(lists) => lists.as_slice(),
            Condition::NoData(_) => &[],
        };
        lists.iter().flatten().flat_map(|term| &term.variables)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn the_words_say_what_a_missing_value_is() {
        let rule = text::rule("alarm \"a\" when A.value > 5").unwrap_or_else(|error| panic!("{error}"));
        let of_contrail = Rule { absent: Absent::Null, ..rule.clone() };
        assert!(rule.words().ends_with("; periods that are partial or without the value count neither way"));
        assert!(
            of_contrail.words().ends_with("; a missing value is null, and periods that are partial count neither way")
        );
    }

    #[test]
    fn rules_have_one_identity_only_if_they_make_the_same_alarms() {
        let identity = |rule: &str| text::rule(rule).unwrap_or_else(|error| panic!("{error}")).identity();
        let base = "alarm \"a\" when A.value > 5 for 3 periods, clear below 4 for 2";
        let (name, shown) = identity(base);
        assert_eq!(name, "alarm \"a\"");
        let expected = "when=A.value > 5; for=3; clear=below 4 for 2; severity=major; keys=; project=*; absent=unknown; \
                        variables=; text=\"\"";
        assert_eq!(shown, expected);
        assert_eq!(identity(&base.replace(" > ", "   > ")).1, shown, "spaces make no other rule");
        let others = [
            base.replace("> 5", "> 6"),
            base.replace("for 3", "for 2"),
            base.replace("for 2", "for 1"),
            base.replace("below 4", "below 3"),
            format!("{base} severity minor"),
            format!("{base} on \"T:*\""),
            format!("{base} text \"x\""),
        ];
        for other in others {
            assert_ne!(identity(&other).1, shown, "{other}");
        }
    }
}
