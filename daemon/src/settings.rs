//! From the configuration to what each part is told.

use std::sync::Arc;
use std::time::Duration;

use proxy_uve::{Plan, TableSettings};

use crate::app::AppSettings;
use crate::clock::micros;
use crate::config::{Aggregation, Loaded, Streams};
use crate::engine::EngineSettings;
use crate::http::HttpSettings;
use crate::worker::WorkerSettings;

/// How long a request may take in all: enough for the largest body over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of the whole program.
pub(crate) fn app(loaded: &Loaded) -> AppSettings {
    let http = &loaded.config.http;
    AppSettings {
        engine: engine(loaded),
        http: HttpSettings {
            listen: http.listen,
            max_body_bytes: http.max_body_bytes,
            max_in_flight: http.max_in_flight,
            request_timeout: REQUEST_TIMEOUT,
        },
        grace: loaded.config.shutdown.grace,
    }
}

/// Settings of what runs behind the server.
pub(crate) fn engine(loaded: &Loaded) -> EngineSettings {
    let config = &loaded.config;
    EngineSettings {
        data_dir: config.log.data_dir.clone(),
        log: config.log.retention.clone(),
        plans: plans(&loaded.streams),
        partitions: config.log.partitions,
        threads: config.workers.threads(),
        worker: WorkerSettings {
            table: table(&config.aggregation),
            idle_timeout: config.aggregation.idle_timeout,
            commit_interval: config.log.commit_interval,
        },
        result_file: config.sinks.file.path.clone(),
    }
}

/// Objects that a record closes: a window of a million is through after as many records as come in a second, and none
/// of them takes longer than some tens of microseconds.
const CLOSE_PER_RECORD: usize = 64;

fn table(aggregation: &Aggregation) -> TableSettings {
    TableSettings {
        allowed_lateness: micros(aggregation.allowed_lateness),
        allowed_skew: micros(aggregation.allowed_skew),
        close_per_record: CLOSE_PER_RECORD,
        max_objects: aggregation.max_objects_per_partition,
        ..TableSettings::default()
    }
}

fn plans(streams: &Streams) -> Vec<Arc<Plan>> {
    let entries = streams.proxies.entries().iter();
    entries.map(|entry| Arc::new(Plan::new(entry.stream.clone(), &entry.types))).collect()
}
