//! The endpoint of a sink that makes HTTP requests: its URL, its credentials, and the authorities of its certificate.

use std::path::Path;

use anyhow::Context as _;
use daemon_base::setting::{Secret, file};
use http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The files with the trusted certificate authorities of common systems.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The secret of a setting, or of the file that the setting `key` names.
pub(crate) fn secret(given: Option<&Secret>, file: Option<&Path>, key: &str) -> anyhow::Result<Option<Secret>> {
    match file {
        Some(path) => Secret::from_file(path, key).map(Some),
        None => Ok(given.cloned()),
    }
}

/// Whether a request to a URL goes over the network without encryption.
pub(crate) fn is_in_clear(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    !local && uri.is_some_and(|uri| uri.scheme_str() == Some("http"))
}

/// The TLS settings, which trust the authorities of the system and of `ca_file`, which the setting `key` names.
///
/// Without either, as in small container images, they trust Mozilla's list, which is compiled in.
pub(crate) fn tls(ca_file: Option<&Path>, key: &str) -> anyhow::Result<TlsConfig> {
    let mut authorities = Vec::new();
    if let Some(path) = ca_file {
        let pem = file::read(path).with_context(|| format!("read {key} {}", path.display()))?;
        authorities.extend(certificates(&pem));
        anyhow::ensure!(
            !authorities.is_empty(),
            "{key}: {} has no certificate in PEM (-----BEGIN CERTIFICATE-----)",
            path.display()
        );
    }
    // A file that cannot be read counts as missing.
    let system = SYSTEM_AUTHORITIES.iter().find_map(|path| std::fs::read(path).ok());
    authorities.extend(certificates(&system.unwrap_or_default()));
    let roots = if authorities.is_empty() { RootCerts::WebPki } else { RootCerts::from(authorities) };
    Ok(TlsConfig::builder().root_certs(roots).build())
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    let certificates = items.filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    certificates.collect()
}

/// Validates the URL of an endpoint. The problem never shows the URL, which may contain a password or a token.
///
/// # Errors
///
/// A text with what is expected, and `example`.
pub(crate) fn check_url(url: &str, example: &str) -> Result<(), String> {
    let uri = url.parse::<Uri>().ok();
    let is_http = uri.as_ref().and_then(Uri::scheme_str).is_some_and(|scheme| matches!(scheme, "http" | "https"));
    let authority = uri.as_ref().and_then(Uri::authority).map(http::uri::Authority::as_str);
    if is_http && authority.is_some_and(|authority| !authority.contains('@')) && !url.contains('#') {
        Ok(())
    } else {
        Err(format!("expected a URL without credentials such as {example:?}"))
    }
}

/// What is wrong with the key `ca_file` of a section whose server has this URL.
pub(crate) fn ca_file_problem(url: &str, ca_file: Option<&Path>) -> Option<(&'static str, String)> {
    let is_useless = ca_file.is_some() && !url.starts_with("https:");
    is_useless.then(|| ("ca_file", "a url with http uses no certificate; write https, or remove it".to_owned()))
}
