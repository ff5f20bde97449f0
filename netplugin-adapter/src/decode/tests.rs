//! Properties of the decoder on generated bodies, valid and damaged: an endpoint gives the same alone as among others.

use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::error::{DecodeError, Reason};
use crate::json::{Key, members};
use crate::limits::Limits;
use crate::stats::ServiceStats;
use crate::{decode, points};

/// JSON values, and texts that are not.
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

/// Mostly `usual`, sometimes a value from [`ODD`].
fn mostly(usual: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    prop_oneof![30 => usual, 1 => odd()]
}

fn endpoint() -> impl Strategy<Value = String> {
    let field = |usual: &'static [&'static str]| {
        let names = usual.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        prop_oneof![20 => prop::sample::select(names), 1 => ip()]
    };
    let count = || {
        prop_oneof![
            any::<u64>().prop_map(|count| count.to_string()),
            Just("\"12\"".to_owned()),
            Just("null".to_owned())
        ]
    };
    let entry = || object(field(&["BytesIn", "BytesOut", "PacketsIn", "PacketsOut", "ServiceIP"]), mostly(count()));
    let entries = object(ip(), mostly(entry()));
    let several = object(field(&["ProvStats", "ProvStats", "SvcPort"]), mostly(entries));
    let one = (ip(), mostly(entry())).prop_map(|(ip, stats)| format!("{{\"ProviderIP\":{ip},\"Stats\":{stats}}}"));
    let service = prop_oneof![3 => several, 1 => one];
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

/// Endpoint, service and provider of every point, with its bytes.
type Points = Vec<(String, String, String, [u64; 2])>;

fn points_of(stats: &ServiceStats) -> Points {
    let point = |point: crate::Point<'_>| {
        let [endpoint, service, provider] = [point.endpoint_ip, point.service_ip, point.provider_ip].map(str::to_owned);
        (endpoint, service, provider, [point.bytes_in, point.bytes_out])
    };
    points(stats).map(point).collect()
}

/// The points and the reasons of the endpoints of a body, each decoded in a body of its own.
fn one_by_one(body: &str, limits: &Limits) -> (Points, Vec<Reason>) {
    let (mut all, mut reasons, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let walked = members(body, |key, json| {
        let alone = match key {
            Key::Name(name) => format!("{{{name}:{json}}}"),
            Key::Index(_) => format!("[{json}]"),
        };
        let stats = decode(alone.as_bytes(), limits).expect("a body of one endpoint");
        reasons.extend(stats.rejected().iter().map(|rejected| rejected.reason.clone()));
        if let Some(ip) = stats.endpoint_ips().next() {
            if seen.contains(&ip.to_owned()) {
                reasons.push(Reason::Duplicate { location: "the endpoint".to_owned() });
            } else {
                seen.push(ip.to_owned());
                all.extend(points_of(&stats));
            }
        }
        Ok::<(), ()>(())
    });
    walked.expect("a body of members");
    all.sort_unstable();
    (all, reasons)
}

fn is_body(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|json| json.get() == "null" || json.get().starts_with(['{', '[']))
}

/// Checks a body against the JSON parser and against its endpoints one by one.
fn check(body: &str, limits: &Limits) -> Result<(), TestCaseError> {
    match decode(body.as_bytes(), limits) {
        Err(DecodeError::TooManyEndpoints { .. }) => Ok(()),
        Err(DecodeError::Json(error)) => {
            prop_assert!(!is_body(body), "{error}");
            Ok(())
        }
        Err(error) => Err(TestCaseError::fail(error.to_string())),
        Ok(stats) => {
            prop_assert!(is_body(body));
            let one_endpoint = Limits { endpoints: 1, ..*limits };
            let (points, reasons) = one_by_one(body, &one_endpoint);
            prop_assert_eq!(points_of(&stats), points);
            prop_assert_eq!(
                stats.rejected().iter().map(|rejected| rejected.reason.clone()).collect::<Vec<_>>(),
                reasons
            );
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn property_an_endpoint_is_read_alone_as_among_others(body in body(), limits in limits()) {
        check(&body, &limits)?;
    }

    #[test]
    fn property_a_damaged_body_is_refused_exactly_when_it_is_not_json(
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
        check(&(characters.concat() + tail), &Limits::default())?;
    }
}

#[test]
fn a_rejected_endpoint_takes_no_memory() {
    let body =
        r#"{"a":{"SvcStats":{"s":{"ProvStats":{"p":{},"q":{}}},"t":{"ProvStats":{"q":{},"r":{"BytesIn":-1}}}}}}"#;
    let stats = decode(body.as_bytes(), &Limits::default()).expect("a body of objects");
    assert_eq!((stats.rejected.len(), stats.tree.heap_bytes()), (1, 0));
}

#[test]
fn unusual_json_of_one_endpoint_changes_nothing_of_its_neighbours() {
    let body = r#"{"a": {"x":1.5,"SvcStats":{"s":{"ProvStats":{"\u0070":{}}}}},"b" : {"SvcStats":{"t":{"ProvStats":{"q":{"BytesIn":-1}}}}} ,"c":{}}"#;
    let stats = decode(body.as_bytes(), &Limits::default()).expect("a body of objects");
    assert_eq!(stats.endpoint_ips().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(points(&stats).map(|point| point.provider_ip).collect::<Vec<_>>(), ["p"]);
    assert_eq!(stats.rejected().iter().map(|bad| &*bad.endpoint).collect::<Vec<_>>(), ["b"]);
}
