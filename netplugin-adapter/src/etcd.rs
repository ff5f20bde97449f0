//! The nodes that run Netplugin, from etcd's answer.
//!
//! Format: the v2 HTTP API's answer to `GET /v2/keys/contiv.io/service/netplugin/?recursive=true&sorted=true`. Every
//! Netplugin registers one key, named `<host>:<port>`, with a JSON text as its value; it expires 60 s after the last
//! renewal. Only the host is used: the port belongs to another service of the agent.
//!
//! The host is the value's `HostAddr`; if that is invalid, it is the host in the key. An entry with neither is rejected
//! alone, so that it does not hide other nodes. A host becomes part of a URL, so it must be a DNS name or an IP
//! address.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::json::whole_number;

/// The longest DNS name, in bytes.
const MAX_HOST_LENGTH: usize = 253;

/// etcd's code for a missing key: no Netplugin has registered yet.
const KEY_NOT_FOUND: i64 = 100;

/// Characters of a text from the answer that an error quotes.
const QUOTE_LENGTH: usize = 64;

/// The nodes registered in etcd.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovered {
    /// The hosts as names or addresses, IPv6 without brackets; sorted as text, each once.
    pub hosts: Vec<String>,
    /// The rejected entries, in the order of the answer.
    pub rejected: Vec<RejectedEntry>,
}

/// An entry without a valid host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry `{key}` has no valid host in HostAddr or in its key, expected a DNS name or an IP address")]
pub struct RejectedEntry {
    /// Its key, truncated when long; empty when it has none.
    pub key: String,
}

/// Why etcd's answer cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// etcd returned an error.
    #[error("etcd returned error {code} ({message}); check its address and health")]
    Answer {
        /// etcd's `errorCode`.
        code: i64,
        /// Its `message`, truncated when long.
        message: String,
    },
    /// The body is not JSON. The source has line and column.
    #[error("the body is not JSON; check that the address is etcd's")]
    Json(#[source] serde_json::Error),
    /// The body is JSON without an object `node`.
    #[error(
        "the body has no object `node`, expected one; check that the address is etcd's, and that it serves the v2 API"
    )]
    Shape,
}

/// Decodes etcd's answer of any HTTP status. A missing key is an empty list of nodes.
///
/// # Errors
///
/// [`EtcdError`] when the body is another error of etcd, or not an answer of etcd.
///
/// ```
/// let body = br#"{"action":"get","node":{"key":"/contiv.io/service/netplugin","dir":true,"nodes":[
///     {"key":"/contiv.io/service/netplugin/192.168.2.11:9002","value":"{\"HostAddr\":\"192.168.2.11\"}"},
///     {"key":"/contiv.io/service/netplugin/192.168.2.10:9002","value":"not JSON"}]}}"#;
/// assert_eq!(netplugin_adapter::discover(body)?.hosts, ["192.168.2.10", "192.168.2.11"]);
/// # Ok::<(), netplugin_adapter::EtcdError>(())
/// ```
pub fn discover(body: &[u8]) -> Result<Discovered, EtcdError> {
    let body: Value = serde_json::from_slice(body).map_err(EtcdError::Json)?;
    match body.get("errorCode").map(|code| code.as_i64().unwrap_or_default()) {
        Some(KEY_NOT_FOUND) => return Ok(Discovered::default()),
        Some(code) => {
            let message = quote(body.get("message").and_then(Value::as_str).unwrap_or_default());
            return Err(EtcdError::Answer { code, message });
        }
        None => {}
    }
    let node = body.get("node").filter(|node| node.is_object()).ok_or(EtcdError::Shape)?;
    let mut hosts = BTreeSet::new();
    let mut rejected = Vec::new();
    collect(node, &mut hosts, &mut rejected);
    Ok(Discovered { hosts: hosts.into_iter().collect(), rejected })
}

/// Collects the hosts below `node`. The JSON parser bounds the depth to 128.
fn collect(node: &Value, hosts: &mut BTreeSet<String>, rejected: &mut Vec<RejectedEntry>) {
    let entries = node.get("nodes").and_then(Value::as_array);
    if entries.is_some() || node.get("dir") == Some(&Value::Bool(true)) {
        // A directory without entries has no `nodes`.
        entries.into_iter().flatten().for_each(|entry| collect(entry, hosts, rejected));
        return;
    }
    let key = node.get("key").and_then(Value::as_str).unwrap_or_default();
    match host_of_value(node).or_else(|| host_of_key(key)) {
        Some(host) => {
            hosts.insert(host);
        }
        None => rejected.push(RejectedEntry { key: quote(key) }),
    }
}

fn host_of_value(entry: &Value) -> Option<String> {
    let value: Value = serde_json::from_str(entry.get("value")?.as_str()?).ok()?;
    checked(value.get("HostAddr")?.as_str()?)
}

/// Returns the host of `…/<host>:<port>`, where an IPv6 address may be in brackets.
fn host_of_key(key: &str) -> Option<String> {
    let name = key.rsplit('/').next()?;
    let (host, port) = name.rsplit_once(':')?;
    u16::try_from(whole_number(port)?).ok()?;
    checked(host)
}

