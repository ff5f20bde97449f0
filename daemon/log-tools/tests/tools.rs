//! Copies, checks and salvage of logs with damage in every place.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use daemon_log::{
    AppendBatch, EmbeddedLog, Idempotency, Log as _, LogConfig, LogError, PartitionCommit, PartitionId,
    PartitionLog as _, RecordBuffer, SinkPosition,
};
use daemon_log_tools::{Loss, Owned, StateToCheck, backup, check, regrow, restore, salvage};
use tempfile::TempDir;

const P: PartitionId = PartitionId::new(0, 0);
const Q: PartitionId = PartitionId::new(0, 1);

/// Segments of a megabyte.
fn config() -> LogConfig {
    LogConfig {
        max_input_bytes: 1,
        max_results_bytes: 1,
        max_backlog_bytes: 1,
        results_hard_limit_bytes: 1,
        ..LogConfig::default()
    }
}

fn append(log: &EmbeddedLog, at: u64, partition: PartitionId, payloads: &[String]) {
    let idempotency = Idempotency { key: format!("{partition} {at}"), body_crc: 1, outcome: vec![1] };
    let mut batch = AppendBatch::new(at).idempotent(idempotency);
    payloads.iter().for_each(|payload| batch.push(partition, b"key", payload.as_bytes()).unwrap());
    log.append(batch).unwrap();
}

fn commit(log: &EmbeddedLog, at: u64, partition: PartitionId, cursor: u64, state: &str, results: &[String]) {
    let mut buffer = RecordBuffer::default();
    results.iter().for_each(|result| buffer.push(b"", result.as_bytes()).unwrap());
    let chunks = vec![(0, Some(state.as_bytes().to_vec())), (at as u32, Some(vec![7; 20]))];
    let commit = PartitionCommit { partition, cursor, meta: b"meta".to_vec(), chunks, results: buffer };
    log.commit(vec![commit], at).unwrap();
}

/// A log with two partitions, of which the second has input that is not applied.
fn write(path: &Path) {
    let log = EmbeddedLog::open(path, LogConfig::default()).unwrap();
    log.stream_id("stream").unwrap();
    log.restore(P).unwrap();
    log.restore(Q).unwrap();
    for round in 1..5 {
        append(&log, round, P, &[format!("p{round}"), format!("p{round} again")]);
        append(&log, round + 10, Q, &[format!("q{round}")]);
        commit(&log, round + 20, P, 2 * round, &format!("state {round}"), &[format!("result {round}")]);
    }
    commit(&log, 30, Q, 1, "state of q", &["result of q".to_owned()]);
    log.set_sink_position("sink", SinkPosition { next: 3, detail: vec![9] }).unwrap();
    std::fs::write(path.join("PARTITIONS"), "2\n").unwrap();
}

fn decodes(_: &StateToCheck<'_>) -> Result<(), String> {
    Ok(())
}

/// Everything that a log has.
#[derive(Debug, PartialEq)]
struct Everything {
    input: BTreeMap<(PartitionId, u64), Vec<u8>>,
    results: BTreeMap<u64, Vec<u8>>,
    states: Vec<Option<daemon_log::Restored>>,
    sink: Option<SinkPosition>,
}

fn everything(path: &Path) -> Everything {
    let log = EmbeddedLog::open(path, LogConfig::default()).unwrap();
    let mut found = Everything { input: BTreeMap::new(), results: BTreeMap::new(), states: Vec::new(), sink: None };
    for id in [P, Q] {
        let bounds = log.bounds(id).unwrap();
        if bounds.next > bounds.first {
            for record in log.read(id, bounds.first, usize::MAX).unwrap().records() {
                found.input.insert((id, record.offset), record.payload.to_vec());
            }
        }
        found.states.push(log.restore(id).unwrap());
    }
    let bounds = log.results_bounds().unwrap();
    if bounds.next > bounds.first {
        for record in log.read_results(bounds.first, usize::MAX).unwrap().records() {
            found.results.insert(record.offset, record.payload.to_vec());
        }
    }
    found.sink = log.sink_position("sink").unwrap();
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("store")).unwrap();
    for file in files(from) {
        std::fs::copy(&file, to.join(file.strip_prefix(from).unwrap())).unwrap();
    }
}

