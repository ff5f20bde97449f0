//! A source: the load averages of this machine, ten times a second.

use std::time::Duration;

use derived_stats::Number;
use derived_statsd::source::{Sample, Source, SourceContext};

/// How often the load is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// The objects: one for each of the three averages that Linux keeps.
const KEYS: [&str; 3] = ["ObjectHost:load-1m", "ObjectHost:load-5m", "ObjectHost:load-15m"];

/// The load averages of `/proc/loadavg`, in hundredths.
pub(crate) struct Load;

impl Source for Load {
    fn name(&self) -> &str {
        "load"
    }

    fn run(&mut self, context: &SourceContext<'_>) -> anyhow::Result<()> {
        while context.rest(INTERVAL) {
            let text = std::fs::read_to_string("/proc/loadavg")?;
            let timestamp = context.now();
            let averages = text.split(' ').map_while(|word| word.parse::<f64>().ok());
            let samples: Vec<_> = KEYS.iter().zip(averages).map(|(key, load)| sample(key, timestamp, load)).collect();
            let outcome = context.append(&samples)?;
            if let Some((index, error)) = outcome.rejected.first() {
                anyhow::bail!("sample {index} was rejected: {error}");
            }
        }
        Ok(())
    }
}

fn sample(key: &'static str, timestamp: u64, load: f64) -> Sample<'static> {
    let value = Number::U64((load * 100.0).round() as u64);
    Sample { stream: "Host-load", key, timestamp, value, source: None }
}
