//! A pipeline and the events that it gets.

use std::collections::HashSet;
use std::sync::Arc;

use derived_stats::{MapPipeline, Number, Pipeline, Spec};

use super::answer::Answers;
use super::event::Event;
use super::number;

/// The pipeline under evaluation.
#[derive(Debug)]
pub(super) struct Session {
    metric: Metric,
    /// The newest time seen, in microseconds: what a report and the end of a period take for now.
    newest: u64,
}

#[derive(Debug)]
enum Metric {
    Map(MapPipeline),
    Scalar(Pipeline),
}

impl Session {
    /// A pipeline before its first event; with `mstats` one for each key.
    pub(super) fn new(spec: Arc<Spec>, mstats: bool) -> Self {
        let metric = if mstats { Metric::Map(MapPipeline::new(spec)) } else { Metric::Scalar(Pipeline::new(spec)) };
        Self { metric, newest: 0 }
    }

    /// Takes an event and writes its answer.
    pub(super) fn answer(&mut self, event: Event<'_>, answers: &mut Answers) {
        let newest = &mut self.newest;
        match (&mut self.metric, event) {
            (Metric::Scalar(pipeline), Event::Period) => answers.scalar(pipeline.close_period(*newest)),
            (Metric::Map(pipelines), Event::Period) => answers.map(&pipelines.close_period(*newest), None),
            (Metric::Scalar(pipeline), Event::Sample { at, value }) => {
                match take(pipeline, at, value) {
                    Ok(()) => *newest = at.max(*newest),
                    Err(error) => return answers.error(&error),
                }
                answers.scalar((!pipeline.spec().is_periodic()).then(|| pipeline.report(*newest)));
            }
            (Metric::Map(pipelines), Event::Map { at, values, deleted }) => {
                let taken = take_map(pipelines, at, &values, &deleted);
                if !taken.any {
                    return answers.error(&taken.refused.join("; "));
                }
                *newest = at.max(*newest);
                let error = (!taken.refused.is_empty()).then(|| taken.refused.join("; "));
                let inline = !pipelines.spec().is_periodic();
                let reports: Vec<_> = inline.then(|| pipelines.reports(*newest)).into_iter().flatten().collect();
                answers.map(&reports, error.as_deref());
            }
            (Metric::Scalar(_), Event::Map { .. }) => {
                answers.error("the pipeline takes one `value`; start with --mstats for maps of `values`");
            }
            (Metric::Map(_), Event::Sample { .. }) => {
                answers.error("the pipeline takes a map of `values`; start without --mstats for one `value`");
            }
        }
    }
}

fn take(pipeline: &mut Pipeline, at: u64, value: &str) -> Result<(), String> {
    let value = number::sample(value, pipeline.spec().value_type()).map_err(|error| format!("`value` {error}"))?;
    pipeline.update(at, value).map_err(|error| error.to_string())
}

/// What became of the parts of a map.
struct Taken {
    /// Whether the event did anything, if only deleting or emptying.
    any: bool,
    /// One sentence for each refused key.
    refused: Vec<String>,
}

/// Takes a map key by key, so that every refused key can be named.
fn take_map(pipelines: &mut MapPipeline, at: u64, values: &[(String, &str)], deleted: &[String]) -> Taken {
    let expected = pipelines.spec().value_type();
    let mut taken = Taken { any: values.is_empty() || !deleted.is_empty(), refused: Vec::new() };
    if taken.any {
        // Without values and marks this is the empty map; the marks come before the values in any case.
        let nothing: [(&str, Number); 0] = [];
        let marks = deleted.iter().map(String::as_str);
        taken.refused.extend(pipelines.update(at, nothing, marks).err().map(|error| error.to_string()));
    }
    let marked: HashSet<&str> = deleted.iter().map(String::as_str).collect();
    for (key, literal) in values {
        match number::sample(literal, expected) {
            Err(error) => taken.refused.push(format!("the value of key `{key}` {error}")),
            Ok(_) if marked.contains(key.as_str()) => {}
            Ok(value) => match pipelines.update(at, [(key.as_str(), value)], []) {
                Ok(()) => taken.any = true,
                Err(error) => taken.refused.push(error.to_string()),
            },
        }
    }
    taken
}
