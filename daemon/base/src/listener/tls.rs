//! TLS of servers: certificates from files, which are read again when they change.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use tracing::{error, info};

use crate::setting::file;
use crate::stop::Stop;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The files of a server's certificate.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// A PEM file with the certificate of the server, followed by those of the authorities between it and a root.
    pub certificate: PathBuf,
    /// A PEM file with the private key of the certificate, without a password.
    pub key: PathBuf,
    /// A PEM file with the authorities that sign the certificates of clients. With it, a client without such a
    /// certificate cannot connect.
    pub client_ca: Option<PathBuf>,
}

/// The TLS of a server: what the files had when they could be used last.
pub struct ServerTls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// Why the files cannot be used as they are now.
    problem: Mutex<Option<String>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, and why. No part of a key is in the text.
    pub fn read(files: TlsFiles) -> Result<Self, String> {
        let config = RwLock::new(Arc::new(read(&files)?));
        Ok(Self { files, config, problem: Mutex::default() })
    }

    /// Returns why the files cannot be used as they are now; `None` if those in use are the current ones.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration of the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again. What cannot be used leaves the configuration as it is.
    fn reload(&self) -> Result<(), String> {
        let config = read(&self.files).map(Arc::new);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = config.as_ref().err().cloned();
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config?;
        Ok(())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Reads the files of servers again whenever they change, until the stop. New connections get the new certificates.
/// Files that cannot be used, such as a certificate whose key has not come yet, leave the ones before in use.
pub fn reload_on_change(servers: &[Arc<ServerTls>], stop: &Stop) {
    let watched = |server| Watched { server, read: Versions::default(), reported: None };
    // The first look reads the files once more: they may have changed since the start.
    let mut states: Vec<_> = servers.iter().map(|server| watched(server)).collect();
    while stop.rest(INTERVAL) {
        // Listeners often have the same files: one message for all of them.
        let found: BTreeSet<_> = states.iter_mut().filter_map(Watched::look).collect();
        for (certificate, problem) in found {
            let certificate = certificate.display();
            match problem {
                None => info!(%certificate, "The certificate of a listener was read."),
                Some(reason) => {
                    error!(%reason, "The certificate of a listener cannot be used; the one before it stays in use.");
                }
            }
        }
    }
}

/// A server whose files are watched.
struct Watched<'s> {
    server: &'s ServerTls,
    /// The files that are in use or were refused.
    read: Versions,
    /// What was logged.
    reported: Option<String>,
}

impl<'s> Watched<'s> {
    /// Reads the files if they have changed. Returns what to report: the certificate, and why it cannot be used.
    fn look(&mut self) -> Option<(&'s Path, Option<String>)> {
        let server = self.server;
        let (now, before) = (versions(&server.files), server.problem());
        // A file may also be written under a version that was read in part.
        if now == self.read && before.is_none() {
            return None;
        }
        self.read = now;
        match server.reload() {
            Ok(()) => {
                self.reported = None;
                Some((&server.files.certificate, None))
            }
            // Two files are replaced one after the other: only what lasts is reported, once.
            Err(reason) if before.as_ref() == Some(&reason) && self.reported.as_ref() != Some(&reason) => {
                self.reported = Some(reason.clone());
                Some((&server.files.certificate, Some(reason)))
            }
            Err(_) => None,
        }
    }
}

/// The versions of the files; `None` for one that is not there.
type Versions = [Option<file::Version>; 3];

fn versions(files: &TlsFiles) -> Versions {
    [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()].map(|path| file::version(path?))
}

fn read(files: &TlsFiles) -> Result<ServerConfig, String> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?).map_err(|_| {
        format!(
            "{} has no private key in PEM (-----BEGIN PRIVATE KEY-----), or one with a password",
            files.key.display()
        )
    })?;
    let provider = Arc::new(ring::default_provider());
    let clients: Arc<dyn ClientCertVerifier> = match &files.client_ca {
        None => Arc::new(NoClientAuth),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| format!("{} cannot be used ({error})", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            verifier.map_err(|error| format!("{} cannot be used ({error})", path.display()))?
        }
    };
    // TLS 1.2 and 1.3: rustls has no others.
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_client_cert_verifier(clients);
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let [certificate, key] = [&files.certificate, &files.key].map(|path| path.display());
        format!("{certificate} and {key} cannot be used together ({error})")
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = bytes(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| format!("{} is not valid PEM ({error})", path.display()))?;
    match certificates.is_empty() {
        true => Err(format!("{} has no certificate in PEM (-----BEGIN CERTIFICATE-----)", path.display())),
        false => Ok(certificates),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    file::read_regular(path).map_err(|error| format!("{} cannot be read ({error})", path.display()))
}
