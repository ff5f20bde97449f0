//! Bodies that are accepted, bodies and endpoints that are rejected, and the errors.
//!
//! The shapes are those of contiv/netplugin's Go types; the first example is an answer in the map form, whole.

use netplugin_adapter::{DecodeError, Limits, Point, ServiceStats, decode, points};

/// An answer of Netplugin in the map form.
const EXAMPLE: &str = r#"{"11.1.1.2":{"EndpointIP":"11.1.1.2","VrfName":"default","PortStats":{"PacketsIn":0,"BytesIn":0,"PacketsOut":0,"BytesOut":0},
  "SvcStats":{"100.1.1.3":{"ServiceIP":"100.1.1.3","ServiceVRF":"default","Protocol":"TCP","SvcPort":"8080","ProvPort":"80",
    "SvcStats":{"PacketsIn":0,"BytesIn":0,"PacketsOut":0,"BytesOut":0},
    "ProvStats":{"10.1.1.7":{"ProviderIP":"10.1.1.7","ServiceIP":"","ServiceVrf":"","PacketsIn":12,"BytesIn":1018,"PacketsOut":0,"BytesOut":0},
                 "11.1.1.2":{"ProviderIP":"11.1.1.2","ServiceIP":"","ServiceVrf":"","PacketsIn":0,"BytesIn":0,"PacketsOut":14,"BytesOut":1200}}}}}}"#;

const EXAMPLE_POINT: Point<'_> = Point {
    endpoint_ip: "11.1.1.2",
    service_ip: "100.1.1.3",
    provider_ip: "10.1.1.7",
    bytes_in: 1018,
    bytes_out: 1200,
    packets_in: 12,
    packets_out: 14,
};

fn read(body: &str) -> ServiceStats {
    decode(body.as_bytes(), &Limits::default()).expect("a body within the limits")
}

