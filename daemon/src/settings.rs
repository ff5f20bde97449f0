//! From the configuration to the settings of each part.

use std::sync::Arc;

use daemon_base::listener::{Limits, ServerTls, TlsFiles};
use daemon_base::observation::Observations;
use daemon_kafka::{ForeignTopic, KafkaConfig, KafkaSettings, Names};
use daemon_log::files::START_OVER_FILE;
use daemon_partition::{Taps, WorkerSettings};
use daemon_results::object_labels::ObjectLabels;
use daemon_sinks::alarms::{AlertmanagerSettings, WebhookSettings};
use daemon_sinks::influxdb::InfluxSettings;
use daemon_sinks::otlp::OtlpSettings;
use daemon_sinks::redis::RedisSettings;
use daemon_sinks::remote_write::RemoteWriteSettings;
use daemon_sinks::results_webhook::ResultsWebhookSettings;
use daemon_sources::contiv::{LegacySettings, ScraperSettings};
use daemon_sources::mapping::Rule;
use daemon_sources::opserver::PollerSettings;
use proxy_uve::{Plan, StreamName, TableSettings};

use crate::app::{AppSettings, NotStarted, OwnCertificate};
use crate::config::tls;
use crate::config::{Aggregation, Config, Http, ListenAddress, ListenerConfig, Loaded, LogKind, Role, Streams};
use crate::engine::{EmbeddedSettings, EngineSettings, LogSettings};
use crate::http::{Access, HttpSettings, ListenerSettings};

/// Settings of the whole program.
///
/// # Errors
///
/// As [`engine`].
pub(crate) fn app(loaded: &Loaded) -> anyhow::Result<AppSettings> {
    Ok(AppSettings {
        engine: engine(loaded)?,
        poller: PollerSettings::new(&loaded.config.opserver, streams(loaded))?,
        contiv: ScraperSettings::new(&loaded.config.contiv)?,
        legacy: LegacySettings::new(&loaded.config.contiv)?,
        http: http(&loaded.config.http).map_err(not_started)?,
        access: access(&loaded.config).map_err(not_started)?,
        certificates: certificates(&loaded.config),
        rules: loaded.streams.mapped.clone(),
        objects: object_labels(&loaded.streams.mapped),
        replica_timeout: loaded.config.aggregation.replica_timeout,
        grace: loaded.config.shutdown.grace,
    })
}

fn certificates(config: &Config) -> Vec<OwnCertificate> {
    let own = tls::own_certificates(config).into_iter();
    own.map(|(setting, path, is_reloaded)| OwnCertificate { setting, path, is_reloaded }).collect()
}

fn not_started((key, problem): (&str, String)) -> anyhow::Error {
    anyhow::anyhow!("`{key}`: {problem}").context(NotStarted)
}

/// Who may use the server.
///
/// # Errors
///
/// The setting that is wrong, and why: the file of tokens cannot be used, or an address of the network has neither tokens
/// nor another guard.
pub(crate) fn access(config: &Config) -> Result<Arc<Access>, (&'static str, String)> {
    let section = &config.http;
    for (index, listener) in section.all_listeners().enumerate() {
        let only_probes = listener.roles == [Role::Probes];
        let is_guarded = section.tokens_file.is_some() || only_probes;
        if is_open(section, &listener.address, listener.tls.as_ref()) && !is_guarded {
            let problem = format!(
                "everybody who reaches {} could read and post; set http.tokens_file (`derived-statsd token NAME` makes \
                 tokens), or http.insecure = true if something else guards it",
                listener.address
            );
            return Err((section.listener_key(index), problem));
        }
    }
    let page = config.contiv.listen.map(ListenAddress::Tcp);
    if let Some(address) = page.filter(|address| is_open(section, address, config.contiv.listen_tls.as_ref())) {
        let problem = format!(
            "everybody who reaches {address} could read, and Contiv's page has no tokens; set client_ca in contiv.listen_tls, \
             or http.insecure = true if something else guards it"
        );
        return Err(("contiv.listen", problem));
    }
    let access = Access::new(section.tokens_file.clone()).map_err(|problem| ("http.tokens_file", problem))?;
    Ok(Arc::new(access))
}

/// Whether everybody in a network reaches a listener: neither certificates of clients nor `http.insecure` guard it.
fn is_open(section: &Http, address: &ListenAddress, tls: Option<&TlsFiles>) -> bool {
    address.is_of_network() && !section.insecure && tls.is_none_or(|tls| tls.client_ca.is_none())
}

