//! The tokens of clients: a file with the hash of each, and what its bearer may do.
//!
//! ```text
//! # name     scopes       hash of the token
//! telegraf   write        sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
//! grafana    read         sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
//! ```
//!
//! A token is 256 random bits that [`Token::random`] makes, so a plain hash of it can neither be reversed nor guessed.
//! Several tokens may have one name: that is how one is replaced while its bearer still uses the other.

use std::fmt;
use std::path::Path;

use daemon_base::setting::file;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What a request needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// To change the configuration.
    Admin,
    /// To see: UVEs, results, partitions, metrics.
    Read,
    /// To bring samples.
    Write,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Admin, Self::Read, Self::Write];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.name() == text);
        known.ok_or_else(|| {
            format!("expected the scopes admin, read or write, with a comma between two, found `{text}`")
        })
    }
}

/// The token of a client, which only it and its maker see.
pub(crate) struct Token(String);

impl Token {
    /// A new token of 256 bits from the system.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub(crate) fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 32];
        let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
        if filled < bytes.len() {
            return Err(std::io::Error::other("the system gave too few random bytes"));
        }
        Ok(Self(hex(&bytes)))
    }

    /// The token itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Its line in the file.
    pub(crate) fn line(&self, name: &str, scopes: &[Scope]) -> String {
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
        format!("{name} {} sha256:{}", scopes.join(","), hex(&Sha256::digest(&self.0)))
    }
}

/// The SHA-256 of a token.
pub(crate) type TokenHash = [u8; 32];

/// The hash of a token, or of another secret of its kind.
pub(crate) fn hash_of(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

/// The tokens of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tokens(Vec<Entry>);

#[derive(Clone, PartialEq)]
struct Entry {
    name: String,
    scopes: Vec<Scope>,
    hash: TokenHash,
}

/// Without the hash.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// What a token allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Allowed,
    /// The name of the token's client, which lacks the scope.
    Lacks(String),
    Unknown,
}

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, has no token, or a line is not of the form: a text with the line's number. No hash is in it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = file::read_regular_text(path).map_err(|error| {
            format!("{} cannot be read ({error}); name a file that the user of the daemon can read", path.display())
        })?;
        Self::parse(&text).map_err(|reason| format!("{}:{reason}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = (1..).zip(text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()));
        let entries: Vec<Entry> = lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(number, line)| entry(line).map_err(|reason| format!("{number}: {reason}")))
            .collect::<Result<_, _>>()?;
        if entries.is_empty() {
            return Err("1: no token; `derived-statsd token NAME` makes one".to_owned());
        }
        Ok(Self(entries))
    }

    /// The name of the client of the token with this hash, if it is one of them.
    pub(crate) fn name_of(&self, hash: &TokenHash) -> Option<&str> {
        let matching = self.0.iter().filter(|entry| bool::from(entry.hash.ct_eq(hash)));
        matching.fold(None, |_, entry| Some(entry.name.as_str()))
    }

    /// What the token with this hash allows. Every entry is compared, each in the same time whatever it has.
    pub(crate) fn check(&self, hash: &TokenHash, scope: Scope) -> Verdict {
        let (mut is_allowed, mut known) = (false, None);
        for entry in &self.0 {
            if bool::from(entry.hash.ct_eq(hash)) {
                is_allowed |= entry.scopes.contains(&scope);
                known = Some(&entry.name);
            }
        }
        match known {
            _ if is_allowed => Verdict::Allowed,
            Some(name) => Verdict::Lacks(name.clone()),
            None => Verdict::Unknown,
        }
    }
}

/// How a line that cannot be used is mended.
const REMEDY: &str = "correct the line, or replace it by one of `derived-statsd token NAME`";

fn entry(line: &str) -> Result<Entry, String> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [name, scopes, hash] = fields[..] else {
        return Err(format!("expected a name, scopes and sha256:HASH, found {} fields; {REMEDY}", fields.len()));
    };
    let scopes = scopes.split(',').map(str::parse).collect::<Result<_, _>>();
    let scopes = scopes.map_err(|problem: String| format!("{problem}; {REMEDY}"))?;
    let digits = hash.strip_prefix("sha256:").filter(|digits| digits.len() == 64);
    let hash = digits.and_then(unhex);
    let hash =
        hash.ok_or_else(|| format!("expected `sha256:` and 64 hexadecimal digits after the scopes; {REMEDY}"))?;
    Ok(Entry { name: name.to_owned(), scopes, hash })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_scopes_of_its_line_and_several_may_have_one_name() {
        let (first, second) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(first.reveal(), second.reveal());
        let text = format!(
            "# clients\n\n{}\n{} # the next one\n",
            first.line("telegraf", &[Scope::Write]),
            second.line("telegraf", &[Scope::Read, Scope::Write])
        );
        let tokens = Tokens::parse(&text).unwrap();
        let check = |token: &str, scope| tokens.check(&hash_of(token), scope);
        assert_eq!(check(first.reveal(), Scope::Write), Verdict::Allowed);
        assert_eq!(check(first.reveal(), Scope::Read), Verdict::Lacks("telegraf".to_owned()));
        assert_eq!(check(second.reveal(), Scope::Read), Verdict::Allowed);
        assert_eq!(tokens.name_of(&hash_of(first.reveal())), Some("telegraf"));
        for unknown in ["", "telegraf", &first.reveal()[1..], &text] {
            assert_eq!(check(unknown, Scope::Write), Verdict::Unknown, "{unknown}");
            assert_eq!(tokens.name_of(&hash_of(unknown)), None, "{unknown}");
        }
        assert!(!format!("{tokens:?}").contains(&text[20..40]), "{tokens:?}");
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_without_its_hash() {
        let hash = "ab".repeat(32);
        for (line, expected) in [
            (format!("a write sha256:{hash} more"), "2: expected a name, scopes and sha256:HASH, found 4 fields"),
            (format!("a sha256:{hash}"), "found 2 fields"),
            (format!("a write,all sha256:{hash}"), "found `all`"),
            (format!("a write {hash}"), "2: expected `sha256:` and 64 hexadecimal digits"),
            (format!("a write sha256:{}", &hash[1..]), "64 hexadecimal digits"),
            (format!("a write sha256:{}é", &hash[2..]), "64 hexadecimal digits"),
            (String::new(), "no token"),
        ] {
            let error = Tokens::parse(&format!("# tokens\n{line}\n")).unwrap_err();
            assert!(error.contains(expected) && !error.contains(&hash[4..]), "{line}: {error}");
            assert!(error.contains("`derived-statsd token NAME`"), "there is a remedy: {error}");
        }
    }
}
