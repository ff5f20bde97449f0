//! `derived-statsd topics` compares the topics on the brokers with the required ones; `--create` creates missing ones.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_kafka::topics::{Needs, Step, Topics, Verdict};
use daemon_kafka::{Connection, Names};
use proxy_uve::Plan;
use serde::Serialize;

use crate::commands::config_args::ConfigArgs;
use crate::config::{Config, Loaded, Streams};

/// Arguments of `topics`.
#[derive(Args, Debug)]
pub(crate) struct TopicsArgs {
    /// Create missing topics, input topics included.
    #[arg(long)]
    pub(crate) create: bool,
    /// Move the state topics of another consumer group to that of this configuration. Refused while the other group has
    /// members: stop its daemons first. The states continue, and so does the input, from where they are.
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Print one JSON object for each topic instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Prints a line for each topic, as a table or as JSON.
///
/// # Errors
///
/// Fails if a topic is missing or has a problem, after the table is printed; if no broker is configured or reachable;
/// and if the user lacks a permission.
pub(crate) fn run(args: &TopicsArgs, Loaded { config, streams: loaded_streams, .. }: &Loaded) -> anyhow::Result<()> {
    let kafka = &config.kafka;
    if kafka.brokers.trim().is_empty() {
        anyhow::bail!(
            "no broker is configured; set kafka.brokers to `host:port`, such as `--set kafka.brokers=10.0.0.5:9092`"
        );
    }
    let names = Names::new(kafka, &config.aggregation.cluster_id, String::new);
    let names = names.with_foreign(crate::settings::foreign(loaded_streams));
    let streams: Vec<_> = loaded_streams.proxies.entries().iter().map(|entry| entry.stream.to_string()).collect();
    let entries = loaded_streams.proxies.entries().iter();
    let plans: Vec<_> = entries.map(|entry| Plan::new(entry.stream.clone(), &entry.types)).collect();
    let topics = Topics::new(&Connection::new(kafka)?, &names, &streams)?
        .with_needs(needs(config, loaded_streams, &plans))
        .with_configuration(kafka.configuration_version, plans.iter(), &loaded_streams.alarms);
    let taken = if args.take_over { topics.take_over()? } else { Vec::new() };
    let mut steps = topics.plan(kafka.partitions)?;
    let mut created = Vec::new();
    if args.create {
        created = topics.create(&steps, kafka.replication)?;
        // Another process may have created some of them with other settings.
        steps = topics.plan(kafka.partitions)?;
    }
    for step in &mut steps {
        if let Some((_, groups)) = taken.iter().find(|(topic, _)| *topic == step.topic)
            && let Verdict::Right(note) = &mut step.verdict
        {
            *note = Some(format!("taken over from the consumer group {}", groups.join(", ")));
        }
    }
    let rows: Vec<_> = steps.iter().map(|step| Row::new(step, created.contains(&step.topic))).collect();
    super::print::print(&if args.json { json(&rows)? } else { table(&rows) }).context("write to standard output")?;
    verdict(&rows)
}

fn needs(config: &Config, streams: &Streams, plans: &[Plan]) -> Needs {
    let windows =
        plans.iter().map(|plan| Duration::from_micros(plan.longest_window()) + config.aggregation.allowed_lateness);
    let has_elections = crate::settings::has_elections(streams);
    Needs { retention: windows.collect(), threads: config.workers.threads(), has_elections }
}

/// An error with the number of missing topics and of topics with a problem, if there are any.
fn verdict(rows: &[Row<'_>]) -> anyhow::Result<()> {
    let count = |state: State| rows.iter().filter(|row| row.state == state).count();
    let missing = match count(State::Missing) {
        0 => None,
        missing => Some(format!("{missing} missing (`derived-statsd topics --create` makes them)")),
    };
    let wrong = match count(State::Problem) {
        0 => None,
        wrong => Some(format!("{wrong} with a problem")),
    };
    let parts: Vec<_> = missing.into_iter().chain(wrong).collect();
    if parts.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("topics: {}", parts.join(", "))) }
}

/// The row of a topic.
#[derive(Debug, Serialize)]
struct Row<'s> {
    topic: &'s str,
    r#for: &'static str,
    wanted: Option<u16>,
    found: Option<u16>,
    state: State,
    detail: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Created,
    Missing,
    Ok,
    Problem,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Missing => "missing",
            Self::Ok => "ok",
            Self::Problem => "problem",
        }
    }
}

