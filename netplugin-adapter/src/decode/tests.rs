//! The quick decoder against the careful one: what the first takes, the second would have made the same of.

use proptest::prelude::*;

use super::cursor::Cursor;
use super::{careful, quick};
use crate::decode;
use crate::error::DecodeError;
use crate::json::counter;
use crate::limits::Limits;
use crate::stats::ServiceStats;

fn finished(mut stats: ServiceStats) -> ServiceStats {
    stats.tree.finish(|_| {});
    stats
}

/// Whether the quick decoder takes the body without help, having checked that it is right.
fn quick_is_careful(body: &str, limits: &Limits) -> Result<(), TestCaseError> {
    let careful = careful::body(body, limits).map(finished);
    if let Some(quick) = quick::body(body, limits).map(finished) {
        match careful {
            Ok(careful) => prop_assert_eq!(quick, careful),
            Err(DecodeError::Json(error)) => return Err(TestCaseError::fail(format!("took no JSON: {error}"))),
            Err(error) => return Err(TestCaseError::fail(format!("passed a limit: {error}"))),
        }
    }
    Ok(())
}

/// JSON from good to broken: a value, or a piece that is none.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "7",
    "18446744073709551615",
    "18446744073709551616",
    "00",
    "01",
    "-1",
    "-0",
    "1.0",
    "1e3",
    "1e999",
    "\"\"",
    "\"7\"",
    "\"007\"",
    "\"+7\"",
    "\"a b\"",
    "\"\\u0037\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"a\tb\"",
    "\"é\"",
    "\"open",
    "[]",
    "[1,2]",
    "[1,]",
    "{}",
    "\"0123456789abcdef\tx\"",
    "\"0123456\\x\"",
    "\"01234567\"",
    "\"éééééééé\"",
    "{\"x\":{\"y\":{\"z\":{\"u\":{\"v\":1}}}}}",
    "{\"x\":1,}",
    "{\"x\" : [ {} ] }",
    "{1:2}",
    "{,}",
    "nul",
    "nullx",
    "",
    ",",
    "}",
];

fn odd() -> impl Strategy<Value = String> {
    prop::sample::select(ODD).prop_map(str::to_owned)
}

fn ip() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => prop::sample::select(vec!["\"e\"", "\"s\"", "\"p\"", "\"q\"", "\"1.1.1.1\""]),
        1 => prop::sample::select(vec!["\"\"", "\"\\u0065\"", "\"\\ud800\"", "\"a b\"", "\"a\\\\b\"", "\"é\"", "null", "1", "e"]),
    ]
    .prop_map(str::to_owned)
}

