//! What to compute: the annotation or the schema of the command line, compiled.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use derived_stats::{Annotation, Context, MetricKind, Periods, Registry, Spec, ValueType};
use proxy_uve::schema::{ProxyType, RawField, ResultAttribute, Schema};
use proxy_uve::{Plan, StreamName};

use crate::cli::AggregateArgs;

/// The field of a record that holds its number.
const NUMBER: &str = "value";

/// The proxy types to run.
#[derive(Debug)]
pub(crate) struct What {
    /// The same for all attributes: their names stand in the rows, not in the plan.
    pub(crate) plan: Arc<Plan>,
    /// The names of the types, if rows have to say which result they are of.
    pub(crate) type_names: Option<Vec<String>>,
    /// Whether all results are those of detectors.
    pub(crate) is_detector: bool,
}

impl What {
    /// As the arguments say: one annotation, or the types of a schema, or the built-in ones.
    ///
    /// # Errors
    ///
    /// With place and remedy, when an annotation or a schema is wrong.
    pub(crate) fn of(args: &AggregateArgs, registry: &Registry) -> anyhow::Result<Self> {
        let types = match (&args.annotation, &args.schema) {
            (Some(text), None) => vec![Arc::new(annotated(text, args, registry)?)],
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
                let schema = Schema::parse_with(&path.display().to_string(), &text, registry);
                schema.map_err(|errors| anyhow!("{errors}"))?.types().cloned().collect()
            }
            (None, None) => Schema::builtin().types().cloned().collect(),
            (Some(_), Some(_)) => bail!("give --annotation or --schema, not both"),
        };
        let stream = StreamName::new("Recorded", NUMBER).context("name the stream")?;
        let names = types.iter().map(|proxy_type| proxy_type.name.clone()).collect();
        let attributes = types.iter().flat_map(|proxy_type| &proxy_type.attributes);
        Ok(Self {
            is_detector: attributes.clone().all(|attribute| !attribute.spec.restarts_with_period()),
            plan: Arc::new(Plan::new(stream, &types)),
            type_names: args.annotation.is_none().then_some(names),
        })
    }
}

/// A proxy type with the annotation as its only result. Its objects live for ever.
fn annotated(text: &str, args: &AggregateArgs, registry: &Registry) -> anyhow::Result<ProxyType> {
    let (period_seconds, value) = (args.period, ValueType::from(args.value_type));
    let annotation = Annotation::parse(text).map_err(|error| anyhow!("{error}"))?;
    let source = annotation.source();
    if source.component().is_some() || source.attribute().as_str() != NUMBER {
        bail!(
            "the annotation {text} does not read `{NUMBER}`, where the number of a record is; write `{NUMBER}` for it"
        );
    }
    let metric = MetricKind::Plain;
    let periods = Periods::Every { seconds: period_seconds };
    let context = Context { value, metric, periods, registry: Some(registry) };
    let spec = Spec::compile(&annotation, context).map_err(|error| anyhow!("{error}"))?;
    let result = ResultAttribute {
        name: NUMBER.to_owned(),
        spec: Arc::new(spec),
        hidden: false,
        tags: Vec::new(),
        result_type: String::new(),
    };
    Ok(ProxyType {
        name: "Annotation".to_owned(),
        period_seconds,
        timeout: 0,
        silence: args.silence.into(),
        raw: RawField { name: NUMBER.to_owned(), value, metric },
        attributes: vec![result],
    })
}
