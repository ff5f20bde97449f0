//! `derived-statsd size` computes what a number of objects and samples takes: memory, disk, CPU, partitions, retention.

mod measured;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use daemon_base::setting::duration;
use derived_stats::column::{DownstreamColumn, InlineColumn, WindowColumn};
use derived_stats::{Context, Number, Registry, SourceId, Spec, ValueType};

use self::measured::*;
use super::print::{USAGE, message, print, refuse};
use crate::config;

const MIB: u64 = 1024 * 1024;

/// How many times `max_results_bytes` the results may have while a sink is down.
const HARD_LIMIT: u64 = 2;

/// Objects of a column that is measured.
const OBJECTS: usize = 64;

/// Arguments of `size`.
#[derive(Args, Debug)]
pub(crate) struct SizeArgs {
    /// The objects of each stream.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    objects: u64,
    /// The streams: metrics of these objects.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=65_000))]
    streams: u64,
    /// The samples per second of all streams together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    rate: u64,
    /// The annotations of each stream, without period: each gives an object a result in each period.
    #[arg(long = "annotation", value_name = "ANNOTATION", default_values = ["1-raw:DSSum", "1.DSSum-raw:DSAnomaly:EWM:0.1"])]
    annotations: Vec<String>,
    /// The period of the results, 1s at least.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = period)]
    period: Duration,
    /// How long samples and results are kept.
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration::parse)]
    retention: Duration,
    /// The length of a key, such as `ObjectVNTable:default-domain:demo:vn1`.
    #[arg(long, value_name = "N", default_value_t = KEY_BYTES, value_parser = clap::value_parser!(u64).range(1..=4096))]
    key_bytes: u64,
    /// The sources of each object that are counted apart: series of Prometheus or OpenTelemetry with other labels, or
    /// senders. 0 for samples without sources.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    sources: u64,
    /// The length of the name of a source: the labels of a series that are not of the key, such as
    /// `code="200",instance="a:9100"`.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1024))]
    source_bytes: u64,
    /// Where samples, results and states are kept.
    #[arg(long, value_name = "LOG", default_value = "embedded")]
    log: LogOfSize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum LogOfSize {
    Embedded,
    Kafka,
}

/// The bytes of one object's states in the memory of its table.
#[derive(Debug, Default)]
struct StateBytes {
    windows: u64,
    rest: u64,
    /// What accumulates: pipelines that begin alike share their windows.
    seen: BTreeSet<String>,
}

