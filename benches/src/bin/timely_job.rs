//! The common job on timely dataflow, as its users would write it: owned `String` keys and `serde_json`.
//!
//! `timely_job INPUT OUTPUT` reads lines of JSON. One worker runs three stages: the input parses; `sum` keeps a map per
//! open minute and emits it when the frontier passes the minute; `score` keeps the detectors and writes the rows. Both
//! stages exchange by key, as they must once there is a second worker. The maps hash with foldhash, so that the
//! standard library's slower hash is not held against timely.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use foldhash::fast::FixedState;
use serde::Deserialize;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::{Capability, Operator, vec::Input};
use timely::dataflow::{InputHandleVec, StreamVec};
use timely::worker::Worker;

use benches::MINUTE;
use benches::job::{Ewm, push_row};

/// Records sent between two steps of the worker, so that they do not pile up before the first stage.
const RECORDS_PER_STEP: u64 = 1 << 13;

const READ_BYTES: usize = 256 << 10;
const ROWS_BYTES: usize = 64 << 10;

/// A line of the input.
#[derive(Deserialize)]
struct Record {
    ts: u64,
    key: String,
    attr: String,
    value: u64,
}

/// Key and attribute.
type Name = (String, String);
/// A sample, and after the first stage a minute's sum. Their time in the dataflow is the minute.
type Reading = (Name, u64);
type Named<V> = HashMap<Name, V, FixedState>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = &arguments[..] else { bail!("usage: timely_job INPUT OUTPUT") };
    let input = Path::new(input).to_owned();
    let source = File::open(&input).with_context(|| format!("open `{}`", input.display()))?;
    let rows = File::create(output).with_context(|| format!("create `{output}`"))?;
    timely::execute_directly(move |worker| run(worker, BufReader::with_capacity(READ_BYTES, source), rows))
        .with_context(|| format!("the records of `{}`", input.display()))
}

fn run(worker: &mut Worker, mut source: impl BufRead, rows: impl Write + 'static) -> Result<()> {
    let scores = Rc::new(RefCell::new(Scores::new(rows)));
    let mut input = worker.dataflow::<u64, _, _>(|scope| {
        let (input, readings) = scope.new_input();
        score(sum(readings), Rc::clone(&scores));
        input
    });
    let (mut line, mut count) = (String::new(), 0);
    while source.read_line(&mut line).context("read the records")? > 0 {
        send(&line, &mut input).with_context(|| format!("line {}", count + 1))?;
        line.clear();
        count += 1;
        if count % RECORDS_PER_STEP == 0 {
            worker.step();
        }
    }
    input.close();
    while worker.has_dataflows() {
        worker.step();
    }
    scores.borrow_mut().finish()
}

fn send(line: &str, input: &mut InputHandleVec<u64, Reading>) -> Result<()> {
    let record: Record = serde_json::from_str(line)?;
    let minute = record.ts / MINUTE;
    if minute < *input.time() {
        bail!("a record of an earlier minute");
    }
    if minute > *input.time() {
        input.advance_to(minute);
    }
    input.send(((record.key, record.attr), record.value));
    Ok(())
}

fn route((name, _): &Reading) -> u64 {
    FixedState::with_seed(1).hash_one(name)
}

/// Sums the readings of each name and minute, and gives a minute's sums when no more of it can come.
fn sum<'scope>(readings: StreamVec<'scope, u64, Reading>) -> StreamVec<'scope, u64, Reading> {
    readings.unary_frontier(Exchange::new(route), "sum", |_, _| {
        let mut minutes = BTreeMap::<u64, (Capability<u64>, Named<u64>)>::new();
        move |(input, frontier), output| {
            input.for_each_stamp(|stamp, batches| {
                let Some(capability) = stamp.retain_least(output.output_index()) else { return };
                let minute = *capability.time();
                let (_, sums) = minutes.entry(minute).or_insert_with(|| (capability, Named::default()));
                for (name, value) in batches.flat_map(|batch| batch.drain(..)) {
                    *sums.entry(name).or_default() += value;
                }
            });
            while let Some(oldest) = minutes.first_entry().filter(|oldest| !frontier.less_equal(oldest.key())) {
                let (capability, sums) = oldest.remove();
                output.session(&capability).give_iterator(sums.into_iter());
            }
        }
    })
}

