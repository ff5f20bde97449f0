//! Compares the topics that exist with those that the group needs; without I/O, so that a table of tests covers every
//! case.
//!
//! Producers own the input topics, so any number of partitions is valid. The state topic is created with the number of
//! partitions of the input topic, and keeps it: the input topic may grow to a multiple of that number only, see
//! `topology`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::MAX_MESSAGE_BYTES;
use crate::elections::COMPACTION_LAG;
use crate::names::Names;
use crate::topology::usable;

/// The purpose of a topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Records that are not samples.
    DeadLetters,
    /// Which replica of each sender counts, compacted.
    Elections,
    /// The samples of a stream.
    Input,
    /// The results of all streams.
    Results,
    /// The states of a stream, compacted.
    State,
}

impl Purpose {
    /// The name in the output of `derived-statsd topics`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead letters",
            Self::Elections => "elections",
            Self::Input => "samples",
            Self::Results => "results",
            Self::State => "states",
        }
    }

    /// The settings with which the daemon creates such a topic.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::DeadLetters => {
                &[("cleanup.policy", "delete"), ("max.message.bytes", "8388608"), ("retention.ms", "604800000")]
            }
            // What is younger than the lag has every record: see `elections::agreed`. The time of the log orders what is
            // older. There are few records, so that small segments do.
            Self::Elections => &[
                ("cleanup.policy", "compact"),
                ("max.message.bytes", "8388608"),
                ("message.timestamp.type", "LogAppendTime"),
                ("min.compaction.lag.ms", "900000"),
                ("segment.ms", "600000"),
            ],
            // The brokers' time, not the producers': by it the daemon judges which samples are of the future. The
            // producers own all other settings of input topics.
            Self::Input => &[("message.timestamp.type", "LogAppendTime")],
            Self::Results => {
                &[("cleanup.policy", "delete"), ("max.message.bytes", "8388608"), ("retention.ms", "86400000")]
            }
            // A restore reads the whole partition of the state topic, so compaction should remove old values soon. It
            // skips the active segment, which by default grows for a week or up to 1 GiB: so the topic rolls segments
            // every ten minutes. By default it starts when half of the log is dirty; with a tenth, a restore reads
            // little more than the current states.
            Self::State => &[
                ("cleanup.policy", "compact"),
                ("max.message.bytes", "8388608"),
                ("min.cleanable.dirty.ratio", "0.1"),
                ("segment.ms", "600000"),
            ],
        }
    }
}

/// What the daemon needs of input topics.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// By stream: how long a record must be kept, at least. It is that of the longest window and the allowed lateness.
    pub retention: Vec<Duration>,
    /// Workers of this daemon.
    pub threads: usize,
    /// Whether replicas of senders are elected.
    pub has_elections: bool,
}

/// A remark on the settings of a topic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// What will happen, and the fix if there is one.
    pub text: String,
    /// Whether samples may be lost or work be left undone because of it.
    pub is_warning: bool,
}

/// The topics that exist, by name.
pub(super) type Found = BTreeMap<String, Existing>;

/// A topic that exists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Existing {
    pub partitions: u16,
    /// The settings; `None` for an input topic whose settings the user may not read.
    pub settings: Option<Settings>,
}

/// The settings of a topic that correctness depends on. All others affect only time or space.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Settings {
    pub cleanup_policy: String,
    pub max_message_bytes: usize,
    /// `CreateTime` or `LogAppendTime`.
    pub timestamp_type: String,
    /// `None`: for ever.
    pub retention: Option<Duration>,
    /// For how long a record is not compacted.
    pub compaction_lag: Duration,
}

/// One topic of the group, with the result of the comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// The name of the topic.
    pub topic: String,
    /// The purpose of the topic.
    pub purpose: Purpose,
    /// The number of partitions it should have; `None` if any number is valid.
    pub wanted: Option<u16>,
    /// The number of partitions it has; `None` if it does not exist.
    pub found: Option<u16>,
    /// The result of the comparison.
    pub verdict: Verdict,
    /// Remarks on the settings of an input topic, and on the configuration of the group.
    pub notes: Vec<Note>,
}

/// The result of the comparison of one topic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It does not exist and can be created.
    Missing,
    /// It exists and cannot be used; the text is the reason and the fix.
    Problem(String),
    /// It can be used; the text is a remark, if there is one.
    Right(Option<String>),
}

