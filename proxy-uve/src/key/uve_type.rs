//! The names of object tables in Contrail's analytics API.
//!
//! From `UVE_MAP` in `contrail-collector/viz.sandesh` of contrail-analytics (release 1907). Users see the type, keys
//! and topics contain the table.

use std::borrow::Cow;

/// Type and table, in the order of the original.
const UVE_TYPES: [(&str, &str); 37] = [
    ("virtual-network", "ObjectVNTable"),
    ("virtual-machine", "ObjectVMTable"),
    ("virtual-machine-interface", "ObjectVMITable"),
    ("service-instance", "ObjectSITable"),
    ("loadbalancer", "ObjectLBTable"),
    ("vrouter", "ObjectVRouter"),
    ("control-node", "ObjectBgpRouter"),
    ("bgp-peer", "ObjectBgpPeer"),
    ("routing-instance", "ObjectRoutingInstance"),
    ("xmpp-peer", "ObjectXmppPeerInfo"),
    ("analytics-node", "ObjectCollectorInfo"),
    ("analytics-alarm-node", "ObjectAnalyticsAlarmInfo"),
    ("analytics-snmp-node", "ObjectAnalyticsSNMPInfo"),
    ("database-node", "ObjectDatabaseInfo"),
    ("config-database-node", "ObjectConfigDatabaseInfo"),
    ("generator", "ObjectGeneratorInfo"),
    ("config-node", "ObjectConfigNode"),
    ("service-chain", "ServiceChain"),
    ("dns-node", "ObjectDns"),
    ("storage-pool", "ObjectPoolTable"),
    ("storage-osd", "ObjectOsdTable"),
    ("storage-disk", "ObjectDiskTable"),
    ("server", "ObjectServerTable"),
    ("prouter", "ObjectPRouter"),
    ("physical-interface", "ObjectPhysicalInterfaceTable"),
    ("logical-interface", "ObjectLogicalInterfaceTable"),
    ("storage-cluster", "ObjectStorageClusterTable"),
    ("user-defined-log-statistic", "UserDefinedLogStatTable"),
    ("kubernetes-manager-node", "ObjectKubernetesManagerNode"),
    ("tag", "ObjectTagTable"),
    ("project", "ObjectProjectTable"),
    ("firewall-policy", "ObjectFirewallPolicyTable"),
    ("firewall-rule", "ObjectFirewallRuleTable"),
    ("address-group", "ObjectAddressGroupTable"),
    ("service-group", "ObjectServiceGroupTable"),
    ("application-policy-set", "ObjectApplicationPolicySetTable"),
    ("job-execution", "ObjectJobExecutionTable"),
];

/// The UVE type of a table: `virtual-network` for `ObjectVNTable`. A table without a type in Contrail is its own type,
/// in lower case, so that every object can be requested.
pub fn uve_type_of_table(table: &str) -> Cow<'_, str> {
    match UVE_TYPES.iter().find(|(_, known)| *known == table) {
        Some((uve_type, _)) => Cow::Borrowed(uve_type),
        None if table.chars().any(char::is_uppercase) => Cow::Owned(table.to_lowercase()),
        None => Cow::Borrowed(table),
    }
}

/// The table of a UVE type: `ObjectVNTable` for `virtual-network`. `None` for a type that Contrail does not have:
/// compare it with [`uve_type_of_table`] of the existing tables.
pub fn table_of_uve_type(uve_type: &str) -> Option<&'static str> {
    UVE_TYPES.iter().find(|(known, _)| *known == uve_type).map(|(_, table)| *table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_type_leads_to_its_table_and_back() {
        for (uve_type, table) in UVE_TYPES {
            assert_eq!(uve_type_of_table(table), uve_type);
            assert_eq!(table_of_uve_type(uve_type), Some(table));
        }
        assert_eq!(table_of_uve_type("virtual-network"), Some("ObjectVNTable"));
    }

    #[test]
    fn an_unknown_table_is_its_own_type() {
        assert_eq!(uve_type_of_table("MyTable"), "mytable");
        assert_eq!(uve_type_of_table("endpoint"), "endpoint");
        assert_eq!(table_of_uve_type("endpoint"), None);
    }
}
