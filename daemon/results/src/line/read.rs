//! The decoder of lines, which returns typed rows.
//!
//! A line has no types. If the daemon has a proxy type for the UVE name, the types come from the proxy type, provided
//! that it has every attribute, field and constant of the line. Otherwise the reader infers the types from the printed
//! form: a number without fraction and exponent is an integer, any other number is a double, a text in the object
//! `state` is a double if the six-digit form of a double prints it, and any other text is a constant of the shape.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use proxy_uve::Plan;
use serde::Deserialize;

use crate::block::{Row, UveShape, ValuesBuffer, is_plain_name};
use crate::line::printed::{Data, Printed};
use crate::line::{infer, recover};

/// The number of inferred shapes that a reader caches.
const MAX_INFERRED: usize = 1024;

/// An error of a line that is not a result.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is not JSON of the form of a result.
    #[error("it is not a result ({0})")]
    Form(#[from] serde_json::Error),
    /// The name of the UVE, of an attribute or of a field has characters that no name has.
    #[error("`{0}` is not a name without quotes, backslashes and control characters")]
    Name(String),
    /// The attribute with this name has a value that no result has.
    #[error("the attribute `{0}` is neither a number nor an object of at most 64 numbers, texts, and objects of those")]
    Value(String),
}

/// A reader of lines, with the configured proxy types and a cache of inferred shapes.
#[derive(Debug, Default)]
pub struct LineReader {
    /// The shapes of the configured proxy types, by UVE name.
    configured: HashMap<Box<str>, Arc<UveShape>>,
    /// The inferred shapes, by their definitions.
    inferred: HashMap<Box<[u8]>, Arc<UveShape>>,
    /// The key of the current row.
    key: String,
    shape: Arc<UveShape>,
    values: ValuesBuffer,
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
    /// Creates a reader that takes the types of results from `plans`.
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
    /// [`LineError`] if the line does not have the form that [`write`](super::write) writes.
    pub fn row(&mut self, line: &[u8]) -> Result<Row<'_>, LineError> {
        let Line { key, uve, start, end, data } = serde_json::from_slice(line)?;
        if !is_plain_name(&uve) {
            return Err(LineError::Name(uve.into_owned()));
        }
        self.values.clear();
        self.shape = match self.configured.get(&*uve).filter(|shape| data.proxy.as_deref() == Some(&*shape.proxy)) {
            Some(shape) if recover::values(shape, &data, &mut self.values) => Arc::clone(shape),
            _ => self.infer(&uve, &data)?,
        };
        self.key.clear();
        self.key.push_str(&key);
        let Data { deleted, partial, .. } = data;
        Ok(Row { key: &self.key, shape: &self.shape, start, end, deleted, partial, values: self.values.values() })
    }

    /// Infers the shape and the values of a line.
    fn infer(&mut self, uve: &str, data: &Data<'_>) -> Result<Arc<UveShape>, LineError> {
        self.values.clear();
        let mut attributes = Vec::with_capacity(data.attributes.len());
        for (index, (name, printed)) in data.attributes.iter().enumerate() {
            let (shape, record) = infer::attribute(name, printed)?;
            self.values.push(&shape, index, &record);
            attributes.push(shape);
        }
        let proxy = data.proxy.as_deref().unwrap_or_default();
        let shape = UveShape { uve: uve.into(), proxy: proxy.into(), attributes: attributes.into() };
        let definition = shape.definition();
        if let Some(known) = self.inferred.get(&*definition) {
            return Ok(Arc::clone(known));
        }
        if self.inferred.len() >= MAX_INFERRED {
            self.inferred.clear();
        }
        let shape = Arc::new(shape);
        self.inferred.insert(definition.into(), Arc::clone(&shape));
        Ok(shape)
    }
}

/// The members of an object.
pub(super) type Members<'l> = [(Cow<'l, str>, Printed<'l>)];
