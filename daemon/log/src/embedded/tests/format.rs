//! The stored format: the files of a fixed history do not change, and later builds open them.

use super::damage::everything;
use super::*;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/format-2")
}

/// Writes a log with every kind of change and two files of each family.
fn write(path: &Path) {
    let log = EmbeddedLog::open_with(path, LogConfig::default(), [400; 3]).unwrap();
    log.stream_id("stream").unwrap();
    log.set_sink_position("sink", SinkPosition { next: 1, detail: b"detail".to_vec() }).unwrap();
    log.set_sink_position("gone", SinkPosition::default()).unwrap();
    log.remove_sink("gone").unwrap();
    for id in [P, Q] {
        log.restore(id).unwrap();
    }
    for round in 0..4 {
        let key = Idempotency { key: format!("key {round}"), body_crc: 7, outcome: b"outcome".to_vec() };
        log.append(batch(round, P, &["input", "\u{e9}"]).idempotent(key)).unwrap();
        log.append(batch(round, Q, &[&"long ".repeat(20)])).unwrap();
        let mut next = commit(P, 2 * round + 2, &"state ".repeat(20), &["result", &format!("{round}")]);
        next.chunks.push((7, (round < 3).then(|| vec![round as u8; 3])));
        log.commit(vec![next, commit(Q, round, "q", &[])], round).unwrap();
    }
    log.reset_state(Q).unwrap();
    append(&log, 9, Q, &["last"]);
}

#[test]
fn the_files_of_format_2_do_not_change() {
    let dir = dir();
    write(dir.path());
    let names = |path: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&dir.path().join("store")), names(&golden().join("store")));
    for name in names(&golden().join("store")).iter().map(|name| Path::new("store").join(name)) {
        let (written, kept) =
            (std::fs::read(dir.path().join(&name)).unwrap(), std::fs::read(golden().join(&name)).unwrap());
        assert!(written == kept, "{} is another one than in {}", name.display(), golden().display());
    }
}

#[test]
fn a_log_of_format_2_is_opened() {
    let dir = dir();
    let data = dir.path().join("data");
    copy_dir(&golden(), &data);
    let log = EmbeddedLog::open(&data, LogConfig::default()).unwrap();
    let found = everything(&log).unwrap();
    assert_eq!((found.0.len(), found.1.len(), found.4.len()), (8, 8, 4));
    let restored = found.2.unwrap();
    assert_eq!((restored.cursor, restored.chunks), (8, vec![(1, "state ".repeat(20).into_bytes())]));
    assert_eq!((found.3.unwrap().next, found.5), (1, Some(0)));
    assert_eq!((payloads(&log, Q, 0).last().unwrap().as_str(), log.restore(Q).unwrap()), ("last", None));
}

#[test]
#[ignore = "writes the golden files of a new format"]
fn bless() {
    std::fs::remove_dir_all(golden()).ok();
    std::fs::create_dir_all(golden()).unwrap();
    write(&golden());
    std::fs::remove_file(golden().join("LOCK")).unwrap();
}
