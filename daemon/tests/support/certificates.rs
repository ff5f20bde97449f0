//! Certificates for a server on 127.0.0.1, made with openssl.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes two authorities, `authority` and `stranger`, and a certificate for `server` that the first has signed: files
/// `NAME.pem` and `NAME.key` in `folder`.
pub(crate) fn make(folder: &Path, server: &str) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for authority in ["authority", "stranger"] {
        let files = format!("-keyout {authority}.key -out {authority}.pem");
        openssl(folder, &format!("req -x509 {key} -days 2 -subj /CN={authority} {files}"));
    }
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    openssl(folder, &format!("req {key} -subj /CN={server} -keyout {server}.key -out {server}.csr"));
    let authority = "-CA authority.pem -CAkey authority.key -CAcreateserial";
    openssl(folder, &format!("x509 -req -in {server}.csr {authority} -days 2 -extfile names -out {server}.pem"));
}

/// Makes one more certificate, that one of the authorities of [`make`] has signed: `NAME.pem` and `NAME.key`.
#[allow(dead_code, reason = "not every crate whose tests use this file needs it")]
pub(crate) fn sign(folder: &Path, name: &str, authority: &str) {
    sign_for(folder, name, authority, 2);
}

/// The same, with a number of days: a negative one is of a certificate that has expired.
#[allow(dead_code, reason = "not every crate whose tests use this file needs it")]
pub(crate) fn sign_for(folder: &Path, name: &str, authority: &str, days: i32) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
    let signed = format!("-CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days {days} -extfile names");
    openssl(folder, &format!("x509 -req -in {name}.csr {signed} -out {name}.pem"));
}

fn openssl(folder: &Path, arguments: &str) {
    let mut openssl = Command::new("openssl");
    openssl.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null());
    let output = openssl.output().expect("openssl is there");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
