//! Ports for servers of tests. The file uses no other test support.

#![allow(dead_code, reason = "each test file uses a part")]

use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Ports that are free, below those that the system gives to connections going out: one of those might be taken by a
/// client, even by one that tries to reach this very broker, while the broker is stopped.
///
/// No other test gets one of them while this process runs: a server listens only some time after its port was chosen.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    [(); N].map(|()| {
        let free = (0..).find_map(|attempt: u64| {
            let port = 20_000 + u16::try_from(RandomState::new().hash_one(attempt) % 12_000).unwrap();
            (reserve(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()).then_some(port)
        });
        free.unwrap()
    })
}

/// Takes a port from the other tests, until this process ends; `false` if one of them has it.
fn reserve(port: u16) -> bool {
    static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("derived-statsd-test-ports");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join(port.to_string())).unwrap();
    let is_ours = lock.try_lock().is_ok();
    if is_ours {
        RESERVED.lock().unwrap().push(lock);
    }
    is_ours
}

/// A port at which nothing listens.
pub(crate) fn free_port() -> u16 {
    free_ports::<1>()[0]
}