/// The files of a log, without its lock.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.ends_with("LOCK") => {}
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn a_log_is_sound_while_a_process_has_it_open_and_the_check_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    write(&path);
    let log = EmbeddedLog::open(&path, LogConfig::default()).unwrap();
    let before: Vec<_> = files(&path).iter().map(|file| std::fs::read(file).unwrap()).collect();
    let mut seen = Vec::new();
    let report = check(&path, &mut |state: &StateToCheck<'_>| {
        seen.push((state.partition, state.stream.to_owned(), state.cursor, state.chunks[0].1.clone()));
        Ok(())
    })
    .unwrap();
    assert!(report.is_sound() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.states, report.input, report.waiting, report.results), (2, 12, 3, 5));
    assert_eq!(seen[0], (P, "stream".to_owned(), 8, b"state 4".to_vec()));
    assert_eq!(seen[1], (Q, "stream".to_owned(), 1, b"state of q".to_vec()));
    let after: Vec<_> = files(&path).iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert_eq!(before, after);
    drop(log);
}

#[test]
fn a_directory_without_a_log_is_an_error_and_no_damage() {
    let dir = TempDir::new().unwrap();
    let empty = check(dir.path(), &mut decodes).unwrap_err();
    assert!(matches!(empty, LogError::NoLog { .. }), "{empty}");
    std::fs::write(dir.path().join("VERSION"), "derived-statsd log 9\n").unwrap();
    let newer = check(dir.path(), &mut decodes).unwrap_err();
    assert!(matches!(newer, LogError::UnknownVersion { .. }), "{newer}");
}

/// The directory of each released format; `daemon/log` opens it in a test, too.
#[test]
fn the_stored_directory_of_the_format_is_sound() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../log/golden/format-2");
    let report = check(&golden, &mut decodes).unwrap();
    assert!(report.is_sound() && report.write > 0, "{report:?}");
}

#[test]
fn an_empty_file_of_acknowledged_writes_is_damage_of_a_log_with_several() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    write(&path);
    std::fs::write(path.join("acknowledged"), "").unwrap();
    let report = check(&path, &mut decodes).unwrap();
    assert!(report.damage.iter().any(|damage| damage.path.ends_with("acknowledged")), "{:?}", report.damage);
}

#[test]
fn every_missing_file_is_damage_and_what_the_others_have_is_salvaged() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    write(&path);
    let whole = everything(&path);
    for (number, file) in files(&path).into_iter().enumerate() {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "PARTITIONS" {
            // Of the daemon, which checks it itself.
            continue;
        }
        let (damaged, out) = (dir.path().join(format!("damaged-{number}")), dir.path().join(format!("out-{number}")));
        copy(&path, &damaged);
        std::fs::remove_file(damaged.join(file.strip_prefix(&path).unwrap())).unwrap();
        let report = check(&damaged, &mut decodes).unwrap();
        assert!(!report.is_sound(), "{name} is missing");
        let text: String = report.damage.iter().map(ToString::to_string).collect();
        assert!(text.contains(&name) || name.starts_with("journal"), "{name}: {text}");
        let salvaged = salvage(&damaged, &out, &Owned::default(), &mut decodes);
        if name.starts_with("journal") {
            let error = salvaged.unwrap_err();
            assert!(error.to_string().contains("checkpoint") && !out.exists(), "{error}");
            continue;
        }
        let (_, loss) = salvaged.unwrap();
        assert!(check(&out, &mut decodes).unwrap().is_sound(), "{name}");
        let found = everything(&out);
        match name.split('-').next().unwrap() {
            "results" => assert_eq!((loss.results, found.results.len()), (5, 5), "without content: {name}"),
            "state" => assert_eq!((loss.states, &found.states), (2, &vec![None, None]), "{name}"),
            _ => assert!(loss.is_nothing() && found == whole, "{name}: {loss:?}"),
        }
    }
}

