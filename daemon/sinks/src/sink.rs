//! The trait of a sink.

use daemon_log::{Log, RecordBatch};

/// A destination for the results of the results log.
///
/// # Call order
///
/// [`run`](crate::run()) owns the sink and calls its methods on one thread, never at the same time:
///
/// 1. [`start`](Self::start) once. It returns the first offset to deliver.
/// 2. [`deliver`](Self::deliver) for each batch of records, in offset order and without gaps in between.
/// 3. [`idle`](Self::idle) while there are no new records, a few times a second.
/// 4. [`delivered`](Self::delivered) after each of the latter two, to report the progress.
/// 5. At a stop: `deliver` for the remaining records, then `idle` with `stopping`, and no call after that.
///
/// # Errors and retries
///
/// After an error [`run`](crate::run()) logs it, with what must be changed if no retry mends it (a missing permission,
/// say), waits a second and calls the same method with the same arguments again,
/// without end. A method that failed must therefore leave the sink in a state from which the same call can succeed. A
/// record that can never be delivered is not an error: log it, count it, and continue with the next record. When the
/// daemon stops, `run` calls a failing method once more and then gives up; the next start continues at the stored
/// position.
///
/// The methods may block, on a network for example, because each sink has a thread of its own. A method that blocks
/// without a timeout delays the stop of the daemon.
///
/// # The position, and exactly-once delivery
///
/// The sink stores its position itself, with [`Log::set_sink_position`], and only **after** the results before the
/// position are safe at their destination. A process that is killed between the delivery and the stored position
/// delivers the same records again. To deliver each result exactly once, a sink has two ways:
///
/// * Store its own progress in [`SinkPosition::detail`](daemon_log::SinkPosition::detail), in the same write as the
///   position, and undo at the start what the destination has beyond it. [`FileSink`](crate::file::FileSink) stores the
///   length of the file and cuts the file to that length.
/// * Make the delivery idempotent. [`InfluxSink`](crate::influxdb::InfluxSink) sends points whose series and time
///   depend on the result only, so a second write changes no point.
///
/// # Examples
///
/// A sink that collects results as JSON lines. A record holds one or more results, which [`RecordReader`] iterates.
///
/// [`RecordReader`]: daemon_results::record::RecordReader
///
/// ```
/// use daemon_base::stop::Stop;
/// use std::sync::{Arc, Mutex};
///
/// use daemon_log::{EmbeddedLog, Log, LogConfig, PartitionCommit, PartitionId, PartitionLog};
/// use daemon_log::{RecordBatch, RecordBuffer, SinkPosition};
/// use daemon_results::record::RecordReader;
/// use daemon_sinks::Sink;
///
/// #[derive(Default)]
/// struct Collector {
///     lines: Arc<Mutex<Vec<String>>>,
///     reader: RecordReader,
///     /// The first offset that is not in `lines`.
///     next: u64,
/// }
///
/// impl Sink for Collector {
///     fn name(&self) -> &str {
///         "collector"
///     }
///
///     fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
///         let position = match log.sink_position("collector")? {
///             Some(position) => position,
///             None => SinkPosition { next: log.results_bounds()?.first, detail: Vec::new() },
///         };
///         // Registers a new sink: the log keeps unread results for registered sinks only.
///         log.set_sink_position("collector", position.clone())?;
///         self.next = position.next;
///         Ok(self.next)
///     }
///
///     fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
///         let (mut lines, delivered) = (self.lines.lock().unwrap(), self.next);
///         // After an error `run` passes the same batch again: skip the records that are already delivered.
///         for record in batch.records().skip_while(|record| record.offset < delivered) {
///             self.reader.each(record.offset, record.payload, |_, result| {
///                 let mut line = Vec::new();
///                 result.write_line(&mut line);
///                 lines.push(String::from_utf8_lossy(&line).into_owned());
///             })?;
///             self.next = record.offset + 1;
///         }
///         // The results are delivered, so the position may move.
///         log.set_sink_position("collector", SinkPosition { next: self.next, detail: Vec::new() })?;
///         Ok(())
///     }
/// }
///
/// // A log with one result.
/// let folder = tempfile::tempdir()?;
/// let log = Arc::new(EmbeddedLog::open(folder.path(), LogConfig::default())?);
/// let partition = PartitionId::new(0, 0);
/// log.restore(partition)?;
/// let commit = |result: &str| {
///     let mut results = RecordBuffer::default();
///     results.push(b"", result.as_bytes())?;
///     log.commit(vec![PartitionCommit { partition, cursor: 0, meta: vec![], chunks: vec![], results }], 1)
/// };
/// commit(r#"{"key":"T:a"}"#)?;
///
/// let stop = Stop::default();
/// stop.set();
/// // A run that is stopped at its start delivers all results and returns.
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let run = || {
///     let sink = Collector { lines: Arc::clone(&lines), ..Collector::default() };
///     let log: Arc<dyn Log> = log.clone();
///     daemon_sinks::run(sink, &log, &stop, |_name, _next, _at_end| ())
/// };
/// run()?;
/// assert_eq!(*lines.lock().unwrap(), [r#"{"key":"T:a"}"#]);
///
/// // The next run continues at the stored position.
/// commit(r#"{"key":"T:b"}"#)?;
/// run()?;
/// assert_eq!(*lines.lock().unwrap(), [r#"{"key":"T:a"}"#, r#"{"key":"T:b"}"#]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Sink: Send {
    /// The name of the sink, in metrics and logs, and under which it stores its position.
    ///
    /// The name is constant and unique among the sinks of a process; it has 1 to 255 bytes.
    fn name(&self) -> &str;

    /// Prepares the destination and returns the offset of the first record to deliver.
    ///
    /// A sink with a durable destination reads its position with [`Log::sink_position`], or starts at
    /// [`Log::results_bounds`]`.first` if it has none, and stores that position at once: this registers the sink, and
    /// the log keeps unread results for registered sinks only. A sink that keeps its data in memory stores no position
    /// and returns the offset of the oldest result that it needs, such as `results_bounds().first`.
    ///
    /// # Errors
    /// If the log or the destination is not available now; `run` calls the method again.
    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64>;

    /// Whether the sink stores its position. One that does not keeps its data in memory and begins with the results that
    /// it likes at each start; on Kafka the input does not wait for it.
    fn is_durable(&self) -> bool {
        true
    }

    /// Delivers a batch, which is never empty, or adds it to a buffer that a later call delivers.
    ///
    /// The first batch starts at the offset that [`start`](Self::start) returned, and each further one at the
    /// [`next_offset`](RecordBatch::next_offset) of the batch before. If retention has deleted records that the sink
    /// has not read, `run` logs a warning, and the batch starts at the oldest retained record. Once the results are
    /// safe at the destination, the sink stores `next_offset` as its position.
    ///
    /// # Errors
    /// If the results cannot be delivered now; `run` calls the method again with the same batch. The sink must then
    /// account for the part of the batch that it has already delivered or buffered.
    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()>;

    /// Delivers buffered results that have waited long enough, or all of them if `stopping` is set.
    ///
    /// `run` calls it when there are no new records, about five times a second, and for the last time with `stopping`.
    /// A sink that delivers each batch at once does not need it.
    ///
    /// # Errors
    /// If the results cannot be delivered now; `run` calls the method again.
    fn idle(&mut self, _log: &dyn Log, _stopping: bool) -> anyhow::Result<()> {
        Ok(())
    }

    /// Returns the first offset whose results are not delivered completely; `next` is the next offset to read.
    ///
    /// `run` reports it as the progress of the sink, from which the daemon computes the lag. A sink that delivers each
    /// batch at once returns `next`; a sink with a buffer returns the offset of its first buffered record.
    fn delivered(&self, next: u64) -> u64 {
        next
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        (**self).start(log)
    }

    fn is_durable(&self) -> bool {
        (**self).is_durable()
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        (**self).deliver(log, batch)
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        (**self).idle(log, stopping)
    }

    fn delivered(&self, next: u64) -> u64 {
        (**self).delivered(next)
    }
}