/// Compares all topics; `partitions` is the number for missing input topics. The input topic of a stream comes before
/// its state topic, so that topics can be created in this order.
pub(super) fn plan(names: &Names, streams: &[String], needs: &Needs, partitions: u16, found: &Found) -> Vec<Step> {
    let mut steps = Vec::with_capacity(2 * streams.len() + 2);
    for (index, stream) in streams.iter().enumerate() {
        let (input, state) = (names.input(stream), names.state(stream));
        let inputs = found.get(&input).map(|topic| topic.partitions);
        let states = found.get(&state).map(|topic| topic.partitions);
        let mut step = of_input(input, inputs, states, partitions);
        if let Some(settings) = found.get(&step.topic).and_then(|topic| topic.settings.as_ref()) {
            check_input(&mut step, settings, needs.retention.get(index).copied());
        }
        step.notes.extend(
            inputs.filter(|&inputs| usize::from(inputs) < needs.threads).map(|inputs| too_few(inputs, needs.threads)),
        );
        let inputs = inputs.or(step.wanted).unwrap_or(partitions);
        steps.push(step);
        steps.push(of_state(state, found, inputs));
    }
    steps.push(of_results(names.results(), found));
    steps.push(of_dead_letters(names.dead_letters(), found));
    if needs.has_elections {
        steps.push(of_elections(names.elections(), found));
    }
    steps
}

fn of_input(topic: String, inputs: Option<u16>, states: Option<u16>, partitions: u16) -> Step {
    let multiple = |count: u16| states.and_then(|states| count.checked_next_multiple_of(states)).unwrap_or(count);
    let (wanted, verdict) = match (inputs, states) {
        (None, _) => (Some(multiple(partitions)), Verdict::Missing),
        (Some(inputs), Some(states)) if !inputs.is_multiple_of(states) => {
            (Some(multiple(inputs)), Verdict::Problem(uneven(inputs, states)))
        }
        (Some(_), _) => (None, Verdict::Right(None)),
    };
    Step { topic, purpose: Purpose::Input, wanted, found: inputs, verdict, notes: Vec::new() }
}

/// Adds what the settings of an input topic will lead to. `needed` is the shortest useful retention.
fn check_input(step: &mut Step, settings: &Settings, needed: Option<Duration>) {
    let policy = &settings.cleanup_policy;
    if policy.split(',').any(|part| part.trim() == "compact") && matches!(step.verdict, Verdict::Right(_)) {
        step.verdict = Verdict::Problem(format!(
            "cleanup.policy is `{policy}`: a sample is deleted as soon as its object has a newer one, and is missing \
             in the results if it was not read before; set it to delete"
        ));
    }
    if settings.timestamp_type == "CreateTime" {
        let text = "message.timestamp.type is CreateTime: records have their producer's time, so samples of the future are \
                    judged by the clock of the daemon that reads them first, and in a backlog a clock that is ahead makes \
                    others late; set it to LogAppendTime";
        step.notes.push(Note { text: text.to_owned(), is_warning: false });
    }
    if let Some((retention, needed)) = settings.retention.zip(needed).filter(|(retention, needed)| retention < needed) {
        let (has, needs) = (retention.as_millis(), needed.as_millis());
        let text = format!(
            "retention.ms is {has}: a daemon that starts again may miss samples of windows that are open, whose \
             results are then partial; set it to {needs}, a window and aggregation.allowed_lateness, or more"
        );
        step.notes.push(Note { text, is_warning: true });
    }
}

fn too_few(inputs: u16, threads: usize) -> Note {
    let text = format!(
        "{inputs} partitions for {threads} workers.threads: as many workers as there are partitions have work, and \
         more partitions later do not change that"
    );
    Note { text, is_warning: true }
}

/// The problem, with its fix, of `inputs` input partitions with `states` partitions of the state topic.
pub(crate) fn uneven(inputs: u16, states: u16) -> String {
    let read = usable(inputs, states);
    if read == 0 {
        return format!(
            "{inputs} partitions over {states} of states: nothing of it is read, as there are more states than partitions; \
             delete it and create it again with a multiple of {states}"
        );
    }
    format!(
        "{inputs} partitions over {states} of states: grow the input to a multiple of {states}; until then partitions \
         from {read} on are not read"
    )
}

fn of_state(topic: String, found: &Found, inputs: u16) -> Step {
    own_topic(Purpose::State, topic, inputs, found, |topic| {
        let policy = &topic.settings.as_ref()?.cleanup_policy;
        let consequence = "states would be deleted; stop all daemons and set its cleanup.policy to compact alone";
        (policy != "compact").then(|| format!("cleanup.policy is `{policy}`: {consequence}"))
    })
}