/// Endpoint, service, provider and the bytes of every point; `!` and kind of each rejected endpoint; one a line.
fn summary(stats: &ServiceStats) -> String {
    let good = points(stats)
        .map(|p| format!("{} {} {} {} {}", p.endpoint_ip, p.service_ip, p.provider_ip, p.bytes_in, p.bytes_out));
    let bad = stats.rejected().iter().map(|rejected| format!("! {} {}", rejected.endpoint, rejected.reason.kind()));
    good.chain(bad).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_map_form_and_the_list_form_of_the_example_give_the_same_point() {
    let list =
        format!("[{}]", EXAMPLE.strip_prefix(r#"{"11.1.1.2":"#).and_then(|s| s.strip_suffix('}')).expect("a map"));
    for body in [EXAMPLE, &list] {
        let stats = read(body);
        assert_eq!(points(&stats).collect::<Vec<_>>(), [EXAMPLE_POINT], "{body}");
        assert_eq!(stats.rejected(), []);
        assert_eq!(stats.endpoint_ips().collect::<Vec<_>>(), ["11.1.1.2"]);
    }
}

#[test]
fn missing_null_empty_and_unknown_fields_are_accepted() {
    let table = [
        ("no stats", "null", ""),
        ("no endpoints", "{}", ""),
        ("no endpoints in a list", "[]", ""),
        ("a null endpoint", r#"{"e":null}"#, ""),
        ("an empty endpoint", r#"{"e":{}}"#, ""),
        ("null services", r#"{"e":{"SvcStats":null}}"#, ""),
        ("a null service", r#"{"e":{"SvcStats":{"s":null}}}"#, ""),
        ("null entries", r#"{"e":{"SvcStats":{"s":{"ProvStats":null}}}}"#, ""),
        ("no entries", r#"{"e":{"SvcStats":{"s":{"ProvStats":{}}}}}"#, ""),
        ("a null entry", r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":null}}}}}"#, "e s p 0 0"),
        ("an empty entry", r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":{}}}}}}"#, "e s p 0 0"),
        ("null counters", r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":null,"BytesOut":1}}}}}}"#, "e s p 0 1"),
        ("a null EndpointIP", r#"{"e":{"EndpointIP":null}}"#, ""),
        ("an empty EndpointIP", r#"{"e":{"EndpointIP":""}}"#, ""),
        ("an empty key", r#"{"":{"EndpointIP":"e","SvcStats":{"s":{"ProvStats":{"p":{}}}}}}"#, "e s p 0 0"),
        (
            "unknown fields",
            r#"{"e":{"x":[1e999,"\ud800"],"SvcStats":{"s":{"\ud800":1,"ProvStats":{"p":{"BytesOut ":{},"BytesIn":3}}}}}}"#,
            "e s p 3 0",
        ),
        ("escaped names", r#"{"\u0065":{"Svc\u0053tats":{"s":{"ProvStats":{"p":{"Bytes\u0049n":4}}}}}}"#, "e s p 4 0"),
        (
            "numbers as text, the largest",
            r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":"18446744073709551615","BytesOut":18446744073709551615}}}}}}"#,
            "e s p 18446744073709551615 18446744073709551615",
        ),
        (
            "EndpointIP after the services",
            r#"[{"SvcStats":{"s":{"ProvStats":{"e":{"BytesOut":2},"p":{}}}},"EndpointIP":"e"}]"#,
            "e s p 0 2",
        ),
    ];
    for (name, body, expected) in table {
        assert_eq!(summary(&read(body)), expected, "{name}");
    }
}

#[test]
fn one_bad_endpoint_does_not_affect_the_others() {
    let table = [
        ("text", r#""down""#, "shape"),
        ("number", "7", "shape"),
        ("list", "[]", "shape"),
        ("services are a list", r#"{"SvcStats":[{}]}"#, "shape"),
        ("service is text", r#"{"SvcStats":{"s":""}}"#, "shape"),
        ("entries are a number", r#"{"SvcStats":{"s":{"ProvStats":0}}}"#, "shape"),
        ("entry is true", r#"{"SvcStats":{"s":{"ProvStats":{"p":true}}}}"#, "shape"),
        ("entry is a list", r#"{"SvcStats":{"s":{"ProvStats":{"p":[1]}}}}"#, "shape"),
        ("negative", r#"{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":-1}}}}}"#, "counter"),
        ("fraction", r#"{"SvcStats":{"s":{"ProvStats":{"p":{"BytesOut":1.5}}}}}"#, "counter"),
        ("too large", r#"{"SvcStats":{"s":{"ProvStats":{"p":{"PacketsIn":18446744073709551616}}}}}"#, "counter"),
        ("no digits", r#"{"SvcStats":{"s":{"ProvStats":{"p":{"PacketsOut":"many"}}}}}"#, "counter"),
        ("nested", r#"{"SvcStats":{"s":{"ProvStats":{"p":{"PacketsOut":{}}}}}}"#, "counter"),
        ("other address inside", r#"{"EndpointIP":"11.1.1.4"}"#, "conflict"),
        ("address is a number", r#"{"EndpointIP":11}"#, "address"),
        ("service without address", r#"{"SvcStats":{"":{}}}"#, "address"),
        ("provider without address", r#"{"SvcStats":{"s":{"ProvStats":{"":{}}}}}"#, "address"),
        ("address with a space", r#"{"SvcStats":{"a b":{}}}"#, "address"),
        ("address with a quote", r#"{"SvcStats":{"a\"b":{}}}"#, "address"),
        ("address with a backslash", r#"{"SvcStats":{"s":{"ProvStats":{"a\\b":{}}}}}"#, "address"),
        ("address with a line end", r#"{"SvcStats":{"s":{"ProvStats":{"a\nb":{}}}}}"#, "address"),
        ("no character", r#"{"SvcStats":{"\ud800":{}}}"#, "address"),
        ("service twice", r#"{"SvcStats":{"s":{},"t":{},"s":{}}}"#, "duplicate"),
        ("provider twice", r#"{"SvcStats":{"s":{"ProvStats":{"p":{},"q":{},"p":{}}}}}"#, "duplicate"),
        ("own entry twice", r#"{"SvcStats":{"s":{"ProvStats":{"11.1.1.3":{},"11.1.1.3":{}}}}}"#, "duplicate"),
        (
            "sum too large",
            r#"{"SvcStats":{"s":{"ProvStats":{"p":{"BytesOut":18446744073709551615},"11.1.1.3":{"BytesOut":1}}}}}"#,
            "overflow",
        ),
    ];
    let good = EXAMPLE.strip_prefix('{').and_then(|s| s.strip_suffix('}')).expect("a map");
    for (name, bad, kind) in table {
        let stats = read(&format!(r#"{{"11.1.1.3":{bad},{good},"11.1.1.1":{{}}}}"#));
        assert_eq!(points(&stats).collect::<Vec<_>>(), [EXAMPLE_POINT], "{name}");
        assert_eq!(stats.endpoint_ips().collect::<Vec<_>>(), ["11.1.1.1", "11.1.1.2"], "{name}");
        let [rejected] = stats.rejected() else { panic!("{name}: {:?}", stats.rejected()) };
        assert_eq!((&*rejected.endpoint, rejected.reason.kind()), ("11.1.1.3", kind), "{name}");
    }
}

#[test]
fn a_value_that_the_json_parser_refuses_rejects_only_its_endpoint() {
    let body = r#"{"a":{"SvcStats":1e999},"b":{"SvcStats":{"s":{"ProvStats":{"p":"\ud800"}}}},"c":{}}"#;
    let stats = read(body);
    assert_eq!(summary(&stats), "! a shape\n! b shape");
    assert_eq!(stats.endpoint_ips().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn a_rejected_endpoint_is_named_by_its_readable_address_key_or_index() {
    let long = "9".repeat(100);
    let table = [
        (r#"{"a b":{}}"#.to_owned(), "! a b address".to_owned()),
        (r#"{"":{}}"#.to_owned(), r#"! "" address"#.to_owned()),
        (r#"{"\ud800":{}}"#.to_owned(), r#"! "\ud800" address"#.to_owned()),
        (r#"{"":{"EndpointIP":"e","SvcStats":1}}"#.to_owned(), "! e shape".to_owned()),
        (
            r#"[{},null,3,{"EndpointIP":"e","SvcStats":1},{"SvcStats":1,"EndpointIP":"f"}]"#.to_owned(),
            "! [0] address\n! [1] address\n! [2] shape\n! e shape\n! f shape".to_owned(),
        ),
        (format!(r#"{{"{long}":{{}}}}"#), format!("! {}… address", "9".repeat(64))),
    ];
    for (body, expected) in table {
        assert_eq!(summary(&read(&body)), expected, "{body}");
    }
}

#[test]
fn of_endpoints_with_one_address_the_first_good_one_is_kept() {
    let endpoint = |bytes: &str| {
        format!(r#"{{"EndpointIP":"e","SvcStats":{{"s":{{"ProvStats":{{"p":{{"BytesIn":{bytes}}}}}}}}}}}"#)
    };
    let body = format!("[{},{},{}]", endpoint("-1"), endpoint("2"), endpoint("3"));
    assert_eq!(summary(&read(&body)), "e s p 2 0\n! e counter\n! e duplicate");
    let body = format!(r#"{{"e":{},"e":{}}}"#, endpoint("5"), endpoint("6"));
    assert_eq!(summary(&read(&body)), "e s p 5 0\n! e duplicate");
}

#[test]
fn bytes_that_are_not_utf8_invalidate_only_their_string() {
    let body = b"{\"\xff\":{},\"e\":{\"VrfName\":\"\xc3\x28\",\"SvcStats\":{\"s\":{\"ProvStats\":{\"p\":{}}}}}}";
    let stats = decode(body, &Limits::default()).expect("a body");
    assert_eq!(summary(&stats), "e s p 0 0\n! \u{fffd} address");
}

#[test]
fn a_body_that_is_not_complete_json_is_rejected() {
    let cut = &EXAMPLE[..EXAMPLE.len() - 1];
    let trailing = format!("{EXAMPLE} x");
    for body in
        ["", " ", "Internal error", "\"text\"", "12", "true", "{", "[{}", cut, &trailing, "nul", "{\"e\":{\"x\":01}}"]
    {
        let refused = decode(body.as_bytes(), &Limits::default());
        assert!(matches!(refused, Err(DecodeError::Json(_))), "{body}: {refused:?}");
    }
}

#[test]
fn nesting_of_any_depth_is_ignored_or_rejected() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(summary(&read(&format!(r#"{{"a":{{"x":{deep}}},"b":{deep}}}"#))), "! b shape");
    assert_eq!(summary(&read(&deep)), "! [0] shape");
}

#[test]
fn each_limit_accepts_its_number_and_rejects_one_more() {
    let body = r#"{"a":{"SvcStats":{"s":{"ProvStats":{"p":{},"q":{}}},"t":{}}},"b":null}"#;
    let exact = Limits { body_bytes: body.len(), endpoints: 2, providers_per_service: 2, services_per_endpoint: 2 };
    let read = |limits: Limits| match decode(body.as_bytes(), &limits) {
        Ok(stats) => summary(&stats),
        Err(error) => error.kind().to_owned(),
    };
    assert_eq!(read(exact), "a s p 0 0\na s q 0 0");
    let table = [
        (Limits { body_bytes: body.len() - 1, ..exact }, "too_large"),
        (Limits { endpoints: 1, ..exact }, "too_many_endpoints"),
        (Limits { providers_per_service: 1, ..exact }, "! a too_many_providers"),
        (Limits { services_per_endpoint: 1, ..exact }, "! a too_many_services"),
    ];
    for (limits, expected) in table {
        assert_eq!(read(limits), expected, "{limits:?}");
    }
}

#[test]
fn rejected_endpoints_count_towards_the_limit_of_endpoints() {
    let limits = Limits { endpoints: 2, ..Limits::default() };
    let refused = decode(b"[1,2,3]", &limits);
    assert!(matches!(refused, Err(DecodeError::TooManyEndpoints { limit: 2 })), "{refused:?}");
}

#[test]
fn errors_name_location_found_and_expected() {
    let body = r#"{"a":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":"-5"}}}}},"b":{"EndpointIP":"c"},"d":{"SvcStats":{"s t":{}}},
        "e":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":18446744073709551615},"e":{"BytesIn":1}}}}},
        "f":{"SvcStats":{"s":{"ProvStats":"off"}}},"g":{"SvcStats":{"s":{"ProvStats":{"p":{},"p":{}}}}},
        "h":{"SvcStats":{"s":1}},"i":{"SvcStats":{"":{}}},"j":[]}"#;
    let errors = |stats: &ServiceStats| {
        stats.rejected().iter().map(|bad| format!("{}: {}", bad.endpoint, bad.reason)).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(errors(&read(body)), @r#"
    a: service s, provider p has BytesIn `"-5"`, expected an integer from 0 to 18446744073709551615
    b: the endpoint has the key `b` and the EndpointIP `c`, expected the same address
    d: a key in SvcStats of the endpoint has the address `s t`, expected 1 to 64 visible ASCII characters, no quote or backslash
    e: service s has two BytesIn counters that overflow when merged, expected a sum of at most 18446744073709551615
    f: ProvStats of service s is not an object: invalid type: string "off", expected an object or null at line 1 column 35
    g: service s, provider p appears twice, expected every address once
    h: service s is not an object: invalid type: integer `1`, expected an object or null at line 1 column 18
    i: a key in SvcStats of the endpoint has the address ``, expected 1 to 64 visible ASCII characters, no quote or backslash
    j: the endpoint is not an object: invalid type: sequence, expected an object or null at line 1 column 2
    "#);
}

#[test]
fn errors_of_a_whole_body_name_what_to_check() {
    let limits = Limits { body_bytes: 8, endpoints: 1, ..Limits::default() };
    let errors: Vec<String> = [&b"{}{}"[..], b"[1,2]", b"[1,2,3,4,5]"]
        .map(|body| decode(body, &limits).expect_err("a refusal").to_string())
        .to_vec();
    insta::assert_snapshot!(errors.join("\n"), @"
    the body is not a JSON object or list of endpoints; check that the address is Netplugin's and the answer complete
    the body has more than 1 endpoints; raise the limit if a node can be that large
    the body has 11 bytes, the limit is 8; raise the limit if a node can be that large
    ");
}
