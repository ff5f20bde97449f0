//! Netmaster's answers about services: the list, and the inspection of one service.
//!
//! Formats: `GET /api/v1/serviceLBs/` and `GET /api/v1/inspect/serviceLBs/<tenant>:<service>/` of contiv/netplugin's
//! object model. Go omits empty fields, so a field may be absent or `null`; unknown fields are ignored. A field of
//! an unexpected type counts as absent, so that one service of a newer version does not hide the others.

use std::fmt;

use serde_json::Value;

use crate::decode::canonical_address;

/// The name of a service in Netmaster and the user interface: `tenant:name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// The tenant, such as `default`.
    pub tenant: String,
    /// The name in the tenant, such as `app-svc`.
    pub name: String,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tenant, self.name)
    }
}

/// The services of Netmaster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceList {
    /// The names, in the order of the answer.
    pub services: Vec<ServiceName>,
    /// The number of entries that were skipped because they have no name.
    pub nameless: usize,
}

/// Netmaster's description of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// The service's virtual address, which is that of the traffic whose provider is not recorded.
    pub service_ip: Option<String>,
    /// Texts such as `tier=web`, in the order of the answer.
    pub selectors: Vec<String>,
    /// The containers behind it, in the order of the answer.
    pub providers: Vec<Provider>,
}

/// A container behind a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provider {
    /// Its addresses, IPv4 first, without empty texts.
    pub ips: Vec<String>,
    /// Its labels, as Go formats the map: for example `map[tier:web release:stable]`.
    pub labels: String,
}

/// Why an answer of Netmaster cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetmasterError {
    /// The body is not JSON. The source has line and column.
    #[error("the body is not JSON; check that the address is Netmaster's")]
    Json(#[source] serde_json::Error),
    /// The body is JSON of another type.
    #[error("the body is {found}, expected {expected}; check that the address is Netmaster's")]
    Shape {
        /// The expected type.
        expected: &'static str,
        /// The JSON type found.
        found: &'static str,
    },
}

/// Decodes the list of services; `null` is an empty list, as Go encodes it.
///
/// # Errors
///
/// [`NetmasterError`] when the body is not a list.
pub fn service_list(body: &[u8]) -> Result<ServiceList, NetmasterError> {
    let entries = match serde_json::from_slice(body).map_err(NetmasterError::Json)? {
        Value::Array(entries) => entries,
        Value::Null => Vec::new(),
        other => return Err(shape(&other, "a list of services")),
    };
    let services: Vec<_> = entries.iter().filter_map(service_name).collect();
    Ok(ServiceList { nameless: entries.len() - services.len(), services })
}

/// Decodes the inspection of one service.
///
/// # Errors
///
/// [`NetmasterError`] when the body is not an object.
pub fn inspection(body: &[u8]) -> Result<Inspection, NetmasterError> {
    let body: Value = serde_json::from_slice(body).map_err(NetmasterError::Json)?;
    if !body.is_object() {
        return Err(shape(&body, "an object, the inspection of a service"));
    }
    let selectors = texts(&body["Config"]["selectors"]).collect();
    let addresses = [text(&body["Oper"]["serviceVip"]), text(&body["Config"]["ipAddress"])];
    let service_ip = addresses.into_iter().find(|ip| !ip.is_empty()).map(canonical);
    let providers = body["Oper"]["providers"].as_array();
    let providers = providers.into_iter().flatten().filter(|provider| provider.is_object()).map(|provider| Provider {
        ips: texts(&provider["ipAddress"]).filter(|ip| !ip.is_empty()).map(|ip| canonical(&ip)).collect(),
        labels: text(&provider["labels"]).to_owned(),
    });
    Ok(Inspection { service_ip, selectors, providers: providers.collect() })
}