fn of_results(topic: String, found: &Found) -> Step {
    own_topic(Purpose::Results, topic, 1, found, |topic| match topic.partitions {
        1 => no_compaction(topic),
        partitions => Some(format!(
            "{partitions} partitions: results would not have one order; delete it and create it with 1, or choose \
             another kafka.topic_prefix"
        )),
    })
}

fn of_dead_letters(topic: String, found: &Found) -> Step {
    own_topic(Purpose::DeadLetters, topic, 1, found, no_compaction)
}

fn of_elections(topic: String, found: &Found) -> Step {
    own_topic(Purpose::Elections, topic, 1, found, |topic| {
        let settings = topic.settings.as_ref()?;
        let (policy, time, lag) = (&settings.cleanup_policy, &settings.timestamp_type, settings.compaction_lag);
        if topic.partitions != 1 {
            let partitions = topic.partitions;
            return Some(format!("{partitions} partitions: elections would not have one order; delete it"));
        }
        let wrong = match () {
            () if policy != "compact" => format!("cleanup.policy is `{policy}`; set it to compact alone"),
            () if time != "LogAppendTime" => format!("message.timestamp.type is {time}; set it to LogAppendTime"),
            () if lag < COMPACTION_LAG => {
                format!(
                    "min.compaction.lag.ms is {}; set it to {} or more",
                    lag.as_millis(),
                    COMPACTION_LAG.as_millis()
                )
            }
            () => return None,
        };
        Some(format!("two replicas of a sender could count: {wrong}"))
    })
}

fn no_compaction(topic: &Existing) -> Option<String> {
    let policy = &topic.settings.as_ref()?.cleanup_policy;
    let is_compacted = policy.split(',').any(|part| part.trim() == "compact");
    is_compacted.then(|| format!("cleanup.policy is `{policy}`: records without a key are refused; set it to delete"))
}

/// The step of a topic that the daemon creates and writes; `problem` checks an existing one.
fn own_topic(
    purpose: Purpose,
    topic: String,
    wanted: u16,
    found: &Found,
    problem: impl FnOnce(&Existing) -> Option<String>,
) -> Step {
    let Some(existing) = found.get(&topic) else {
        let (found, verdict, notes) = (None, Verdict::Missing, Vec::new());
        return Step { topic, purpose, wanted: Some(wanted), found, verdict, notes };
    };
    let partitions = existing.partitions;
    let verdict = match problem(existing).or_else(|| too_small(existing)) {
        Some(problem) => Verdict::Problem(problem),
        None => Verdict::Right(note(purpose, wanted, partitions)),
    };
    // The state topic keeps the number of partitions that it was created with.
    let wanted = if purpose == Purpose::State { partitions } else { wanted };
    Step { topic, purpose, wanted: Some(wanted), found: Some(partitions), verdict, notes: Vec::new() }
}

fn note(purpose: Purpose, inputs: u16, states: u16) -> Option<String> {
    let is_grown = purpose == Purpose::State && inputs != states && inputs.is_multiple_of(states);
    is_grown.then(|| format!("{inputs} partitions over {states} states"))
}

