//! The session: a pipeline, the events applied to it, and their answers.

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
    /// The newest time so far, in microseconds: the current time of reports and period ends.
    newest: u64,
}

#[derive(Debug)]
enum Metric {
    Map(MapPipeline),
    Scalar(Pipeline),
}

impl Session {
    /// A session before its first event; with `mstats` each key has its own pipeline.
    pub(super) fn new(spec: Arc<Spec>, mstats: bool) -> Self {
        let metric = if mstats { Metric::Map(MapPipeline::new(spec)) } else { Metric::Scalar(Pipeline::new(spec)) };
        Self { metric, newest: 0 }
    }

    /// Applies an event and writes its answer.
    pub(super) fn answer(&mut self, event: Event<'_>, answers: &mut Answers) {
        let newest = &mut self.newest;
        match (&mut self.metric, event) {
            (Metric::Scalar(pipeline), Event::Period) => answers.scalar(pipeline.close_period(*newest)),
            (Metric::Map(pipelines), Event::Period) => answers.map(&pipelines.close_period(*newest), None),
            (Metric::Scalar(pipeline), Event::Sample { at, value }) => {
                match update(pipeline, at, value) {
                    Ok(()) => *newest = at.max(*newest),
                    Err(error) => return answers.error(&error),
                }
                answers.scalar((!pipeline.spec().is_periodic()).then(|| pipeline.report(*newest)));
            }
            (Metric::Map(pipelines), Event::Map { at, values, deleted }) => {
                let update = update_map(pipelines, at, &values, &deleted);
                if !update.is_applied {
                    return answers.error(&update.errors.join("; "));
                }
                *newest = at.max(*newest);
                let error = (!update.errors.is_empty()).then(|| update.errors.join("; "));
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

fn update(pipeline: &mut Pipeline, at: u64, value: &str) -> Result<(), String> {
    let value = number::sample(value, pipeline.spec().value_type()).map_err(|error| format!("`value` {error}"))?;
    pipeline.update(at, value).map_err(|error| error.to_string())
}

/// The outcome of the update of a map.
struct MapUpdate {
    /// Whether the event changed anything; a deletion or the empty map does.
    is_applied: bool,
    /// One sentence for each rejected key.
    errors: Vec<String>,
}

/// Updates a map key by key, so that the error can name every rejected key.
fn update_map(pipelines: &mut MapPipeline, at: u64, values: &[(String, &str)], deleted: &[String]) -> MapUpdate {
    let expected = pipelines.spec().value_type();
    let mut update = MapUpdate { is_applied: values.is_empty() || !deleted.is_empty(), errors: Vec::new() };
    if update.is_applied {
        // Without values and marks this is the empty map. Marks apply before values.
        let nothing: [(&str, Number); 0] = [];
        let marks = deleted.iter().map(String::as_str);
        update.errors.extend(pipelines.update(at, nothing, marks).err().map(|error| error.to_string()));
    }
    let marked: HashSet<&str> = deleted.iter().map(String::as_str).collect();
    for (key, literal) in values {
        match number::sample(literal, expected) {
            Err(error) => update.errors.push(format!("the value of key `{key}` {error}")),
            Ok(_) if marked.contains(key.as_str()) => {}
            Ok(value) => match pipelines.update(at, [(key.as_str(), value)], []) {
                Ok(()) => update.is_applied = true,
                Err(error) => update.errors.push(error.to_string()),
            },
        }
    }
    update
}
