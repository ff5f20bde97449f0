//! Server processes that a test starts, with their data and output in a temporary folder.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::broker::guard;
use super::{PATIENCE, agent, answer};

const STEP: Duration = Duration::from_millis(20);

/// A server process, and a shell that kills it at any end of this process.
pub(crate) struct Running {
    pub(crate) server: Child,
    guard: Child,
}

/// A process that is killed at the end of its test, also where that fails before it has ended.
pub(crate) struct KilledOnDrop(pub(crate) Child);

impl Deref for KilledOnDrop {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for KilledOnDrop {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server with its output in the folder.
pub(crate) fn start(mut command: Command, folder: &TempDir) -> Running {
    let output = File::options().create(true).append(true).open(output_path(folder)).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let name = command.get_program().to_owned();
    let server = command.spawn().unwrap_or_else(|error| panic!("{name:?} does not start ({error}); run .ci/setup"));
    let guard = guard(server.id(), folder.path());
    Running { server, guard }
}

/// Stops a server in order.
pub(crate) fn stop(mut running: Running) {
    kill_process(Pid::from_child(&running.server), Signal::CONT).unwrap();
    kill_process(Pid::from_child(&running.server), Signal::TERM).unwrap();
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if running.server.try_wait().unwrap().is_some() {
            break;
        }
        thread::sleep(STEP);
    }
    kill(running);
}

/// Kills a server.
pub(crate) fn kill(mut running: Running) {
    // The guard first: it must not kill a later process that is given the same id.
    running.guard.kill().unwrap();
    running.guard.wait().unwrap();
    // It may have ended already.
    let _ = running.server.kill();
    running.server.wait().unwrap();
}

/// Waits until a server responds.
pub(crate) fn wait_until_it_answers(url: &str, running: &mut Running, folder: &TempDir) {
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        let ended = running.server.try_wait().unwrap();
        assert!(ended.is_none(), "the server ended with {ended:?}:\n{}", output(folder));
        if answer(agent().get(url).call()).is_some_and(|(status, _)| status < 300) {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("the server does not answer:\n{}", output(folder));
}

fn output_path(folder: &TempDir) -> PathBuf {
    folder.path().join("output")
}

fn output(folder: &TempDir) -> String {
    std::fs::read_to_string(output_path(folder)).unwrap_or_default()
}
