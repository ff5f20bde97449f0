//! The alarm objects of Contrail's configuration API, in JSON.
//!
//! Form and meaning are those of `schema/alarm.xsd` of tf-api-client and of `alarmgen.py` and `alarm_base.py` of
//! tf-analytics (<https://github.com/tungstenfabric/tf-analytics>). What is different here: all operands of a rule are of
//! proxy UVEs of one stream with one period, because those are what one partition computes for one window.

use proxy_uve::table_of_uve_type;
use serde::Deserialize;
use serde_json::Value;

use crate::rule::{Absent, Condition, MAX_TEXT, Operation, Path, Right, Rule, Severity, Term};
use crate::text::operand_fits;

#[derive(Deserialize)]
struct AlarmObject {
    #[serde(default)]
    parent_type: String,
    fq_name: Vec<String>,
    uve_keys: UveKeys,
    #[serde(default)]
    alarm_severity: u64,
    #[serde(default)]
    id_perms: Permissions,
    alarm_rules: OrList,
}

#[derive(Deserialize)]
struct UveKeys {
    uve_key: Vec<String>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Permissions {
    enable: bool,
    description: Option<String>,
}

impl Default for Permissions {
    fn default() -> Self {
        Self { enable: true, description: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrList {
    or_list: Vec<AndList>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AndList {
    and_list: Vec<Expression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    operand1: String,
    operation: String,
    operand2: Operand2,
    #[serde(default)]
    variables: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operand2 {
    json_value: Option<String>,
    uve_attribute: Option<String>,
}

/// Reads the enabled rules of a file: `{"alarm": …}`, `{"alarms": […]}` whose elements are alarms or `{"alarm": …}`, as the
/// configuration API answers to `GET /alarms?detail=true`, or a list of these.
///
/// ```
/// use daemon_alarms::contrail;
///
/// let rules = contrail::rules(r#"{"alarm": {"parent_type": "global-system-config", "fq_name":
///     ["default-global-system-config", "vn-flow-anomaly"], "uve_keys": {"uve_key": ["virtual-network"]},
///     "alarm_severity": 1, "id_perms": {"enable": true, "description": "loud"}, "alarm_rules": {"or_list": [{"and_list":
///     [{"operand1": "AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-ingress_flow_count.value.sigma", "operation": ">=",
///       "operand2": {"json_value": "2.5"}}]}]}}}"#)?;
/// assert_eq!(rules[0].name, "default-global-system-config:vn-flow-anomaly");
/// assert_eq!(rules[0].keys, ["ObjectVNTable:*"]);
/// # Ok::<(), Vec<String>>(())
/// ```
///
/// # Errors
///
/// Every problem, with the alarm and the part of it.
pub fn rules(text: &str) -> Result<Vec<Rule>, Vec<String>> {
    let documents = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(documents)) => documents,
        Ok(document) => vec![document],
        Err(error) => return Err(vec![format!("the file is not JSON: {error}")]),
    };
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for (index, document) in documents.into_iter().enumerate() {
        let alarms = alarms_of(document);
        if alarms.is_empty() {
            problems.push(format!(
                "document {} has no alarm; expected {{\"alarm\": …}} or {{\"alarms\": […]}} as the configuration API of \
                 Contrail has it",
                index + 1
            ));
        }
        for (number, alarm) in alarms.into_iter().enumerate() {
            let place = place(index, number, &alarm);
            match serde_json::from_value::<AlarmObject>(alarm) {
                Ok(alarm) if !alarm.id_perms.enable => {}
                Ok(alarm) => match rule(alarm) {
                    Ok(rule) => rules.push(rule),
                    Err(found) => problems.extend(found.into_iter().map(|problem| format!("{place}: {problem}"))),
                },
                Err(error) => problems.push(format!("{place}: {error}; GET /alarms?detail=true has whole alarms")),
            }
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

/// The alarms of a document.
fn alarms_of(document: Value) -> Vec<Value> {
    let Value::Object(mut document) = document else { return Vec::new() };
    let several = match document.remove("alarms") {
        Some(Value::Array(alarms)) => alarms,
        _ => Vec::new(),
    };
    let element = |mut element: Value| match element.get_mut("alarm") {
        Some(alarm) => alarm.take(),
        None => element,
    };
    document.remove("alarm").into_iter().chain(several.into_iter().map(element)).collect()
}

/// The name of an alarm, or where it stands.
fn place(document: usize, number: usize, alarm: &Value) -> String {
    let parts = alarm.get("fq_name").and_then(Value::as_array);
    let name = parts.map(|parts| parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(":"));
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("alarm {name:?}"),
        None => format!("document {}, alarm {}", document + 1, number + 1),
    }
}

fn rule(alarm: AlarmObject) -> Result<Rule, Vec<String>> {
    let mut problems = Vec::new();
    let name = alarm.fq_name.join(":");
    if name.is_empty() || name.len() > MAX_TEXT {
        problems.push(format!("`fq_name` has {} bytes; expected 1 to {MAX_TEXT}", name.len()));
    }
    let severity = Severity::from_code(alarm.alarm_severity).unwrap_or_else(|| {
        let found = alarm.alarm_severity;
        problems.push(format!("`alarm_severity` is {found}; expected 0 (critical), 1 (major) or 2 (minor)"));
        Severity::default()
    });
    let keys = keys(&alarm.uve_keys, &mut problems);
    let project = (alarm.parent_type == "project").then(|| {
        let parent = alarm.fq_name.split_last().map(|(_, parent)| parent.join(":"));
        parent.unwrap_or_default()
    });
    let lists = alarm.alarm_rules.or_list.into_iter().map(|list| {
        list.and_list
            .into_iter()
            .filter_map(|found| term(found).map_err(|problem| problems.push(problem)).ok())
            .collect()
    });
    let lists: Vec<Vec<Term>> = lists.collect();
    if problems.is_empty() && (lists.is_empty() || lists.iter().any(Vec::is_empty)) {
        problems.push("`alarm_rules` has an empty list; expected an expression in each and_list".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // The text of Contrail has no places for values.
    let text = alarm.id_perms.description.unwrap_or_default().replace('{', "{{");
    Ok(Rule { severity, text, keys, project, absent: Absent::Null, ..Rule::new(name, Condition::Terms(lists)) })
}

/// The patterns of keys, and what is wrong with them.
fn keys(given: &UveKeys, problems: &mut Vec<String>) -> Vec<String> {
    let keys = given.uve_key.iter().filter_map(|key| {
        let (uve_type, name) = key.split_once(':').unwrap_or((key, "*"));
        let table = table_of_uve_type(uve_type);
        if table.is_none() {
            problems.push(format!("`uve_keys` has `{uve_type}`; expected a UVE type such as virtual-network"));
        }
        table.map(|table| format!("{table}:{name}"))
    });
    let keys: Vec<_> = keys.collect();
    if given.uve_key.is_empty() {
        problems.push("`uve_keys` is empty; name a UVE type such as virtual-network".to_owned());
    }
    keys
}

fn term(expression: Expression) -> Result<Term, String> {
    let Expression { operand1, operation, operand2, variables } = expression;
    let Some(parsed) = Operation::parse(&operation) else {
        let known: Vec<_> = Operation::ALL.iter().map(|(_, text)| *text).collect();
        return Err(format!("`operation` is {operation:?}; expected one of {}", known.join(", ")));
    };
    let right = match (operand2.json_value, operand2.uve_attribute) {
        (Some(json), None) => {
            let value = serde_json::from_str(&json);
            Right::Constant(
                value.map_err(|_| format!("`json_value` is {json:?}; expected a text with JSON, such as \"2.5\""))?,
            )
        }
        (None, Some(path)) => Right::Path(Path::parse(&path)),
        _ => return Err(format!("`operand2` of {operand1}: expected either json_value or uve_attribute")),
    };
    operand_fits(parsed, &right).map_err(|problem| format!("`operand2` of {operand1} {operation}: {problem}"))?;
    let variables = variables.unwrap_or_default().iter().map(|path| Path::parse(path)).collect();
    Ok(Term { left: Path::parse(&operand1), operation: parsed, right, variables })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(severity: u64, key: &str, expression: &str) -> String {
        format!(
            r#"{{"alarm":{{"parent_type":"project","fq_name":["d","p","a"],"uve_keys":{{"uve_key":["{key}"]}},
            "alarm_severity":{severity},"uuid":"1","id_perms":{{"enable":true,"description":"{{x}}"}},
            "alarm_rules":{{"or_list":[{{"and_list":[{expression}]}}]}}}}}}"#
        )
    }

    const GOOD: &str = r#"{"operand1":"A-S-b.value.sigma","operation":"range","operand2":{"json_value":"[70, 90]"},"variables":["A-S-b.value.metric"]}"#;

    #[test]
    fn an_alarm_of_a_project_is_for_the_objects_of_the_project() {
        let rules = rules(&alarm(2, "virtual-network", GOOD)).unwrap();
        let [rule] = rules.as_slice() else { panic!("{rules:?}") };
        assert_eq!((rule.severity, rule.text.as_str(), rule.absent), (Severity::Minor, "{{x}", Absent::Null));
        assert_eq!(rule.condition.to_string(), "A-S-b.value.sigma range [70,90]");
        let keys = ["ObjectVNTable:d:p:vn1", "ObjectVNTable:d:q:vn1", "ObjectVNTable:d:p:x:vn1", "Other:d:p:vn1"];
        assert_eq!(keys.map(|key| rule.is_for(key)), [true, false, false, false]);
    }

    #[test]
    fn every_operation_of_contrail_is_read() {
        for (operation, text) in Operation::ALL {
            let json = match operation {
                Operation::In | Operation::NotIn | Operation::Range => "[1, 2]",
                _ => "1",
            };
            let text = format!(r#"{{"operand1":"A.b","operation":"{text}","operand2":{{"json_value":"{json}"}}}}"#);
            assert!(rules(&alarm(0, "virtual-network", &text)).is_ok(), "{text}");
        }
        let other = r#"{"operand1":"A.b","operation":"==","operand2":{"uve_attribute":"A.c"}}"#;
        assert!(rules(&alarm(0, "virtual-network:d:p:vn1", other)).is_ok());
    }

    #[test]
    fn an_answer_of_the_configuration_api_with_a_list_is_read() {
        let one = alarm(1, "virtual-network", GOOD);
        let bare = one.strip_prefix("{\"alarm\":").and_then(|rest| rest.strip_suffix('}')).unwrap();
        for list in [
            format!("{{\"alarms\":[{one},{one}]}}"),
            format!("{{\"alarms\":[{bare},{bare}]}}"),
            format!("[{one},{one}]"),
        ] {
            let found = rules(&list).unwrap();
            assert_eq!(found.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["d:p:a"; 2], "{list}");
        }
    }

    #[test]
    fn a_disabled_alarm_is_left_out() {
        assert_eq!(rules(&alarm(0, "virtual-network", GOOD).replace("true", "false")), Ok(Vec::new()));
    }

    #[test]
    fn a_problem_names_the_alarm_and_what_was_expected() {
        let cases = [
            (alarm(3, "virtual-network", GOOD), "`alarm_severity` is 3; expected 0 (critical), 1 (major) or 2 (minor)"),
            (alarm(1, "virtual-net", GOOD), "`uve_keys` has `virtual-net`; expected a UVE type"),
            (alarm(1, "virtual-network", &GOOD.replace("range", "~")), "`operation` is \"~\"; expected one of =="),
            (alarm(1, "virtual-network", &GOOD.replace("[70, 90]", "[90, 70]")), "expected a list of two numbers"),
            (alarm(1, "virtual-network", &GOOD.replace("[70, 90]", "[70")), "expected a text with JSON"),
            (alarm(1, "virtual-network", &GOOD.replace("json_value", "other")), "unknown field `other`"),
            (alarm(1, "virtual-network", ""), "has an empty list"),
            ("{}".to_owned(), "document 1 has no alarm; expected {\"alarm\": …}"),
            ("[1]".to_owned(), "document 1 has no alarm"),
            (
                r#"{"alarms":[{"alarm":{"fq_name":["d","p","a"],"uuid":"1"}}]}"#.to_owned(),
                "alarm \"d:p:a\": missing field `uve_keys`",
            ),
            (r#"{"alarms":[1]}"#.to_owned(), "document 1, alarm 1: "),
            ("{".to_owned(), "the file is not JSON"),
        ];
        for (text, expected) in cases {
            let problems = rules(&text).expect_err(&text);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}: {problems:?}");
        }
    }
}
