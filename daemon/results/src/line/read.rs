//! Lines read back as typed rows.
//!
//! A line has no types. Of a UVE name that this daemon is configured for they come from its proxy type: every
//! attribute, field and constant of the line must be one of it. Otherwise they come from the printed form: a number
//! without fraction and exponent is an integer, another one a double, a text in the object `state` that six digits
//! print is a double, and a constant text is part of the shape.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use derived_stats::Record;
use proxy_uve::Plan;
use serde::Deserialize;

use crate::block::{Row, UveShape, is_plain_name};
use crate::line::printed::{Data, Printed};
use crate::line::{guess, recover};

/// Shapes of printed forms that a reader remembers.
const MAX_PRINTED: usize = 1024;

/// Why a line cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("it is not a result ({0})")]
    Form(#[from] serde_json::Error),
    #[error("`{0}` is not a name without quotes, backslashes and control characters")]
    Name(String),
    #[error("the attribute `{0}` is neither a number nor an object of at most 10 numbers, texts, and objects of those")]
    Value(String),
}

/// Reads lines.
#[derive(Debug, Default)]
pub struct LineReader {
    /// The shapes of the configured proxy types, by UVE name.
    configured: HashMap<Box<str>, Arc<UveShape>>,
    /// Shapes of printed forms, by their definitions.
    printed: HashMap<Box<[u8]>, Arc<UveShape>>,
    /// The row at hand, where the line does not have it as it is.
    key: String,
    shape: Arc<UveShape>,
    values: Vec<(usize, Record)>,
}

#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    key: Cow<'l, str>,
    #[serde(borrow)]
    uve: Cow<'l, str>,
    start: u64,
    #[serde(default)]
    end: u64,
    #[serde(borrow)]
    data: Data<'l>,
}

impl LineReader {
    /// A reader that recovers the types of what `plans` compute.
    pub fn new(plans: &[Arc<Plan>]) -> Self {
        let uves = plans.iter().flat_map(|plan| plan.uves().map(move |uve| (plan, uve)));
        let shape = |(plan, uve): (&Arc<Plan>, proxy_uve::UveDescription<'_>)| {
            (uve.name().into(), Arc::new(UveShape::of(&uve, &plan.stream().to_string())))
        };
        Self { configured: uves.map(shape).collect(), ..Self::default() }
    }

    /// Reads a line that holds a result.
    ///
    /// # Errors
    ///
    /// [`LineError`] if it is not of the form that [`write`](super::write) gives a row.
    pub fn row(&mut self, line: &[u8]) -> Result<Row<'_>, LineError> {
        let Line { key, uve, start, end, data } = serde_json::from_slice(line)?;
        if !is_plain_name(&uve) {
            return Err(LineError::Name(uve.into_owned()));
        }
        self.values.clear();
        self.shape = match self.configured.get(&*uve).filter(|shape| data.proxy.as_deref() == Some(&*shape.proxy)) {
            Some(shape) if recover::values(shape, &data, &mut self.values) => Arc::clone(shape),
            _ => self.print(&uve, &data)?,
        };
        self.key.clear();
        self.key.push_str(&key);
        let Data { deleted, partial, .. } = data;
        Ok(Row { key: &self.key, shape: &self.shape, start, end, deleted, partial, values: &self.values })
    }

    /// The shape of a printed form, and its values.
    fn print(&mut self, uve: &str, data: &Data<'_>) -> Result<Arc<UveShape>, LineError> {
        self.values.clear();
        let mut attributes = Vec::with_capacity(data.attributes.len());
        for (index, (name, printed)) in data.attributes.iter().enumerate() {
            let (shape, record) = guess::attribute(name, printed)?;
            attributes.push(shape);
            self.values.push((index, record));
        }
        let proxy = data.proxy.as_deref().unwrap_or_default();
        let shape = UveShape { uve: uve.into(), proxy: proxy.into(), attributes: attributes.into() };
        let definition = shape.definition();
        if let Some(known) = self.printed.get(&*definition) {
            return Ok(Arc::clone(known));
        }
        if self.printed.len() >= MAX_PRINTED {
            self.printed.clear();
        }
        let shape = Arc::new(shape);
        self.printed.insert(definition.into(), Arc::clone(&shape));
        Ok(shape)
    }
}

/// The members of an object.
pub(super) type Members<'l> = [(Cow<'l, str>, Printed<'l>)];