fn shape(body: &Value, expected: &'static str) -> NetmasterError {
    let found = match body {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    NetmasterError::Shape { expected, found }
}

/// Returns the name from the two fields; if one is missing, from the key, which is `tenant:name`.
fn service_name(entry: &Value) -> Option<ServiceName> {
    let (tenant, name) = match (text(&entry["tenantName"]), text(&entry["serviceName"])) {
        ("", _) | (_, "") => text(&entry["key"]).split_once(':')?,
        both => both,
    };
    let named = !tenant.is_empty() && !name.is_empty();
    named.then(|| ServiceName { tenant: tenant.to_owned(), name: name.to_owned() })
}

/// Returns an address in the form that points have.
fn canonical(ip: &str) -> String {
    canonical_address(ip).into_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(tenant: &str, name: &str) -> ServiceName {
        ServiceName { tenant: tenant.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn the_list_keeps_its_order_and_counts_entries_without_a_name() {
        let body = br#"[
            {"key":"default:app-svc","serviceName":"app-svc","tenantName":"default","ipAddress":"100.1.1.3",
             "networkName":"contiv-srv-net","ports":["8080:80:TCP"],"selectors":["tier=web"],"new":{}},
            {"key":"blue:app:db"}, {"tenantName":"red","serviceName":"a","key":7}, {"tenantName":"red","key":"green:b"},
            {"tenantName":"red","serviceName":null}, {"key":"x:"}, {"key":"plain"}, 7, null]"#;
        let list = service_list(body).unwrap();
        assert_eq!(
            list.services,
            [name("default", "app-svc"), name("blue", "app:db"), name("red", "a"), name("green", "b")]
        );
        assert_eq!(list.nameless, 5);
        assert_eq!(list.services[0].to_string(), "default:app-svc");
    }

    #[test]
    fn no_services_are_an_empty_list_or_null() {
        assert_eq!(service_list(b"[]").unwrap(), ServiceList::default());
        assert_eq!(service_list(b"null").unwrap(), ServiceList::default());
    }

    #[test]
    fn an_inspection_has_selectors_and_providers_without_empty_addresses() {
        let body = br#"{"Config":{"key":"default:app-svc","selectors":["tier=web",null,"release"]},"Oper":{"numProviders":3,
            "serviceVip":"100.1.1.3","providers":[
            {"containerID":"c1","ipAddress":["10.1.1.7",""],"labels":"map[tier:web release:stable]","network":"contiv-net"},
            {"ipAddress":["10.1.1.8","FD00:0::8"],"labels":null}, {"labels":"map[]"}, {"ipAddress":null}, null, 7]}}"#;
        let provider = |ips: &[&str], labels: &str| Provider {
            ips: ips.iter().map(|&ip| ip.to_owned()).collect(),
            labels: labels.to_owned(),
        };
        let inspection = inspection(body).unwrap();
        assert_eq!(inspection.service_ip.as_deref(), Some("100.1.1.3"));
        assert_eq!(inspection.selectors, ["tier=web", "release"]);
        let expected = [
            provider(&["10.1.1.7"], "map[tier:web release:stable]"),
            provider(&["10.1.1.8", "fd00::8"], ""),
            provider(&[], "map[]"),
            provider(&[], ""),
        ];
        assert_eq!(inspection.providers, expected);
    }

    #[test]
    fn the_address_of_a_service_is_that_of_its_operation_or_else_of_its_configuration() {
        let table = [
            (r#"{"Config":{"ipAddress":"1.1.1.1"},"Oper":{"serviceVip":"2.2.2.2"}}"#, Some("2.2.2.2")),
            (r#"{"Config":{"ipAddress":"1.1.1.1"},"Oper":{"serviceVip":""}}"#, Some("1.1.1.1")),
            (r#"{"Config":{"ipAddress":"1.1.1.1"}}"#, Some("1.1.1.1")),
            (r#"{"Config":{"ipAddress":"FD00:0::1"}}"#, Some("fd00::1")),
            (r#"{"Config":{"ipAddress":7},"Oper":{"serviceVip":null}}"#, None),
        ];
        for (body, expected) in table {
            assert_eq!(inspection(body.as_bytes()).unwrap().service_ip.as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn a_field_that_is_absent_or_of_another_type_is_empty() {
        for body in ["{}", r#"{"Config":null,"Oper":null}"#, r#"{"Config":{"selectors":{}},"Oper":{"providers":"x"}}"#]
        {
            assert_eq!(inspection(body.as_bytes()).unwrap(), Inspection::default(), "{body}");
        }
    }

    #[test]
    fn answers_of_another_server_are_errors() {
        assert!(matches!(service_list(b"404 page not found"), Err(NetmasterError::Json(_))));
        assert!(matches!(inspection(b""), Err(NetmasterError::Json(_))));
        assert!(matches!(service_list(b"{}"), Err(NetmasterError::Shape { .. })));
        let text = inspection(b"[]").unwrap_err().to_string();
        assert_eq!(
            text,
            "the body is a list, expected an object, the inspection of a service; check that the address is Netmaster's"
        );
    }
}
