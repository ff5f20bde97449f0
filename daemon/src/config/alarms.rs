//! `[[alarms]]` compiled: the rules, checked against the proxy types of the streams.

use daemon_alarms::config::AlarmConfig;
use daemon_alarms::{Rule, Rules, check, contrail};
use daemon_base::setting::file;

use super::layers::Layers;
use super::streams::Streams;
use super::tables::ALARMS;
use crate::config::Config;

/// Compiles the rules; every problem goes to `layers`. `None` if there is one.
pub(super) fn build(configs: &[AlarmConfig], streams: &Streams, layers: &mut Layers) -> Option<Rules> {
    let before = layers.problems.len();
    // The rules, each with the index and the key of its table.
    let mut rules: Vec<(usize, &'static str, Rule)> = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        match config.compile() {
            Ok(Some(rule)) => rules.push((index, if config.rule.is_some() { "rule" } else { "when" }, rule)),
            Ok(None) => rules.extend(of_file(config, index, layers).into_iter().map(|rule| (index, "file", rule))),
            Err(problems) => {
                problems.iter().for_each(|problem| add(layers, index, problem.key, &problem.message));
            }
        }
    }
    let places: Vec<_> = rules.iter().map(|(index, key, _)| (*index, *key)).collect();
    let rules = Rules::new(rules.into_iter().map(|(_, _, rule)| rule).collect());
    for (number, problem) in check::problems(&rules, &types(streams)) {
        if let Some((index, key)) = places.get(number) {
            add(layers, *index, key, &problem);
        }
    }
    (layers.problems.len() == before).then_some(rules)
}

/// What rules can hardly do, one sentence each.
pub(super) fn hints(streams: &Streams) -> Vec<String> {
    check::hints(&streams.alarms, &types(streams))
}

/// What the sinks of alarms lack to be of use, one sentence each.
pub(super) fn notices(config: &Config) -> Vec<String> {
    let (alertmanager, webhook) = (&config.sinks.alertmanager, &config.sinks.webhook);
    let sinks = [
        ("sinks.alertmanager", alertmanager.url.is_some(), alertmanager.page_url.is_some()),
        ("sinks.webhook", webhook.url.is_some(), webhook.page_url.is_some()),
    ];
    let lacks = |(sink, is_on, has_page): (&str, bool, bool)| match (is_on, config.alarms.is_empty(), has_page) {
        (false, ..) | (true, false, true) => None,
        (true, true, _) => Some(notice!(
            "{sink}.url: no rule of alarms is configured, so nothing is ever sent to it; write `[[alarms]]`, or remove \
             the url"
        )),
        (true, false, false) => Some(notice!(
            "{sink}.page_url is not set: alarms are sent without links to their charts; set it to the URL at which \
             people reach the page of this daemon"
        )),
    };
    sinks.into_iter().filter_map(lacks).collect()
}

fn types(streams: &Streams) -> Vec<check::StreamTypes<'_>> {
    streams.proxies.entries().iter().map(|entry| (&entry.stream, entry.types.as_slice())).collect()
}

/// The rules of a file of Contrail.
fn of_file(config: &AlarmConfig, index: usize, layers: &mut Layers) -> Vec<Rule> {
    let Some(path) = &config.file else { return Vec::new() };
    let shown = path.display();
    let rules = match file::read_text(path) {
        Ok(text) => contrail::rules(&text),
        Err(error) => Err(vec![format!("cannot be read ({error}); name a readable UTF-8 file")]),
    };
    rules.unwrap_or_else(|problems| {
        problems.iter().for_each(|problem| add(layers, index, "file", &format!("{shown}: {problem}")));
        Vec::new()
    })
}

fn add(layers: &mut Layers, index: usize, key: &str, message: &str) {
    let location = layers.element_location(ALARMS, index, key);
    layers.add_problem(location, format!("`{ALARMS}.{key}`: {message}"));
}