/// Flips one bit of each byte. A check names the damage, or the content is the same; what is salvaged is sound, and has
/// what it does not count as lost.
#[test]
fn a_flipped_bit_is_named_or_changes_nothing_and_what_is_salvaged_lacks_what_is_counted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    write(&path);
    let whole = everything(&path);
    let mut named = 0;
    for file in files(&path.join("store")) {
        let bytes = std::fs::read(&file).unwrap();
        // One flip takes milliseconds.
        for at in (0..bytes.len()).step_by(7) {
            let damaged = TempDir::new_in(dir.path()).unwrap();
            let (damaged, out) = (damaged.path().join("damaged"), damaged.path().join("out"));
            copy(&path, &damaged);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(damaged.join(file.strip_prefix(&path).unwrap()), flipped).unwrap();
            let case = format!("{} at {at}", file.display());
            let report = check(&damaged, &mut decodes).unwrap();
            named += usize::from(!report.is_sound());
            let Ok((_, loss)) = salvage(&damaged, &out, &Owned::default(), &mut decodes) else {
                assert!(!report.is_sound() && file.to_str().unwrap().contains("journal"), "{case}");
                continue;
            };
            let again = check(&out, &mut decodes).unwrap();
            assert!(again.is_sound(), "{case}: {again:?}");
            let found = everything(&out);
            if report.is_sound() {
                assert!(loss.is_nothing(), "{case}: {loss:?}");
            }
            if loss.is_nothing() {
                assert_eq!(found, whole, "{case}");
            } else {
                compare(&found, &whole, loss, &case);
            }
        }
    }
    assert!(named > 200, "{named} damages were named");
}

/// Compares what was salvaged with the whole content.
fn compare(found: &Everything, whole: &Everything, loss: Loss, case: &str) {
    let lost = |found: &[u8]| found.is_empty();
    let kept = found.input.iter().filter(|(_, payload)| !lost(payload));
    assert!(kept.clone().all(|(at, payload)| whole.input.get(at) == Some(payload)), "{case}");
    let missing = whole.input.len() - kept.count();
    assert!(missing as u64 <= loss.input + loss.applied_input || loss.writes > 0, "{case}: {missing} of {loss:?}");
    let kept = found.results.iter().filter(|(_, payload)| !lost(payload));
    assert!(kept.clone().all(|(at, payload)| whole.results.get(at) == Some(payload)), "{case}");
    let missing = whole.results.len() - kept.count();
    assert!(missing as u64 <= loss.results || loss.writes > 0, "{case}: {missing} of {loss:?}");
    let states = found.states.iter().filter(|state| state.is_none()).count();
    assert!(states as u64 <= loss.states || loss.writes > 0, "{case}: {loss:?}");
}

#[test]
fn input_behind_damage_of_the_journal_is_salvaged_and_applied_again() {
    let dir = TempDir::new().unwrap();
    let (path, out) = (dir.path().join("log"), dir.path().join("out"));
    write(&path);
    let whole = everything(&path);
    let journal =
        files(&path.join("store")).into_iter().find(|file| file.to_str().unwrap().contains("journal")).unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    // The changes of the write with this input.
    let input = bytes.windows(7).position(|window| window == b"p2 agai").unwrap();
    let changes = input + bytes[input..].iter().position(|byte| *byte == b'C').unwrap();
    bytes[changes + 14] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let (report, loss) = salvage(&path, &out, &Owned::default(), &mut decodes).unwrap();
    let text: String = report.damage.iter().map(ToString::to_string).collect();
    assert!(text.contains(&format!("{} at byte {changes}", journal.display())), "{text}");
    assert!(loss.writes > 0 && (loss.input, loss.applied_input) == (0, 0), "{loss:?}");
    let found = everything(&out);
    assert_eq!(found.input, whole.input, "all input can be read");
    let cursors: Vec<_> = found.states.iter().map(|state| state.as_ref().map(|state| state.cursor)).collect();
    assert_eq!(cursors, [Some(2), None], "as of the last write before the damage");
    assert_eq!((found.results.len(), found.sink), (1, None));
}

