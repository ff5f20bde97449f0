//! Writes the input of the common job: `common_job RECORDS KEYS SEED DIRECTORY` makes `records.ndjson` (lines of JSON)
//! and `records.tsv` (key, tab, Contrail's XML element) with the same records.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use benches::job::generate;

const BUFFER_BYTES: usize = 1 << 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [records, keys, seed, directory] = &arguments[..] else {
        bail!("usage: common_job RECORDS KEYS SEED DIRECTORY");
    };
    let directory = Path::new(directory);
    let (mut json, mut xml) = (create(&directory.join("records.ndjson"))?, create(&directory.join("records.tsv"))?);
    generate(number(records)?, number(keys)?, number(seed)?, &mut json, &mut xml)
        .and_then(|()| json.flush())
        .and_then(|()| xml.flush())
        .with_context(|| format!("write the records in `{}`", directory.display()))
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("`{text}` is not a whole number"))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("create `{}`", path.display()))?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}
