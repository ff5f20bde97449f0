//! Records of the results log, in either form: blocks, and lines of JSON with line feeds between them.
//!
//! The embedded log holds a block in each record, and scrapes of Contiv nodes as a line; a results topic of Kafka holds
//! blocks or lines, as `kafka.results_format` was when they were written. The first byte decides.

use tracing::error;

use crate::block::{BlockError, BlockReader, Row, is_block};
use crate::line;

/// A result as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'r> {
    /// A line of JSON: a result, or a [scrape](line::is_scrape).
    Line(&'r [u8]),
    /// A row of a block.
    Row(Row<'r>),
}

impl Stored<'_> {
    /// The object of a row; nothing for a line, whose object its reader finds.
    pub fn key(&self) -> &str {
        match self {
            Self::Line(_) => "",
            Self::Row(row) => row.key,
        }
    }

    /// Appends the result as a line of JSON, without line feed; a stored line as it is.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        match self {
            Self::Line(line) => out.extend_from_slice(line),
            Self::Row(row) => line::write(row, out),
        }
    }
}

/// Reads records of the results log.
#[derive(Debug, Default)]
pub struct RecordReader(BlockReader);

impl RecordReader {
    /// Hands the results of the record at `offset` to `take`, each with its number in the record, from 0.
    ///
    /// A damaged block ends with the damage: that is logged, and the reader goes on with the next record. It is a fault
    /// of the program that wrote it, as logs detect damage of their own by checksums.
    ///
    /// # Errors
    ///
    /// [`BlockError::Version`] for a block of a newer version, of which nothing is taken.
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
                error!(offset, %error, "A stored block of results cannot be read; what follows in it is left out.");
                Ok(())
            }
            read => read,
        }
    }

    fn each_row(&mut self, block: &[u8], mut take: impl FnMut(usize, Row<'_>)) -> Result<(), BlockError> {
        let mut rows = self.0.rows(block)?;
        for number in 0.. {
            let Some(row) = rows.next()? else { break };
            take(number, row);
        }
        Ok(())
    }
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
    fn blocks_and_lines_give_the_same_lines() {
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
    fn a_damaged_block_gives_the_rows_before_the_damage_and_a_newer_one_nothing() {
        let mut block = sample::block_of_sums(&[("T:a", 36), ("T:b", 7)]);
        block.pop();
        assert_eq!(lines(&block).unwrap().len(), 1);
        block[1] += 1;
        assert!(matches!(lines(&block), Err(BlockError::Version { found: 2 })));
    }
}