#[test]
fn a_torn_end_that_was_not_acknowledged_is_a_note() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    write(&path);
    let journal =
        files(&path.join("store")).into_iter().find(|file| file.to_str().unwrap().contains("journal")).unwrap();
    let whole = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, [&whole[..], b"R\x01torn"].concat()).unwrap();
    let report = check(&path, &mut decodes).unwrap();
    assert!(report.is_sound() && report.notes[0].contains("6 bytes"), "{report:?}");
    std::fs::write(&journal, &whole[..whole.len() - 1]).unwrap();
    let report = check(&path, &mut decodes).unwrap();
    assert!(!report.is_sound(), "the last write was acknowledged: {report:?}");
}

#[test]
fn a_state_that_its_worker_cannot_decode_is_damage_and_left_out() {
    let dir = TempDir::new().unwrap();
    let (path, out) = (dir.path().join("log"), dir.path().join("out"));
    write(&path);
    let mut decode = |state: &StateToCheck<'_>| match state.partition {
        Q => Err("it is of another stream".to_owned()),
        _ => Ok(()),
    };
    let report = check(&path, &mut decode).unwrap();
    assert_eq!((report.damage.len(), report.states), (1, 1), "{report:?}");
    assert!(report.damage[0].to_string().contains("partition 0/1 (stream) does not decode: it is of another"));
    let (_, loss) = salvage(&path, &out, &Owned::default(), &mut decode).unwrap();
    assert_eq!(loss, Loss { states: 1, ..Loss::default() });
    let rebuilt = Owned { rebuilt: &["stream"], ..Owned::default() };
    let (_, loss) = salvage(&path, &dir.path().join("again"), &rebuilt, &mut decode).unwrap();
    assert_eq!(loss, Loss { rebuilt: 1, ..Loss::default() }, "the owner makes it again");
}

#[test]
fn a_pipe_named_as_a_file_of_the_log_is_an_error_and_not_waited_for() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    write(&path);
    for name in ["store/state-0000001000", "store/journal-0000001000", "acknowledged", "VERSION"] {
        let pipe = path.join(name);
        let _ = std::fs::remove_file(&pipe);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let found = match check(&path, &mut decodes) {
            Ok(report) => report.damage.iter().map(ToString::to_string).collect(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains("it is not a regular file") && found.contains(name), "{name}: {found}");
        std::fs::remove_file(&pipe).unwrap();
    }
}

/// Everything below a directory, and the directory.
fn all(path: &Path) -> Vec<PathBuf> {
    let below = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let below = below.flat_map(|path| if path.is_dir() { all(&path) } else { vec![path] });
    std::iter::once(path.to_owned()).chain(below).collect()
}

