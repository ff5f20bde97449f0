//! The numbers of a result as series of Prometheus, for remote write and for scrapes.
//!
//! | series | labels | value |
//! |---|---|---|
//! | `<type>_<field>` | `table`, `name`, `stream` | a number of the result |
//! | `anomaly_score`, `anomaly_value`, `anomaly_expected`, `anomaly_low`, `anomaly_high` | these, `type` and `attribute` | the number with this role, of an attribute with a score |
//!
//! `<field>` consists of attribute, group and field, as in InfluxDB: `value`, `state` and `mean` give `value_state_mean`.
//! A result that is a single number, and a field `value` without group, has the attribute's name alone: JSON shows the
//! first as the second. The band of a detector that states none is that of [`Reading`].
//!
//! Names of metrics have letters, digits, `_` and `:` (<https://prometheus.io/docs/concepts/data_model/>); any other
//! character becomes `_`.

use derived_stats::entry::Role;
use derived_stats::{FieldValue, Record};

use crate::block::{AttributeShape, Row, UveShape};
use crate::reading::Reading;

/// The name of a detector's score.
pub const SCORE: &str = "anomaly_score";

/// The names of the series of a detector, with the help text of each.
pub const DETECTOR: [(&str, &str); 5] = [
    ("anomaly_expected", "The value that the detector expects"),
    ("anomaly_high", "The upper end of the band without an anomaly"),
    ("anomaly_low", "The lower end of the band without an anomaly"),
    (SCORE, "The score of the detector"),
    ("anomaly_value", "The value that the detector evaluates"),
];

/// A sample of a series, or the end of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'s> {
    /// The name of the metric.
    pub name: &'s str,
    /// The attribute of a detector, for the labels `type` and `attribute`; `None` for a field.
    pub attribute: Option<&'s str>,
    /// The value; `None` if the object is withdrawn.
    pub value: Option<f64>,
}

/// The part of a UVE's name that is the proxy type.
pub fn type_of(uve: &str) -> &str {
    uve.split_once('-').map_or(uve, |(proxy_type, _)| proxy_type)
}

/// Calls `take` with each sample of a result; of a withdrawn object with each series that its type can have.
pub fn each(row: &Row<'_>, mut take: impl FnMut(&Sample<'_>)) {
    if row.deleted {
        return ends(row.shape, &mut take);
    }
    for (attribute, record) in row.attributes() {
        of_attribute(row.shape, attribute, &record, &mut take);
    }
}

