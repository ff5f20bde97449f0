//! The description of a plan's results, for a [`ResultSink`](crate::ResultSink) with a format of its own.

use derived_stats::Description;

use crate::table::plan::{InlinePlan, Plan, TypePlan};

/// The results of one proxy type: the name of the UVE and its attributes.
#[derive(Clone, Copy, Debug)]
pub struct UveDescription<'p> {
    plan: &'p Plan,
    type_index: usize,
    of_type: &'p TypePlan,
}

/// One attribute of a proxy UVE and the description of its results.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AttributeDescription<'p> {
    /// Its name, such as `value`: letters, digits and `_`.
    pub name: &'p str,
    /// Its results are of one sample each, not of a window.
    pub inline: bool,
    /// The length of its windows in microseconds; `None` for an inline attribute.
    pub window: Option<u64>,
    /// The names and types of the numbers.
    pub description: &'p Description,
}

impl Plan {
    /// The description of the results, for each proxy type in the order of
    /// [`Subject::type_index`](crate::Subject::type_index).
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use proxy_uve::schema::Schema;
    /// use proxy_uve::{Plan, StreamName};
    ///
    /// let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?;
    /// let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// let plan = Plan::new(stream, &types);
    /// let uve = plan.uves().next().expect("one type");
    /// assert_eq!(uve.name(), "AggProxySum-UveVirtualNetworkAgent-egress_flow_count");
    /// let attribute = uve.attributes().next().expect("one attribute");
    /// assert_eq!((attribute.name, attribute.description.algorithm()), ("value", "DSSum"));
    /// assert_eq!(attribute.window, Some(60_000_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn uves(&self) -> impl Iterator<Item = UveDescription<'_>> {
        let types = self.types.iter().enumerate();
        types.map(|(type_index, of_type)| UveDescription { plan: self, type_index, of_type })
    }
}

impl<'p> UveDescription<'p> {
    /// The name of the results in an object's UVE: `<Type>-<Struct>-<attribute>`.
    pub fn name(&self) -> &'p str {
        &self.of_type.uve_name
    }

    /// The attributes that are sent, in the order of the results: those of windows, then those of single samples.
    pub fn attributes(&self) -> impl Iterator<Item = AttributeDescription<'p>> + use<'p> {
        let windows = self.of_type.attributes.iter().map(|attribute| AttributeDescription {
            name: &attribute.name,
            inline: false,
            window: Some(attribute.window_length),
            description: attribute.description(),
        });
        let type_index = self.type_index;
        let is_sent = move |inline: &&InlinePlan| inline.type_index == type_index && !inline.hidden;
        let inline = self.plan.inline.iter().filter(is_sent).map(|inline| AttributeDescription {
            name: &inline.name,
            inline: true,
            window: None,
            description: inline.spec.description(),
        });
        windows.chain(inline)
    }
}
