//! The value of each key: the defaults, with the settings of all sources over them.
//!
//! The defaults are those of the example file, which a test holds to the structs.

use std::fmt;

use daemon_base::setting::without_path;
use serde::Deserialize as _;
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::keys;
use crate::config::Config;

const DEFAULTS: &str = include_str!("../../derived-statsd.example.toml");

/// The sections and keys that a running daemon takes over; all others need a restart.
const CHANGED_WHILE_RUNNING: [&str; 7] =
    ["aggregation", "alarms", "kafka.configuration_version", "log.commit_interval", "sinks", "streams", "workers"];

/// Those among them that need one all the same.
const NEEDS_RESTART: [&str; 1] = ["aggregation.cluster_id"];

/// The properties of librdkafka, whose values are shown to nobody.
const PROPERTIES: &str = "kafka.properties";

/// Whether the paths of the URLs in this key are shown to nobody.
///
/// The path of a server may be a credential: chat services have a token in it, and so may a proxy before any server. So
/// all keys named `url` or `…_urls` are of this kind, except `page_url`, which receivers of alarms get as a link.
pub(super) fn has_secret_path(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    name == "url" || name == "urls" || name.ends_with("_urls")
}

/// The value of each key that has one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effective(Table);

/// A key whose value differs, with both values; `None` for one that is not set, and for a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ChangedKey {
    pub key: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl fmt::Display for ChangedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (None, None) => write!(f, "{}: another secret", self.key),
            (Some(before), Some(after)) => write!(f, "{}: {after} instead of {before}", self.key),
            (None, Some(after)) => write!(f, "{}: {after} instead of none", self.key),
            (Some(before), None) => write!(f, "{}: none instead of {before}", self.key),
        }
    }
}

/// Whether a running daemon takes over another value of the key.
pub(crate) fn is_changed_while_running(key: &str) -> bool {
    let is_in =
        |section: &&str| key == *section || key.strip_prefix(*section).is_some_and(|rest| rest.starts_with('.'));
    CHANGED_WHILE_RUNNING.iter().any(is_in) && !NEEDS_RESTART.contains(&key)
}

impl Effective {
    /// The defaults with these settings over them.
    pub(super) fn new(settings: &Table) -> Self {
        let mut table = DEFAULTS.parse().unwrap_or_default();
        merge(&mut table, settings);
        Self(table)
    }

    /// Reads what [`shown`](Self::shown) has made; `None` if it is something else.
    pub(crate) fn from_shown(shown: &Json) -> Option<Self> {
        Table::deserialize(shown.clone()).ok().map(Self)
    }

    /// All keys without their secrets, and the keys that are left out for that.
    ///
    /// A secret is a key of that type, the user, password and query of a URL, the path of the URL of a server, and the
    /// value of a property of librdkafka.
    pub(crate) fn shown(&self) -> (Json, Vec<String>) {
        let mut table = self.0.clone();
        let secrets = keys::secrets();
        let hidden = secrets.into_iter().filter(|key| remove(&mut table, key)).collect();
        for key in keys::all() {
            if let Some(value) = find_mut(&mut table, &key) {
                redact(&key, value);
            }
        }
        (json(&mut Value::Table(table)), hidden)
    }

    /// The keys whose values differ, in order. Two spellings of one value, such as `60s` and `1m`, do not.
    pub(crate) fn changes_to(&self, other: &Self) -> Vec<ChangedKey> {
        let secrets = keys::secrets();
        let changed = keys::all().into_iter().filter(|key| !self.has_same(other, key));
        let shown = |of: &Self, key: &str| {
            let mut value = find(&of.0, key).filter(|_| !secrets.iter().any(|secret| secret == key))?.clone();
            redact(key, &mut value);
            Some(json(&mut value).to_string())
        };
        let changes = changed.map(|key| match (shown(self, &key), shown(other, &key)) {
            // Only a hidden part differs.
            (before, after) if before == after => ChangedKey { before: None, after: None, key },
            (before, after) => ChangedKey { before, after, key },
        });
        changes.collect()
    }

    /// Whether a setting names a file with a secret, a certificate or rules, whose content may change without it.
    pub(crate) fn names_files(&self) -> bool {
        // The tokens of the server are read again by themselves.
        let names_one = |key: &String| key.ends_with("_file") && key != "http.tokens_file";
        let mut files = keys::all().into_iter().filter(names_one);
        let mut alarms = self.0.get("alarms").and_then(Value::as_array).into_iter().flatten();
        alarms.any(|alarm| alarm.get("file").is_some()) || files.any(|key| find(&self.0, &key).is_some())
    }

    /// The text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        find(&self.0, key)?.as_str()
    }

    /// The number of a key, which is not negative.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        find(&self.0, key)?.as_integer()?.try_into().ok()
    }

    /// Leaves out the keys of which the other side does not show whether they have values.
    pub(crate) fn without(mut self, hidden: &[String]) -> Self {
        for key in hidden {
            remove(&mut self.0, key);
        }
        self
    }

    fn has_same(&self, other: &Self, key: &str) -> bool {
        match (find(&self.0, key), find(&other.0, key)) {
            (Some(one), Some(other)) => one == other || alone(key, one).is_some_and(|it| alone(key, other) == Some(it)),
            (one, other) => one == other,
        }
    }
}

