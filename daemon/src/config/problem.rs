//! The problems of a configuration and their source locations.

use std::fmt;
use std::path::PathBuf;

/// The source location of a setting.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum SourceLocation {
    /// No source: the default applies.
    Default,
    /// A file; line and column count from 1, and 0 means that the parser of that file does not provide them.
    File { path: PathBuf, line: usize, column: usize },
    /// An environment variable.
    Variable(String),
    /// A flag, by name.
    Flag(&'static str),
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column: 0 } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A problem of the configuration, with its source location and remedy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    location: SourceLocation,
    message: String,
}

impl Problem {
    pub(super) fn new(location: SourceLocation, message: impl Into<String>) -> Self {
        Self { location, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.message)
    }
}

/// All problems of a configuration, at least one, in the order of their locations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts the problems: files by line, then the environment, then flags; those of one location as they were found.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|one, other| one.location.cmp(&other.location));
        Self(problems)
    }

    /// The problems, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// The number of problems.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}
