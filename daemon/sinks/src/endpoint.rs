//! The endpoint of a sink that makes HTTP requests: its URL, its credentials, and the authorities of its certificate.

use std::path::Path;

use daemon_base::outbound::{ClientTlsFiles, client_tls};
use daemon_base::setting::Secret;
use http::Uri;
use ureq::tls::TlsConfig;

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

/// The files of TLS that a section names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsFiles<'s> {
    /// `ca_file`.
    pub ca: Option<&'s Path>,
    /// `certificate_file`.
    pub certificate: Option<&'s Path>,
    /// `key_file`.
    pub key: Option<&'s Path>,
}

/// The TLS of a client of the server at `url`, which trusts the authorities of the system and of the files of `section`,
/// and shows the certificate of the files.
pub(crate) fn tls(url: &str, files: TlsFiles<'_>, section: &str) -> anyhow::Result<TlsConfig> {
    if !url.starts_with("https:") {
        return Ok(TlsConfig::default());
    }
    let owned = |path: &Path| path.to_owned();
    let certificate = files.certificate.map(owned).zip(files.key.map(owned));
    let files = ClientTlsFiles { ca: files.ca.map(owned), certificate };
    client_tls(&files, &format!("{section}.ca_file, certificate_file or key_file"))
}

/// What is wrong with the files of a section whose server has this URL, each with its key.
pub(crate) fn tls_problems(url: &str, files: TlsFiles<'_>) -> Vec<(&'static str, String)> {
    let TlsFiles { ca, certificate, key } = files;
    let mut problems = Vec::new();
    if !url.starts_with("https:") {
        let set = [("ca_file", ca), ("certificate_file", certificate), ("key_file", key)];
        let useless = set.into_iter().filter(|(_, path)| path.is_some());
        let text = "a url with http uses no certificate; write https, or remove it";
        problems.extend(useless.map(|(key, _)| (key, text.to_owned())));
    }
    if certificate.is_some() != key.is_some() {
        let lacking = if key.is_none() { "key_file" } else { "certificate_file" };
        problems.push((lacking, "certificate_file and key_file require each other; set both or neither".to_owned()));
    }
    problems
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