/// Calls `take` with each sample of one attribute of a result.
pub fn of_attribute(shape: &UveShape, attribute: &AttributeShape, record: &Record, take: &mut impl FnMut(&Sample<'_>)) {
    let mut name = Name::new(type_of(&shape.uve), &attribute.name);
    if let Some(number) = attribute.bare_number(record) {
        take(&Sample { name: name.bare(), attribute: None, value: Some(number.as_f64()) });
    } else {
        for (field, content) in attribute.present(record) {
            let FieldValue::Number(number) = content else { continue };
            let name = name.of(field.group.as_deref(), &field.name);
            take(&Sample { name, attribute: None, value: Some(number.as_f64()) });
        }
    }
    if attribute.number_index(Role::Score).is_some() {
        let Reading { value, score, expected, low, high, .. } = Reading::of(attribute, record);
        for ((name, _), value) in DETECTOR.iter().zip([expected, high, low, score, value]) {
            if value.is_some() {
                take(&Sample { name, attribute: Some(&attribute.name), value });
            }
        }
    }
}

/// Calls `take` with every series that the type of a withdrawn object can have.
fn ends(shape: &UveShape, take: &mut impl FnMut(&Sample<'_>)) {
    for attribute in &shape.attributes {
        let mut name = Name::new(type_of(&shape.uve), &attribute.name);
        if attribute.shown == crate::block::Shown::Number {
            take(&Sample { name: name.bare(), attribute: None, value: None });
        } else {
            for field in attribute.fields.iter().filter(|field| field.value_type().is_some()) {
                let name = name.of(field.group.as_deref(), &field.name);
                take(&Sample { name, attribute: None, value: None });
            }
        }
        if attribute.number_index(Role::Score).is_some() {
            for (name, _) in &DETECTOR {
                take(&Sample { name, attribute: Some(&attribute.name), value: None });
            }
        }
    }
}

/// A buffer for the names of the fields of an attribute.
struct Name {
    text: String,
    /// The length of the type and the attribute.
    base: usize,
}

impl Name {
    fn new(proxy_type: &str, attribute: &str) -> Self {
        let mut text = String::with_capacity(64);
        if proxy_type.starts_with(|first: char| first.is_ascii_digit()) {
            text.push('_');
        }
        push(&mut text, proxy_type);
        text.push('_');
        push(&mut text, attribute);
        Self { base: text.len(), text }
    }

    fn bare(&self) -> &str {
        &self.text
    }

    fn of(&mut self, group: Option<&str>, field: &str) -> &str {
        self.text.truncate(self.base);
        if group.is_none() && field == "value" {
            return &self.text;
        }
        for part in [group, Some(field)].into_iter().flatten() {
            self.text.push('_');
            push(&mut self.text, part);
        }
        &self.text
    }
}

/// Appends a part of a name; a character that no name has becomes `_`.
fn push(text: &mut String, part: &str) {
    let is_legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | ':');
    text.extend(part.chars().map(|character| if is_legal(character) { character } else { '_' }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::LineReader;

    /// The samples of a line as texts.
    fn samples(line: &str, reader: &mut LineReader) -> Vec<String> {
        let mut found = Vec::new();
        each(&reader.row(line.as_bytes()).unwrap(), |sample| {
            let Sample { name, attribute, value } = sample;
            found.push(format!("{name}{} {value:?}", attribute.map(|it| format!("{{{it}}}")).unwrap_or_default()));
        });
        found
    }

    #[test]
    fn a_number_is_a_series_named_by_type_attribute_group_and_field_and_a_text_is_none() {
        let line = |uve: &str, data: &str| format!(r#"{{"key":"T:a","uve":"{uve}","start":0,"end":60,"data":{data}}}"#);
        let of = |uve: &str, data: &str| samples(&line(uve, data), &mut LineReader::default());
        let sum = of("AggProxySum-A-b", r#"{"deleted":false,"proxy":"A-b","value":{"value":36}}"#);
        assert_eq!(sum, ["AggProxySum_value Some(36.0)"]);
        let odd = of("9é:p-A-b", r#"{"deleted":false,"a.b":{"c d":{"e":1.5}},"plain":-7}"#);
        assert_eq!(odd, ["_9_:p_a_b_c_d_e Some(1.5)", "_9_:p_plain Some(-7.0)"]);
    }

    #[test]
    fn a_detector_has_its_score_with_the_band_and_a_withdrawn_object_ends_all_of_its_series() {
        use crate::block::{BlockReader, BlockSink, MAX_BLOCK_BYTES, sample};
        use derived_stats::Number;

        let plan = sample::plan();
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let [mean, stddev, sigma] = [10.0, 2.0, 2.0].map(Number::F64);
        let numbers = [Number::U64(20), mean, stddev, sigma, Number::U64(14)];
        sample::send(&plan, &mut sink, 1, "T:a", Some(Record::new(numbers)));
        sample::send(&plan, &mut sink, 1, "T:a", None);
        let (block, mut reader) = (sample::first_block(&mut sink), BlockReader::default());
        let mut rows = reader.rows(&block).unwrap();
        let mut names = [Vec::new(), Vec::new()];
        for found in &mut names {
            each(&rows.next().unwrap().unwrap(), |sample| {
                found.push((sample.name.to_owned(), sample.attribute.map(str::to_owned), sample.value));
            });
        }
        let [given, ended] = &names;
        let value = |name: &str| given.iter().find(|(found, ..)| found == name).and_then(|(_, _, value)| *value);
        assert_eq!(value("AggProxySumAnomalyEWM01_value_sigma"), Some(2.0));
        assert_eq!(
            [value(SCORE), value("anomaly_value"), value("anomaly_expected")],
            [Some(2.0), Some(14.0), Some(10.0)]
        );
        assert_eq!([value("anomaly_low"), value("anomaly_high")], [Some(5.0), Some(15.0)]);
        assert!(ended.iter().all(|(_, _, value)| value.is_none()));
        let names = |of: &[(String, Option<String>, Option<f64>)]| -> Vec<_> {
            of.iter().map(|(name, attribute, _)| (name.clone(), attribute.clone())).collect()
        };
        assert_eq!(names(given), names(ended), "every series that there was ends");
    }
}