fn too_small(topic: &Existing) -> Option<String> {
    let largest = topic.settings.as_ref()?.max_message_bytes;
    (largest < MAX_MESSAGE_BYTES).then(|| {
        format!("max.message.bytes is {largest}: larger records would be refused; set it to {MAX_MESSAGE_BYTES}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KafkaConfig;

    const WANTED: u16 = 30;
    const LARGEST: usize = MAX_MESSAGE_BYTES;

    /// A topic of a test case: name without prefix, partitions, cleanup.policy, max.message.bytes.
    type Given = (&'static str, u16, &'static str, usize);

    const RIGHT: [Given; 4] = [
        ("agg-S-a", 8, "delete", 1),
        ("state-S-a", 8, "compact", LARGEST),
        ("results", 1, "delete", LARGEST),
        ("dead-letters", 1, "delete", LARGEST),
    ];

    fn steps(given: &[Given]) -> Vec<Step> {
        let kafka = KafkaConfig { topic_prefix: Some("p.".to_owned()), ..KafkaConfig::default() };
        let names = Names::new(&kafka, "", String::new);
        let found = given.iter().map(|&(name, partitions, policy, max_message_bytes)| {
            let ours = !name.starts_with("agg-");
            let settings =
                ours.then(|| Settings { cleanup_policy: policy.to_owned(), max_message_bytes, ..Settings::default() });
            (format!("p.{name}"), Existing { partitions, settings })
        });
        plan(&names, &["S-a".to_owned()], &Needs::default(), WANTED, &found.collect())
    }

    /// `RIGHT` with one topic replaced.
    fn but(replaced: Given) -> Vec<Given> {
        RIGHT.into_iter().map(|topic| if topic.0 == replaced.0 { replaced } else { topic }).collect()
    }

    fn show(steps: &[Step]) -> Vec<(String, Option<u16>, Option<u16>, Verdict)> {
        let cut = |step: &Step| step.topic.strip_prefix("p.").map(str::to_owned).unwrap();
        steps.iter().map(|step| (cut(step), step.wanted, step.found, step.verdict.clone())).collect()
    }

    #[test]
    fn a_topic_of_elections_that_loses_or_reorders_records_is_a_problem() {
        let kafka = KafkaConfig { topic_prefix: Some("p.".to_owned()), ..KafkaConfig::default() };
        let (names, needs) = (Names::new(&kafka, "", String::new), Needs { has_elections: true, ..Needs::default() });
        let right = Settings {
            cleanup_policy: "compact".to_owned(),
            max_message_bytes: LARGEST,
            timestamp_type: "LogAppendTime".to_owned(),
            compaction_lag: COMPACTION_LAG,
            retention: None,
        };
        let verdict = |partitions, settings: Settings| {
            let found = Found::from([("p.elections".to_owned(), Existing { partitions, settings: Some(settings) })]);
            plan(&names, &[], &needs, WANTED, &found).pop().unwrap().verdict
        };
        assert_eq!(verdict(1, right.clone()), Verdict::Right(None));
        for (partitions, settings, expected) in [
            (2, right.clone(), "2 partitions: elections would not have one order"),
            (
                1,
                Settings { cleanup_policy: "delete".to_owned(), ..right.clone() },
                "cleanup.policy is `delete`; set it",
            ),
            (
                1,
                Settings { timestamp_type: "CreateTime".to_owned(), ..right.clone() },
                "message.timestamp.type is Create",
            ),
            (1, Settings { compaction_lag: Duration::ZERO, ..right }, "min.compaction.lag.ms is 0; set it to 900000"),
        ] {
            let found = verdict(partitions, settings);
            assert!(matches!(&found, Verdict::Problem(text) if text.contains(expected)), "{expected}: {found:?}");
        }
        let missing = plan(&names, &[], &needs, WANTED, &Found::new()).pop().unwrap();
        assert_eq!(
            (missing.topic.as_str(), missing.wanted, missing.verdict),
            ("p.elections", Some(1), Verdict::Missing)
        );
        let without = plan(&names, &[], &Needs::default(), WANTED, &Found::new());
        assert!(without.iter().all(|step| step.purpose != Purpose::Elections), "{without:?}");
    }

    #[test]
    fn without_topics_all_are_missing_and_the_state_topic_gets_the_partitions_of_the_input() {
        let missing = |name: &str, wanted| (name.to_owned(), Some(wanted), None, Verdict::Missing);
        let expected =
            [missing("agg-S-a", 30), missing("state-S-a", 30), missing("results", 1), missing("dead-letters", 1)];
        assert_eq!(show(&steps(&[])), expected);
    }

    #[test]
    fn the_state_topic_gets_the_partitions_of_an_existing_input() {
        let steps = steps(&[("agg-S-a", 7, "delete", 1)]);
        assert_eq!((steps[0].wanted, steps[0].found, &steps[0].verdict), (None, Some(7), &Verdict::Right(None)));
        assert_eq!((steps[1].wanted, &steps[1].verdict), (Some(7), &Verdict::Missing));
    }

    #[test]
    fn an_input_created_for_existing_states_has_a_multiple_of_their_partitions() {
        for (states, wanted) in [(8, 32), (30, 30), (60, 60), (u16::MAX, u16::MAX)] {
            let steps = steps(&[("state-S-a", states, "compact", LARGEST)]);
            assert_eq!((steps[0].wanted, &steps[0].verdict), (Some(wanted), &Verdict::Missing), "{states}");
            assert!(matches!(steps[1].verdict, Verdict::Right(_)), "{states}: {:?}", steps[1]);
        }
    }

    #[test]
    fn usable_topics_are_right() {
        let cases = [
            ("as made", RIGHT.to_vec()),
            ("larger messages", but(("state-S-a", 8, "compact", LARGEST + 1))),
            ("dead letters need no order", but(("dead-letters", 3, "delete", LARGEST))),
        ];
        for (case, given) in cases {
            for step in steps(&given) {
                assert_eq!(step.verdict, Verdict::Right(None), "{case}: {}", step.topic);
            }
        }
    }

    #[test]
    fn an_input_grown_to_a_multiple_is_right_with_a_remark() {
        let steps = steps(&but(("agg-S-a", 24, "delete", 1)));
        assert_eq!((steps[0].wanted, &steps[0].verdict), (None, &Verdict::Right(None)));
        assert_eq!((steps[1].wanted, steps[1].found), (Some(8), Some(8)));
        assert_eq!(steps[1].verdict, Verdict::Right(Some("24 partitions over 8 states".to_owned())));
    }

    #[test]
    fn each_problem_concerns_one_topic_and_names_its_fix() {
        let cases = [
            (("agg-S-a", 12, "delete", 1), Some(16), "grow the input to a multiple of 8"),
            (("agg-S-a", 4, "delete", 1), Some(8), "create it again with a multiple of 8"),
            (("state-S-a", 8, "delete", LARGEST), Some(8), "`delete`: states would be deleted"),
            (("state-S-a", 8, "compact,delete", LARGEST), Some(8), "`compact,delete`: states would be deleted"),
            (("state-S-a", 8, "compact", 1_048_588), Some(8), "set it to 8388608"),
            (("results", 2, "delete", LARGEST), Some(1), "create it with 1"),
            (("results", 1, "compact", LARGEST), Some(1), "set it to delete"),
            (("results", 1, "delete", 1_048_588), Some(1), "set it to 8388608"),
            (("dead-letters", 1, "delete, compact", LARGEST), Some(1), "set it to delete"),
        ];
        for (given, wanted, fix) in cases {
            for step in steps(&but(given)) {
                if step.topic.strip_prefix("p.") != Some(given.0) {
                    assert_eq!(step.verdict, Verdict::Right(None), "{given:?}: {}", step.topic);
                    continue;
                }
                let Verdict::Problem(problem) = &step.verdict else { panic!("{given:?}: {:?}", step.verdict) };
                assert!(problem.contains(fix), "{given:?}: {problem}");
                assert_eq!((step.wanted, step.found), (wanted, Some(given.1)), "{given:?}");
            }
        }
    }

    #[test]
    fn created_topics_are_right() {
        let setting = |purpose: Purpose, name| {
            let settings = purpose.settings();
            settings.iter().find(|(key, _)| *key == name).map(|(_, value)| *value).unwrap()
        };
        let mut given = vec![RIGHT[0]];
        for (index, purpose) in [Purpose::State, Purpose::Results, Purpose::DeadLetters].into_iter().enumerate() {
            let (name, partitions, ..) = RIGHT[index + 1];
            let largest = setting(purpose, "max.message.bytes").parse().unwrap();
            given.push((name, partitions, setting(purpose, "cleanup.policy"), largest));
        }
        assert!(steps(&given).iter().all(|step| step.verdict == Verdict::Right(None)), "{given:?}");
    }

    #[test]
    fn the_settings_of_an_input_are_described_by_what_they_lead_to() {
        let minute = Duration::from_secs(60);
        let needs = Needs { retention: vec![minute], threads: 4, has_elections: false };
        let step = |policy: &str, timestamps: &str, retention, partitions| {
            let (cleanup_policy, timestamp_type) = (policy.to_owned(), timestamps.to_owned());
            let settings = Settings { cleanup_policy, timestamp_type, retention, ..Settings::default() };
            let kafka = KafkaConfig { topic_prefix: Some("p.".to_owned()), ..KafkaConfig::default() };
            let found = [("p.agg-S-a".to_owned(), Existing { partitions, settings: Some(settings) })];
            plan(&Names::new(&kafka, "", String::new), &["S-a".to_owned()], &needs, 1, &found.into()).remove(0)
        };
        let right = step("delete", "LogAppendTime", Some(minute), 4);
        assert_eq!((right.verdict, right.notes), (Verdict::Right(None), Vec::new()));
        for policy in ["compact", "delete, compact"] {
            let step = step(policy, "LogAppendTime", None, 4);
            assert!(matches!(&step.verdict, Verdict::Problem(text) if text.contains("set it to delete")), "{step:?}");
        }
        for (step, expected, is_warning) in [
            (step("delete", "CreateTime", None, 4), "message.timestamp.type is CreateTime", false),
            (step("delete", "LogAppendTime", Some(minute / 2), 4), "retention.ms is 30000", true),
            (step("delete", "LogAppendTime", None, 3), "3 partitions for 4 workers.threads", true),
        ] {
            assert_eq!(step.notes.len(), 1, "{step:?}");
            assert!(step.notes[0].text.starts_with(expected) && step.notes[0].is_warning == is_warning, "{step:?}");
            assert_eq!(step.verdict, Verdict::Right(None));
        }
    }
}