/// The listeners, with their certificates.
///
/// # Errors
///
/// The setting that is wrong, and why: a file of a certificate cannot be used.
pub(crate) fn listeners(section: &Http) -> Result<Vec<ListenerSettings>, (&'static str, String)> {
    let with_tls = |(index, listener): (usize, ListenerConfig)| -> Result<_, (&'static str, String)> {
        let ListenerConfig { address, roles, tls, mode } = listener;
        let in_listener = |problem| (section.listener_key(index), format!("the listener at {address}: {problem}"));
        let tls = tls.map(ServerTls::read).transpose().map_err(in_listener)?;
        Ok(ListenerSettings { address, roles, tls: tls.map(Arc::new), mode: mode.0 })
    };
    section.all_listeners().enumerate().map(with_tls).collect()
}

fn http(section: &Http) -> Result<HttpSettings, (&'static str, String)> {
    Ok(HttpSettings {
        listeners: listeners(section)?,
        max_body_bytes: section.max_body_bytes,
        max_in_flight: section.max_in_flight,
        time_unit: section.time_unit,
        max_readers: section.max_readers,
        max_streams: section.max_streams,
        max_requests_per_second: section.max_requests_per_second,
        limits: Limits {
            connections: section.max_connections,
            per_client: section.max_connections_per_client,
            header_timeout: section.header_timeout,
            idle_timeout: section.idle_timeout,
        },
        body_timeout: section.body_timeout,
    })
}

/// Settings of what runs behind the server.
///
/// # Errors
///
/// When a file that the settings name cannot be read.
pub(crate) fn engine(loaded: &Loaded) -> anyhow::Result<EngineSettings> {
    let config = &loaded.config;
    let objects = object_labels(&loaded.streams.mapped);
    let commit_interval = match config.log.kind {
        LogKind::Embedded => config.log.commit_interval,
        LogKind::Kafka => config.kafka.commit_interval,
    };
    Ok(EngineSettings {
        log: log(loaded)?,
        plans: plans(&loaded.streams),
        threads: config.workers.threads(),
        worker: WorkerSettings {
            table: table(&config.aggregation),
            idle_timeout: config.aggregation.idle_timeout,
            commit_interval,
            alarms: Arc::clone(&loaded.streams.alarms),
            observations: Observations::default(),
            start_over: config.log.data_dir.join(START_OVER_FILE),
            partitions: config.log.partitions,
            may_start_over: false,
            taps: Taps::default(),
        },
        result_file: config.sinks.file.path.clone(),
        influxdb: InfluxSettings::new(&config.sinks.influxdb)?,
        redis: redis(config)?,
        remote_write: RemoteWriteSettings::new(&config.sinks.remote_write)?.map(|it| it.with_objects(objects.clone())),
        otlp: OtlpSettings::new(&config.sinks.otlp)?.map(|it| it.with_objects(objects.clone())),
        results_webhook: ResultsWebhookSettings::new(&config.sinks.results_webhook)?,
        alertmanager: AlertmanagerSettings::new(&config.sinks.alertmanager)?.map(|it| it.with_objects(objects.clone())),
        webhook: WebhookSettings::new(&config.sinks.webhook)?.map(|it| it.with_objects(objects)),
    })
}

/// The Redis sink, with the section of the brokers that its messages go to.
fn redis(config: &Config) -> anyhow::Result<Option<(RedisSettings, Option<KafkaConfig>)>> {
    let group = match config.log.kind {
        LogKind::Embedded => None,
        LogKind::Kafka => Some(Names::new(&config.kafka, &config.aggregation.cluster_id, String::new).group),
    };
    let settings = RedisSettings::new(&config.sinks.redis, group.as_deref())?;
    Ok(settings.map(|settings| {
        let brokers = settings.has_topics().then(|| config.kafka.clone());
        (settings, brokers)
    }))
}

/// Which log, and where.
///
/// # Errors
///
/// As [`engine`].
pub(crate) fn log(loaded: &Loaded) -> anyhow::Result<LogSettings> {
    let config = &loaded.config;
    Ok(match config.log.kind {
        LogKind::Embedded => LogSettings::Embedded(embedded(config)),
        LogKind::Kafka => LogSettings::Kafka(Box::new(group(loaded)?)),
    })
}

