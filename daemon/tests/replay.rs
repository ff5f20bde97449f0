//! `derived-statsd replay` and `demo` with the real binary.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use support::process::KilledOnDrop;
use support::{Random, command, results};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000;
const START: u64 = 1_488_000_000_000_000;
const ATTRIBUTES: [&str; 2] = ["ingress_flow_count", "egress_flow_count"];

/// Window sums by object, UVE name and window start.
type Sums = BTreeMap<(String, u64), u64>;

/// Writes `records` Contrail messages over `networks` and ten minutes, and adds them up.
fn write_messages(path: &Path, records: u64, networks: u64) -> Sums {
    let mut file = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut random = Random(1);
    let mut sums = Sums::new();
    for index in 0..records {
        let at = START + index * 10 * MINUTE / records;
        let (network, attribute, value) =
            (random.below(networks), ATTRIBUTES[random.below(2) as usize], random.below(500));
        let key = format!("ObjectVNTable:default-domain:tenant-{:03}:vn-{network:05}", network % 100);
        writeln!(file, "{key}\t<{attribute} type=\"u64\" identifier=\"5\" timestamp=\"{at}\">{value}</{attribute}>")
            .unwrap();
        *sums.entry((format!("{key} {attribute}"), at - at % MINUTE)).or_default() += value;
    }
    file.finish().unwrap();
    sums
}

/// The sums in the results log, which has every window once.
fn read_sums(lines: &[String]) -> Sums {
    let mut sums = Sums::new();
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let uve = line["uve"].as_str().unwrap();
        let Some(stream) = uve.strip_prefix("AggProxySum-UveVirtualNetworkAgent-") else { continue };
        if let Some(sum) = line["data"]["value"]["value"].as_u64() {
            let object = format!("{} {stream}", line["key"].as_str().unwrap());
            let before = sums.insert((object, line["start"].as_u64().unwrap()), sum);
            assert_eq!(before, None, "a window is there twice: {line}");
        }
    }
    sums
}

fn replay(data: &Path, settings: &[&str], files: &[&Path]) -> String {
    let output = command("replay", data, settings).arg("--close-windows").args(files).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    stderr
}

#[test]
fn a_million_messages_give_the_sums_of_a_recomputation() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("messages.tsv.gz");
    let expected = write_messages(&file, 1_000_000, 10_000);
    let data = directory.path().join("log");
    let stderr = replay(&data, &[], &[&file]);
    assert!(stderr.contains("1000000 records"), "{stderr}");
    assert_eq!(read_sums(&results(&data)), expected);
}

#[test]
fn plain_gzip_and_zstd_files_give_the_same_results() {
    let directory = TempDir::new().unwrap();
    let gzip = directory.path().join("a.gz");
    let expected = write_messages(&gzip, 2_000, 50);
    let mut text = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(std::fs::File::open(&gzip).unwrap());
    std::io::copy(&mut reader, &mut text).unwrap();
    let (plain, zstandard) = (directory.path().join("a.tsv"), directory.path().join("a.zst"));
    std::fs::write(&plain, &text).unwrap();
    std::fs::write(&zstandard, zstd::encode_all(&text[..], 3).unwrap()).unwrap();
    for file in [gzip, plain, zstandard] {
        let data = TempDir::new().unwrap();
        replay(data.path(), &[], &[&file]);
        assert_eq!(read_sums(&results(data.path())), expected, "of {}", file.display());
    }
}

#[test]
fn bad_lines_are_printed_with_file_and_line_and_the_others_are_replayed() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("mixed.ndjson");
    let good = support::line("a", "egress_flow_count", START, 7);
    std::fs::write(&file, format!("{good}broken\n{good}{}\n{good}", "x".repeat(200_000))).unwrap();
    let data = TempDir::new().unwrap();
    let stderr = replay(data.path(), &[], &[&file]);
    assert!(stderr.contains("mixed.ndjson:2:") && stderr.contains("mixed.ndjson:4:"), "{stderr}");
    assert!(stderr.contains("3 records") && stderr.contains("2 bad lines"), "{stderr}");
    assert_eq!(read_sums(&results(data.path())).into_values().collect::<Vec<_>>(), [21]);
}

