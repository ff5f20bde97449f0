//! TLS before servers of a test that have none.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// The TLS of a server, with the certificate and the key in files. With the authorities of a file, it requires
/// certificates of clients.
pub(crate) fn server_config(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Arc<ServerConfig> {
    let certificates = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let config = match client_ca {
        None => config.unwrap().with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            CertificateDer::pem_file_iter(path).unwrap().for_each(|root| roots.add(root.unwrap()).unwrap());
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.unwrap().with_client_cert_verifier(clients.unwrap())
        }
    };
    Arc::new(config.with_single_cert(certificates, key).unwrap())
}

/// A server of TLS that requires certificates of clients and passes each GET on to a server without TLS. Its threads end
/// with the process.
pub(crate) struct TlsFront(SocketAddr);

impl TlsFront {
    /// Starts one before the server at `backend`, `host:port`, with the files `server` and `authority` of a folder.
    pub(crate) fn start(backend: &str, certificates: &Path) -> Self {
        let file = |name: &str| certificates.join(name);
        let config = server_config(&file("server.pem"), &file("server.key"), Some(&file("authority.pem")));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let front = Self(listener.local_addr().unwrap());
        let backend = backend.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, backend) = (Arc::clone(&config), backend.clone());
                // A client without a certificate is cut off.
                thread::spawn(move || pass(stream, config, &backend).ok());
            }
        });
        front
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    /// `https://host:port`.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.0)
    }
}

/// Passes one request on, and the answer to its end.
fn pass(stream: TcpStream, config: Arc<ServerConfig>, backend: &str) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    head.truncate(head.len() - 2);
    let mut backend = TcpStream::connect(backend)?;
    backend.write_all(&[&head[..], b"connection: close\r\n\r\n"].concat())?;
    let mut answer = Vec::new();
    backend.read_to_end(&mut answer)?;
    stream.write_all(&answer)?;
    stream.conn.send_close_notify();
    stream.flush()
}
