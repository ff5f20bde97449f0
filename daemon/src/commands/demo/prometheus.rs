//! The demo on a Prometheus of the user, which sends what it has by remote write, in place of simulated input.

use std::net::SocketAddr;

use anyhow::Context as _;

/// The streams of the demo, as a configuration file has them: metrics that every Prometheus has.
const STREAMS: &str = r#"[[streams]]
name = "scrapes"
metric = "scrape_samples_scraped"
object = ["job", "instance"]
type = "u64"
period = 15
aggregations = ["Newest = 1-raw:DSMax", "Strange = 1.DSMax-raw:DSAnomaly:EWM:0.1"]

[[streams]]
name = "requests"
metric = "prometheus_http_requests_total"
object = ["handler"]
kind = "counter"
type = "u64"
period = 15
aggregations = ["Sum = 1-raw:DSSum", "Unusual = 1.DSSum-raw:DSAnomaly:EWM:0.1"]
"#;

/// The streams as settings of the command line.
///
/// # Errors
///
/// When the text of the streams is not TOML.
pub(super) fn settings() -> anyhow::Result<[String; 2]> {
    let table: toml::Table = STREAMS.parse().context("read the streams of the demo")?;
    let streams = table.get("streams").context("the demo has no streams")?;
    Ok(["aggregation.uve_proxy_list=".to_owned(), format!("streams={streams}")])
}

/// What to add to Prometheus, the streams in use, and what to look at.
pub(super) fn announcement(address: SocketAddr) -> String {
    let indented: String = STREAMS.lines().map(|line| format!("  {line}\n").replace("  \n", "\n")).collect();
    format!(
        "http://{address}/ is the page of this demo\n\
         derived-statsd demo: waits for a Prometheus. Add this to its prometheus.yml and reload it (kill -HUP):\n\n\
         remote_write:\n  \
         - url: http://{address}/api/v1/write\n    \
         queue_config:\n      \
         retry_on_http_429: true\n      \
         max_shards: 1\n      \
         batch_send_deadline: 1s\n    \
         write_relabel_configs:\n      \
         - source_labels: [__name__]\n        \
         regex: scrape_samples_scraped|prometheus_http_requests_total\n        \
         action: keep\n\n\
         The second metric is there if that Prometheus scrapes itself. The streams of this demo:\n\n\
         {indented}\n\
         The first results come after two scrapes and a period of 15 s:\n  \
         the newest of each object  curl -s http://{address}/api/v1/results/metrics\n  \
         all of them, live          curl -N http://{address}/api/v1/results/stream\n\
         Press Ctrl-C to stop.\n\n"
    )
}