/// Runs `replay` with more arguments: its exit code and messages.
fn try_replay(data: &Path, settings: &[&str], arguments: &[&str], file: &Path) -> (Option<i32>, String) {
    let output = command("replay", data, settings).args(arguments).arg(file).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_replay_ends_with_the_outcome_of_every_record_and_strict_fails_if_one_is_left_out() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("mixed.ndjson");
    let line = |key: &str, at| support::line(key, "egress_flow_count", at, 7);
    let text = [line("a", START + 2 * MINUTE), line("a", START), line("b", START + 2 * MINUTE)].concat();
    std::fs::write(&file, format!("{text}broken\n{}", line("a", START + 2 * MINUTE))).unwrap();
    let settings = ["log.partitions=1", "aggregation.max_objects_per_partition=1"];
    let data = TempDir::new().unwrap();
    let (code, stderr) = try_replay(data.path(), &settings, &["--close-windows"], &file);
    let parts = ["4 records in", "1 bad lines", "2 records were aggregated, 2 were left out", "1 records were late"];
    for part in [&parts[..], &["1 records belong to objects or sources over the limit", "allowed_lateness"]].concat() {
        assert!(code == Some(0) && stderr.contains(part), "{part}: {code:?} {stderr}");
    }
    // Again: everything is late, which otherwise looks like a success.
    let (code, stderr) = try_replay(data.path(), &settings, &["--close-windows"], &file);
    assert!(code == Some(0) && stderr.contains("all 4 records were late") && stderr.contains("replayed"), "{stderr}");
    let (code, stderr) = try_replay(data.path(), &settings, &["--strict"], &file);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("1 lines are bad and 4 records were left out"), "{stderr}");
    let good = directory.path().join("good.ndjson");
    std::fs::write(&good, line("a", START + 60 * MINUTE)).unwrap();
    let (code, stderr) = try_replay(data.path(), &settings, &["--strict"], &good);
    assert!(code == Some(0) && stderr.contains("1 records were aggregated, 0 were left out"), "{stderr}");
}

#[test]
fn a_replay_takes_another_unit_and_names_the_one_that_fits() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("seconds.ndjson");
    std::fs::write(&file, support::line("a", "egress_flow_count", START / 1_000_000, 7)).unwrap();
    let data = TempDir::new().unwrap();
    let (code, stderr) = try_replay(data.path(), &[], &["--strict"], &file);
    assert!(
        code == Some(1) && stderr.contains("seconds.ndjson:1:") && stderr.contains("looks like seconds"),
        "{stderr}"
    );
    let (code, stderr) = try_replay(data.path(), &[], &["--strict", "--time-unit", "s", "--close-windows"], &file);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(
        read_sums(&results(data.path())).into_iter().map(|((_, at), sum)| (at, sum)).collect::<Vec<_>>(),
        [(START, 7)]
    );
}

#[test]
fn a_record_of_the_far_future_makes_no_other_record_of_a_replay_late() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("one.ndjson");
    let line = |at| support::line("a", "egress_flow_count", at, 1);
    let wrong = START + 1_000_000 * MINUTE;
    let lines: String = [START, wrong, START + 1, wrong, wrong + 1, START + 2, START + MINUTE].map(line).concat();
    std::fs::write(&file, lines + &line(START + MINUTE)).unwrap();
    let data = TempDir::new().unwrap();
    let (code, stderr) = try_replay(data.path(), &[], &["--close-windows"], &file);
    assert!(code == Some(0) && stderr.contains("5 records were aggregated, 0 were left out"), "{stderr}");
    assert!(stderr.contains("one.ndjson:2: the timestamp") && stderr.contains("3 bad lines"), "{stderr}");
    assert_eq!(read_sums(&results(data.path())).into_values().collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn a_limit_of_ten_thousand_objects_holds_for_a_million_keys() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("keys.ndjson");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    for key in 0..1_000_000u64 {
        out.write_all(support::line(&format!("vn{key}"), "egress_flow_count", START + key, 1).as_bytes()).unwrap();
    }
    out.into_inner().unwrap();
    let settings = ["log.partitions=1", "aggregation.max_objects_per_partition=10000"];
    let data = directory.path().join("log");
    replay(&data, &settings, &[&file]);
    let sums = read_sums(&results(&data));
    assert_eq!((sums.len(), sums.values().sum::<u64>()), (10_000, 10_000));
}

/// The types that no default list uses: each window has its percentiles, and the seasonal detector its score once it has
/// learned for a day.
#[test]
fn the_further_built_in_types_compute_what_their_names_say() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("samples.ndjson");
    let minutes = 2 * 24 * 60;
    let sample = |minute: u64, value: u64| support::line("a", "egress_flow_count", START + minute * 60_000_000, value);
    let line =
        |minute| if minute + 10 == minutes { sample(minute, 1_000_000) } else { sample(minute, 500 + minute % 7) };
    std::fs::write(&file, (0..minutes).map(|minute| line(minute) + "\n").collect::<String>()).unwrap();
    let data = directory.path().join("log");
    let types = "UveVirtualNetworkAgent-egress_flow_count:AggProxyPercentiles:AggProxySeasonal";
    replay(&data, &[&format!("aggregation.uve_proxy_list={types}")], &[&file]);
    let results: Vec<serde_json::Value> =
        results(&data).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |uve: &str| results.iter().filter(|it| it["uve"].as_str().unwrap().starts_with(uve)).collect::<Vec<_>>();
    let percentiles = of("AggProxyPercentiles-");
    assert!(percentiles.len() as u64 >= minutes, "{}", percentiles.len());
    let first = percentiles[0]["data"]["value"]["percentiles"]["p90"].as_f64().unwrap();
    assert!((495.0..=505.0).contains(&first), "{}", percentiles[0]);
    let alarms: Vec<_> = of("AggProxySeasonal-").into_iter().filter(|it| it["data"]["value"]["alarm"] == 1).collect();
    let burst = START + (minutes - 10) * 60_000_000;
    assert!(
        alarms.iter().any(|it| it["start"].as_u64().unwrap() == burst - burst % 60_000_000),
        "{:?}",
        of("AggProxySeasonal-").last()
    );
}

