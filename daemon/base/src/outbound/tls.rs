//! TLS of HTTP clients: whom they trust, and the certificate that they show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::setting::file;

/// The files with the trusted certificate authorities of common systems.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The files of a client's TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientTlsFiles {
    /// A PEM file with authorities to trust, besides those of the system.
    pub ca: Option<PathBuf>,
    /// A PEM file with the client's certificate, followed by those of the authorities between it and a root, and one
    /// with its private key: for servers that require them.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Returns the TLS of a client, which trusts the authorities of the system and of the files.
///
/// Without either, as in small container images, it trusts Mozilla's list, which is compiled in.
///
/// # Errors
///
/// When a file cannot be read, or has no certificate or key in PEM that can be used, or the key is of another
/// certificate. The text names `setting`, from which the files come.
pub fn client_tls(files: &ClientTlsFiles, setting: &str) -> anyhow::Result<TlsConfig> {
    let mut authorities =
        files.ca.as_deref().map(|path| authorities_of(path, setting)).transpose()?.unwrap_or_default();
    // A file that cannot be read counts as missing.
    let system = SYSTEM_AUTHORITIES.iter().find_map(|path| std::fs::read(path).ok());
    authorities.extend(certificates(&system.unwrap_or_default()));
    let roots = if authorities.is_empty() { RootCerts::WebPki } else { RootCerts::from(authorities) };
    let own =
        files.certificate.as_ref().map(|(certificate, key)| own_certificate(certificate, key, setting)).transpose()?;
    Ok(TlsConfig::builder().root_certs(roots).client_cert(own).build())
}

fn own_certificate(certificate: &Path, key: &Path, setting: &str) -> anyhow::Result<ClientCert> {
    let chain = certificates_of(certificate, setting)?;
    let pem = file::read(key).with_context(|| format!("read {setting} {}", key.display()))?;
    let key = PrivateKey::from_pem(&pem).ok().with_context(|| {
        format!(
            "{setting}: {} has no private key in PEM (-----BEGIN PRIVATE KEY-----) without a password",
            key.display()
        )
    })?;
    check_pair(&chain, &key).map_err(|error| {
        anyhow::anyhow!("{setting}: {} and its key cannot be used together ({error})", certificate.display())
    })?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// Checks that a client can show this certificate with this key: ureq does that at the first connection, and panics.
fn check_pair(chain: &[Certificate<'static>], key: &PrivateKey<'static>) -> Result<(), String> {
    let chain = chain.iter().map(|it| CertificateDer::from(it.der().to_vec())).collect();
    let key = PrivateKeyDer::try_from(key.der().to_vec())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(RootCertStore::empty());
    builder.with_client_auth_cert(chain, key).map(drop).map_err(|error| error.to_string())
}

/// The certificates of a file with authorities to trust.
fn authorities_of(path: &Path, setting: &str) -> anyhow::Result<Vec<Certificate<'static>>> {
    let authorities = certificates_of(path, setting)?;
    let mut roots = RootCertStore::empty();
    for authority in &authorities {
        roots.add(CertificateDer::from(authority.der().to_vec())).map_err(|error| {
            anyhow::anyhow!("{setting}: {} has a certificate that cannot be used ({error})", path.display())
        })?;
    }
    Ok(authorities)
}

/// The certificates of a file, at least one.
fn certificates_of(path: &Path, setting: &str) -> anyhow::Result<Vec<Certificate<'static>>> {
    let pem = file::read(path).with_context(|| format!("read {setting} {}", path.display()))?;
    let certificates = certificates(&pem);
    anyhow::ensure!(
        !certificates.is_empty(),
        "{setting}: {} has no certificate in PEM (-----BEGIN CERTIFICATE-----)",
        path.display()
    );
    Ok(certificates)
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    let certificates = items.filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    certificates.collect()
}
