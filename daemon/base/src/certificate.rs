//! The end of the validity of certificates.
//!
//! Only that field is read, of the DER of a certificate (RFC 5280, section 4.1, and X.690): the libraries of TLS check it
//! and do not return it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Tags of DER.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Returns when the first of the certificates in a PEM file expires, in seconds since 1970 UTC; `None` if there is no
/// certificate, or none whose end can be read.
pub fn expiry(pem: &[u8]) -> Option<u64> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    certificates.filter_map(|certificate| not_after(&certificate)).min()
}

/// The end of the validity of a certificate: `Certificate { TBSCertificate { version?, serialNumber, signature, issuer,
/// Validity { notBefore, notAfter }, … }, … }`.
fn not_after(der: &[u8]) -> Option<u64> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = element(fields, tag)?.1;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    // The start may be of any time.
    let end = element(validity, UTC_TIME).or_else(|| element(validity, GENERALIZED_TIME))?.1;
    time(end)
}

/// The content of the first element, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // The number of bytes of the length: more than four are none of a file that was read.
        let (length, rest) = rest.split_at_checked(usize::from(first - 0x80).min(5))?;
        let is_long = length.is_empty() || length.len() > 4;
        (!is_long).then(|| (length.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest))?
    };
    rest.split_at_checked(length)
}

/// The time of the first element: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`. The last day of 9999, by which a certificate has no
/// end, is the latest time that there is here.
fn time(der: &[u8]) -> Option<u64> {
    let (text, year_digits) = match element(der, UTC_TIME) {
        Some((text, _)) => (text, 2),
        None => element(der, GENERALIZED_TIME).map(|(text, _)| (text, 4))?,
    };
    let (year, text) = text.split_at_checked(year_digits)?;
    let &[m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = text else { return None };
    let year = match number(year)? {
        year if year_digits == 4 => year,
        year if year < 50 => 2000 + year,
        year => 1900 + year,
    };
    let digits = [[m1, m2], [d1, d2], [h1, h2], [n1, n2], [s1, s2]];
    let [month, day, hour, minute, second] = digits.map(|digits| number(&digits).and_then(|it| i8::try_from(it).ok()));
    let date = DateTime::new(year, month?, day?, hour?, minute?, second?, 0).ok()?;
    let seconds = TimeZone::UTC.to_timestamp(date).unwrap_or(Timestamp::MAX).as_second();
    u64::try_from(seconds).ok()
}

fn number(digits: &[u8]) -> Option<i16> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A certificate that ends at a time, as the command `date` reads it, made by openssl, and that time.
    fn made(end: &str) -> (Vec<u8>, u64) {
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("the program is there");
            assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let text = run("date", &["--utc", "--date", end, "+%Y%m%d%H%M%SZ %s"]);
        let text = String::from_utf8(text).unwrap();
        let (stamp, seconds) = text.trim().split_once(' ').unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (key, request) = (path("key"), path("request"));
        let config = path("config");
        for name in ["index", "serial"] {
            std::fs::write(path(name), if name == "serial" { "01" } else { "" }).unwrap();
        }
        let section = format!(
            "[ca]\ndefault_ca=a\n[a]\ndatabase={}\nserial={}\nnew_certs_dir={}\npolicy=p\ndefault_md=sha256\n[p]\n\
             commonName=supplied\n",
            path("index"),
            path("serial"),
            folder.path().display()
        );
        std::fs::write(&config, section).unwrap();
        let new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        run("openssl", &[&new[..], &["-subj", "/CN=a", "-keyout", &key, "-out", &request]].concat());
        let sign = ["ca", "-batch", "-notext", "-selfsign", "-config", &config, "-keyfile", &key, "-in", &request];
        let pem = run("openssl", &[&sign[..], &["-startdate", "20000101000000Z", "-enddate", stamp]].concat());
        (pem, seconds.parse().unwrap())
    }

    #[test]
    fn the_end_of_certificates_of_openssl_is_read_in_both_forms_of_time() {
        for end in ["2026-12-31 23:59:59", "2028-02-29 12:00:00", "2049-12-31 00:00:01", "2050-01-01", "2100-03-01"] {
            let (pem, expected) = made(end);
            assert_eq!(expiry(&pem), Some(expected), "{end}");
        }
    }

    #[test]
    fn the_first_end_in_a_file_counts() {
        let ((late, _), (early, expected)) = (made("2060-01-01"), made("2030-06-15 01:02:03"));
        assert_eq!(expiry(&[late, early].concat()), Some(expected));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for pem in ["", "text", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"] {
            assert_eq!(expiry(pem.as_bytes()), None, "{pem}");
        }
        let (pem, _) = made("2030-01-01");
        let der = CertificateDer::from_pem_slice(&pem).unwrap();
        // Cut off anywhere, and with each byte changed, nothing panics.
        for end in 0..der.len() {
            let _ = not_after(&der[..end]);
        }
        for at in 0..der.len().min(200) {
            let mut changed = der.to_vec();
            changed[at] ^= 0xff;
            let _ = not_after(&changed);
        }
    }
}