fn checked(host: &str) -> Option<String> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    // Dots and dashes alone are not a name.
    let is_name = is_name && host.bytes().any(|byte| byte.is_ascii_alphanumeric()) && host.len() <= MAX_HOST_LENGTH;
    let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
    (is_name || is_address).then(|| host.to_owned())
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTE_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str) -> Value {
        serde_json::json!({ "key": format!("/contiv.io/service/netplugin/{key}"), "value": value, "ttl": 54 })
    }

    fn answer(nodes: &[Value]) -> Vec<u8> {
        let root = serde_json::json!({ "key": "/contiv.io/service/netplugin", "dir": true, "nodes": nodes });
        serde_json::json!({ "action": "get", "node": root }).to_string().into_bytes()
    }

    #[test]
    fn a_host_comes_from_the_value_else_from_the_key() {
        let value =
            r#"{"ServiceName":"netplugin","Role":"","TTL":60,"HostAddr":"192.168.2.10","Port":9002,"Hostname":"n1"}"#;
        let table = [
            ("192.168.2.99:9002", value, "192.168.2.10"),
            ("192.168.2.11:9002", "{}", "192.168.2.11"),
            ("192.168.2.11:9002", "", "192.168.2.11"),
            ("192.168.2.11:9002", r#"{"HostAddr":""}"#, "192.168.2.11"),
            ("192.168.2.11:9002", r#"{"HostAddr":7}"#, "192.168.2.11"),
            ("192.168.2.11:9002", r#"{"HostAddr":"evil/?x=@"}"#, "192.168.2.11"),
            ("node-1.example.org:9002", "[]", "node-1.example.org"),
            ("[fd00::1]:9002", "{", "fd00::1"),
            ("fd00::1:9002", "{", "fd00::1"),
            ("", r#"{"HostAddr":"fd00::2"}"#, "fd00::2"),
        ];
        for (key, value, host) in table {
            let found = discover(&answer(&[entry(key, value)])).unwrap();
            assert_eq!((found.hosts, found.rejected), (vec![host.to_owned()], vec![]), "{key} {value}");
        }
    }

    #[test]
    fn hosts_are_sorted_and_unique_at_any_depth() {
        let deep = serde_json::json!({ "key": "/d", "dir": true, "nodes": [entry("b:1", ""), entry("a:1", "")] });
        let empty = serde_json::json!({ "key": "/e", "dir": true });
        let body = answer(&[entry("c:1", ""), deep, empty, entry("a:2", "")]);
        assert_eq!(
            discover(&body).unwrap(),
            Discovered { hosts: ["a", "b", "c"].map(str::to_owned).into(), rejected: vec![] }
        );
    }

    #[test]
    fn a_single_key_instead_of_a_directory_is_a_node_too() {
        let body = serde_json::json!({ "action": "get", "node": entry("a:9002", "") }).to_string();
        assert_eq!(discover(body.as_bytes()).unwrap().hosts, ["a"]);
    }

    #[test]
    fn bad_entries_are_rejected_with_their_keys() {
        let long = "x/".repeat(100);
        let nodes = [
            entry("", ""),
            Value::Null,
            serde_json::json!({ "value": 7 }),
            entry("no-port", "{}"),
            entry("a b:9002", "{}"),
            entry("--:9002", "{}"),
            entry("host:http", "{}"),
            entry("host:+9002", "{}"),
            entry("good:9002", "{}"),
            serde_json::json!({ "key": long }),
        ];
        let found = discover(&answer(&nodes)).unwrap();
        assert_eq!(found.hosts, ["good"]);
        let keys: Vec<_> =
            found.rejected.iter().map(|entry| entry.key.trim_start_matches("/contiv.io/service/")).collect();
        assert_eq!(
            keys,
            [
                "netplugin/",
                "",
                "",
                "netplugin/no-port",
                "netplugin/a b:9002",
                "netplugin/--:9002",
                "netplugin/host:http",
                "netplugin/host:+9002",
                &long[..64]
            ]
        );
        assert!(
            found.rejected[3]
                .to_string()
                .starts_with("the entry `/contiv.io/service/netplugin/no-port` has no valid host")
        );
    }

    #[test]
    fn a_missing_key_is_an_empty_list_and_other_errors_are_errors() {
        let error = |code: i64| format!(r#"{{"errorCode":{code},"message":"said","cause":"/contiv.io","index":5}}"#);
        assert_eq!(discover(error(100).as_bytes()).unwrap(), Discovered::default());
        let message = discover(error(300).as_bytes()).unwrap_err().to_string();
        assert_eq!(message, "etcd returned error 300 (said); check its address and health");
        assert!(matches!(discover(br#"{"errorCode":"x"}"#), Err(EtcdError::Answer { code: 0, .. })));
        for body in ["{}", "[]", "null", r#"{"node":[]}"#] {
            assert!(matches!(discover(body.as_bytes()), Err(EtcdError::Shape)), "{body}");
        }
        for body in [&b""[..], b"404 page not found", b"\xff", &[b'['; 100_000]] {
            assert!(matches!(discover(body), Err(EtcdError::Json(_))), "{body:?}");
        }
    }
}
