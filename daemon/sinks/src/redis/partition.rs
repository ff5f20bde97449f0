//! The UVE partition of an object, by which Contrail's alarm-gen processes share the objects.
//!
//! The rule is that of `VizCollector::PartitionRange` and `PART_TYPES` in `contrail-collector/viz_collector.h` and
//! `viz.sandesh` of tf-analytics: each kind of table has a range of partitions, and the hash of the key selects one of
//! the range. Collector and alarm-gen must have the same number of partitions.

use proxy_uve::key::{ObjectKey, partition};

/// With fewer partitions all tables share one range.
const LEAST_SPLIT: u32 = 15;

/// The tables of the nodes of the controller, which have the first partition for themselves.
const CONTROLLER_TABLES: [&str; 9] = [
    "ObjectAnalyticsAlarmInfo",
    "ObjectAnalyticsSNMPInfo",
    "ObjectBgpRouter",
    "ObjectCollectorInfo",
    "ObjectConfigDatabaseInfo",
    "ObjectConfigNode",
    "ObjectDatabaseInfo",
    "ObjectDns",
    "ObjectKubernetesManagerNode",
];

/// Returns the partition of an object among `partitions`, which is at least 1.
pub(super) fn uve_partition(key: ObjectKey<'_>, partitions: u32) -> u32 {
    let (first, count) = range(key.table, partitions);
    first + partition(key.to_string().as_bytes(), count)
}

/// The first partition and the number of partitions of a table.
fn range(table: &str, partitions: u32) -> (u32, u32) {
    if partitions < LEAST_SPLIT {
        return (0, partitions);
    }
    let nodes = partitions / LEAST_SPLIT + 1;
    let part = (partitions - 1 - nodes) / 3;
    let others = 1 + nodes + 2 * part;
    match table {
        table if CONTROLLER_TABLES.contains(&table) => (0, 1),
        "ObjectPRouter" | "ObjectServerTable" | "ObjectVRouter" => (1, nodes),
        "ObjectVMTable" => (1 + nodes, part),
        "ObjectLogicalInterfaceTable" | "ObjectPhysicalInterfaceTable" | "ObjectVMITable" => (1 + nodes + part, part),
        _ => (others, partitions - others),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, partitions: u32) -> u32 {
        uve_partition(ObjectKey::parse(key.as_bytes()).unwrap(), partitions)
    }

    /// Computed with the original's function.
    #[test]
    fn virtual_networks_have_the_partitions_of_the_original() {
        let cases = [
            ("ObjectVNTable:default-domain:demo:vn1", 15, 13),
            ("ObjectVNTable:default-domain:demo:vn1", 30, 24),
            ("ObjectVNTable:default-domain:admin:vn-test", 15, 13),
            ("ObjectVNTable:default-domain:admin:vn-test", 30, 28),
        ];
        for (key, partitions, expected) in cases {
            assert_eq!(of(key, partitions), expected, "{key} of {partitions}");
        }
    }

    #[test]
    fn each_kind_of_table_has_a_range_and_the_ranges_cover_all_partitions() {
        let tables = ["ObjectDns", "ObjectVRouter", "ObjectVMTable", "ObjectVMITable", "ObjectVNTable"];
        for (partitions, expected) in [
            (15, [(0, 1), (1, 2), (3, 4), (7, 4), (11, 4)]),
            (30, [(0, 1), (1, 3), (4, 8), (12, 8), (20, 10)]),
            (14, [(0, 14); 5]),
            (1, [(0, 1); 5]),
        ] {
            assert_eq!(tables.map(|table| range(table, partitions)), expected, "{partitions}");
        }
        for partitions in LEAST_SPLIT..1024 {
            let mut next = 0;
            for (first, count) in tables.map(|table| range(table, partitions)) {
                assert!(first == next && count > 0, "{partitions}");
                next = first + count;
            }
            assert_eq!(next, partitions);
        }
    }
}