/// A vrouter that reports twice in a minute counts once, and one that is silent for three minutes no more.
#[test]
fn the_last_values_of_sources_add_up_to_the_level_of_an_object() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("samples.ndjson");
    let start = START - START % MINUTE;
    let sample = |source: &str, second: u64, value: u64| {
        let line = support::line("a", "egress_flow_count", start + second * 1_000_000, value);
        format!("{},\"source\":\"{source}\"}}\n", line.trim_end().trim_end_matches('}'))
    };
    let mut lines = sample("compute-1", 1, 10) + &sample("compute-1", 31, 12) + &sample("compute-2", 5, 100);
    (1..6).for_each(|minute| lines += &sample("compute-1", minute * 60 + 1, 20 + minute));
    std::fs::write(&file, lines).unwrap();
    let data = directory.path().join("log");
    let types = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySumLast:AggProxySum";
    replay(&data, &[types], &[&file]);
    let results = results(&data);
    let sums: Vec<u64> = results
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|it| it["uve"].as_str().unwrap().starts_with("AggProxySumLast-"))
        .filter_map(|it| it["data"]["value"]["value"].as_u64())
        .collect();
    assert_eq!(sums[..6], [112, 121, 122, 23, 24, 25], "{results:?}");
}

#[cfg(feature = "fault-points")]
#[test]
fn a_replay_does_not_wait_for_a_stream_that_is_no_longer_configured() {
    use std::time::Duration;

    use support::{Daemon, PATIENCE};

    let directory = TempDir::new().unwrap();
    let data = directory.path().join("log");
    let only = |stream: &str| format!("aggregation.uve_proxy_list=UveVirtualNetworkAgent-{stream}:AggProxySum");
    // The daemon is killed before its first commit, so its input is not applied.
    let mut daemon = Daemon::doomed(command("run", &data, &[&only("ingress_flow_count")]), "commit.before:1");
    daemon.post(support::line("a", "ingress_flow_count", START, 7).as_bytes(), None).unwrap();
    assert!(!daemon.wait().success(), "the input was applied");

    let file = directory.path().join("egress.ndjson");
    std::fs::write(&file, support::line("a", "egress_flow_count", START, 8)).unwrap();
    let mut replay = command("replay", &data, &[&only("egress_flow_count")]);
    let mut replay = replay.arg("--close-windows").arg(&file).stderr(Stdio::null()).spawn().unwrap();
    let ended = (0..PATIENCE.as_millis() / 100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        replay.try_wait().unwrap()
    });
    replay.kill().unwrap();
    assert!(ended.expect("the replay waits for ever").success());
    assert_eq!(read_sums(&results(&data)).into_values().collect::<Vec<_>>(), [8]);
}

#[test]
fn a_missing_file_is_reported_before_the_log_is_opened() {
    let data = TempDir::new().unwrap();
    let output = command("replay", &data.path().join("log"), &[]).arg("/no/such/file").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/file"));
    assert!(!data.path().join("log").exists(), "the log was opened for nothing");
}

#[test]
fn the_demo_detects_its_anomalies() {
    // Short periods: the warm-up takes ten, the anomaly starts in the thirteenth. A busy machine takes longer.
    let mut demo = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    demo.args(["demo", "--for", "2m", "--set", "aggregation.period=1", "--set", "http.listen=127.0.0.1:0"]);
    let mut demo = KilledOnDrop(demo.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut said = String::new();
    // Open to the end: a demo that cannot print fails.
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    for line in &mut lines {
        said += &format!("{line}\n");
        if finds_both_anomalies(&said) {
            // Ctrl-C sends the same signal.
            assert!(Command::new("kill").args(["-s", "INT", &demo.id().to_string()]).status().unwrap().success());
            break;
        }
    }
    assert!(demo.wait().unwrap().success(), "{said}");
    assert!(finds_both_anomalies(&said), "{said}");
}

/// Whether the demo announced the network and the service with anomalies, and then reported both anomalies, an alarm and
/// its end.
fn finds_both_anomalies(said: &str) -> bool {
    let named = |after: &str| said.lines().find_map(|line| line.split(after).nth(1));
    let announced = |troubled: &str| said.lines().any(|line| line.starts_with("ANOMALY") && line.contains(troubled));
    // The rule of the demo fires for the network, and ends while its flows stay unusual: the detector adapts.
    let told = |end: &str| said.lines().any(|line| line.starts_with("ALARM \"unusual\" of ") && line.contains(end));
    if !told(" fires: ") || !told(" is resolved") {
        return false;
    }
    let (Some(network), Some(service)) = (named("virtual-network/"), named("the service ")) else { return false };
    let service = service.split(' ').next().unwrap_or_default();
    announced(network.trim_end_matches("?flat")) && announced(&format!("ContivService:{service} BytesOut"))
}
