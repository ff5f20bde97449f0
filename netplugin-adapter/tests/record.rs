//! The scrape record: its bytes, its round trip, and lines that are not records.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use netplugin_adapter::{Point, ScrapeRecord, encode_record};
use proptest::prelude::*;

const POINT: Point<'_> = Point {
    endpoint_ip: "11.1.1.2",
    service_ip: "100.1.1.3",
    provider_ip: "10.1.1.7",
    bytes_in: 1018,
    bytes_out: 1200,
    packets_in: 12,
    packets_out: 14,
};

fn encoded(node: &str, at: u64, points: &[Point<'_>]) -> String {
    let mut out = Vec::new();
    encode_record(node, at, points.iter().copied(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_bytes_of_a_record_are_pinned() {
    assert_eq!(
        encoded("192.168.2.10", 1_490_306_665_000_000, &[POINT, Point { provider_ip: "100.1.1.3", ..POINT }]),
        r#"{"scrape":"svcstats","node":"192.168.2.10","at":1490306665000000,"points":[["11.1.1.2","100.1.1.3","10.1.1.7",1018,1200,12,14],["11.1.1.2","100.1.1.3","100.1.1.3",1018,1200,12,14]]}"#
    );
    assert_eq!(encoded("\u{1}\"é\\", 0, &[]), r#"{"scrape":"svcstats","node":"\u0001\"é\\","at":0,"points":[]}"#);
    assert_eq!(encoded("n", 0, &[]), r#"{"scrape":"svcstats","node":"n","at":0,"points":[]}"#);
}

#[test]
fn a_record_is_appended() {
    let mut out = b"before".to_vec();
    encode_record("n", 1, std::iter::empty(), &mut out);
    assert!(out.starts_with(br#"before{"scrape":"#));
}

#[test]
fn unknown_fields_and_the_order_of_fields_do_not_matter() {
    let line = r#" {"later":[{"x":"\ud800"}],"points":[["11.1.1.2","100.1.1.3","10.1.1.7",1018,1200,12,14]],"at":7,"node":"a\nb","scrape":"svcstats"} "#;
    let record = ScrapeRecord::parse(line.as_bytes()).unwrap();
    assert_eq!(record, ScrapeRecord { node: "a\nb".into(), at: 7, points: vec![POINT] });
}

#[test]
fn a_line_that_is_not_a_record_is_an_error() {
    let table = [
        ("nothing", ""),
        ("another kind", r#"{"scrape":"other","node":"n","at":0,"points":[]}"#),
        ("no kind", r#"{"node":"n","at":0,"points":[]}"#),
        ("no node", r#"{"scrape":"svcstats","at":0,"points":[]}"#),
        ("no time", r#"{"scrape":"svcstats","node":"n","points":[]}"#),
        ("no points", r#"{"scrape":"svcstats","node":"n","at":0}"#),
        ("a time before 1970", r#"{"scrape":"svcstats","node":"n","at":-1,"points":[]}"#),
        ("a point of six", r#"{"scrape":"svcstats","node":"n","at":0,"points":[["e","s","p",1,2,3]]}"#),
        ("a point of eight", r#"{"scrape":"svcstats","node":"n","at":0,"points":[["e","s","p",1,2,3,4,5]]}"#),
        ("an escape in an address", r#"{"scrape":"svcstats","node":"n","at":0,"points":[["\u0065","s","p",1,2,3,4]]}"#),
        ("more behind it", r#"{"scrape":"svcstats","node":"n","at":0,"points":[]} x"#),
    ];
    for (name, line) in table {
        assert!(ScrapeRecord::parse(line.as_bytes()).is_err(), "{name}");
    }
}

type Owned = (String, String, String, [u64; 4]);

fn borrowed((endpoint_ip, service_ip, provider_ip, counts): &Owned) -> Point<'_> {
    let [bytes_in, bytes_out, packets_in, packets_out] = *counts;
    Point { endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out }
}

proptest! {
    #[test]
    fn property_a_record_comes_back_whole_and_borrows(
        node in any::<String>(),
        at: u64,
        points in prop::collection::vec(("[!#-\\[\\]-~]{1,64}", "[0-9.]{7,15}", "[!#-\\[\\]-~]{1,64}", any::<[u64; 4]>()), 0..20),
    ) {
        let points: Vec<_> = points.iter().map(borrowed).collect();
        let line = encoded(&node, at, &points);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["node"].as_str(), Some(&*node));
        let record = ScrapeRecord::parse(line.as_bytes()).unwrap();
        prop_assert_eq!(&record, &ScrapeRecord { node: node.into(), at, points });
        let inside = line.as_bytes().as_ptr_range();
        prop_assert!(record.points.iter().all(|point| inside.contains(&point.provider_ip.as_ptr())));
    }

    #[test]
    fn property_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ScrapeRecord::parse(&bytes);
    }

    #[test]
    fn property_a_damaged_record_never_panics(index: prop::sample::Index, byte: u8) {
        let mut line = encoded("n", 9, &[POINT]).into_bytes();
        let at = index.index(line.len());
        line[at] = byte;
        let _ = ScrapeRecord::parse(&line);
    }
}
