//! The sockets that servers listen on, and their connections: TCP, or a file of the system (a Unix socket).

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::warn;

/// The client of all connections to a Unix socket: this machine.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Socket {
    /// An address and port.
    Tcp(TcpListener),
    /// A file, which is removed when the server ends.
    Unix(UnixListener, SocketFile),
}

impl Socket {
    /// Binds a Unix socket at `path`, whose file has these permissions from its first instant.
    ///
    /// # Errors
    ///
    /// When a process listens there, when the path is a file of another kind, or when it cannot be created. A socket of
    /// a process that has ended is replaced.
    pub fn bind_unix(path: &Path, mode: u32) -> Result<Self> {
        refuse_used(path)?;
        // Under another name until the permissions are right.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(&new)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode))?;
        let inode = std::fs::symlink_metadata(&new)?.ino();
        std::fs::rename(&new, path)?;
        let file = SocketFile { path: path.to_owned(), inode };
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?, file))
    }

    /// The address that is bound; `None` for a Unix socket.
    ///
    /// # Errors
    ///
    /// When the system does not tell it.
    pub fn tcp_address(&self) -> Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            Self::Unix(..) => Ok(None),
        }
    }

    /// The next connection, with the address of its client.
    pub(super) async fn accept(&self) -> Result<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), peer.ip())),
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), LOCAL)),
        }
    }
}

impl From<TcpListener> for Socket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

/// Refuses a path that is in use: by a process that listens, or by a file that is not a socket.
fn refuse_used(path: &Path) -> Result<()> {
    let file = match std::fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        let text = "a file that is not a socket has this name; remove it, or name another path";
        return Err(Error::new(ErrorKind::AlreadyExists, text));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(ErrorKind::AddrInUse, "another process listens there")),
    }
}

/// The file of a Unix socket, which is removed when this is dropped, unless another socket has its name by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            warn!(path = %self.path.display(), %error, "The file of a Unix socket could not be removed.");
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The same call of either kind of stream, pinned.
macro_rules! of_either {
    ($stream:expr, $call:ident $(, $argument:expr)*) => {
        match $stream.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).$call($($argument),*),
            Stream::Unix(stream) => Pin::new(stream).$call($($argument),*),
        }
    };
}

impl Stream {
    pub(super) async fn readable(&self) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub(super) fn try_read(&self, bytes: &mut [u8]) -> Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(bytes),
            Self::Unix(stream) => stream.try_read(bytes),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        of_either!(self, poll_read, cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        of_either!(self, poll_write, cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        of_either!(self, poll_write_vectored, cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        of_either!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        of_either!(self, poll_shutdown, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_one_in_use_or_another_file_is_not() {
        let folder = std::env::temp_dir().join(format!("daemon-base-socket-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket of a process that has ended"));
        assert!(path.exists());
        let first = Socket::bind_unix(&path, 0o640).expect("a stale socket is replaced");
        assert_eq!(mode(&path), 0o640);
        let error = Socket::bind_unix(&path, 0o600).expect_err("the socket is in use");
        assert_eq!((error.kind(), mode(&path)), (ErrorKind::AddrInUse, 0o640));
        // Another process has removed the file and made its own.
        std::fs::remove_file(&path).expect("removed");
        let second = Socket::bind_unix(&path, 0o600).expect("the path is free");
        drop(first);
        assert!(path.exists(), "the file is that of the second");
        drop(second);
        assert!(!path.exists());
        std::fs::write(&path, "text").expect("a file");
        let error = Socket::bind_unix(&path, 0o600).expect_err("a file that is not a socket");
        assert!(error.to_string().contains("not a socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "text");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
