//! A group of real daemons on a real broker, an input for them, and what must come of it.
//!
//! What must come of it is known twice: a fold over the records gives the sum of every object and window, and the
//! same binary on its embedded log, undisturbed, gives every result to the last byte.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use tempfile::TempDir;

use super::broker::{Broker, Isolation};
use super::campaign::{assert_same, by_object};
use super::{Daemon, PATIENCE, Random, command};

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const LATENESS: u64 = 5_000_000;
const ATTRIBUTES: [&str; 2] = ["egress_flow_count", "ingress_flow_count"];

/// What both logs have in common.
const SETTINGS: [&str; 3] = ["aggregation.period=10", "aggregation.allowed_lateness=5s", "workers.threads=1"];

/// A record of an input topic.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub attribute: &'static str,
    pub key: String,
    pub at: u64,
    pub value: u64,
}

impl Sample {
    fn payload(&self) -> String {
        let Self { attribute, at, value, .. } = self;
        format!(r#"<{attribute} type="u32" identifier="24" aggtype="sum" timestamp="{at}">{value}</{attribute}>"#)
    }
}

/// Samples in the order of time, about, then for each partition one that closes every window before it.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub samples: Vec<Sample>,
    pub partitions: u16,
    windows: u64,
}

impl Input {
    pub(crate) fn new(seed: u64, partitions: u16, windows: u64, samples_in_window: u64, objects: u64) -> Self {
        let mut random = Random(seed);
        let mut samples = Vec::new();
        for index in 0..windows * samples_in_window {
            let object = random.below(objects);
            // Some objects are silent in every third window.
            if object.is_multiple_of(5) && (index / samples_in_window) % 3 == 1 {
                continue;
            }
            let at = START + index * PERIOD / samples_in_window + random.below(LATENESS / 2);
            let attribute = ATTRIBUTES[random.below(2) as usize];
            samples.push(Sample { attribute, key: key(object), at, value: random.below(1000) });
        }
        let input = Self { samples, partitions, windows };
        input.with_ends()
    }

    /// The end of the last window that is compared.
    fn end(&self) -> u64 {
        START + self.windows * PERIOD
    }

    fn with_ends(mut self) -> Self {
        for attribute in ATTRIBUTES {
            for partition in 0..self.partitions {
                let mut names = (0..).map(|number| format!("ObjectVNTable:end-{number}"));
                let meets = |key: &String| partition_of(key, self.partitions) == partition;
                let key = names.find(meets).expect("some name does");
                self.samples.push(Sample { attribute, key, at: self.end() + PERIOD + LATENESS, value: 1 });
            }
        }
        self
    }

    /// What an undisturbed daemon on the embedded log makes of it, by object.
    pub(crate) fn expected(&self) -> Vec<String> {
        self.expected_with(&[])
    }

    /// The same with these settings.
    pub(crate) fn expected_with(&self, more: &[&str]) -> Vec<String> {
        let data = TempDir::new().unwrap();
        let file = data.path().join("samples");
        let lines = self.samples.iter().map(|sample| format!("{}\t{}\n", sample.key, sample.payload()));
        std::fs::write(&file, lines.collect::<String>()).unwrap();
        let partitions = format!("log.partitions={}", self.partitions);
        let settings: Vec<&str> =
            SETTINGS.into_iter().chain([partitions.as_str()]).chain(more.iter().copied()).collect();
        let log = data.path().join("log");
        let output = command("replay", &log, &settings).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = command("results", &log, &settings).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = self.comparable(lines.lines().map(str::to_owned).collect());
        self.assert_sums(&lines);
        lines
    }

    /// Results of windows that every partition closed, by object.
    fn comparable(&self, lines: Vec<String>) -> Vec<String> {
        let is_compared = |line: &String| !line.contains(":end-") && number(line, "\"end\":") <= self.end();
        by_object(lines.into_iter().filter(is_compared).collect())
    }

    /// The sums of all objects and windows, by a fold over the samples, against those among the results.
    fn assert_sums(&self, lines: &[String]) {
        let mut sums: BTreeMap<(String, &str, u64), u64> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.at < self.end()) {
            let window = sample.at - sample.at % PERIOD;
            *sums.entry((sample.key.clone(), sample.attribute, window)).or_default() += sample.value;
        }
        let mut found = 0;
        for line in lines.iter().filter(|line| line.contains("\"uve\":\"AggProxySum-") && line.contains("\"value\":{"))
        {
            let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
            let attribute = ATTRIBUTES.into_iter().find(|it| line.contains(&format!("-{it}\""))).unwrap();
            let key = (parsed["key"].as_str().unwrap().to_owned(), attribute, parsed["start"].as_u64().unwrap());
            let value = parsed["data"]["value"]["value"].as_u64().unwrap();
            match sums.get(&key) {
                Some(sum) => assert_eq!(value, *sum, "{line}"),
                // The first silent window of an object counts as zero.
                None => assert_eq!(value, 0, "{line}"),
            }
            found += usize::from(sums.contains_key(&key));
        }
        assert_eq!(found, sums.len(), "each object and window with samples has one sum");
    }

    /// Whether the results are those of [`expected`](Self::expected), each once.
    pub(crate) fn are_results(&self, found: Vec<String>, expected: &[String]) -> bool {
        self.comparable(found) == expected
    }

    /// Fails unless the results are those of [`expected`](Self::expected), each once.
    pub(crate) fn assert_results(&self, found: Vec<String>, expected: &[String], case: &str) {
        let found = self.comparable(found);
        self.assert_sums(&found);
        assert_same(&found, expected, case);
    }
}

/// One test's topics on a broker that tests may share.
pub(crate) struct Group<'b> {
    pub broker: &'b Broker,
    own: Detached,
}