#[test]
fn what_is_made_belongs_to_the_owner_of_the_directory_above_and_nobody_else_reads_it() {
    let dir = TempDir::new().unwrap();
    let above = dir.path().join("above");
    std::fs::create_dir(&above).unwrap();
    // Only root may give files away.
    let is_root = above.metadata().unwrap().uid() == 0;
    if is_root {
        std::os::unix::fs::chown(&above, Some(61_234), Some(61_235)).unwrap();
    }
    let owner = |path: &Path| path.metadata().map(|found| (found.uid(), found.gid())).unwrap();
    let names = ["copy", "linked", "restored", "salvaged", "grown", "there"];
    let [copy, linked, restored, salvaged, grown, there] = names.map(|name| above.join(name));
    let log = dir.path().join("log");
    write(&log);
    // As with the umask 022.
    for path in all(&log) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::create_dir(&there).unwrap();
    backup(&log, &copy, None).unwrap();
    backup(&log, &linked, Some(&copy)).unwrap();
    restore(&copy, &restored, true, &[("MORE", "text".to_owned())], &mut decodes).unwrap();
    restore(&copy, &there, false, &[], &mut decodes).unwrap();
    salvage(&log, &salvaged, &Owned::default(), &mut decodes).unwrap();
    let applied = dir.path().join("applied");
    drop(EmbeddedLog::open(&applied, LogConfig::default()).unwrap());
    regrow(&applied, &grown, &[], &mut |_| Ok(Vec::new())).unwrap();
    for made in [&copy, &linked, &restored, &salvaged, &grown, &there] {
        assert!(all(made).len() > 5, "{}", made.display());
        for path in all(made) {
            let mode = path.metadata().unwrap().mode() & 0o777;
            assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
            let expected = if made == &there { owner(&there) } else { owner(&above) };
            assert_eq!(owner(&path), expected, "{}", path.display());
        }
    }
    assert!(!is_root || owner(&copy) == (61_234, 61_235));
}

#[test]
fn nothing_is_made_inside_of_what_it_is_made_of() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    write(&log);
    std::fs::create_dir(log.join("there")).unwrap();
    for target in [log.clone(), log.join("new"), log.join("there"), log.join("store/new")] {
        let refused = [
            restore(&log, &target, false, &[], &mut decodes).map(drop),
            salvage(&log, &target, &Owned::default(), &mut decodes).map(drop),
        ];
        for refused in refused {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("name a directory outside"), "{}: {error}", target.display());
        }
        assert!(backup(&log, &target, None).is_err(), "{}", target.display());
    }
    assert!(!log.join("new").exists() && log.join("there").exists());
}

#[test]
fn no_copy_has_the_permission_to_lose_states() {
    let dir = TempDir::new().unwrap();
    let [data, copy, restored, salvaged] = ["data", "copy", "restored", "salvaged"].map(|name| dir.path().join(name));
    write(&data);
    std::fs::write(data.join("START-OVER"), "").unwrap();
    std::fs::write(data.join("OTHER"), "kept").unwrap();
    backup(&data, &copy, None).unwrap();
    std::fs::write(copy.join("START-OVER"), "").unwrap();
    let beside = [("OTHER", "replaced".to_owned())];
    restore(&copy, &restored, false, &beside, &mut decodes).unwrap();
    salvage(&copy, &salvaged, &Owned::default(), &mut decodes).unwrap();
    std::fs::remove_file(copy.join("START-OVER")).unwrap();
    for (path, other) in [(&copy, "kept"), (&restored, "replaced"), (&salvaged, "kept")] {
        assert!(!path.join("START-OVER").exists(), "{}", path.display());
        assert_eq!(std::fs::read_to_string(path.join("OTHER")).unwrap(), other, "{}", path.display());
    }
}

#[test]
fn a_directory_above_that_is_missing_and_an_interrupted_restore_have_their_remedies() {
    let dir = TempDir::new().unwrap();
    let [data, copy] = ["data", "copy"].map(|name| dir.path().join(name));
    write(&data);
    backup(&data, &copy, None).unwrap();
    let deep = dir.path().join("missing").join("new");
    let error = restore(&copy, &deep, false, &[], &mut decodes).unwrap_err().to_string();
    assert!(error.contains("create the directory above it") && !error.contains("free space"), "{error}");
    // What a killed restore leaves.
    std::fs::remove_file(copy.join("VERSION")).unwrap();
    let error = EmbeddedLog::open(&copy, LogConfig::default()).err().unwrap().to_string();
    assert!(error.contains("if a restore or a copy into it was interrupted, remove it"), "{error}");
}

