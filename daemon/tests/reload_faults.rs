//! Kills in the middle of a change of the configuration: the daemon starts with the old one or with the new one, and
//! what stays configured has the results of an undisturbed run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::campaign::{assert_same, batches_of, by_object};
use support::configured::{Configured, STREAM, text};
use support::{Daemon, results};

const SUM: &str = "AggProxySum";
const SCORE: &str = "AggProxySumAnomalyEWM01";
const LAST: &str = "AggProxySumLast";

/// The points of a change, each with whether the next start has the new configuration. At the last one the new workers
/// restore their partitions; without a kill it is in force at once.
const POINTS: [(&str, bool); 4] =
    [("change.before:1", false), ("change.mid:1", true), ("change.after:1", true), ("none", true)];

fn bodies() -> Vec<(String, String)> {
    let of_stream = |body: &str| {
        let lines = body.lines().filter(|line| line.contains("egress_flow_count"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    batches_of(9, 24).iter().map(|batch| (batch.key.clone(), of_stream(&batch.body))).collect()
}

/// The results of the type that stays.
fn kept(configured: &Configured) -> Vec<String> {
    let uve = format!("\"uve\":\"{SCORE}-{STREAM}\"");
    by_object(results(&configured.data()).into_iter().filter(|line| line.contains(&uve)).collect())
}

fn undisturbed() -> Vec<String> {
    let configured = Configured::new(&[SCORE, SUM]);
    let daemon = Daemon::spawn(configured.command()).unwrap();
    for (key, body) in bodies() {
        assert_eq!(daemon.post(body.as_bytes(), Some(&key)).unwrap().0, 200);
    }
    daemon.wait_until_applied();
    daemon.stop();
    kept(&configured)
}

#[test]
fn a_kill_in_a_change_leaves_the_old_configuration_or_the_new_one() {
    let expected = undisturbed();
    assert!(expected.len() > 20, "the input proves nothing");
    let (old, new) = (text(&[SCORE, SUM]), text(&[LAST, SCORE]));
    for (point, is_new) in POINTS {
        let configured = Configured::new(&[SCORE, SUM]);
        let mut command = configured.guarded();
        if point != "none" {
            command.env("DERIVED_STATSD_KILL_AT", point);
        }
        let mut daemon = Daemon::spawn(command).expect(point);
        daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
        let bodies = bodies();
        let send = |daemon: &Daemon, (key, body): &(String, String)| {
            let authorized = configured.ask(daemon, "POST", "/api/v1/samples", body).expect(key);
            assert_eq!(authorized.0, 200, "{point}: {}", authorized.1);
        };
        bodies[..40].iter().for_each(|batch| send(&daemon, batch));
        let answer = configured.ask(&daemon, "POST", "/api/v1/config", &new);
        if point == "none" {
            assert_eq!(answer.unwrap().0, 200);
        } else {
            assert_eq!(answer, None, "{point}: no kill, so the run proves nothing");
            assert!(!daemon.wait_for_end().success());
            let file = std::fs::read_to_string(configured.file()).unwrap();
            assert_eq!(file, if is_new { new.clone() } else { old.clone() }, "{point}");
            daemon = Daemon::spawn(configured.guarded()).expect(point);
            daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
        }
        bodies[40..].iter().for_each(|batch| send(&daemon, batch));
        support::wait_until("everything is applied", || {
            let (_, partitions) = configured.ask(&daemon, "GET", "/api/v1/partitions", "")?;
            support::is_applied(&partitions).then_some(())
        });
        daemon.stop();
        assert_same(&kept(&configured), &expected, point);
        let all = results(&configured.data()).concat();
        let has = |proxy: &str| all.contains(&format!("\"uve\":\"{proxy}-{STREAM}\""));
        assert_eq!(has(LAST), is_new, "{point}");
    }
}
