//! The rows of a scored series as text: CSV or JSON lines.

use std::io::{self, Write};

use serde_json::{Number, Value};

use crate::labels::{Range, rows};
use crate::run::Scored;
use crate::timestamp;

/// The form of the rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Lines of fields with commas, after a line of names. An absent number is an empty field.
    Csv,
    /// A JSON object a line. An absent number is `null`.
    Json,
}

/// The names of the fields; the last one is present if there are labels.
const NAMES: [&str; 10] =
    ["timestamp", "value", "score", "expected", "low", "high", "strangeness", "threshold", "alarm", "label"];

/// Writes the rows of a series. `labels` are the time ranges of known anomalies, if there are labels.
///
/// ```
/// use daemon_detect::rows::{Form, write};
///
/// let mut text = Vec::new();
/// write(&mut text, Form::Csv, &[], None)?;
/// assert_eq!(text, b"timestamp,value,score,expected,low,high,strangeness,threshold,alarm\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// When the output cannot be written.
pub fn write(output: &mut impl Write, form: Form, scored: &[Scored], labels: Option<&[Range]>) -> io::Result<()> {
    let labelled = labels.map(|labels| labelled(scored, labels));
    let names = if labelled.is_some() { &NAMES[..] } else { NAMES.split_last().map_or(&[][..], |(_, names)| names) };
    if form == Form::Csv {
        writeln!(output, "{}", names.join(","))?;
    }
    for (row, one) in scored.iter().enumerate() {
        let label = labelled.as_ref().map(|labelled| labelled.get(row).copied().unwrap_or_default());
        let strangeness = one.score.map(|_| one.strangeness);
        let numbers = [Some(one.value), one.score, one.expected, one.low, one.high, strangeness, one.threshold];
        let flags = [Some(one.is_alarm), label].into_iter().flatten();
        match form {
            Form::Csv => {
                write!(output, "{}", timestamp::print(one.at))?;
                for number in numbers {
                    match number {
                        Some(number) => write!(output, ",{number}")?,
                        None => write!(output, ",")?,
                    }
                }
                for flag in flags {
                    write!(output, ",{}", u8::from(flag))?;
                }
                writeln!(output)?;
            }
            Form::Json => {
                let number = |number: Option<f64>| number.and_then(Number::from_f64).map_or(Value::Null, Value::Number);
                let values = [Value::from(timestamp::print(one.at))].into_iter().chain(numbers.map(number));
                let values = values.chain(flags.map(Value::Bool));
                let fields = names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}"));
                writeln!(output, "{{{}}}", fields.collect::<Vec<_>>().join(","))?;
            }
        }
    }
    Ok(())
}

/// Whether each row is in a range.
fn labelled(scored: &[Scored], labels: &[Range]) -> Vec<bool> {
    let times: Vec<u64> = scored.iter().map(|one| one.at).collect();
    let mut labelled = vec![false; scored.len()];
    for (first, last) in rows(&times, labels) {
        labelled.get_mut(first..=last).into_iter().flatten().for_each(|label| *label = true);
    }
    labelled
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_488_000_000_000_000;

    #[test]
    fn both_forms_have_the_same_fields() {
        let absent = Scored {
            at: START,
            value: 1e300,
            score: None,
            strangeness: 0.0,
            threshold: None,
            expected: None,
            low: None,
            high: None,
            is_alarm: false,
        };
        let alarm =
            Scored { at: START + 60_000_000, score: Some(-0.5), low: Some(0.1), is_alarm: true, value: 3.0, ..absent };
        let alarm = Scored { strangeness: 2.5, threshold: Some(2.0), ..alarm };
        let written = |form, labels| {
            let mut text = Vec::new();
            write(&mut text, form, &[absent, alarm], labels).unwrap();
            String::from_utf8(text).unwrap()
        };
        let labels = [(START + 1, START + 60_000_000)];
        let large = format!("1{}", "0".repeat(300));
        let csv = format!(
            "timestamp,value,score,expected,low,high,strangeness,threshold,alarm,label\n2017-02-25T05:20:00Z,{large},,,,,,,0,0\n\
             2017-02-25T05:21:00Z,3,-0.5,,0.1,,2.5,2,1,1\n"
        );
        assert_eq!(written(Form::Csv, Some(&labels)), csv);
        let json = r#"{"timestamp":"2017-02-25T05:20:00Z","value":1e+300,"score":null,"expected":null,"low":null,"high":null,"strangeness":null,"threshold":null,"alarm":false}
{"timestamp":"2017-02-25T05:21:00Z","value":3.0,"score":-0.5,"expected":null,"low":0.1,"high":null,"strangeness":2.5,"threshold":2.0,"alarm":true}
"#;
        assert_eq!(written(Form::Json, None), json);
    }
}
