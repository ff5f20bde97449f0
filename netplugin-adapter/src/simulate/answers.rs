//! The answers of the cluster's programs, as their Go code encodes them.

use std::io::Write as _;

use serde_json::{Value, json};

use super::Cluster;
use super::layout::{Endpoint, Layout, Provider, Service, Use};
use super::settings::Shape;
use super::truth::Counts;

/// Netplugin's port in etcd. Its statistics have another port.
const AGENT_PORT: u16 = 9002;

/// The approximate size of an entry, for one allocation of the body.
const ENTRY_BYTES: usize = 130;

impl Cluster {
    /// Returns a node's answer to `GET /svcstats`; `None` while the node is absent.
    #[must_use]
    pub fn svcstats(&self, node: usize) -> Option<Vec<u8>> {
        if !self.is_present(node) {
            return None;
        }
        let (open, close) = match self.settings.shape {
            Shape::List => (b'[', b']'),
            Shape::Map => (b'{', b'}'),
        };
        let mut body = Vec::with_capacity(ENTRY_BYTES * 4 * self.settings.endpoints / self.layout.nodes);
        body.push(open);
        for (index, endpoint) in self.layout.endpoints_of(node) {
            separate(&mut body, open);
            if self.settings.shape == Shape::Map {
                // Writing into memory cannot fail, here and below.
                let _ = write!(body, r#""{}":"#, endpoint.ip);
            }
            self.endpoint(index, endpoint, &mut body);
        }
        body.push(close);
        Some(body)
    }

    /// Returns Netmaster's answer to `GET /api/v1/serviceLBs/`.
    #[must_use]
    pub fn netmaster_services(&self) -> Vec<u8> {
        Value::from_iter(self.layout.services.iter().map(config)).to_string().into_bytes()
    }

    /// Returns Netmaster's answer to `GET /api/v1/inspect/serviceLBs/<tenant>:<name>/`; `None` for an unknown service.
    #[must_use]
    pub fn netmaster_inspect(&self, tenant: &str, name: &str) -> Option<Vec<u8>> {
        let service = self.layout.services.iter().find(|one| one.tenant == tenant && one.name == name)?;
        let providers = service.providers.iter().map(|one| provider(&self.layout, service, one));
        let operation = json!({
            "numProviders": service.providers.len(),
            "serviceVip": service.ip,
            "providers": Value::from_iter(providers),
        });
        Some(json!({ "Config": config(service), "Oper": operation }).to_string().into_bytes())
    }

    /// Returns etcd's answer to `GET /v2/keys/contiv.io/service/netplugin/?recursive=true&sorted=true`: present nodes.
    #[must_use]
    pub fn etcd_nodes(&self) -> Vec<u8> {
        let directory = "/contiv.io/service/netplugin";
        let present = self.nodes().enumerate().filter(|(node, _)| self.is_present(*node));
        let nodes = present.map(|(node, ip)| {
            let value = json!({
                "ServiceName": "netplugin", "Role": "", "TTL": 60, "HostAddr": ip, "Port": AGENT_PORT,
                "Hostname": format!("node-{node}"),
            });
            json!({ "key": format!("{directory}/{ip}:{AGENT_PORT}"), "value": value.to_string(), "ttl": 60 })
        });
        json!({ "action": "get", "node": { "key": directory, "dir": true, "nodes": Value::from_iter(nodes) } })
            .to_string()
            .into_bytes()
    }

    fn endpoint(&self, index: usize, endpoint: &Endpoint, body: &mut Vec<u8>) {
        let _ = write!(
            body,
            r#"{{"EndpointIP":"{}","VrfName":"default","PortStats":{},"SvcStats":{{"#,
            endpoint.ip,
            Datapath(Counts::default())
        );
        for (one, entries) in self.traffic.uses(index, endpoint) {
            separate(body, b'{');
            self.service(endpoint, one, entries, body);
        }
        body.extend_from_slice(b"}}");
    }

    fn service(&self, endpoint: &Endpoint, one: &Use, entries: &[Counts], body: &mut Vec<u8>) {
        let service = &self.layout.services[one.service];
        let _ = write!(
            body,
            r#""{0}":{{"ServiceIP":"{0}","ServiceVRF":"default","Protocol":"TCP","SvcPort":"8080","ProvPort":"80","SvcStats":{1},"ProvStats":{{"#,
            service.ip,
            Datapath(Counts::default())
        );
        entry(&endpoint.ip, entries[0], body);
        for (&(provider, from), counts) in one.providers.iter().zip(&entries[1..]) {
            if from <= self.tick() {
                body.push(b',');
                entry(&service.providers[provider].ip, *counts, body);
            }
        }
        body.extend_from_slice(b"}}");
    }
}

fn entry(ip: &str, counts: Counts, body: &mut Vec<u8>) {
    let datapath = Datapath(counts);
    let _ = write!(body, r#""{ip}":{{"ProviderIP":"{ip}","ServiceIP":"","ServiceVrf":"",{datapath:#}}}"#);
}

/// Netplugin's type `Datapath`: in braces, or with `#` its fields alone, as Go inlines an embedded struct.
struct Datapath(Counts);

impl std::fmt::Display for Datapath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { bytes_in, bytes_out, packets_in, packets_out } = self.0;
        let (open, close) = if f.alternate() { ("", "") } else { ("{", "}") };
        write!(
            f,
            r#"{open}"PacketsIn":{packets_in},"BytesIn":{bytes_in},"PacketsOut":{packets_out},"BytesOut":{bytes_out}{close}"#
        )
    }
}

fn separate(body: &mut Vec<u8>, open: u8) {
    if body.last() != Some(&open) {
        body.push(b',');
    }
}

fn config(service: &Service) -> Value {
    json!({
        "key": format!("{}:{}", service.tenant, service.name),
        "serviceName": service.name,
        "tenantName": service.tenant,
        "ipAddress": service.ip,
        "networkName": "contiv-srv-net",
        "ports": ["8080:80:TCP"],
        "selectors": [format!("tier={}", service.tier), "release=stable", "environment=prod"],
    })
}

fn provider(layout: &Layout, service: &Service, provider: &Provider) -> Value {
    let Provider { ip, node } = provider;
    json!({
        "containerID": format!("container-{ip}"),
        "containerName": format!("{}-{ip}", service.name),
        "endpointID": format!("endpoint-{ip}"),
        "homingHost": format!("node-{node}"),
        "hostAddress": layout.node_ip(*node),
        "ipAddress": [ip, ""],
        "labels": format!("map[tier:{} release:stable environment:prod version:1.0]", service.tier),
        "network": "contiv-net",
        "serviceName": service.name,
    })
}
