//! The floor: the common job as one loop that does nothing else, a yardstick for what the machine allows.
//!
//! `floor json|xml INPUT OUTPUT` reads records in the exact form in which `common_job` writes them, sums, scores and
//! writes rows. It is no product: any other field order, an escape, a value that is not a whole number or a record of
//! an earlier minute ends it with an error. Its speed comes from four things: big blocks, a parser that expects the
//! next byte instead of looking for it, look-ups in batches so that their cache misses overlap, and no allocation.

mod blocks;
mod parse;
mod table;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use blocks::Blocks;
use parse::Form;
use table::{Attributes, Table};

/// Records whose look-ups overlap: enough to hide a miss behind others, few enough to stay in the first-level cache.
const BATCH: usize = 32;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [form, input, output] = &arguments[..] else { bail!("usage: floor json|xml INPUT OUTPUT") };
    let (input, output) = (Path::new(input), Path::new(output));
    let source = File::open(input).with_context(|| format!("open `{}`", input.display()))?;
    let rows = File::create(output).with_context(|| format!("create `{}`", output.display()))?;
    match form.as_str() {
        "json" => run::<parse::Json>(source, rows),
        "xml" => run::<parse::Xml>(source, rows),
        _ => bail!("`{form}` is no form of the records; it is json or xml"),
    }
    .with_context(|| format!("the records of `{}`", input.display()))
}

fn run<F: Form>(source: File, mut rows: impl Write) -> Result<()> {
    let (mut blocks, mut table, mut attributes) = (Blocks::new(source), Table::default(), Attributes::default());
    while let Some(block) = blocks.read()? {
        let mut rest = block.bytes;
        let mut batch = Vec::with_capacity(BATCH);
        while rest.len() > block.beyond {
            batch.clear();
            while batch.len() < BATCH && rest.len() > block.beyond {
                let Some((record, after)) = F::parse(rest) else { bail!("not of the form that the floor expects") };
                batch.push(table.plan(&record, attributes.id(record.attribute)?));
                rest = after;
            }
            table.apply(&mut batch, &attributes, &mut rows)?;
        }
    }
    table.close(&attributes, &mut rows)?;
    rows.flush().context("write the rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of<F: Form>(input: &[u8]) -> Result<String> {
        let mut file = tempfile::tempfile()?;
        file.write_all(input)?;
        std::io::Seek::rewind(&mut file)?;
        let mut rows = Vec::new();
        run::<F>(file, &mut rows)?;
        Ok(String::from_utf8(rows)?)
    }

    #[test]
    fn both_forms_of_the_same_records_give_the_same_rows() {
        let (mut json, mut xml) = (Vec::new(), Vec::new());
        benches::job::generate(20_000, 500, 7, &mut json, &mut xml).unwrap();
        let rows = rows_of::<parse::Json>(&json).unwrap();
        assert!(rows.lines().count() > 5_000);
        assert_eq!(rows, rows_of::<parse::Xml>(&xml).unwrap());
    }

    #[test]
    fn a_minute_is_summed_and_a_silent_one_is_skipped() {
        let input = br#"{"ts":60000000,"key":"t:n","attr":"a","value":30}
{"ts":60000001,"key":"t:n","attr":"a","value":6}
{"ts":120000000,"key":"t:m","attr":"a","value":1}
{"ts":180000000,"key":"t:n","attr":"a","value":36}
"#;
        let rows = rows_of::<parse::Json>(input).unwrap();
        let heads: Vec<_> = rows.lines().map(|row| row.split(',').take(5).collect::<Vec<_>>().join(",")).collect();
        assert_eq!(heads, ["t:n,a,60000000,36,3.6", "t:m,a,120000000,1,0.1", "t:n,a,180000000,36,6.84"]);
    }

    #[test]
    fn another_shape_is_an_error_and_not_a_wrong_sum() {
        assert!(rows_of::<parse::Json>(b"{\"key\":\"t:n\",\"ts\":1,\"attr\":\"a\",\"value\":1}\n").is_err());
        let backwards = br#"{"ts":60000000,"key":"t:n","attr":"a","value":30}
{"ts":59999999,"key":"t:n","attr":"a","value":6}
"#;
        assert!(rows_of::<parse::Json>(backwards).is_err());
    }
}
