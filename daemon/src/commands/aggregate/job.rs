//! The job: the compiled annotation or schema of the command line.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use daemon_base::setting::file;
use daemon_sources::timestamp::TimeUnit;
use derived_stats::{Description, MetricKind, Registry, Spec, ValueType};
use proxy_uve::schema::{ProxyType, ProxyTypeErrorKind, Schema};
use proxy_uve::{NotMergeable, Plan, StreamName};

use crate::commands::aggregate::JobArgs;
use crate::commands::aggregate::check::TypeSource;

/// The field of a record with its number.
const NUMBER: &str = "value";

/// The part of partial states in a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Parts {
    /// Samples give results.
    None,
    /// Samples give partial states.
    Made,
    /// Partial states give results.
    Merged,
}

/// The proxy types to run, compiled, with the form of their rows.
#[derive(Debug)]
pub(crate) struct Job {
    /// One plan for all attributes: their names are in the rows, not in the plan.
    pub(crate) plan: Arc<Plan>,
    /// The names of the types, if rows begin with the name of their result.
    pub(crate) type_names: Option<Vec<String>>,
    /// The columns of the results, if all results have the same.
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) type_source: TypeSource,
    /// The unit of the timestamps of the records.
    pub(crate) unit: TimeUnit,
    /// Whether a metric is a counter whose differences can overflow its type; those of unsigned readings cannot.
    pub(crate) may_overflow: bool,
}

impl Job {
    /// The job of these arguments: one annotation, or the types of a schema, or the built-in ones.
    ///
    /// # Errors
    ///
    /// Fails if an annotation or a schema is invalid, or has no partial states; the error has location and remedy.
    pub(crate) fn of(args: &JobArgs, unit: TimeUnit, parts: Parts, registry: &Registry) -> anyhow::Result<Self> {
        let types = match (&args.annotation, &args.schema) {
            (Some(text), None) => vec![Arc::new(annotated(text, args, registry)?)],
            (None, Some(path)) => {
                let text = file::read_text(path).with_context(|| format!("read {}", path.display()))?;
                let schema = Schema::parse_with(&path.display().to_string(), &text, registry);
                schema.map_err(|errors| anyhow!("{errors}"))?.types().cloned().collect()
            }
            (None, None) => Schema::builtin().types().cloned().collect(),
            (Some(_), Some(_)) => bail!("give --annotation or --schema, not both"),
        };
        let stream = StreamName::new("Recorded", NUMBER).context("name the stream")?;
        let names = types.iter().map(|proxy_type| proxy_type.name().to_owned()).collect();
        let attributes = types.iter().flat_map(|proxy_type| proxy_type.attributes());
        let is_counter = |spec: &Spec| spec.metric() == MetricKind::Agg || spec.takes_increases();
        let may_overflow = |spec: &Spec| is_counter(spec) && spec.value_type() != ValueType::U64;
        let columns: Vec<Vec<String>> = attributes
            .clone()
            .map(|attribute| column_names(attribute.spec.description()))
            .collect::<anyhow::Result<_>>()?;
        let alike = columns.windows(2).all(|pair| pair[0] == pair[1]);
        Ok(Self {
            unit,
            columns: columns.into_iter().next().filter(|_| alike),
            plan: Arc::new(plan(stream, &types, parts)?),
            type_names: args.annotation.is_none().then_some(names),
            type_source: TypeSource::of(args),
            may_overflow: attributes.map(|attribute| &attribute.spec).any(|spec| may_overflow(spec)),
        })
    }
}

/// The names in a row that are not those of numbers of the result.
const ROW_NAMES: [&str; 5] = ["result", "key", "attr", "window", "error"];

/// The plan of a job.
fn plan(stream: StreamName, types: &[Arc<ProxyType>], parts: Parts) -> Result<Plan, NotMergeable> {
    if parts == Parts::None {
        return Ok(Plan::new(stream, types));
    }
    // Also where they are merged: types that have no partial states are an error, not results that never come.
    let of_partials = Plan::for_partials(stream.clone(), types)?;
    Ok(if parts == Parts::Made { of_partials } else { Plan::new(stream, types) })
}

/// The names of the columns of a result.
fn column_names(description: &Description) -> anyhow::Result<Vec<String>> {
    let names: Vec<_> = description.columns().iter().map(|(_, name)| name.to_string()).collect();
    anyhow::ensure!(
        !names.is_empty(),
        "the result of {} has no column with a number; choose an algorithm that has one",
        description.algorithm()
    );
    if let Some(name) = names.iter().find(|name| ROW_NAMES.contains(&name.as_str())) {
        bail!(
            "a number in the result of {} is named `{name}`, as a part of every row is; choose another name",
            description.algorithm()
        );
    }
    Ok(names)
}

/// A proxy type with the annotation as its only result, whose objects never expire.
fn annotated(text: &str, args: &JobArgs, registry: &Registry) -> anyhow::Result<ProxyType> {
    let builder = ProxyType::builder("Annotation", args.value_type.into())
        .raw(NUMBER)
        .period(Duration::from_secs(args.period.into()))
        .silence(args.silence.into())
        .registry(registry)
        .result("result", text);
    builder.build().map_err(|error| match error.kind() {
        // The text and carets of the only annotation are enough.
        ProxyTypeErrorKind::Annotation { error, .. } => anyhow!("{error}"),
        kind => anyhow!("--annotation {text} --period {}: {kind}", args.period),
    })
}
