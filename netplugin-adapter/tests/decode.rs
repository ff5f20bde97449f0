//! Bodies that are accepted, bodies and endpoints that are rejected, and the errors.
//!
//! The shapes are those of contiv/netplugin's Go types; the first example is an answer in the map form, whole.

use netplugin_adapter::{DecodeError, Limits, Point, Reason, ServiceStats, canonical_address, decode, points};

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
    let kind = |reason: &Reason| {
        let kind = reason.kind();
        assert!(Reason::KINDS.contains(&kind), "{kind}");
        kind
    };
    let bad = stats.rejected().iter().map(|rejected| format!("! {} {}", rejected.endpoint, kind(&rejected.reason)));
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

/// An endpoint with one service in the form of 2016: its provider, and its counters in `Stats`.
const FLAT: &str = r#"{"11.1.1.2":{"SvcStats":{"100.1.1.3":{"ProviderIP":"10.1.1.7","Protocol":"TCP","SvcPort":"8080","ProvPort":"80",
  "Stats":{"BytesIn":1018,"BytesOut":1200,"PacketsIn":12,"PacketsOut":14}}}}}"#;

#[test]
fn a_service_with_one_provider_and_its_counters_in_stats_gives_the_same_point() {
    let of_service = |fields: &str| format!(r#"{{"e":{{"EndpointIP":"e","SvcStats":{{"s":{{{fields}}}}}}}}}"#);
    let counters = r#""Stats":{"BytesIn":"1","BytesOut":2}"#;
    let table = [
        (r#""ProviderIP":"p","Stats":{"BytesIn":1,"BytesOut":2}"#.to_owned(), "e s p 1 2"),
        (format!(r#"{counters},"ProviderIP":"p","x":1"#), "e s p 1 2"),
        (format!(r#"{counters},"ProviderIP":"p","ProvStats":null"#), "e s p 1 2"),
        (format!(r#"{counters},"ProviderIP":"p","ProvStats":{{}}"#), "e s p 1 2"),
        (format!(r#"{counters},"ProviderIP":"""#), "e s s 1 2"),
        (format!(r#"{counters},"ProviderIP":null"#), "e s s 1 2"),
        (format!(r#"{counters},"ProviderIP":"e""#), "e s s 1 2"),
        (counters.to_owned(), "e s s 1 2"),
        (r#""ProviderIP":"p","Stats":null"#.to_owned(), "e s p 0 0"),
        (r#""ProviderIP":"p","Stats":{}"#.to_owned(), "e s p 0 0"),
        (r#""Stats":{}"#.to_owned(), ""),
        (r#""ProviderIP":"p""#.to_owned(), "! e missing"),
        (r#""ProviderIP":"p","ServiceIP":"s""#.to_owned(), "! e missing"),
        (r#""ProviderIP":"""#.to_owned(), "! e missing"),
        (r#""Protocol":"TCP""#.to_owned(), "! e missing"),
        (r#""SvcPort":80,"ProvPort":80"#.to_owned(), "! e missing"),
        (r#""ServiceIP":"s","ServiceVRF":"v""#.to_owned(), ""),
        (r#""Protocol":"TCP","ProvStats":null"#.to_owned(), ""),
        (r#""ProvStats":{"q":{"BytesIn":3}},"Stats":{},"ProviderIP":"p""#.to_owned(), "e s q 3 0"),
    ];
    for (fields, expected) in table {
        assert_eq!(summary(&read(&of_service(&fields))), expected, "{fields}");
    }
    let stats = read(FLAT);
    assert_eq!(points(&stats).collect::<Vec<_>>(), [EXAMPLE_POINT]);
    assert_eq!(stats.rejected(), []);
    let list = format!(r#"[{{"EndpointIP":"11.1.1.2",{}]"#, &FLAT[r#"{"11.1.1.2":{"#.len()..FLAT.len() - 1]);
    assert_eq!(points(&read(&list)).collect::<Vec<_>>(), [EXAMPLE_POINT]);
}

#[test]
fn both_forms_of_a_service_may_be_in_one_body() {
    let body = format!(
        "{},{}",
        &EXAMPLE[..EXAMPLE.len() - 1],
        r#""11.1.1.3":{"SvcStats":{"s":{"ProviderIP":"p","Stats":{"BytesIn":1}},"t":{"ProvStats":{"q":{"BytesOut":2}}}}}}"#
    );
    assert_eq!(summary(&read(&body)), "11.1.1.2 100.1.1.3 10.1.1.7 1018 1200\n11.1.1.3 s p 1 0\n11.1.1.3 t q 0 2");
}

/// A name, a body, and its summary.
const UNREADABLE: &[(&str, &str, &str)] = &[
    ("a whole body of another kind", r#"{"endpoints":{"11.1.1.2":{"SvcStats":{}}}}"#, "! endpoints unknown"),
    ("an error as a body", r#"{"error":"down","code":5}"#, "! error shape\n! code shape"),
    ("the services as a body", r#"{"SvcStats":{"s":{"ProvStats":{}}}}"#, "! SvcStats unknown"),
    ("a list of other objects", r#"[{"EndpointIP":"e","Services":{}}]"#, "! e unknown"),
    ("an endpoint with unknown fields only", r#"{"e":{"Services":{}}}"#, "! e unknown"),
    ("with unknown fields instead of the services", r#"{"e":{"EndpointIP":"e","Services":{}}}"#, "! e unknown"),
    ("services in another letter case", r#"{"e":{"svcStats":{"s":{}}}}"#, "! e unknown"),
    ("services in two letter cases", r#"{"e":{"SvcStats":{},"svcStats":{"s":{}}}}"#, "! e unknown"),
    ("a service with unknown fields only", r#"{"e":{"SvcStats":{"s":{"Providers":{}}}}}"#, "! e unknown"),
    ("counters in a service", r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p","BytesIn":1}}}}"#, "! e unknown"),
    ("provstats", r#"{"e":{"SvcStats":{"s":{"provstats":{"p":{"BytesIn":1}}}}}}"#, "! e unknown"),
    ("stats", r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p","stats":{"BytesIn":1}}}}}"#, "! e unknown"),
    ("providerIP", r#"{"e":{"SvcStats":{"s":{"providerIP":"p","Stats":{"BytesIn":1}}}}}"#, "! e unknown"),
    ("an entry with unknown fields only", r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":{"Bytes":1}}}}}}"#, "! e unknown"),
    (
        "counters one level deeper",
        r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":{"Stats":{"BytesIn":1}}}}}}}"#,
        "! e unknown",
    ),
    (
        "a counter in another case",
        r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":1,"bytesOut":2}}}}}}"#,
        "! e unknown",
    ),
    ("unknown counters in Stats", r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p","Stats":{"In":1}}}}}"#, "! e unknown"),
    ("Stats is a list", r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p","Stats":[1]}}}}"#, "! e shape"),
    ("Stats is text", r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p","Stats":"7"}}}}"#, "! e shape"),
    ("a bad counter in Stats", r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p","Stats":{"BytesIn":-1}}}}}"#, "! e counter"),
    ("ProviderIP is a number", r#"{"e":{"SvcStats":{"s":{"ProviderIP":7,"Stats":{"BytesIn":1}}}}}"#, "! e address"),
    (
        "both forms with counters",
        r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p","Stats":{"BytesIn":1},"ProvStats":{"p":{"BytesIn":1}}}}}}"#,
        "! e ambiguous",
    ),
    (
        "one among readable ones",
        r#"{"a":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":1}},"u":1},"t":{"x":1}}},"b":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":2}}}}}}"#,
        "b s p 2 0\n! a unknown",
    ),
];

#[test]
fn an_object_of_which_nothing_could_be_read_rejects_its_endpoint() {
    for (name, body, expected) in UNREADABLE {
        assert_eq!(summary(&read(body)), *expected, "{name}");
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
    assert_eq!(summary(&read(&format!(r#"{{"a":{{"x":{deep},"SvcStats":{{}}}},"b":{deep}}}"#))), "! b shape");
    assert_eq!(summary(&read(&format!(r#"{{"a":{{"x":{deep}}}}}"#))), "! a unknown");
    assert_eq!(summary(&read(&deep)), "! [0] shape");
}

#[test]
fn each_limit_accepts_its_number_and_rejects_one_more() {
    let body = r#"{"a":{"SvcStats":{"s":{"ProvStats":{"p":{},"q":{}}},"t":{}}},"b":null}"#;
    // Two services and two entries.
    let body_bytes = body.len();
    let exact = Limits { body_bytes, entries: 4, endpoints: 2, providers_per_service: 2, services_per_endpoint: 2 };
    let read = |limits: Limits| match decode(body.as_bytes(), &limits) {
        Ok(stats) => summary(&stats),
        Err(error) => error.kind().to_owned(),
    };
    assert_eq!(read(exact), "a s p 0 0\na s q 0 0");
    let table = [
        (Limits { body_bytes: body.len() - 1, ..exact }, "too_large"),
        (Limits { entries: 3, ..exact }, "too_many_entries"),
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
        "h":{"SvcStats":{"s":1}},"i":{"SvcStats":{"":{}}},"j":[],"k":{"Services":1},"l":{"SvcStats":{"s":{"provStats":1}}},
        "m":{"SvcStats":{"s":{"Stats":{"In":1},"ProviderIP":"p"}}},"n":{"SvcStats":{"s":{"Stats":1}}},
        "o":{"SvcStats":{"s":{"ProviderIP":1}}},
        "p":{"SvcStats":{"s":{"Stats":{"BytesIn":1},"ProvStats":{"p":{}}}}},"q":{"SvcStats":{"s":{"SvcPort":80,"ProviderIP":"p"}}}}"#;
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
    k: the endpoint has the unknown field `Services`, expected `SvcStats`; check that the address is Netplugin's, and its version
    l: service s has the unknown field `provStats`, expected `ProvStats`; check that the address is Netplugin's, and its version
    m: Stats of service s has the unknown field `In`, expected `BytesIn` or `BytesOut` or `PacketsIn` or `PacketsOut`; check that the address is Netplugin's, and its version
    n: Stats of service s is not an object: invalid type: integer `1`, expected an object or null at line 1 column 27
    o: ProviderIP of service s has the address `1`, expected 1 to 64 visible ASCII characters, no quote or backslash
    p: service s has both ProvStats and Stats with counters, expected one of them
    q: service s has `SvcPort`, but none of `ProvStats` or `Stats`; check that the address is Netplugin's, and its version
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

#[test]
fn unknown_fields_are_listed_once_with_those_that_are_read() {
    let body = r#"{"a":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":1,"New":0,"ByteOut":2},"q":{"BytesIn":0,"ByteOut":3}},"ProvPorts":1}},"VrfName":"v"},
        "b":{"SvcStats":{"s":{"ProviderIP":"p","Stats":{"BytesIn":1,"ByteOut":2}}},"EndpointIPs":1}}"#;
    let stats = read(body);
    assert_eq!(stats.rejected(), []);
    let unknown =
        stats.unknown_fields().iter().map(|it| format!("{}: {} of {}", it.location, it.found, it.known.join(" ")));
    insta::assert_snapshot!(unknown.collect::<Vec<_>>().join("\n"), @"
    service s, provider p: New of BytesIn BytesOut PacketsIn PacketsOut
    service s, provider p: ByteOut of BytesIn BytesOut PacketsIn PacketsOut
    service s: ProvPorts of ProvStats Stats Protocol ProvPort ProviderIP SvcPort
    the endpoint: EndpointIPs of SvcStats EndpointIP
    ");
    let many: Vec<_> = (0..100).map(|number| format!(r#""e{number}":{{"SvcStats":{{}},"x{number}":1}}"#)).collect();
    assert_eq!(read(&format!("{{{}}}", many.join(","))).unknown_fields().len(), 16);
}

#[test]
fn a_misspelt_field_is_listed_however_many_others_there_are() {
    let found = |body: &str| read(body).unknown_fields().iter().map(|it| it.found.clone()).collect::<Vec<_>>();
    let of_entry =
        |fields: &str| format!(r#"{{"e":{{"SvcStats":{{"s":{{"ProvStats":{{"p":{{{fields},"BytesIn":5}}}}}}}}}}}}"#);
    let far = r#""A":1,"B":1,"New":1,"Inbound":1"#;
    for near in ["ByteOut", "BytesOuts", "BytseOut", "byte_out", "Out", "PaketsIn"] {
        for fields in [format!(r#"{far},"{near}":7"#), format!(r#""{near}":7,{far}"#)] {
            let found = found(&of_entry(&fields));
            assert!(found.len() == 4 && found.contains(&near.to_owned()), "{near}: {found:?}");
        }
    }
    // Those of a body.
    let far: Vec<_> = (0..100).map(|number| format!(r#""e{number}":{{"SvcStats":{{}},"x{number}":1}}"#)).collect();
    let body = format!(r#"{{{},"f":{{"SvcStats":{{}},"EndpointI":1}}}}"#, far.join(","));
    let found = found(&body);
    assert!(found.len() == 16 && found.contains(&"EndpointI".to_owned()), "{found:?}");
}

#[test]
fn a_byte_order_mark_is_named() {
    let marks = [(&b"\xEF\xBB\xBF"[..], "UTF-8"), (b"\xFE\xFF", "UTF-16, big"), (b"\xFF\xFE", "UTF-16, little")];
    for (mark, name) in marks {
        let error = decode(&[mark, EXAMPLE.as_bytes()].concat(), &Limits::default()).expect_err("a refusal");
        let text = error.to_string();
        assert_eq!(error.kind(), "json");
        assert!(text.contains(&format!("a byte order mark of {name}")) && text.contains("expected `{`, `["), "{text}");
    }
    assert!(decode(b" null", &Limits::default()).is_ok());
}

/// Texts of one address, the first as Go writes it.
const FORMS: [&str; 5] = ["fd00::1", "FD00::1", "fd00:0:0:0:0:0:0:1", "FD00:0000::0001", "fd00::0:1"];

#[test]
fn the_forms_of_an_ipv6_address_are_one_address() {
    let other = ["fe80::1%eth0", "FE80:0::1%eth0"];
    for (canonical, form) in FORMS.map(|form| (FORMS[0], form)).into_iter().chain(other.map(|form| (other[0], form))) {
        assert_eq!(canonical_address(form), canonical);
        // The own entry is found in any form, so that its bytes are those of the only provider.
        let body = format!(
            r#"{{"{form}":{{"EndpointIP":"{canonical}","SvcStats":{{"{form}":{{"ProvStats":{{"FD00::2":{{"BytesIn":1}},"{canonical}":{{"BytesOut":2}}}}}}}}}}}}"#
        );
        assert_eq!(summary(&read(&body)), format!("{canonical} {canonical} fd00::2 1 2"));
        let single =
            format!(r#"{{"{form}":{{"SvcStats":{{"s":{{"ProviderIP":"{form}","Stats":{{"BytesIn":1}}}}}}}}}}"#);
        assert_eq!(summary(&read(&single)), format!("{canonical} s s 1 0"));
        let rejected = format!(r#"{{"{form}":{{"SvcStats":1}}}}"#);
        assert_eq!(summary(&read(&rejected)), format!("! {canonical} shape"));
    }
    let twice = r#"{"fd00::1":{},"FD00::1":{},"e":{"SvcStats":{"fd00::3":{},"FD00::3":{}}}}"#;
    assert_eq!(summary(&read(twice)), "! fd00::1 duplicate\n! e duplicate");
    for text in ["10.1.1.7", "E", "FD00::1::2", "FD00:1", "12:34:56:AB:cd:ef"] {
        assert_eq!(canonical_address(text), text);
    }
}
