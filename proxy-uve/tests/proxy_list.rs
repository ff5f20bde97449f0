//! `uve_proxy_list`: what it parses to, and every mistake with its location.

use proptest::prelude::*;
use proxy_uve::proxy_list::{DEFAULT_PROXY_LIST, ProxyList};
use proxy_uve::schema::Schema;

/// `line:column sentence` of each error.
fn errors_of(text: &str) -> Vec<String> {
    let errors = ProxyList::parse(text, &Schema::builtin()).expect_err(text);
    errors.into_iter().map(|error| format!("{}:{} {}", error.line(), error.column(), error.kind())).collect()
}

#[test]
fn the_default_is_that_of_the_original() {
    let list = ProxyList::default();
    let entries: Vec<_> = list
        .entries()
        .iter()
        .map(|entry| (entry.stream.to_string(), entry.types.iter().map(|found| found.name()).collect::<Vec<_>>()))
        .collect();
    let types = vec!["AggProxySumAnomalyEWM01", "AggProxySum"];
    assert_eq!(
        entries,
        [
            ("UveVirtualNetworkAgent-egress_flow_count".to_owned(), types.clone()),
            ("UveVirtualNetworkAgent-ingress_flow_count".to_owned(), types),
        ]
    );
    assert_eq!(list.to_string(), DEFAULT_PROXY_LIST);
}

#[test]
fn entries_stand_between_any_white_space() {
    let list =
        ProxyList::parse("\n  A-b:AggProxySum\t\r\n\nA-c:AggProxySum:AggProxySumAnomalyEWM01 ", &Schema::builtin())
            .unwrap();
    assert_eq!(list.to_string(), "A-b:AggProxySum A-c:AggProxySum:AggProxySumAnomalyEWM01");
    let stream = "A-c".parse().unwrap();
    assert_eq!(list.get(&stream).map(|entry| entry.types.len()), Some(2));
    assert!(list.get(&"A-d".parse().unwrap()).is_none());
    assert!(ProxyList::parse(" \n", &Schema::builtin()).unwrap().entries().is_empty());
}

#[test]
fn an_error_shows_the_list_and_underlines_the_mistake() {
    let errors = ProxyList::parse("A-b:AggProxySum\nA-c:AggProxySum:AggProxySun A-b:AggProxySum", &Schema::builtin());
    insta::assert_snapshot!(errors.unwrap_err(), @"
    uve_proxy_list error at 2:17:
        A-c:AggProxySum:AggProxySun A-b:AggProxySum
                        ^^^^^^^^^^^
    unknown proxy type `AggProxySun`; did you mean `AggProxySum`?

    uve_proxy_list error at 2:29:
        A-c:AggProxySum:AggProxySun A-b:AggProxySum
                                    ^^^
    the stream `A-b` has an entry already, at 1:1; add its types there
    ");
}

#[test]
fn each_mistake_is_told_and_located() {
    let form = "write each stream with its types as `Struct-attribute:Type:Type`, with blanks between the streams";
    let example = "as in `UveVirtualNetworkAgent-egress_flow_count`";
    let identifier = "struct and attribute are letters, digits and `_`, not starting with a digit";
    let cases = [
        ("A-b", "1:4 expected `:` and a proxy type after the stream, such as `:AggProxySum`".to_owned()),
        ("A-b:", "1:5 expected the name of a proxy type after the `:`, such as `AggProxySum`".to_owned()),
        ("A-b::AggProxySum", "1:5 expected the name of a proxy type after the `:`, such as `AggProxySum`".to_owned()),
        ("A-b:AggProxySum:", "1:17 expected the name of a proxy type after the `:`, such as `AggProxySum`".to_owned()),
        ("A-b:NoSuchProxy", "1:5 unknown proxy type `NoSuchProxy`".to_owned()),
        ("A-b:aggproxysum", "1:5 unknown proxy type `aggproxysum`; did you mean `AggProxySum`?".to_owned()),
        ("A-b:AggProxySum:AggProxySum", "1:17 the type `AggProxySum` appears twice; keep one".to_owned()),
        ("Ab:AggProxySum", format!("1:3 expected `-` and an attribute after the struct, {example}; {form}")),
        ("A-:AggProxySum", format!("1:3 expected the name of an attribute after the `-`, {example}; {form}")),
        ("-b:AggProxySum", format!("1:1 expected the name of a UVE struct, {example}; {form}")),
        (":AggProxySum", format!("1:1 expected the name of a UVE struct, {example}; {form}")),
        ("x A", format!("1:2 expected `-` and an attribute after the struct, {example}; {form}")),
        ("A-b-c:AggProxySum", format!("1:4 `-` is not allowed here; {identifier}; {form}")),
        ("A-b,A-c:AggProxySum", format!("1:4 `,` is not allowed here; {identifier}; {form}")),
        ("\u{a0}\n é-b:AggProxySum", format!("2:2 `é` is not allowed here; {identifier}; {form}")),
    ];
    for (text, expected) in cases {
        assert_eq!(errors_of(text)[0], expected, "{text}");
    }
}

proptest! {
    #[test]
    fn property_printing_then_parsing_gives_the_same_list(
        entries in prop::collection::btree_map("[A-Za-z_][A-Za-z0-9_]{0,8}-[a-z_]{1,8}", 1u8..4, 0..6),
    ) {
        let types = ["AggProxySum", "AggProxySumAnomalyEWM01"];
        let text: Vec<String> = entries
            .iter()
            .map(|(stream, mask)| {
                let chosen = types.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
                chosen.fold(stream.clone(), |entry, (_, name)| format!("{entry}:{name}"))
            })
            .collect();
        let list = ProxyList::parse(&text.join("\n"), &Schema::builtin()).unwrap();
        prop_assert_eq!(list.to_string(), text.join(" "));
        prop_assert_eq!(ProxyList::parse(&list.to_string(), &Schema::builtin()), Ok(list));
    }

    #[test]
    fn property_any_text_parses_or_gives_errors_that_can_be_shown(
        text in prop_oneof![any::<String>(), "[A-b: \\-é\n]{0,30}"],
    ) {
        if let Err(errors) = ProxyList::parse(&text, &Schema::builtin()) {
            prop_assert_eq!(errors.to_string().lines().count(), errors.errors().len() * 5 - 1);
        }
    }
}
