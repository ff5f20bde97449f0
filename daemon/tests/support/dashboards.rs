//! The dashboards of the book, and the queries in them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// A dashboard.
pub(crate) struct Dashboard {
    /// The name of its file.
    pub file: String,
    pub json: Value,
}

/// A query of a dashboard.
pub(crate) struct Query {
    /// The file of the dashboard, and the panel or the variable.
    pub location: String,
    pub text: String,
}

/// All dashboards.
pub(crate) fn all() -> Vec<Dashboard> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dashboards");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| Dashboard {
        file: file.file_name().unwrap().to_string_lossy().into_owned(),
        json: serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap_or_else(|error| panic!("{file:?}: {error}")),
    };
    files.iter().map(read).collect()
}

impl Dashboard {
    /// The InfluxQL queries of panels and variables, as Grafana sends them if all values are chosen. `time_filter` is
    /// the range, such as `time > now() - 1h`.
    pub(crate) fn influxql(&self, time_filter: &str) -> Vec<Query> {
        let mut values = self.values();
        values.insert("$timeFilter".to_owned(), time_filter.to_owned());
        values.insert("$__interval".to_owned(), "10s".to_owned());
        let mut queries = self.queries("query");
        for query in &mut queries {
            for (name, value) in &values {
                query.text = query.text.replace(name, value);
            }
        }
        queries
    }

    /// The PromQL queries of the panels, without substitution of variables.
    pub(crate) fn promql(&self) -> Vec<Query> {
        self.queries("expr")
    }

    pub(crate) fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().unwrap()
    }

    pub(crate) fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    /// The values of the variables: all, or the default choice.
    fn values(&self) -> BTreeMap<String, String> {
        let value = |variable: &Value| match variable["includeAll"] == true {
            true => variable["allValue"].as_str().unwrap().to_owned(),
            false => variable["current"]["value"].as_str().unwrap_or_default().to_owned(),
        };
        let named = self.variables().iter().filter(|it| it["type"] == "query");
        named.map(|it| (format!("${}", it["name"].as_str().unwrap()), value(it))).collect()
    }

    fn queries(&self, field: &str) -> Vec<Query> {
        let variables = self.variables().iter().filter(|it| it["type"] == "query").map(|it| ("name", it, it));
        let targets = self.panels().iter().flat_map(|panel| {
            let targets = panel["targets"].as_array().into_iter().flatten();
            targets.map(move |target| ("title", panel, target))
        });
        let all = variables.chain(targets).filter_map(|(name, of, asked)| {
            let text = asked[field].as_str()?.to_owned();
            Some(Query { location: format!("{}: {}", self.file, of[name].as_str().unwrap_or_default()), text })
        });
        all.collect()
    }
}
