//! The page of the daemon: the files that `daemon/page/build` makes of the sources in `web`, with what a server needs to
//! send them.
//!
//! The built files are in the repository, so that cargo needs no npm; CI checks that they are what the sources build to.
//! The names of script and style have a checksum of the content, so that a browser may keep them for ever; the document
//! has the names. The page loads nothing from elsewhere, and the [policy](CONTENT_SECURITY_POLICY) has the browser refuse
//! it.
//!
//! ```
//! let document = daemon_page::find("/").expect("the document");
//! assert_eq!(document.content_type, "text/html; charset=utf-8");
//! assert!(document.body.starts_with(b"<!doctype html>") && document.gzip.len() < document.body.len());
//! ```

#![deny(missing_docs)]

use std::io::{Read as _, Write as _};
use std::sync::LazyLock;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// The policy of the document: only files of the page's own origin, no script or style in the document, no frame around
/// it.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! compressed_file {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz"))
    };
}

/// The built files, which the build script compresses: name, type, content in gzip. The document comes last, as it has the
/// paths of the others.
const BUILT: [(&str, &str, &[u8]); 4] = [
    ("icon.svg", "image/svg+xml", compressed_file!("icon.svg")),
    ("page.css", "text/css; charset=utf-8", compressed_file!("page.css")),
    ("page.js", "text/javascript; charset=utf-8", compressed_file!("page.js")),
    ("index.html", "text/html; charset=utf-8", compressed_file!("index.html")),
];

static FILES: LazyLock<Vec<File>> = LazyLock::new(files);

/// A file of the page, ready to be sent.
#[derive(Clone, Debug)]
pub struct File {
    /// The path of its URL.
    pub path: String,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The `ETag` of [`body`](Self::body), with its quotes.
    pub etag: String,
    /// The `Cache-Control`.
    pub cache_control: &'static str,
    /// The content.
    pub body: Vec<u8>,
    /// The content in gzip.
    pub gzip: Vec<u8>,
}

/// The file with this path; `None` if the page has none.
pub fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// All files of the page.
pub fn all() -> &'static [File] {
    &FILES
}

fn files() -> Vec<File> {
    let mut files = Vec::new();
    let mut paths = Vec::new();
    for (name, content_type, content) in BUILT {
        let is_document = name == "index.html";
        let (mut body, mut gzip) = (decompressed(content), content.to_vec());
        if is_document {
            body = with_paths(&body, &paths);
            gzip = compressed(&body);
        }
        let checksum = format!("{:08x}", crc32fast::hash(&body));
        let path = match name.rsplit_once('.') {
            Some((stem, extension)) if !is_document => format!("/assets/{stem}-{checksum}.{extension}"),
            _ => "/".to_owned(),
        };
        paths.push((name, path.clone()));
        let cache_control = if is_document { "no-cache" } else { "public, max-age=31536000, immutable" };
        files.push(File { path, content_type, etag: format!("\"{checksum}\""), cache_control, body, gzip });
    }
    files
}

/// The document with the paths of the other files in place of their names, relative to its own: a proxy may have the page
/// below a path that it strips.
fn with_paths(document: &[u8], paths: &[(&str, String)]) -> Vec<u8> {
    let text = String::from_utf8_lossy(document).into_owned();
    let replaced = paths.iter().fold(text, |text, (name, path)| {
        text.replace(&format!("\"{name}\""), &format!("\"{}\"", path.trim_start_matches('/')))
    });
    replaced.into_bytes()
}

fn decompressed(gzip: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    // It is what the build script wrote.
    let _ = GzDecoder::new(gzip).read_to_end(&mut body);
    body
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // A write into memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_other_file_by_its_checksum() {
        let document = String::from_utf8(find("/").expect("the document").body.clone()).expect("UTF-8");
        for file in all().iter().filter(|file| file.path != "/") {
            assert!(
                document.contains(&format!("\"{}\"", file.path.trim_start_matches('/'))),
                "no {} in {document}",
                file.path
            );
            assert!(file.path.starts_with("/assets/") && file.cache_control.contains("immutable"), "{file:?}");
        }
        assert!(find("/").is_some_and(|file| file.cache_control == "no-cache"));
        assert!(find("/page.js").is_none());
    }

    #[test]
    fn all_files_together_are_small() {
        let total: usize = all().iter().map(|file| file.body.len()).sum();
        assert!(total < 300_000, "{total} bytes");
    }

    #[test]
    fn gzip_decodes_to_the_content() {
        for file in all() {
            let mut text = Vec::new();
            GzDecoder::new(&file.gzip[..]).read_to_end(&mut text).expect("valid gzip");
            assert!(text == file.body && !text.is_empty(), "{}", file.path);
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_script_is_in_the_document() {
        let document = String::from_utf8(find("/").expect("the document").body.clone()).expect("UTF-8");
        for forbidden in ["http:", "https:", "//", "<style", " style=", " onclick"] {
            assert!(!document.contains(forbidden), "{forbidden} in {document}");
        }
        let inline = document.split("<script").skip(1).filter(|script| !script.contains("></script>"));
        assert_eq!(inline.count(), 0, "{document}");
        let script = String::from_utf8_lossy(include_bytes!("../dist/page.js")).into_owned();
        for forbidden in ["innerHTML", "eval(", "new Function", "document.write", "insertAdjacentHTML"] {
            assert!(!script.contains(forbidden), "{forbidden} in page.js");
        }
    }
}
