//! Compresses the built files, which are a fifth of the size then: the binary has each of them once, in gzip.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> io::Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    println!("cargo::rerun-if-changed=dist");
    for entry in fs::read_dir(built)? {
        let entry = entry?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&fs::read(entry.path())?)?;
        let mut name = entry.file_name();
        name.push(".gz");
        fs::write(out.join(name), encoder.finish()?)?;
    }
    Ok(())
}
