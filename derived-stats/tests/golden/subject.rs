//! The subjects of the tests: the crate through its public functions, and the model, under one trait.

use std::sync::Arc;

use derived_stats::{
    Annotation, AnnotationError, Context, MetricKind, Number, Pipeline, Silence, Spec, State, ValueType,
};

use crate::record::{Observed, observed};

/// One metric of one object.
pub(crate) trait Subject {
    /// Takes a sample; the name of the error if it is refused.
    fn update(&mut self, at: u64, value: Number) -> Option<String>;
    /// Ends a period.
    fn close(&mut self, now: u64, silence: Silence) -> Option<Observed>;
    fn is_active(&self) -> bool;
    fn report(&self, now: u64) -> Observed;
    fn running(&self, now: u64) -> Option<Observed>;
}

/// Compiles an annotation for samples of type `kind`.
pub(crate) fn compile(annotation: &str, kind: ValueType, is_agg: bool) -> Result<Arc<Spec>, AnnotationError> {
    let metric = if is_agg { MetricKind::Agg } else { MetricKind::Plain };
    let context = Context::new(kind).with_metric(metric);
    Spec::compile(&Annotation::parse(annotation)?, context).map(Arc::new)
}

/// The first word of the `Debug` form: the variant.
pub(crate) fn variant(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The crate, with a spec and a state.
pub(crate) struct BySpec {
    spec: Arc<Spec>,
    state: State,
}

impl BySpec {
    pub(crate) fn new(spec: Arc<Spec>) -> Self {
        let state = spec.start();
        Self { spec, state }
    }
}

impl Subject for BySpec {
    fn update(&mut self, at: u64, value: Number) -> Option<String> {
        self.spec.update(&mut self.state, at, value).err().map(|error| variant(&error))
    }

    fn close(&mut self, now: u64, silence: Silence) -> Option<Observed> {
        self.spec.close(&mut self.state, now, silence).map(observed)
    }

    fn is_active(&self) -> bool {
        self.spec.is_active(&self.state)
    }

    fn report(&self, now: u64) -> Observed {
        observed(self.spec.report(&self.state, now))
    }

    fn running(&self, now: u64) -> Option<Observed> {
        self.spec.running(&self.state, now).map(observed)
    }
}

/// The crate, with a pipeline.
pub(crate) struct ByPipeline(Option<Pipeline>);

impl ByPipeline {
    pub(crate) fn new(spec: Arc<Spec>) -> Self {
        Self(Some(Pipeline::new(spec)))
    }

    fn pipeline(&self) -> &Pipeline {
        self.0.as_ref().unwrap()
    }
}

impl Subject for ByPipeline {
    fn update(&mut self, at: u64, value: Number) -> Option<String> {
        self.0.as_mut().unwrap().update(at, value).err().map(|error| variant(&error))
    }

    fn close(&mut self, now: u64, silence: Silence) -> Option<Observed> {
        let mut pipeline = self.0.take().unwrap().with_silence(silence);
        let report = pipeline.close_period(now).map(observed);
        self.0 = Some(pipeline);
        report
    }

    fn is_active(&self) -> bool {
        self.pipeline().is_active()
    }

    fn report(&self, now: u64) -> Observed {
        observed(self.pipeline().report(now))
    }

    fn running(&self, now: u64) -> Option<Observed> {
        self.pipeline().running(now).map(observed)
    }
}