/// The configuration with this key only.
fn alone(key: &str, value: &Value) -> Option<Config> {
    let nested =
        key.rsplit('.').fold(value.clone(), |inner, name| Value::Table(Table::from_iter([(name.to_owned(), inner)])));
    Config::deserialize(nested).ok()
}

fn merge(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => merge(inner, over),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

fn find<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    match key.split_once('.') {
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn find_mut<'t>(table: &'t mut Table, key: &str) -> Option<&'t mut Value> {
    match key.split_once('.') {
        Some((section, rest)) => find_mut(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.get_mut(key),
    }
}

/// Removes a key; whether it was there.
fn remove(table: &mut Table, key: &str) -> bool {
    match key.split_once('.') {
        Some((section, rest)) => {
            table.get_mut(section).and_then(Value::as_table_mut).is_some_and(|inner| remove(inner, rest))
        }
        None => table.remove(key).is_some(),
    }
}

/// `sasl.password=…` in place of `sasl.password=hunter2`.
fn without_value(property: &mut Value) {
    if let Value::String(text) = property {
        let name = text.split('=').next().unwrap_or_default();
        *text = format!("{name}=…");
    }
}

/// Hides the secret part of the value of a key, or of each value in its list.
fn redact(key: &str, value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| redact(key, value)),
        Value::String(_) if key == PROPERTIES => without_value(value),
        Value::String(url) if has_secret_path(key) => *url = without_path(url),
        _ => {}
    }
}

/// The value without users, passwords and queries in URLs.
fn json(value: &mut Value) -> Json {
    match value {
        Value::String(text) => without_credentials(text).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(values) => values.iter_mut().map(json).collect(),
        Value::Table(table) => {
            Json::Object(table.iter_mut().map(|(key, value)| (key.clone(), json(value))).collect::<Map<_, _>>())
        }
    }
}

