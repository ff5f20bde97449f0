//! A real Redis on loopback, and a model of how Contrail's opserver and alarm-gen read UVEs from it.
//!
//! The model follows `uveserver.py` (`get_part`, `get_uve`, `get_uve_list`, `ParallelAggregator`) and `opserver_util.py`
//! (`uve_attr_flatten`) of tf-analytics at 94df6f9. It has no aggregation by `aggtype`, which no result here has.
//!
//! The file uses no other test support than that of ports, because the tests of `daemon-sinks` include it too.

#![allow(dead_code, reason = "each test file uses a part")]

#[path = "ports.rs"]
pub(crate) mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ::redis::{Client, Commands as _, Connection};
use quick_xml::Reader;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// How long a test waits for something that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A Redis server that runs or is stopped, killed on drop and at any end of the test.
pub(crate) struct Redis {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    /// The beginning of the URL by which the test itself connects.
    login: String,
    server: Option<(Child, Child)>,
}

impl Redis {
    /// Starts a server that keeps its data in memory only, as Contrail's does.
    pub(crate) fn start() -> Self {
        Self::start_with(&[], "")
    }

    /// Starts a server with further arguments; `login` is `user:password@` for the test itself.
    pub(crate) fn start_with(settings: &[&str], login: &str) -> Self {
        let port = ports::free_port();
        let settings = settings.iter().map(|&it| it.to_owned()).collect();
        let folder = TempDir::new().unwrap();
        let mut redis = Self { folder, port, settings, login: login.to_owned(), server: None };
        redis.restart();
        redis
    }