/// Whether a stream has series of which one replica of a sender counts.
pub(crate) fn has_elections(streams: &Streams) -> bool {
    streams.mapped.iter().any(Rule::needs_elections)
}

/// The labels that make the names of the objects of streams of series.
fn object_labels(rules: &[Rule]) -> ObjectLabels {
    let of = |rule: &Rule| {
        rule.object().map(|(table, labels)| (rule.stream().to_string(), table.to_owned(), labels.to_vec()))
    };
    ObjectLabels::new(rules.iter().filter_map(of))
}

/// The topics of other programs that are the input of streams, by stream.
pub(crate) fn foreign(streams: &Streams) -> impl Iterator<Item = (String, ForeignTopic)> {
    streams.mapped.iter().filter_map(|rule| {
        let (topic, (table, fields, selection)) = rule.topic().zip(rule.messages())?;
        let topic = ForeignTopic::new(topic, table, fields.clone(), selection.clone());
        Some((rule.stream().to_string(), topic))
    })
}

fn embedded(config: &Config) -> EmbeddedSettings {
    let log = &config.log;
    EmbeddedSettings { data_dir: log.data_dir.clone(), log: log.retention.clone(), partitions: log.partitions }
}

/// The group of daemons on Kafka, whatever `log.kind` is.
///
/// # Errors
///
/// As [`engine`].
pub(crate) fn group(loaded: &Loaded) -> anyhow::Result<KafkaSettings> {
    let own = kafka(&loaded.config)?.with_foreign(foreign(&loaded.streams));
    Ok(own.with_elections(has_elections(&loaded.streams), loaded.config.aggregation.replica_timeout))
}

fn kafka(config: &Config) -> anyhow::Result<KafkaSettings> {
    let instance = || {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let port = config.http.all_listeners().find_map(|listener| match listener.address {
            ListenAddress::Tcp(address) => Some(address.port()),
            ListenAddress::Unix(_) => None,
        });
        match port {
            // Without a port, or with one that is not known yet, the process id makes the name unique.
            None | Some(0) => format!("{host}-pid{}", std::process::id()),
            Some(port) => format!("{host}-{port}"),
        }
    };
    tls::check(config, "kafka")?;
    KafkaSettings::new(&config.kafka, &config.aggregation.cluster_id, instance)
}

/// Objects that a record closes: a window of a million is through after as many records as come in a second, and none
/// of them takes longer than some tens of microseconds.
const CLOSE_PER_RECORD: usize = 64;

/// The limits of a table.
pub(crate) fn table(aggregation: &Aggregation) -> TableSettings {
    TableSettings::default()
        .with_allowed_lateness(aggregation.allowed_lateness)
        .with_allowed_skew(aggregation.allowed_skew)
        .with_close_per_record(CLOSE_PER_RECORD)
        .with_max_objects(aggregation.max_objects_per_partition)
        .with_max_sources(aggregation.max_sources_per_object)
        .with_source_timeout(aggregation.source_timeout)
        .with_late_starts(true)
}

fn streams(loaded: &Loaded) -> impl Iterator<Item = StreamName> {
    loaded.streams.proxies.entries().iter().map(|entry| entry.stream.clone())
}

/// What is computed, by stream.
pub(crate) fn plans(streams: &Streams) -> Vec<Arc<Plan>> {
    let entries = streams.proxies.entries().iter();
    entries.map(|entry| Arc::new(Plan::new(entry.stream.clone(), &entry.types))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{RwLock, mpsc};
    use std::time::Duration;

    use super::*;
    use crate::app;

    #[test]
    fn requests_that_all_wait_for_the_log_leave_threads_to_a_probe_and_to_the_stop() {
        // The most that the range allows.
        let http = http(&Http { max_in_flight: 1024, ..Http::default() }).expect("no file");
        let runtime = app::runtime(&http).expect("a runtime");
        let log = Arc::new(RwLock::new(()));
        let held = log.write().expect("nobody panics");
        let waiting = http.max_in_flight + http.max_readers + http.max_streams;
        for _ in 0..waiting {
            let log = Arc::clone(&log);
            runtime.spawn_blocking(move || drop(log.read()));
        }
        let (sender, receiver) = mpsc::channel();
        runtime.spawn_blocking(move || sender.send(()));
        let further = receiver.recv_timeout(Duration::from_secs(60));
        drop(held);
        assert!(further.is_ok(), "{waiting} requests take all threads");
    }
}
