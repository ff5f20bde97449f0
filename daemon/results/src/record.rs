//! The decoder of results-log records, which are blocks or lines of JSON separated by line feeds.
//!
//! A record of the embedded log is a block, or a line with a scrape of a Contiv node. A message of a Kafka results
//! topic is a block or lines, by the value of `kafka.results_format` when it was written. The first byte distinguishes
//! the forms.

use tracing::error;

use crate::block::{BlockError, BlockReader, Row, is_block};
use crate::line;

/// A result in its stored form.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'r> {
    /// A line of JSON: a result, or a [scrape](line::is_scrape).
    Line(&'r [u8]),
    /// A row of a block.
    Row(Row<'r>),
}

impl Stored<'_> {
    /// The key of a row; empty for a line, whose key [`LineReader`](crate::line::LineReader) parses.
    pub fn key(&self) -> &str {
        match self {
            Self::Line(_) => "",
            Self::Row(row) => row.key,
        }
    }

    /// Appends the result as a line of JSON without line feed; a stored line is appended unchanged.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        match self {
            Self::Line(line) => out.extend_from_slice(line),
            Self::Row(row) => line::write(row, out),
        }
    }
}

/// A reader of results-log records, in both stored forms.
#[derive(Debug, Default)]
pub struct RecordReader(BlockReader);

impl RecordReader {
    /// Calls `take` with each result of the record at `offset` and its index in the record, from 0.
    ///
    /// In a damaged block the results end at the damage. The reader logs an error and returns `Ok`, so that the caller
    /// continues with the next record. Such a block is an error of the program that wrote it, because the log detects
    /// damaged data by checksums.
    ///
    /// # Errors
    ///
    /// [`BlockError::Version`] for a block of a newer version; `take` is then not called.
    pub fn each(
        &mut self,
        offset: u64,
        record: &[u8],
        mut take: impl FnMut(usize, Stored<'_>),
    ) -> Result<(), BlockError> {
        if !is_block(record) {
            line::lines(record).enumerate().for_each(|(number, line)| take(number, Stored::Line(line)));
            return Ok(());
        }
        match self.each_row(record, |number, row| take(number, Stored::Row(row))) {
            Err(error @ BlockError::Damaged { .. }) => {
                log_damage(offset, &error);
                Ok(())
            }
            read => read,
        }
    }

    /// Calls `take` with the rows of a block in batches, up to its damage, which it logs as [`each`](Self::each) does.
    ///
    /// # Errors
    ///
    /// [`BlockError`] if the header of the block is damaged, or of a newer version.
    pub fn each_batch(
        &mut self,
        offset: u64,
        record: &[u8],
        mut take: impl FnMut(&[Row<'_>]),
    ) -> Result<(), BlockError> {
        let mut rows = self.0.rows(record)?;
        loop {
            match rows.batch() {
                Ok(batch) if batch.is_empty() => return Ok(()),
                Ok(batch) => take(&batch),
                Err(error) => {
                    log_damage(offset, &error);
                    return Ok(());
                }
            }
        }
    }

    /// Calls `take` with each row of a block and its index, without logging its damage.
    ///
    /// # Errors
    ///
    /// [`BlockError`] behind the last good row, or if the block is of a newer version.
    pub fn each_row(&mut self, block: &[u8], mut take: impl FnMut(usize, Row<'_>)) -> Result<(), BlockError> {
        let mut rows = self.0.rows(block)?;
        for number in 0.. {
            let Some(row) = rows.next()? else { break };
            take(number, row);
        }
        Ok(())
    }
}

fn log_damage(offset: u64, error: &BlockError) {
    error!(offset, %error, "A stored block of results is damaged; the reader skips the rest of the block.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::sample;

    fn lines(record: &[u8]) -> Result<Vec<(usize, String)>, BlockError> {
        let mut found = Vec::new();
        RecordReader::default().each(0, record, |number, stored| {
            let mut line = Vec::new();
            stored.write_line(&mut line);
            found.push((number, String::from_utf8(line).unwrap()));
        })?;
        Ok(found)
    }

    #[test]
    fn a_block_and_its_lines_give_the_same_results() {
        let block = sample::block_of_sums(&[("T:a", 36), ("T:b", 7)]);
        let found = lines(&block).unwrap();
        let line = |number: usize, key: &str, value: u64| {
            let data = format!(r#"{{"deleted":false,"proxy":"A-b","value":{{"value":{value}}}}}"#);
            (number, format!(r#"{{"key":"{key}","uve":"AggProxySum-A-b","start":0,"end":60,"data":{data}}}"#))
        };
        assert_eq!(found, [line(0, "T:a", 36), line(1, "T:b", 7)]);
        let text: Vec<_> = found.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines(text.join("\n").as_bytes()).unwrap(), found);
    }

    #[test]
    fn a_damaged_block_gives_the_rows_before_the_damage_and_a_newer_block_none() {
        let mut block = sample::block_of_sums(&[("T:a", 36), ("T:b", 7)]);
        block.pop();
        assert_eq!(lines(&block).unwrap().len(), 1);
        let batches = |block: &[u8]| {
            let mut keys = Vec::new();
            let read = RecordReader::default().each_batch(0, block, |rows| {
                keys.extend(rows.iter().map(|row| row.key.to_owned()));
            });
            read.map(|()| keys)
        };
        assert_eq!(batches(&block).unwrap(), ["T:a"]);
        assert!(matches!(batches(&block[..3]), Err(BlockError::Damaged { .. })));
        block[1] += 1;
        assert!(matches!(lines(&block), Err(BlockError::Version { found: 3 })));
        assert!(matches!(batches(&block), Err(BlockError::Version { found: 3 })));
    }
}