    /// Starts a server with TLS, too; returns it and its port. It requires certificates of clients if `auth_clients` is
    /// `yes`, and none if it is `no`.
    pub(crate) fn start_with_tls(certificates: &Path, auth_clients: &str) -> (Self, u16) {
        let port = ports::free_port();
        let file = |name: &str| certificates.join(name).display().to_string();
        let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("authority.pem"));
        let tls = [
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &authority,
            "--tls-auth-clients",
            auth_clients,
        ];
        (Self::start_with(&tls, ""), port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills the server if it runs, and starts it with the same port and folder.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"]);
        command.args(["--dir", &self.folder.path().display().to_string(), "--save", "", "--appendonly", "no"]);
        command.args(&self.settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().unwrap_or_else(|error| panic!("redis-server: {error}; run .ci/setup"));
        // Its input ends with this process, however that ends.
        let mut guard = Command::new("sh");
        guard.args(["-c", &format!("read line; kill -9 {}", server.id())]).stdin(Stdio::piped()).stderr(Stdio::null());
        self.server = Some((server, guard.spawn().unwrap()));
        wait_until("Redis answers", || self.try_connect());
    }

    /// Kills the server, which loses what it has in memory.
    pub(crate) fn kill(&mut self) {
        let Some((mut server, mut guard)) = self.server.take() else { return };
        guard.kill().unwrap();
        guard.wait().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Freezes it (`STOP`) or ends that (`CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let id = self.server.as_ref().unwrap().0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The number of fields of a hash; 0 if there is none.
    pub(crate) fn hash_length(&self, key: &str) -> u64 {
        self.try_connect().unwrap().hlen(key).unwrap()
    }

    fn try_connect(&self) -> Option<Connection> {
        let url = format!("redis://{}127.0.0.1:{}/1", self.login, self.port);
        let mut connection = Client::open(url).unwrap().get_connection().ok()?;
        connection.ping::<String>().ok().map(|_| connection)
    }

    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("Redis answers")
    }

    /// Every key with its content, without the markers of sinks.
    pub(crate) fn dump(&self) -> BTreeMap<String, String> {
        let mut connection = self.connect();
        let keys: Vec<String> = connection.keys("*").unwrap();
        let content = |key: String| {
            let kind: String = ::redis::cmd("TYPE").arg(&key).query(&mut connection).unwrap();
            let content = match kind.as_str() {
                "hash" => format!("{:?}", connection.hgetall::<_, BTreeMap<String, String>>(&key).unwrap()),
                "set" => format!("{:?}", connection.smembers::<_, BTreeSet<String>>(&key).unwrap()),
                "zset" => format!("{:?}", connection.zrange::<_, Vec<String>>(&key, 0, -1).unwrap()),
                other => panic!("{key} is a {other}"),
            };
            (key, content)
        };
        keys.into_iter().filter(|key| !key.starts_with("DERIVED-STATSD:")).map(content).collect()
    }

    /// Makes the Redis one that readers accept: with a collector.
    pub(crate) fn register_collector(&self) {
        self.connect().sadd::<_, _, ()>("NGENERATORS", "node1:Analytics:contrail-collector:77").unwrap();
    }

    /// Writes an attribute of another generator's UVE, as `uveupdate.lua` does.
    pub(crate) fn write_as(&self, generator: &str, uve: &str, key: &str, partition: u32, attribute: &str, xml: &str) {
        let table = key.split_once(':').unwrap().0;
        let mut commands = ::redis::pipe();
        commands.sadd(format!("PART2KEY:{partition}"), format!("{generator}:{uve}:{key}"));
        commands.hset(format!("KEY2PART:{generator}:{uve}"), key, partition);
        commands.sadd(format!("TYPES:{generator}"), uve);
        commands.sadd(format!("ORIGINS:{key}"), format!("{generator}:{uve}"));
        commands.sadd(format!("TABLE:{table}"), format!("{key}:{generator}:{uve}"));
        commands.zadd(format!("UVES:{generator}:{uve}"), key, 1);
        commands.hset(format!("VALUES:{key}:{generator}:{uve}"), attribute, xml);
        commands.hset(format!("VALUES:{key}:{generator}:{uve}"), "__T", "<__T type=\"u64\">1</__T>");
        commands.exec(&mut self.connect()).unwrap();
    }

    /// A UVE as `GET /analytics/uves/…?flat` gives it, without `__T`. `None` if no collector is known, or it is empty.
    pub(crate) fn uve(&self, key: &str) -> Option<Value> {
        let mut connection = self.connect();
        let generators: Vec<String> = connection.smembers("NGENERATORS").unwrap();
        if !generators.iter().any(|generator| generator.split(':').nth(2) == Some("contrail-collector")) {
            return None;
        }
        let mut state: BTreeMap<String, BTreeMap<String, Vec<(Value, String)>>> = BTreeMap::new();
        let mut origins: BTreeSet<String> = connection.smembers(format!("ALARM_ORIGINS:{key}")).unwrap();
        origins.extend(connection.smembers::<_, BTreeSet<String>>(format!("ORIGINS:{key}")).unwrap());
        for origin in origins {
            let values: BTreeMap<String, String> = connection.hgetall(format!("VALUES:{key}:{origin}")).unwrap();
            let (source, uve) = origin.rsplit_once(':').unwrap();
            for (attribute, value) in values {
                if !value.starts_with('<') || value.chars().count() >= 100_000 || attribute == "__T" {
                    continue;
                }
                // As in the original, an attribute that is not well-formed or has another name is not shown.
                let Some(value) = parse(&value, &attribute) else { continue };
                state.entry(uve.to_owned()).or_default().entry(attribute).or_default().push((value, source.to_owned()));
            }
        }
        let structs = state.into_iter().map(|(uve, attributes)| {
            let merged = attributes.into_iter().map(|(name, values)| (name, merge(values)));
            (uve, Value::Object(merged.collect()))
        });
        let structs: Map<String, Value> = structs.collect();
        (!structs.is_empty()).then_some(Value::Object(structs))
    }

    /// The names of the objects of a table.
    pub(crate) fn list(&self, table: &str) -> BTreeSet<String> {
        let entries: Vec<String> = self.connect().smembers(format!("TABLE:{table}")).unwrap();
        let name = |entry: &String| entry.split_once(':').unwrap().1.rsplitn(6, ':').last().unwrap().to_owned();
        entries.iter().map(name).collect()
    }

    /// What alarm-gen reads when it takes over a partition: generator, struct and key.
    pub(crate) fn partition(&self, partition: u32) -> BTreeSet<(String, String, String)> {
        let members: Vec<String> = self.connect().smembers(format!("PART2KEY:{partition}")).unwrap();
        let parts = |member: &String| {
            let parts: Vec<_> = member.splitn(6, ':').collect();
            (parts[..4].join(":"), parts[4].to_owned(), parts[5].to_owned())
        };
        members.iter().map(parts).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The value of an attribute: equal values of several sources once, different ones as a list.
fn merge(values: Vec<(Value, String)>) -> Value {
    let mut distinct: Vec<Vec<Value>> = Vec::new();
    for (value, source) in values {
        match distinct.iter_mut().find(|known| known[0] == value) {
            Some(known) => known.push(json!(source)),
            None => distinct.push(vec![value, json!(source)]),
        }
    }
    if distinct.len() == 1 { distinct.remove(0).remove(0) } else { json!(distinct) }
}

/// An element with its attributes.
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    children: Vec<Self>,
    text: String,
}

/// The flat value of an element with this name; `None` if it is not one.
fn parse(xml: &str, name: &str) -> Option<Value> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<Element> = Vec::new();
    loop {
        let closed = match reader.read_event().ok()? {
            Event::Start(start) => {
                open.push(element(&start)?);
                continue;
            }
            Event::Empty(start) => element(&start)?,
            Event::End(_) => open.pop()?,
            Event::Text(text) => {
                open.last_mut()?.text.push_str(&text);
                continue;
            }
            Event::GeneralRef(name) => {
                let character = match &*name {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    "apos" => '\'',
                    _ => return None,
                };
                open.last_mut()?.text.push(character);
                continue;
            }
            Event::Eof => return None,
            _ => continue,
        };
        match open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => return (closed.name == name).then(|| flatten(&closed)),
        }
    }
}

fn element(start: &BytesStart<'_>) -> Option<Element> {
    let pair = |it: Attribute<'_>| (it.key.as_ref().to_owned(), it.value.into_owned());
    let attributes = start.attributes().map(|it| it.ok().map(pair)).collect::<Option<_>>()?;
    let name = start.name().as_ref().to_owned();
    Some(Element { name, attributes, children: Vec::new(), text: String::new() })
}

/// `uve_attr_flatten`.
fn flatten(element: &Element) -> Value {
    let members = |of: &Element| of.children.iter().map(|it| (it.name.clone(), flatten(it))).collect();
    match element.attributes["type"].as_str() {
        "struct" => Value::Object(element.children.first().map(members).unwrap_or_default()),
        "map" => {
            let map = &element.children[0];
            let size: usize = map.attributes["size"].parse().unwrap();
            let text = |index: usize| map.children[index].text.clone();
            Value::Object((0..size).map(|index| (text(2 * index), json!(text(2 * index + 1)))).collect())
        }
        "i64" => json!(element.text.parse::<i64>().unwrap()),
        "u64" => json!(element.text.parse::<u64>().unwrap()),
        "double" => json!(element.text.parse::<f64>().unwrap()),
        "bool" => json!(element.text == "true"),
        _ if element.text.is_empty() => Value::Null,
        _ => json!(element.text),
    }
}

/// Waits until `check` gives something.
pub(crate) fn wait_until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
        if let Some(found) = check() {
            return found;
        }
        std::thread::sleep(POLL);
    }
    panic!("waited in vain: {what}");
}