#[test]
fn a_copy_of_a_running_log_has_all_writes_that_returned_and_shares_none_of_the_later_ones() {
    let dir = TempDir::new().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    write(&data);
    let whole = everything(&data);
    let log = EmbeddedLog::open(&data, LogConfig::default()).unwrap();
    backup(&data, &copy, None).unwrap();
    let again = backup(&data, &copy, None).map(drop).unwrap_err().to_string();
    assert!(again.contains("exists already"), "it would overwrite the first one: {again}");
    append(&log, 40, P, &["later".to_owned()]);
    assert_eq!(everything(&copy), whole);
}

/// Writes so much that files of each kind are closed.
fn write_much(log: &EmbeddedLog, rounds: std::ops::Range<u64>) {
    log.restore(P).unwrap();
    for round in rounds {
        append(log, 1_000 + round, P, &["x".repeat(300_000)]);
        commit(log, 1_000 + round, P, round + 1, "s", &["r".repeat(300_000)]);
    }
}

#[test]
fn a_later_copy_links_the_closed_files_of_an_older_one_and_shares_no_file_that_is_appended_to() {
    let dir = TempDir::new().unwrap();
    let [data, first, second] = ["data", "first", "second"].map(|name| dir.path().join(name));
    let log = EmbeddedLog::open(&data, config()).unwrap();
    write_much(&log, 0..10);
    let full = backup(&data, &first, None).unwrap();
    assert_eq!(full.linked, 0);
    write_much(&log, 10..14);
    let onto = backup(&data, &second, Some(&first)).unwrap();
    assert!(onto.linked > 3_000_000 && onto.copied < 4_000_000, "{onto:?}");
    assert!(check(&second, &mut decodes).unwrap().is_sound());
    let shared: Vec<_> = files(&second).into_iter().filter(|file| file.metadata().unwrap().nlink() > 1).collect();
    assert!(!shared.is_empty());
    // Both copies can be data directories, each of a daemon that writes.
    for copy in [&first, &second] {
        let log = EmbeddedLog::open(copy, config()).unwrap();
        let from = log.restore(P).unwrap().unwrap().cursor;
        write_much(&log, from..from + 8);
    }
    for copy in [&first, &second] {
        let report = check(copy, &mut decodes).unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
}

#[test]
fn a_directory_is_restored_from_a_sound_copy_only_and_must_be_empty() {
    let dir = TempDir::new().unwrap();
    let [data, copy, again, linked] = ["data", "copy", "again", "linked"].map(|name| dir.path().join(name));
    let log = EmbeddedLog::open(&data, config()).unwrap();
    write_much(&log, 0..10);
    backup(&data, &copy, None).unwrap();
    let refused = restore(&copy, &data, false, &[], &mut decodes).unwrap_err();
    assert!(refused.to_string().contains("is not empty, it has"), "{refused}");
    let restored = restore(&copy, &again, false, &[], &mut decodes).unwrap();
    assert!(restored.linked == 0 && restored.report.write > 0);
    std::fs::create_dir(&linked).unwrap();
    let restored = restore(&copy, &linked, true, &[], &mut decodes).unwrap();
    assert!(restored.linked > 0 && restored.copied > 0, "{restored:?}");
    for path in [&again, &linked] {
        assert!(check(path, &mut decodes).unwrap().is_sound());
        let log = EmbeddedLog::open(path, config()).unwrap();
        assert_eq!(log.restore(P).unwrap().unwrap().cursor, 10);
    }
    let file = files(&copy.join("store")).pop().unwrap();
    std::fs::remove_file(file).unwrap();
    let damaged = dir.path().join("damaged");
    let restored = restore(&copy, &damaged, false, &[], &mut decodes).unwrap();
    assert!(!restored.report.is_sound() && restored.copied == 0 && !damaged.exists());
}
