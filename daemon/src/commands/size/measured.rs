//! The measured constants from which a size is computed, all of them, each with its place in
//! `docs/src/design/performance.md` or `docs/src/operations/files.md`. A test compares them with those pages.

/// Memory of a table for an object of a stream, with a key of [`KEY_BYTES`] and without its states: 190 bytes with both
/// built-in types and three open windows, less the 3 · 16 bytes of the sums and the 32 of the detector.
pub(super) const OBJECT_BYTES: u64 = 190 - 3 * 16 - 32;

/// The length of a key in [`OBJECT_BYTES`]; it is in the table and in the view.
pub(super) const KEY_BYTES: u64 = 50;

/// The windows of an object that are open at once.
pub(super) const OPEN_WINDOWS: u64 = 3;

/// Memory of the view for a result of an object: 300 bytes at most with the two results of both built-in types.
pub(super) const VIEW_RESULT_BYTES: u64 = 300 / 2;

/// Memory of the whole daemon for an object with both built-in types, at most; the tests hold it for a million objects.
#[cfg(test)]
pub(super) const OBJECT_BYTES_OF_ALL: u64 = 500;

/// Memory that does not grow with the objects, in MiB: an empty daemon, and copies on their way.
pub(super) const FIXED_MIB: u64 = 16 + 24;

/// What a sample, a result and a state (of both built-in types) take on the disk, in bytes, with a key of [`KEY_BYTES`]. The
/// memory test compares the files of a job with the first two.
pub(super) const SAMPLE_DISK_BYTES: u64 = 75;
pub(super) const RESULT_DISK_BYTES: u64 = 50;
pub(super) const STATE_DISK_BYTES: u64 = 400;

/// How many times the states are on the disk: half of a file is not in use.
pub(super) const STATE_COPIES: u64 = 2;

/// The open files of each kind, and states that are not in use, in MiB.
pub(super) const DISK_FIXED_MIB: u64 = 256;

/// Samples per second of a core, from HTTP to committed results on the embedded log, with [`RESULTS_PER_SAMPLE`].
pub(super) const EMBEDDED_PER_CORE: u64 = 640_000;

/// Memory, disk for each sample and disk for the state of a source (a set of labels or a sender that an algorithm counts
/// apart), each beside its name.
pub(super) const SOURCE_BYTES: u64 = 220;
pub(super) const SOURCE_SAMPLE_BYTES: u64 = 40;
pub(super) const SOURCE_STATE_BYTES: u64 = 20;

/// Samples per second of a core, of counters with sources by remote write, 500 in a request.
pub(super) const SOURCES_PER_CORE: u64 = 173_000;

/// What the sources of so many neighbouring objects may take in a state, and what one takes of it beside its name.
pub(super) const NEIGHBOURS: u64 = 256;
pub(super) const NEIGHBOURS_BYTES: u64 = 5 << 20;
pub(super) const SOURCE_SHARE_BYTES: u64 = 44;

/// The results of a sample in the job of [`EMBEDDED_PER_CORE`] and [`KAFKA_CPU_S`]: 1.88 million of 2 million samples.
pub(super) const RESULTS_PER_SAMPLE: f64 = 0.94;

/// CPU seconds of a million records of Kafka, both built-in types, two workers.
pub(super) const KAFKA_CPU_S: f64 = 3.51;

/// CPU nanoseconds of a further result: the close 200 ns, the view 240 ns, and a fifth more for the log.
pub(super) const RESULT_NS: f64 = 530.0;

/// Records per second of one worker on Kafka, of both types, while the broker has the other core.
pub(super) const KAFKA_PER_WORKER: u64 = 327_000;

/// Memory of a worker on Kafka, in MiB: what is fetched ahead and the results of a transaction.
pub(super) const KAFKA_WORKER_MIB: u64 = 90;

/// A record of a collector on Kafka before compression: key and XML.
pub(super) const KAFKA_RECORD_BYTES: u64 = 41 + 112;

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with its lines as one.
    fn one_line(page: &str) -> String {
        page.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The page has the sentences and rows that the constants were taken from.
    #[test]
    fn the_constants_are_those_of_the_page_on_performance() {
        let performance = one_line(include_str!("../../../../docs/src/design/performance.md"));
        let object = OBJECT_BYTES + OPEN_WINDOWS * 16 + 32;
        let view = 2 * VIEW_RESULT_BYTES;
        let [samples, cores] = [EMBEDDED_PER_CORE / 1_000, KAFKA_PER_WORKER / 1_000];
        let in_performance = [
            format!("{object} bytes an object with three open windows, {KEY_BYTES}-byte keys and both built-in types"),
            format!("a test asserts at most {view} with its growth"),
            format!("At most {OBJECT_BYTES_OF_ALL} for a million objects"),
            "less the 16 MB of an empty daemon".to_owned(),
            "24 MiB for what does not grow with them".to_owned(),
            format!("embedded log, records per CPU-second | 400,000 | 1 M | {samples},000 to"),
            "1.88 million results".to_owned(),
            format!("| both types, 1 worker | {cores} ("),
            format!("| both types, 2 workers | 362 (351 to 374) | {KAFKA_CPU_S} |"),
            format!("a second worker takes about {KAFKA_WORKER_MIB} MiB"),
            "a key of 41 bytes, 112 bytes of XML".to_owned(),
            "240 ns each".to_owned(),
            format!("| remote write, counters with eight labels | {},000 |", SOURCES_PER_CORE / 1_000),
            format!(
                "A source takes {SOURCE_BYTES} bytes of memory, {SOURCE_SAMPLE_BYTES} on the disk for each sample and \
                 {SOURCE_STATE_BYTES} for its state"
            ),
            "| `DSSum` | 16 |".to_owned(),
            "| `DSAnomaly:EWM:0.1` | 32 |".to_owned(),
        ];
        for text in in_performance {
            assert!(performance.contains(&text), "docs/src/design/performance.md has no {text:?}");
        }
    }

    /// The same of the pages of the operations.
    #[test]
    fn the_constants_are_those_of_the_pages_of_the_operations() {
        let files = one_line(include_str!("../../../../docs/src/operations/files.md"));
        let running = one_line(include_str!("../../../../docs/src/operations/running.md"));
        let in_files = [
            format!(
                "A sample takes about {SAMPLE_DISK_BYTES} bytes with a key of {KEY_BYTES}, a result {RESULT_DISK_BYTES}"
            ),
            format!("both built-in types {STATE_DISK_BYTES} (in the files twice that)"),
            format!("twice the states of all objects, and {DISK_FIXED_MIB} MiB"),
        ];
        for text in in_files {
            assert!(files.contains(&text), "docs/src/operations/files.md has no {text:?}");
        }
        let text =
            format!("takes {FIXED_MIB} MiB and at most {OBJECT_BYTES_OF_ALL} bytes of memory per object and stream");
        assert!(running.contains(&text), "docs/src/operations/running.md has no {text:?}");
    }
}