impl<'s> Row<'s> {
    fn new(step: &'s Step, is_created: bool) -> Self {
        let (state, detail) = match &step.verdict {
            Verdict::Missing => (State::Missing, None),
            Verdict::Problem(problem) => (State::Problem, Some(problem.as_str())),
            Verdict::Right(note) if is_created => (State::Created, note.as_deref()),
            Verdict::Right(note) => (State::Ok, note.as_deref()),
        };
        let details: Vec<_> = detail.into_iter().chain(step.notes.iter().map(|note| note.text.as_str())).collect();
        let detail = (!details.is_empty()).then(|| details.join("; "));
        let Step { topic, purpose, wanted, found, .. } = step;
        Self { topic, r#for: purpose.name(), wanted: *wanted, found: *found, state, detail }
    }
}

fn json(rows: &[Row<'_>]) -> anyhow::Result<String> {
    let lines: Result<Vec<_>, _> = rows.iter().map(serde_json::to_string).collect();
    Ok(lines?.join("\n") + "\n")
}

fn table(rows: &[Row<'_>]) -> String {
    let width = rows.iter().map(|row| row.topic.len()).max().unwrap_or_default();
    let number =
        |count: Option<u16>, otherwise: &str| count.map_or_else(|| otherwise.to_owned(), |count| count.to_string());
    let mut text = format!("{:width$}  {:12}  {:>6}  {:>5}  state\n", "topic", "for", "wanted", "found");
    for row in rows {
        let (wanted, found) = (number(row.wanted, "any"), number(row.found, "-"));
        let detail = row.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let (topic, purpose, state) = (row.topic, row.r#for, row.state.name());
        text += &format!("{topic:width$}  {purpose:12}  {wanted:>6}  {found:>5}  {state}{detail}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use daemon_kafka::topics::Purpose;

    use super::*;

    fn steps() -> Vec<Step> {
        let step = |topic: &str, purpose, wanted, found, verdict| Step {
            topic: topic.to_owned(),
            purpose,
            wanted,
            found,
            verdict,
            notes: Vec::new(),
        };
        vec![
            step("-uve-agg-S-a", Purpose::Input, None, Some(60), Verdict::Right(None)),
            step(
                "-uve-state-S-a",
                Purpose::State,
                Some(30),
                Some(30),
                Verdict::Right(Some("60 partitions over 30 states".to_owned())),
            ),
            step("-uve-results", Purpose::Results, Some(1), None, Verdict::Missing),
            step("-uve-dead-letters", Purpose::DeadLetters, Some(1), Some(1), Verdict::Problem("mend it".to_owned())),
        ]
    }

    #[test]
    fn the_table_and_the_json_lines_hold_the_same_values() {
        let steps = steps();
        let rows: Vec<_> = steps.iter().map(|step| Row::new(step, step.topic == "-uve-agg-S-a")).collect();
        insta::assert_snapshot!(table(&rows), @r"
        topic              for           wanted  found  state
        -uve-agg-S-a       samples          any     60  created
        -uve-state-S-a     states            30     30  ok: 60 partitions over 30 states
        -uve-results       results            1      -  missing
        -uve-dead-letters  dead letters       1      1  problem: mend it
        ");
        insta::assert_snapshot!(json(&rows).unwrap(), @r#"
        {"topic":"-uve-agg-S-a","for":"samples","wanted":null,"found":60,"state":"created","detail":null}
        {"topic":"-uve-state-S-a","for":"states","wanted":30,"found":30,"state":"ok","detail":"60 partitions over 30 states"}
        {"topic":"-uve-results","for":"results","wanted":1,"found":null,"state":"missing","detail":null}
        {"topic":"-uve-dead-letters","for":"dead letters","wanted":1,"found":1,"state":"problem","detail":"mend it"}
        "#);
    }

    #[test]
    fn a_missing_topic_or_a_problem_is_an_error() {
        let steps = steps();
        let outcome = |steps: &[Step]| {
            let rows: Vec<_> = steps.iter().map(|step| Row::new(step, false)).collect();
            verdict(&rows).map_err(|error| error.to_string())
        };
        assert_eq!(outcome(&steps[..2]), Ok(()));
        let missing = "topics: 1 missing (`derived-statsd topics --create` makes them)";
        assert_eq!(outcome(&steps[..3]), Err(missing.to_owned()));
        assert_eq!(outcome(&steps), Err(format!("{missing}, 1 with a problem")));
        assert_eq!(outcome(&steps[3..]), Err("topics: 1 with a problem".to_owned()));
    }
}