/// A group without its broker, while that is stopped.
pub(crate) struct Detached {
    cluster_id: String,
    partitions: u16,
    /// What a publisher believes that the input topics have.
    believed: Cell<u16>,
    folder: TempDir,
}

impl Detached {
    pub(crate) fn attach(self, broker: &Broker) -> Group<'_> {
        Group { broker, own: self }
    }
}

impl<'b> Group<'b> {
    /// Makes the topics.
    pub(crate) fn new(broker: &'b Broker, cluster_id: &str, partitions: u16) -> Self {
        let group = Self::bare(broker, cluster_id, partitions);
        let output = group.command("topics", "topics", &[]).arg("--create").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        group
    }

    /// Without any topic.
    pub(crate) fn bare(broker: &'b Broker, cluster_id: &str, partitions: u16) -> Self {
        let (folder, believed) = (TempDir::new().unwrap(), Cell::new(partitions));
        let own = Detached { cluster_id: cluster_id.to_owned(), partitions, believed, folder };
        Self { broker, own }
    }

    /// Lets go of the broker, so that it can be stopped.
    pub(crate) fn detach(self) -> Detached {
        self.own
    }

    /// From now on publishers believe that there are so many partitions.
    pub(crate) fn publish_to(&self, partitions: u16) {
        self.own.believed.set(partitions);
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}-uve-{name}", self.own.cluster_id)
    }

    /// A command of the daemon called `instance`.
    pub(crate) fn command(&self, subcommand: &str, instance: &str, settings: &[&str]) -> std::process::Command {
        let own = [
            "log.kind=kafka".to_owned(),
            format!("kafka.brokers={}", self.broker.bootstrap()),
            format!("aggregation.cluster_id={}", self.own.cluster_id),
            format!("kafka.partitions={}", self.own.partitions),
            format!("kafka.instance={instance}"),
            "kafka.commit_interval=500ms".to_owned(),
            "kafka.session_timeout=3s".to_owned(),
            "kafka.transaction_timeout=4s".to_owned(),
            "kafka.refresh_interval=500ms".to_owned(),
            // On a busy machine a minute may pass between two slices of an input: that must not close a window.
            "aggregation.idle_timeout=1h".to_owned(),
        ];
        let all: Vec<&str> =
            SETTINGS.into_iter().chain(own.iter().map(String::as_str)).chain(settings.iter().copied()).collect();
        command(subcommand, &self.own.folder.path().join(instance), &all)
    }

    pub(crate) fn daemon(&self, instance: &str) -> Daemon {
        self.daemon_with(instance, &[])
    }

    pub(crate) fn daemon_with(&self, instance: &str, settings: &[&str]) -> Daemon {
        Daemon::spawn(self.command("run", instance, settings)).expect("the daemon starts")
    }

    /// Publishes samples as a collector does.
    pub(crate) fn publish(&self, samples: &[Sample]) {
        let partitions = self.own.believed.get();
        for attribute in ATTRIBUTES {
            let of_one = samples.iter().filter(|sample| sample.attribute == attribute);
            let records = of_one
                .map(|sample| (i32::from(partition_of(&sample.key, partitions)), sample.key.clone(), sample.payload()));
            self.broker.produce(&self.topic(&format!("agg-UveVirtualNetworkAgent-{attribute}")), records);
        }
    }

    pub(crate) fn results(&self) -> Results {
        Results::new(self.broker, &self.topic("results"))
    }
}

/// The results as a reader of committed records gets them.
pub(crate) struct Results {
    consumer: BaseConsumer,
    pub lines: Vec<String>,
}

impl Results {
    fn new(broker: &Broker, topic: &str) -> Self {
        let consumer = broker.reader(Isolation::Committed);
        consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        Self { consumer, lines: Vec::new() }
    }

    /// Takes what is there, and waits for more until there are `wanted` comparable ones; then a moment longer, for
    /// those that must not come.
    pub(crate) fn wait(&mut self, input: &Input, wanted: usize, patience: Duration) {
        let step = Duration::from_millis(100);
        let mut left = patience.as_millis() / step.as_millis();
        let mut after = 5;
        while left > 0 && after > 0 {
            if self.take(step) {
                continue;
            }
            left -= 1;
            if input.comparable(self.lines.clone()).len() >= wanted {
                after -= 1;
            }
        }
    }

    /// Takes results until `is_enough` of all lines.
    pub(crate) fn wait_until(&mut self, is_enough: impl Fn(&[String]) -> bool) {
        let step = Duration::from_millis(100);
        let mut left = PATIENCE.as_millis() / step.as_millis();
        while !is_enough(&self.lines) {
            assert!(left > 0, "not enough after {PATIENCE:?}: {:#?}", self.lines);
            left -= u128::from(!self.take(step));
        }
    }

    /// Takes a message of results; returns whether there was one.
    fn take(&mut self, step: Duration) -> bool {
        match self.consumer.poll(step) {
            Some(Ok(message)) => {
                let lines = std::str::from_utf8(message.payload().unwrap()).unwrap();
                self.lines.extend(lines.lines().map(str::to_owned));
                return true;
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) | None => {}
            // The broker may be down for a part of the test.
            Some(Err(_)) => std::thread::sleep(step),
        }
        false
    }
}

fn key(object: u64) -> String {
    format!("ObjectVNTable:default-domain:demo:vn{object}")
}

fn partition_of(key: &str, partitions: u16) -> u16 {
    proxy_uve::partition(key.as_bytes(), u32::from(partitions)) as u16
}

fn number(line: &str, after: &str) -> u64 {
    let rest = line.split_once(after).map(|(_, rest)| rest).unwrap_or_default();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(u64::MAX)
}