/// Scores each sum and writes its row. The sums of one name come in the order of their minutes, all by one way.
fn score<W: Write + 'static>(sums: StreamVec<'_, u64, Reading>, scores: Rc<RefCell<Scores<W>>>) {
    sums.sink(Exchange::new(route), "score", move |(input, _)| {
        input.for_each_stamp(|stamp, batches| {
            let Some(&minute) = stamp.least() else { return };
            for (name, sum) in batches.flat_map(|batch| batch.drain(..)) {
                scores.borrow_mut().add(name, minute, sum);
            }
        });
    });
}

/// The detectors, and the rows that wait to be written.
struct Scores<W> {
    detectors: Named<Ewm>,
    waiting: Vec<u8>,
    rows: W,
    written: std::io::Result<()>,
}

impl<W: Write> Scores<W> {
    fn new(rows: W) -> Self {
        Self { detectors: Named::default(), waiting: Vec::with_capacity(2 * ROWS_BYTES), rows, written: Ok(()) }
    }

    fn add(&mut self, name: Name, minute: u64, sum: u64) {
        let names = (name.0.as_bytes(), name.1.as_bytes());
        let score = match self.detectors.get_mut(&name) {
            Some(detector) => detector.update(sum as f64),
            None => self.detectors.entry(name.clone()).or_default().update(sum as f64),
        };
        push_row(&mut self.waiting, names, minute * MINUTE, sum, score);
        if self.waiting.len() >= ROWS_BYTES {
            self.write();
        }
    }

    /// Writes what waits; after a failure nothing more.
    fn write(&mut self) {
        if self.written.is_ok() {
            self.written = self.rows.write_all(&self.waiting);
        }
        self.waiting.clear();
    }

    fn finish(&mut self) -> Result<()> {
        self.write();
        std::mem::replace(&mut self.written, Ok(())).context("write the rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `run` writes for `input`.
    fn rows_of(input: impl Into<String>) -> Result<Vec<String>> {
        let mut rows = tempfile::tempfile()?;
        let (input, output) = (input.into(), rows.try_clone()?);
        timely::execute_directly(move |worker| run(worker, input.as_bytes(), output))?;
        std::io::Seek::rewind(&mut rows)?;
        let mut lines = BufReader::new(rows).lines().collect::<Result<Vec<_>, _>>()?;
        lines.sort();
        Ok(lines)
    }

    #[test]
    fn a_minute_is_summed_and_a_silent_one_is_skipped() {
        let input = r#"{"ts":60000000,"key":"t:n","attr":"a","value":30}
{"ts":60000001,"key":"t:n","attr":"a","value":6}
{"ts":60000002,"key":"t:n","attr":"b","value":1}
{"ts":180000000,"key":"t:n","attr":"a","value":36}
"#;
        let rows = rows_of(input).unwrap();
        let heads: Vec<_> = rows.iter().map(|row| row.split(',').take(5).collect::<Vec<_>>().join(",")).collect();
        assert_eq!(heads, ["t:n,a,180000000,36,6.84", "t:n,a,60000000,36,3.6", "t:n,b,60000000,1,0.1"]);
    }

    #[test]
    fn a_minute_that_takes_many_steps_is_one_row() {
        let records = 3 * RECORDS_PER_STEP;
        let input = "{\"ts\":60000000,\"key\":\"t:n\",\"attr\":\"a\",\"value\":1}\n".repeat(records as usize);
        let rows = rows_of(input).unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].starts_with(&format!("t:n,a,60000000,{records},")), "{}", rows[0]);
    }

    #[test]
    fn a_bad_line_and_an_earlier_minute_are_errors() {
        assert!(rows_of("{\"ts\":1}\n").is_err());
        let backwards = r#"{"ts":60000000,"key":"t:n","attr":"a","value":30}
{"ts":59999999,"key":"t:n","attr":"a","value":6}
"#;
        assert!(rows_of(backwards).is_err());
    }
}