/// `http://…@host/path?…` in place of `http://user:password@host/path?key=secret`, wherever it stands in the text.
fn without_credentials(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        let (authority, after) = after.split_at(after.find(['/', '?', '#', ' ', ',', '"']).unwrap_or(after.len()));
        shown.push_str(before);
        match authority.rfind('@') {
            Some(host) => {
                shown.push('…');
                shown.push_str(&authority[host..]);
            }
            None => shown.push_str(authority),
        }
        rest = after;
        let end = rest.find(['?', ' ', ',', '"']);
        if let Some(query) = end.filter(|end| rest[*end..].starts_with('?')) {
            shown.push_str(&rest[..query]);
            shown.push_str("?…");
            // A comma may be part of it.
            rest = &rest[query..];
            rest = &rest[rest.find([' ', '"']).unwrap_or(rest.len())..];
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effective(text: &str) -> Effective {
        Effective::new(&text.parse().unwrap())
    }

    #[test]
    fn every_secret_is_left_out_and_named() {
        let secrets = keys::secrets();
        for key in ["kafka.password", "kafka.key_password", "sinks.influxdb.password", "sinks.influxdb.token"] {
            assert!(secrets.iter().any(|secret| secret == key), "{key} is not in {secrets:?}");
        }
        // Whatever is named like one and takes a text is one; files and flags are not.
        for key in keys::all() {
            let name = key.rsplit('.').next().unwrap_or_default();
            if ["password", "token", "secret"].iter().any(|part| name.ends_with(part)) {
                assert!(secrets.contains(&key), "{key}");
            }
        }
        let lines: String = secrets.iter().map(|key| format!("{key} = \"hunter2\"\n")).collect();
        let more = "kafka.properties = [\"sasl.password=hunter2\"]\n\
                    sinks.influxdb.url = \"http://me:hunter2@db:8086/x\"\n\
                    sinks.alertmanager.url = \"http://a:9093/hunter2?key=hunter2,hunter2\"\n\
                    sinks.alertmanager.other_urls = [\"http://b:9093/hunter2\"]\n\
                    sinks.results_webhook.url = \"https://a/services/hunter2\"\n\
                    sinks.webhook.url = \"https://me@chat.example/services/hunter2?key=hunter2\"\n\
                    opserver.servers = [\"https://hunter2@a:8081\"]";
        let (shown, hidden) = effective(&(lines + more)).shown();
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(hidden, secrets);
        assert_eq!(shown["sinks"]["influxdb"]["url"], "http://…@db:8086/…");
        assert_eq!(shown["sinks"]["alertmanager"]["url"], "http://a:9093/…");
        assert_eq!(shown["sinks"]["alertmanager"]["other_urls"][0], "http://b:9093/…");
        assert_eq!(shown["sinks"]["webhook"]["url"], "https://…@chat.example/…");
        assert_eq!(shown["sinks"]["results_webhook"]["url"], "https://a/…");
        assert_eq!(shown["kafka"]["properties"][0], "sasl.password=…");
        assert_eq!(shown["http"]["listen"], "127.0.0.1:8081", "a default");
    }

    /// The keys whose value in the example is a URL, or has one.
    fn with_url_in_example() -> Vec<String> {
        let (mut section, mut found) = (String::new(), Vec::new());
        for line in DEFAULTS.lines().map(|line| line.trim_start_matches('#').trim()) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((name, value)) = line.split_once(" = ")
                && value.contains("://")
            {
                found.push(format!("{section}.{name}"));
            }
        }
        found
    }

    /// A new setting with a URL is found by its name or its example, and has to be of the kind whose path is hidden.
    #[test]
    fn no_key_with_a_url_shows_a_secret_of_it() {
        // Links for people, a template for a tag, and servers whose URLs have no path.
        const WITHOUT_SECRET_PATH: &str = "sinks.alertmanager.page_url sinks.webhook.page_url sinks.influxdb.server \
                                           opserver.servers contiv.nodes contiv.etcd contiv.netmaster";
        let in_example = with_url_in_example();
        assert!(in_example.len() > 5, "{in_example:?}");
        let is_taken = |key: &str, value: &Value| alone(key, value).is_some_and(|it| it != Config::default());
        let mut seen = Vec::new();
        for key in keys::all() {
            let url = Value::String("http://me:hunter1@a:1/hunter2?q=hunter3".to_owned());
            let mut values = [url.clone(), Value::Array(vec![url])].into_iter();
            let Some(value) = values.find(|value| is_taken(&key, value)) else { continue };
            let nest = |inner, name: &str| Value::Table(Table::from_iter([(name.to_owned(), inner)]));
            let nested = key.rsplit('.').fold(value, nest);
            let shown = Effective::new(nested.as_table().unwrap()).shown().0.to_string();
            assert!(!shown.contains("hunter1") && !shown.contains("hunter3"), "{key}: {shown}");
            if key.contains("url") || in_example.contains(&key) {
                let may_show = WITHOUT_SECRET_PATH.split(' ').any(|it| it == key);
                assert!(may_show || !shown.contains("hunter2"), "{key}: {shown}");
                seen.push(key);
            }
        }
        for key in ["sinks.alertmanager.other_urls", "sinks.influxdb.url", "sinks.redis.url", "sinks.otlp.url"] {
            assert!(seen.iter().any(|seen| seen == key), "{key}: {seen:?}");
        }
    }

    #[test]
    fn another_spelling_of_a_value_is_no_change_and_a_secret_is_changed_without_its_text() {
        let before = effective("aggregation.allowed_lateness = \"60s\"\nkafka.password = \"hunter2\"");
        assert_eq!(
            before.changes_to(&effective("aggregation.allowed_lateness = \"1m\"\nkafka.password = \"hunter2\"")),
            []
        );
        let after =
            effective("aggregation.allowed_lateness = \"1m\"\nkafka.password = \"hunter3\"\nlog.partitions = 4");
        let changed = |key: &str, before: Option<&str>, after: Option<&str>| {
            let [before, after] = [before, after].map(|text| text.map(str::to_owned));
            ChangedKey { key: key.to_owned(), before, after }
        };
        let expected = [changed("kafka.password", None, None), changed("log.partitions", Some("8"), Some("4"))];
        assert_eq!(before.changes_to(&after), expected);
    }

    #[test]
    fn another_token_in_a_url_is_a_change_without_its_text() {
        let url = |token: &str| effective(&format!("sinks.webhook.url = \"https://chat.example/services/{token}\""));
        let changes = url("hunter2").changes_to(&url("hunter3"));
        let expected = ChangedKey { key: "sinks.webhook.url".to_owned(), before: None, after: None };
        assert_eq!(changes, [expected]);
    }

    #[test]
    fn files_whose_content_may_change_are_found() {
        let with_files = [
            "sinks.webhook.secret_file = \"/a\"",
            "kafka.ca_file = \"/a\"",
            "opserver.password_file = \"/a\"",
            "[[alarms]]\nrule = \"a\"\n[[alarms]]\nfile = \"/a\"",
        ];
        for text in with_files {
            assert!(effective(text).names_files(), "{text}");
        }
        for text in ["", "http.tokens_file = \"/a\"", "[[alarms]]\nrule = \"a\""] {
            assert!(!effective(text).names_files(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let effective = effective("aggregation.period = 5\nkafka.password = \"hunter2\"");
        let (shown, hidden) = effective.shown();
        let read = Effective::from_shown(&shown).unwrap();
        assert_eq!(read.changes_to(&effective.without(&hidden)), []);
    }

    #[test]
    fn only_what_is_computed_and_delivered_is_changed_while_running() {
        let changed: Vec<_> = keys::all().into_iter().filter(|key| is_changed_while_running(key)).collect();
        for key in
            ["aggregation.uve_proxy_list", "log.commit_interval", "sinks.file.path", "streams", "workers.threads"]
        {
            assert!(changed.iter().any(|it| it == key), "{key}");
        }
        for key in ["aggregation.cluster_id", "http.listen", "log.data_dir", "log.partitions", "opserver.servers"] {
            assert!(!changed.iter().any(|it| it == key), "{key}");
        }
    }
}
