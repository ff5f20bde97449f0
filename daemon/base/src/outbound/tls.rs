//! TLS of HTTP clients: whom they trust, and the certificate that they show.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// The keys of [`ClientTlsFiles`] in a section of the configuration.
pub const TLS_FILE_KEYS: [&str; 3] = ["ca_file", "certificate_file", "key_file"];

/// A problem of a file: its key, which is one of [`TLS_FILE_KEYS`], and a text with the path and the remedy.
pub type TlsFileProblem = (&'static str, String);

/// The files of a client's TLS. Every section of the configuration with a client of a server has the same three keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientTlsFiles {
    /// `ca_file`: a PEM file with authorities to trust, besides those of the system.
    pub ca: Option<PathBuf>,
    /// `certificate_file`: a PEM file with the client's certificate, followed by those of the authorities between it and
    /// a root, for servers that require one.
    pub certificate: Option<PathBuf>,
    /// `key_file`: a PEM file with the private key of the certificate, without a password.
    pub key: Option<PathBuf>,
}

/// Implements `tls_files` for sections of the configuration with the keys of
/// [`ClientTlsFiles`].
#[macro_export]
macro_rules! has_tls_files {
    ($($section:ty),+) => {
        $(impl $section {
            /// The files of TLS.
            pub fn tls_files(&self) -> $crate::outbound::ClientTlsFiles {
                let Self { ca_file, certificate_file, key_file, .. } = self;
                let [ca, certificate, key] = [ca_file, certificate_file, key_file].map(Clone::clone);
                $crate::outbound::ClientTlsFiles { ca, certificate, key }
            }
        })+
    };
}

impl ClientTlsFiles {
    /// Returns what is wrong with the keys of a section, each with the remedy. `has_tls` is whether a server of the
    /// section is reached by TLS; if not, `remedy` states what to write instead. No file is read.
    pub fn problems(&self, has_tls: bool, remedy: &str) -> Vec<TlsFileProblem> {
        let mut problems = Vec::new();
        if !has_tls {
            let set = TLS_FILE_KEYS.into_iter().zip([&self.ca, &self.certificate, &self.key]);
            let useless = set.filter(|(_, path)| path.is_some());
            problems.extend(useless.map(|(key, _)| (key, format!("{remedy}, or remove it"))));
        }
        if self.certificate.is_some() != self.key.is_some() {
            let lacking = if self.key.is_none() { "key_file" } else { "certificate_file" };
            let text = "certificate_file and key_file require each other; set both or neither";
            problems.push((lacking, text.to_owned()));
        }
        problems
    }

    /// Reads and checks the files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or has no certificate or key in PEM that can be used, or the key is of another
    /// certificate. No part of a key is in the text.
    pub fn read(&self) -> Result<ClientTls, TlsFileProblem> {
        let of_ca = |problem| ("ca_file", problem);
        let authorities = self.ca.as_deref().map(Authorities::read).transpose().map_err(of_ca)?;
        let own = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(Own::read(certificate, key)?),
            _ => None,
        };
        Ok(ClientTls { authorities, own })
    }

    /// Returns the TLS of a client with these files, which are those of a section of the configuration.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); the text also names the section and the key.
    pub fn config(&self, section: &str) -> anyhow::Result<TlsConfig> {
        let tls = self.read().map_err(|(key, problem)| anyhow::anyhow!("{section}.{key}: {problem}"))?;
        Ok(tls.config())
    }
}

/// The content of [`ClientTlsFiles`], which was checked.
pub struct ClientTls {
    authorities: Option<Authorities>,
    own: Option<Own>,
}

impl ClientTls {
    /// Returns the TLS of a client, which trusts the authorities of the system and of the file.
    ///
    /// Without either, as in small container images, it trusts Mozilla's list, which is compiled in.
    pub fn config(self) -> TlsConfig {
        let mut authorities = self.authorities.map(|it| it.certificates).unwrap_or_default();
        // A file that cannot be read counts as missing.
        let system = SYSTEM_AUTHORITIES.iter().find_map(|path| std::fs::read(path).ok());
        authorities.extend(certificates(&system.unwrap_or_default()));
        let roots = if authorities.is_empty() { RootCerts::WebPki } else { RootCerts::from(authorities) };
        let own = self.own.map(|own| ClientCert::new_with_certs(&own.chain, own.key));
        TlsConfig::builder().root_certs(roots).client_cert(own).build()
    }

    /// Returns the file of authorities in PEM.
    pub fn authorities_pem(&self) -> Option<&[u8]> {
        self.authorities.as_ref().map(|it| &*it.pem)
    }

    /// Returns the files of the certificate and of its key in PEM.
    pub fn own_pem(&self) -> Option<(&[u8], &[u8])> {
        self.own.as_ref().map(|own| (&*own.chain_pem, &*own.key_pem))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// Returns the end of a message about a failed request: which settings to check if a certificate was not accepted, else
/// nothing.
pub fn certificate_hint(error: &ureq::Error, section: &str) -> String {
    let text = error.to_string().to_ascii_lowercase();
    match text.contains("certificate") {
        true => format!("; check {section}.ca_file, and {section}.certificate_file if the server requires one"),
        false => String::new(),
    }
}

/// The authorities of a file.
struct Authorities {
    pem: Vec<u8>,
    certificates: Vec<Certificate<'static>>,
}

impl Authorities {
    fn read(path: &Path) -> Result<Self, String> {
        let (pem, certificates) = certificates_of(path)?;
        let mut roots = RootCertStore::empty();
        for authority in &certificates {
            let added = roots.add(CertificateDer::from(authority.der().to_vec()));
            added.map_err(|error| {
                format!("{} has a certificate that cannot be used ({error}); name another file", path.display())
            })?;
        }
        Ok(Self { pem, certificates })
    }
}

/// The certificate of a client with its key.
struct Own {
    chain_pem: Vec<u8>,
    key_pem: Vec<u8>,
    chain: Vec<Certificate<'static>>,
    key: PrivateKey<'static>,
}

impl Own {
    fn read(certificate: &Path, key_file: &Path) -> Result<Self, TlsFileProblem> {
        let (chain_pem, chain) = certificates_of(certificate).map_err(|problem| ("certificate_file", problem))?;
        let key_pem = file::read_regular(key_file)
            .map_err(|error| ("key_file", format!("{} cannot be read ({error})", key_file.display())))?;
        let key = PrivateKey::from_pem(&key_pem).map_err(|_| {
            let text = format!(
                "{} has no private key in PEM (-----BEGIN PRIVATE KEY-----) without a password",
                key_file.display()
            );
            ("key_file", text)
        })?;
        check_pair(&chain, &key).map_err(|error| {
            let [certificate, key] = [certificate, key_file].map(Path::display);
            ("key_file", format!("{certificate} and {key} cannot be used together ({error}); name its key"))
        })?;
        Ok(Self { chain_pem, key_pem, chain, key })
    }
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

/// The content of a file, and its certificates, at least one.
fn certificates_of(path: &Path) -> Result<(Vec<u8>, Vec<Certificate<'static>>), String> {
    let pem = file::read_regular(path).map_err(|error| format!("{} cannot be read ({error})", path.display()))?;
    let certificates = certificates(&pem);
    if certificates.is_empty() {
        return Err(format!("{} has no certificate in PEM (-----BEGIN CERTIFICATE-----)", path.display()));
    }
    Ok((pem, certificates))
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    let certificates = items.filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    certificates.collect()
}