/// An object of up to four members, with white space here and there.
fn object(key: impl Strategy<Value = String>, value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", "", "", " ", "\n\t\r "]);
    prop::collection::vec((space(), key, space(), value, space()), 0..4).prop_map(|members| {
        let members: Vec<_> =
            members.iter().map(|(a, key, b, value, c)| format!("{a}{key}{b}:{a}{value}{c}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Mostly `usual`, sometimes anything.
fn mostly(usual: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    prop_oneof![30 => usual, 1 => odd()]
}

fn endpoint() -> impl Strategy<Value = String> {
    let field = |usual: &'static [&'static str]| {
        let names = usual.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        prop_oneof![20 => prop::sample::select(names), 1 => ip()]
    };
    let count = prop_oneof![
        any::<u64>().prop_map(|count| count.to_string()),
        Just("\"12\"".to_owned()),
        Just("null".to_owned())
    ];
    let entry = object(field(&["BytesIn", "BytesOut", "PacketsIn", "PacketsOut", "ServiceIP"]), mostly(count));
    let entries = object(ip(), mostly(entry));
    let service = object(field(&["ProvStats", "ProvStats", "SvcPort"]), mostly(entries));
    let services = object(ip(), mostly(service));
    object(field(&["SvcStats", "SvcStats", "VrfName"]), mostly(services)).prop_flat_map(|endpoint| {
        (Just(endpoint), prop::option::of(mostly(ip())), any::<bool>()).prop_map(|(endpoint, ip, first)| {
            let inside = &endpoint[1..endpoint.len() - 1];
            let comma = if inside.trim().is_empty() { "" } else { "," };
            match (ip, first) {
                (None, _) => endpoint,
                (Some(ip), true) => format!("{{\"EndpointIP\":{ip}{comma}{inside}}}"),
                (Some(ip), false) => format!("{{{inside}{comma}\"EndpointIP\":{ip}}}"),
            }
        })
    })
}

fn body() -> impl Strategy<Value = String> {
    let keyed = object(ip(), mostly(endpoint()));
    let list =
        prop::collection::vec(mostly(endpoint()), 0..4).prop_map(|endpoints| format!("[{}]", endpoints.join(",")));
    prop_oneof![20 => keyed, 20 => list, 1 => odd()]
}

fn limits() -> impl Strategy<Value = Limits> {
    let few = || prop_oneof![Just(10_000usize), 0..4usize];
    (few(), few(), few()).prop_map(|(endpoints, services_per_endpoint, providers_per_service)| Limits {
        endpoints,
        providers_per_service,
        services_per_endpoint,
        ..Limits::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn property_the_quick_decoder_takes_what_the_careful_one_reads_so(body in body(), limits in limits()) {
        quick_is_careful(&body, &limits)?;
    }

    #[test]
    fn property_so_it_is_for_a_damaged_body(
        body in body(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\\n]|\\u{0}|é"), 1..3),
        tail in prop::sample::select(vec!["", "", " ", ",", "x", "]", "}"]),
    ) {
        let mut characters: Vec<String> = body.chars().map(String::from).collect();
        for (at, with) in damage {
            let at = at.index(characters.len() + 1).min(characters.len().saturating_sub(1));
            if let Some(character) = characters.get_mut(at) {
                *character = with;
            }
        }
        quick_is_careful(&(characters.concat() + tail), &Limits::default())?;
    }

    #[test]
    fn property_both_together_give_what_the_careful_one_gives(body in body(), limits in limits()) {
        let alone = careful::body(&body, &limits).map(|stats| (finished(stats.clone()), stats.rejected));
        match (decode(body.as_bytes(), &limits), alone) {
            (Ok(together), Ok((alone, rejected))) => {
                prop_assert_eq!(&together.tree, &alone.tree);
                prop_assert!(together.rejected.starts_with(&rejected));
            }
            (Err(together), Err(alone)) => prop_assert_eq!(format!("{together:?}"), format!("{alone:?}")),
            (together, alone) => prop_assert!(false, "{together:?} but {alone:?}"),
        }
    }
}

#[test]
fn a_counter_is_the_same_to_both() {
    for json in ODD {
        let text = format!("{json} ,");
        let mut cursor = Cursor::new(&text);
        if let (Some(count), Some(())) = (cursor.counter(), cursor.take(b',')) {
            assert_eq!(Some(count), counter(json), "{json}");
        }
    }
}

#[test]
fn a_rejected_endpoint_leaves_nothing_behind() {
    let body =
        r#"{"a":{"SvcStats":{"s":{"ProvStats":{"p":{},"q":{}}},"t":{"ProvStats":{"q":{},"r":{"BytesIn":-1}}}}}}"#;
    let stats = decode(body.as_bytes(), &Limits::default()).expect("a body of objects");
    assert_eq!((stats.rejected.len(), stats.tree.heap_bytes()), (1, 0));
}

#[test]
fn the_quick_decoder_needs_no_help_with_what_netplugin_writes() {
    let endpoint = r#"{"EndpointIP":"11.1.1.2","VrfName":"default","PortStats":{"PacketsIn":0,"BytesIn":0},
        "SvcStats":{"100.1.1.3":{"ServiceIP":"100.1.1.3","SvcPort":"8080","SvcStats":{"PacketsIn":0},
        "ProvStats":{"10.1.1.7":{"ProviderIP":"10.1.1.7","PacketsIn":12,"BytesIn":"1018"},"11.1.1.2":{"BytesOut":1200}}},
        "100.1.1.4":null,"100.1.1.5":{"ProvStats":null}}}"#;
    let mut tree = crate::tree::Tree::default();
    let mut cursor = Cursor::new(endpoint);
    assert_eq!(quick::endpoint(&mut cursor, "11.1.1.2", &Limits::default(), &mut tree), Some(()));
    assert!(cursor.is_at_end());
    assert_eq!(tree.services().map(crate::tree::Service::len).collect::<Vec<_>>(), [2, 0, 0]);
}

#[test]
fn an_endpoint_that_is_not_plain_is_read_all_the_same_and_leaves_its_neighbours_to_the_quick_decoder() {
    let body = r#"{"a": {"x":1.5,"SvcStats":{"s":{"ProvStats":{"\u0070":{}}}}},"b" : {"SvcStats":{"t":{"ProvStats":{"q":{"BytesIn":-1}}}}} ,"c":{}}"#;
    let stats = quick::body(body, &Limits::default()).map(finished).expect("a body of objects");
    assert_eq!(stats.endpoint_ips().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(crate::points(&stats).map(|point| point.provider_ip).collect::<Vec<_>>(), ["p"]);
    assert_eq!(stats.rejected().iter().map(|bad| &*bad.endpoint).collect::<Vec<_>>(), ["b"]);
}