/// Prints the size. The exit code is 2 for a bad annotation, and for a size that no daemon can have.
///
/// # Errors
///
/// Fails if standard output cannot be written.
pub(crate) fn run(args: &SizeArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let mut states = StateBytes::default();
    for annotation in &args.annotations {
        match Spec::parse(annotation, Context::new(ValueType::U64).with_registry(registry)) {
            Ok(spec) => states.add(&spec),
            Err(error) => return Ok(refuse(&error)),
        }
    }
    let size = Size::new(args, &states);
    if let Some(problem) = size.beyond(args) {
        message(format_args!("{problem}"));
        return Ok(ExitCode::from(USAGE));
    }
    print(&size.text(args)).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

impl StateBytes {
    /// Adds the states of a pipeline, after a minute of samples of three sources.
    fn add(&mut self, spec: &Spec) {
        let value = |n: u64| Number::U64(1000 + n % 17);
        let at = |n: u64| n * 1_000_000;
        if let Some(mut window) = WindowColumn::new(spec) {
            for n in 0..60 {
                for slot in 0..OBJECTS {
                    // A sample that does not fit takes no memory.
                    let _ = window.update_from(slot, SourceId::new(n % 3), at(n), value(n));
                }
            }
            window.shrink(OBJECTS);
            if self.seen.insert(spec.window_identity().unwrap_or_default()) {
                self.windows += (window.bytes() / OBJECTS) as u64;
            }
        } else if let Some(mut inline) = InlineColumn::new(spec) {
            for n in 0..60 {
                (0..OBJECTS).for_each(|slot| {
                    let _ = inline.update(slot, at(n), value(n));
                });
            }
            self.rest += (inline.bytes() / OBJECTS) as u64;
        }
        if let Some(mut detector) = DownstreamColumn::new(spec) {
            detector.reserve(OBJECTS);
            self.rest += (detector.bytes() / OBJECTS) as u64;
        }
    }
}

/// What the arguments take.
#[derive(Debug, PartialEq)]
struct Size {
    /// Objects of all streams.
    objects: u64,
    results_per_second: f64,
    table_bytes: u64,
    view_bytes: u64,
    memory_mib: u64,
    cores: f64,
    workers: u64,
    partitions: u64,
    samples_mib: u64,
    results_mib: u64,
    states_mib: u64,
    disk_mib: u64,
}

/// What the sources of one object take, in bytes.
#[derive(Debug, Default)]
struct Sources {
    memory: u64,
    /// Of each sample on the disk.
    sample: u64,
    state: u64,
    /// The fewest partitions in which neighbouring objects have room for their sources.
    partitions: u64,
}

impl Sources {
    fn new(args: &SizeArgs) -> Self {
        if args.sources == 0 {
            return Self::default();
        }
        let share = args.sources * (SOURCE_SHARE_BYTES + args.source_bytes);
        // Partitions have more objects than an even share, and so half of the room is left.
        let neighbours = (NEIGHBOURS_BYTES / 2 / share).max(1);
        let is_enough = neighbours >= NEIGHBOURS;
        Self {
            memory: args.sources * (SOURCE_BYTES + args.source_bytes),
            sample: SOURCE_SAMPLE_BYTES + args.source_bytes,
            state: args.sources * (SOURCE_STATE_BYTES + args.source_bytes),
            partitions: if is_enough { 0 } else { args.objects.div_ceil(neighbours) },
        }
    }

    /// Why no object can have so many, if so.
    fn beyond(args: &SizeArgs) -> Option<String> {
        let most = NEIGHBOURS_BYTES / (SOURCE_SHARE_BYTES + args.source_bytes);
        (args.sources > most).then(|| {
            format!(
                "the sources of an object have {NEIGHBOURS_BYTES} bytes: {most} with names of {} bytes, and not {}; take \
                 fewer labels into them, or more into the key of the objects",
                args.source_bytes, args.sources
            )
        })
    }
}

/// The cores that samples and results take on average.
fn cores(args: &SizeArgs, results_per_second: f64) -> f64 {
    let plain = 1.0 / EMBEDDED_PER_CORE as f64;
    let per_sample = if args.log == LogOfSize::Kafka { KAFKA_CPU_S / 1e6 } else { plain };
    let of_source = if args.sources > 0 { 1.0 / SOURCES_PER_CORE as f64 - plain } else { 0.0 };
    let rate = args.rate as f64;
    let further = (results_per_second - RESULTS_PER_SAMPLE * rate).max(0.0);
    rate * (per_sample + of_source) + further * RESULT_NS / 1e9
}

impl Size {
    fn new(args: &SizeArgs, states: &StateBytes) -> Self {
        let objects = args.objects.saturating_mul(args.streams);
        let results_per_second = (objects as f64) * args.annotations.len() as f64 / args.period.as_secs_f64();
        let longer = args.key_bytes.saturating_sub(KEY_BYTES);
        let state = OPEN_WINDOWS * states.windows + states.rest;
        let sources = Sources::new(args);
        let table_bytes = OBJECT_BYTES + longer + state + sources.memory;
        let view_bytes = args.annotations.len() as u64 * VIEW_RESULT_BYTES + longer;
        let kafka = args.log == LogOfSize::Kafka;
        let cores = cores(args, results_per_second);
        // Half of a core is left for what comes in bursts: all windows close at once.
        let by_rate = if kafka { args.rate.div_ceil(KAFKA_PER_WORKER) } else { 1 };
        let workers = ((2.0 * cores).ceil() as u64).max(by_rate).max(1);
        let mib = |bytes: f64| (bytes / MIB as f64).ceil() as u64;
        let memory = objects as f64 * (table_bytes + view_bytes) as f64;
        let fixed = FIXED_MIB + if kafka { workers * KAFKA_WORKER_MIB } else { 0 };
        let kept = args.retention.as_secs_f64();
        let sample = longer + sources.sample + if kafka { KAFKA_RECORD_BYTES } else { SAMPLE_DISK_BYTES };
        let samples_mib = mib(args.rate as f64 * kept * sample as f64);
        let results_mib = mib(results_per_second * kept * RESULT_DISK_BYTES as f64);
        let on_disk = state_disk_bytes(longer, state).saturating_add(sources.state);
        let states_mib = mib(objects as f64 * on_disk as f64 * STATE_COPIES as f64);
        Self {
            objects,
            results_per_second,
            table_bytes,
            view_bytes,
            memory_mib: mib(memory) + fixed,
            cores,
            workers,
            // Each worker has several, so that one more worker, or one less, shares the load evenly.
            partitions: (4 * workers).max(sources.partitions).max(8).next_multiple_of(4),
            samples_mib,
            results_mib,
            states_mib,
            disk_mib: samples_mib + HARD_LIMIT * results_mib + states_mib + DISK_FIXED_MIB,
        }
    }

    /// The settings for it that have a range, with their values.
    fn settings(&self, args: &SizeArgs) -> Vec<(&'static str, u64)> {
        let objects = (2 * args.objects.div_ceil(self.partitions)).max(1000);
        let mut settings = vec![("workers.threads", self.workers), ("aggregation.max_objects_per_partition", objects)];
        if args.sources > 0 {
            settings.push(("aggregation.max_sources_per_object", (2 * args.sources).max(10_000)));
        }
        if args.log == LogOfSize::Embedded {
            let [input, results] = [self.samples_mib, self.results_mib].map(|mib| mib.max(1).saturating_mul(MIB));
            let age = args.retention.as_secs();
            settings.extend([
                ("log.partitions", self.partitions),
                ("log.retention.max_input_bytes", input),
                ("log.retention.max_results_bytes", results),
                ("log.retention.results_hard_limit_bytes", results.saturating_mul(HARD_LIMIT)),
                ("log.retention.max_input_age_seconds", age),
                ("log.retention.max_results_age_seconds", age),
            ]);
        } else {
            settings.push(("kafka.partitions", self.partitions));
        }
        settings
    }

    /// Why no daemon can be set up for it, if so.
    fn beyond(&self, args: &SizeArgs) -> Option<String> {
        let of_sources = Sources::beyond(args);
        if of_sources.is_some() {
            return of_sources;
        }
        let settings = self.settings(args);
        let (key, value, most) = settings.into_iter().find_map(|(key, value)| {
            let most = config::most(key)?;
            (value > most).then_some((key, value, most))
        })?;
        Some(format!(
            "this needs {key} = {value}, and {most} is the most; divide the objects over several daemons or groups, or \
             keep less"
        ))
    }

    fn text(&self, args: &SizeArgs) -> String {
        let mut lines = self.computing(args);
        lines.extend(match args.log {
            LogOfSize::Embedded => self.keeping_embedded(args),
            LogOfSize::Kafka => self.keeping_on_kafka(args),
        });
        lines.push(("limit", format!("{}, twice an even share", self.settings_of(args, "aggregation."))));
        lines.into_iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
    }

    /// What the daemon needs to compute.
    fn computing(&self, args: &SizeArgs) -> Vec<(&'static str, String)> {
        let Self { objects, results_per_second, table_bytes, view_bytes, memory_mib, cores, workers, .. } = *self;
        let (types, period) = (args.annotations.len(), args.period);
        let rate = match results_per_second {
            rate if rate < 0.01 => "less than 0.01".to_owned(),
            rate if rate < 10.0 => format!("{rate:.2}"),
            rate => format!("{rate:.0}"),
        };
        let results = format!("{rate} a second: {types} of each of {objects} objects in {period:?}");
        let each = if args.log == LogOfSize::Kafka { ", the view in each daemon" } else { "" };
        let memory =
            format!("{memory_mib} MiB: {table_bytes} bytes an object in a table, {view_bytes} in the view{each}");
        let give = workers.max(2);
        let average = if cores < 0.01 { "less than 0.01".to_owned() } else { format!("{cores:.2}") };
        let cpu = format!("{average} cores on average; give it {give} cores, workers.threads = {workers}");
        vec![("results", results), ("memory", memory), ("CPU", cpu)]
    }

    /// What the disk of the embedded log keeps, and the settings for it.
    fn keeping_embedded(&self, args: &SizeArgs) -> Vec<(&'static str, String)> {
        let Self { partitions, samples_mib, results_mib, states_mib, disk_mib, .. } = *self;
        let partitions = format!("log.partitions = {partitions}; `derived-statsd migrate` makes more of them later");
        let disk = format!(
            "{disk_mib} MiB: {samples_mib} of samples, {results_mib} of results and as much again while a sink is down, \
             {states_mib} of states"
        );
        let retention = self.settings_of(args, "log.retention.");
        vec![("partitions", partitions), ("disk", disk), ("retention", retention)]
    }

    /// The settings of a section as text.
    fn settings_of(&self, args: &SizeArgs, section: &str) -> String {
        let settings = self.settings(args).into_iter().filter(|(key, _)| key.starts_with(section));
        settings.map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
    }

    /// What the brokers keep.
    fn keeping_on_kafka(&self, args: &SizeArgs) -> Vec<(&'static str, String)> {
        let Self { partitions, workers, samples_mib, results_mib, states_mib, .. } = *self;
        let partitions = format!("{partitions} of each input topic, with all daemons together {workers} workers");
        let kept = args.retention;
        let topics = format!(
            "{samples_mib} MiB of input and {results_mib} MiB of results in {kept:?}, before compression and replication; \
             {states_mib} MiB of states, compacted"
        );
        vec![("partitions", partitions), ("topics", topics)]
    }
}

/// Parses a period of results.
fn period(text: &str) -> Result<Duration, String> {
    let period = duration::parse(text)?;
    let is_long = period >= Duration::from_secs(1);
    is_long.then_some(period).ok_or_else(|| format!("expected a period of 1s at least, found {text:?}"))
}

/// The state of an object on the disk: what both built-in types take, with the states in place of theirs.
fn state_disk_bytes(longer: u64, state: u64) -> u64 {
    let built_in = OPEN_WINDOWS * 16 + 32;
    (STATE_DISK_BYTES + longer + state).saturating_sub(built_in)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: SizeArgs,
    }

    fn size(arguments: &str) -> (Size, String) {
        let args = Command::parse_from(format!("size {arguments}").split_whitespace()).args;
        let mut states = StateBytes::default();
        for annotation in &args.annotations {
            states.add(&Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation"));
        }
        let size = Size::new(&args, &states);
        let text = size.text(&args);
        (size, text)
    }

    #[test]
    fn a_million_objects_are_within_what_the_memory_test_holds() {
        let (size, text) = size("--objects 1000000 --rate 100000");
        let per_object = (size.memory_mib - FIXED_MIB) * MIB / 1_000_000;
        assert!((400..=OBJECT_BYTES_OF_ALL).contains(&per_object), "{per_object}: {text}");
        assert_eq!((size.table_bytes, size.view_bytes), (190, 300), "both types share their windows");
        assert!((size.cores - 0.156).abs() < 0.01, "{text}");
    }

    #[test]
    fn a_little_cpu_is_not_none() {
        let (_, text) = size("--objects 10 --rate 1");
        assert!(text.contains("CPU         less than 0.01 cores on average; give it 2 cores"), "{text}");
        assert!(size("--objects 10 --rate 10000").1.contains("CPU         0.02 cores on average"));
    }

    #[test]
    fn a_few_results_are_not_none_and_a_period_has_a_second() {
        assert!(size("--objects 10 --rate 1").1.contains("results     0.33 a second: 2 of each of 10 objects in 60s"));
        assert!(size("--objects 1 --rate 1 --period 1d").1.contains("results     less than 0.01 a second"));
        assert!(size("--objects 1000 --rate 1").1.contains("results     33 a second"));
        for period in ["0s", "999ms"] {
            let arguments = ["size", "--objects", "1", "--rate", "1", "--period", period];
            let error = Command::try_parse_from(arguments).err().expect("it is refused").to_string();
            assert!(error.contains("expected a period of 1s at least"), "{error}");
        }
    }

    #[test]
    fn a_size_beyond_the_range_of_a_setting_is_refused_with_the_setting() {
        let beyond = |arguments: &str| {
            let args = Command::parse_from(format!("size {arguments}").split_whitespace()).args;
            Size::new(&args, &StateBytes::default()).beyond(&args)
        };
        assert_eq!(beyond("--objects 10000000 --rate 1000000"), None);
        for (arguments, key) in [
            ("--objects 10000000000 --rate 1", "log.partitions"),
            ("--objects 1 --rate 10000000000", "workers.threads"),
            ("--objects 1 --rate 1000000 --retention 1000d --key-bytes 4096", "max_input_bytes"),
        ] {
            let problem = beyond(arguments).unwrap_or_default();
            assert!(problem.contains(key) && problem.contains("is the most"), "{arguments}: {problem}");
        }
    }

    #[test]
    fn sources_take_memory_disk_and_cpu_and_partitions_with_room_for_their_names() {
        let (plain, _) = size("--objects 1000 --rate 13333");
        let (series, text) = size("--objects 1000 --rate 13333 --sources 200");
        assert_eq!(series.table_bytes - plain.table_bytes, 200 * 320, "{text}");
        assert!((3.0..4.0).contains(&(series.cores / plain.cores)), "{text}");
        assert!(series.samples_mib > 2 * plain.samples_mib && series.states_mib > plain.states_mib, "{text}");
        // 256 objects would have 7 MiB, and half of 5 MiB are for them.
        assert_eq!((plain.partitions, series.partitions), (8, 12), "{text}");
        assert!(text.contains("aggregation.max_sources_per_object = 10000"), "{text}");
        assert_eq!(size("--objects 1000 --rate 13333 --sources 60").0.partitions, 8);
        let problem =
            Sources::beyond(&Command::parse_from(["size", "--objects", "1", "--rate", "1", "--sources", "40000"]).args);
        assert!(problem.unwrap_or_default().contains("36408 with names of 100 bytes, and not 40000"));
    }

    #[test]
    fn more_of_anything_never_takes_less() {
        let (base, _) = size("--objects 10000 --rate 1000");
        for more in [
            "--objects 20000 --rate 1000",
            "--objects 10000 --rate 1000000",
            "--objects 10000 --rate 1000 --streams 3",
            "--objects 10000 --rate 1000 --key-bytes 200",
            "--objects 10000 --rate 1000 --retention 7d",
            "--objects 10000 --rate 1000 --period 10s",
            "--objects 10000 --rate 1000 --sources 10 --source-bytes 50",
            "--objects 10000 --rate 1000 --annotation 1.DSSum-raw:DSAnomaly:Seasonal --annotation 1-raw:DSTopK:3",
        ] {
            let (size, text) = size(more);
            assert!(size != base, "{more}");
            assert!(size.memory_mib >= base.memory_mib && size.disk_mib >= base.disk_mib, "{more}: {text}");
            assert!(size.cores >= base.cores && size.partitions >= base.partitions, "{more}: {text}");
        }
    }
}
