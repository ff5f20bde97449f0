//! The program of `examples/own_parts`: a source and a sink of its own in the daemon, as in `docs/src/guide/embedding.md`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use support::{Daemon, command_of, example, wait_until};
use tempfile::TempDir;

const SETTINGS: [&str; 3] =
    ["aggregation.uve_proxy_list=Host-load:AggProxySum", "aggregation.period=1", "aggregation.allowed_lateness=0s"];

fn start(data: &Path, out: &Path) -> Daemon {
    let mut command = command_of(example("own_parts"), "run", data, &SETTINGS);
    command.env("OWN_PARTS_OUT", out);
    Daemon::spawn(command).expect("the daemon starts")
}

fn lines(out: &Path) -> Vec<String> {
    std::fs::read_to_string(out).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn samples_of_its_source_become_results_in_its_sink_over_a_restart() {
    let directory = TempDir::new().unwrap();
    let (data, out) = (directory.path().join("log"), directory.path().join("out.txt"));
    let daemon = start(&data, &out);
    wait_until("results of three objects", || {
        let keys: BTreeSet<_> =
            lines(&out).iter().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
        (keys.len() == 3).then_some(())
    });
    daemon.stop();
    let before = lines(&out);
    assert!(before[0].starts_with("ObjectHost:load-"), "{}", before[0]);
    assert!(before[0].contains(" AggProxySum-Host-load {\"key\":"), "{}", before[0]);

    let daemon = start(&data, &out);
    wait_until("results after the restart", || (lines(&out).len() > before.len() + 2).then_some(()));
    daemon.stop();
    let after = lines(&out);
    assert_eq!(after[..before.len()], before[..]);
    let distinct: BTreeSet<_> = after.iter().collect();
    assert_eq!(distinct.len(), after.len(), "an orderly restart delivers nothing twice");
}

#[test]
fn its_source_and_its_sink_show_in_the_metrics() {
    let directory = TempDir::new().unwrap();
    let daemon = start(&directory.path().join("log"), &directory.path().join("out.txt"));
    for metric in [
        "derived_statsd_sink_lag_results{sink=\"text-file\"}",
        "derived_statsd_source_samples_total{source=\"load\"} 3",
    ] {
        wait_until(metric, || daemon.get("/metrics").1.contains(metric).then_some(()));
    }
    daemon.stop();
}
