//! Encoders of every `Content-Encoding` that the daemon decodes.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

pub(crate) type Encode = fn(&[u8]) -> Vec<u8>;

/// Each name with its encoder.
pub(crate) fn all() -> [(&'static str, Encode); 4] {
    [("gzip", gzip), ("x-gzip", gzip), ("deflate", zlib), ("zstd", |text| zstd::encode_all(text, 3).unwrap())]
}

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}
