//! The names that a reader selects: Contrail's `kfilt`.

/// Names and prefixes of names, in order and without overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Names(Vec<Pattern>);

/// One name, or all names with a prefix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    pub(super) text: String,
    is_prefix: bool,
}

impl Names {
    /// All names that begin with `prefix`.
    pub fn with_prefix(prefix: &str) -> Self {
        Self(vec![Pattern { text: prefix.to_owned(), is_prefix: true }])
    }

    /// Of the names that begin with `prefix`, those that are one of `patterns`: a name, or a prefix with `*` behind it.
    pub fn of<'p>(prefix: &str, patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let patterns = patterns.into_iter().map(str::trim).filter(|text| !text.is_empty());
        let mut found: Vec<_> = patterns.filter_map(|text| Pattern::parse(text).within(prefix)).collect();
        // A prefix comes before all that it covers.
        found.sort_by(|left, right| left.text.cmp(&right.text).then(right.is_prefix.cmp(&left.is_prefix)));
        found.dedup_by(|later, kept| kept.covers(&later.text) || *later == *kept);
        Self(found)
    }

    /// The patterns of a list with commas between them. A backslash before a comma makes it a part of a name, as in those of
    /// objects of several labels; elsewhere a backslash is a part of the name itself.
    pub fn split(list: &str) -> Vec<String> {
        let mut patterns = vec![String::new()];
        let mut characters = list.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, patterns.last_mut()) {
                (',', _) => patterns.push(String::new()),
                ('\\', Some(pattern)) => pattern.push(characters.next_if_eq(&',').unwrap_or('\\')),
                (character, Some(pattern)) => pattern.push(character),
                (_, None) => {}
            }
        }
        patterns
    }

    /// The list that [`split`](Self::split) takes apart.
    pub fn join(patterns: &[String]) -> String {
        let escaped: Vec<_> = patterns.iter().map(|pattern| pattern.replace(',', "\\,")).collect();
        escaped.join(",")
    }

    /// Whether the name is selected.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.covers(name))
    }

    pub(super) fn get(&self, index: usize) -> Option<&Pattern> {
        self.0.get(index)
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self { text: prefix.to_owned(), is_prefix: true },
            None => Self { text: text.to_owned(), is_prefix: false },
        }
    }

    /// The part of the pattern that begins with `prefix`; `None` if no name can.
    fn within(self, prefix: &str) -> Option<Self> {
        if self.text.starts_with(prefix) {
            return Some(self);
        }
        (self.is_prefix && prefix.starts_with(&self.text)).then(|| Self { text: prefix.to_owned(), is_prefix: true })
    }

    /// Whether the pattern selects a name.
    pub(super) fn covers(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&self.text) } else { name == self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prefix: &str, patterns: &str) -> Vec<String> {
        let Names(found) = Names::of(prefix, patterns.split(','));
        found.into_iter().map(|it| if it.is_prefix { it.text + "*" } else { it.text }).collect()
    }

    #[test]
    fn patterns_are_in_order_and_those_that_another_covers_are_left_out() {
        assert_eq!(texts("", "c,b*,a,b1,bc*, b ,,a"), ["a", "b*", "c"]);
        assert_eq!(texts("", "b*,*,a"), ["*"]);
        assert_eq!(texts("", ""), [""; 0]);
    }

    #[test]
    fn a_comma_of_a_name_has_a_backslash_before_it() {
        let cases = [
            ("", vec![""]),
            ("a,b*", vec!["a", "b*"]),
            (r"shop\,/cart,b", vec!["shop,/cart", "b"]),
            (r"a\b,c", vec![r"a\b", "c"]),
            // The name of an object has a backslash of its own where a label has a comma.
            (r"a\\,b\,h:80", vec![r"a\,b,h:80"]),
        ];
        for (list, expected) in cases {
            let found = Names::split(list);
            assert_eq!(found, expected);
            assert_eq!(Names::join(&found), list);
        }
    }

    #[test]
    fn patterns_are_cut_down_to_the_prefix_of_the_path() {
        assert_eq!(texts("demo:", "*"), ["demo:*"]);
        assert_eq!(texts("demo:", "demo:a*,demo:b,other:c,d*"), ["demo:*"]);
        assert_eq!(texts("demo:", "demo:a*,demo:b,other:c"), ["demo:a*", "demo:b"]);
        assert!(Names::of("demo:", ["demo:a*"]).contains("demo:a1"));
        assert!(!Names::of("demo:", ["demo:a*"]).contains("demo:b"));
    }
}
