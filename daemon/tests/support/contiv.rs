//! Contiv servers for tests: a simulated cluster as a process, a Netplugin whose counters a test sets, and etcd.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::broker::{free_ports, guard};
use super::outage::{Outage, Switch};
use super::{Answer, agent, answer, curl, wait_until};

/// `simulate contiv` as a process, killed on drop.
pub(crate) struct Cluster {
    child: Child,
    addresses: Value,
    // Kept open: the simulation would end with a broken pipe.
    _out: BufReader<ChildStdout>,
}

impl Cluster {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        command.args(["simulate", "contiv"]).args(arguments).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line).unwrap();
        Self { child, addresses, _out: out }
    }

    pub(crate) fn nodes(&self) -> Vec<String> {
        let nodes = self.addresses["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn port(&self) -> u64 {
        self.addresses["netplugin_port"].as_u64().unwrap()
    }

    pub(crate) fn address(&self, service: &str) -> &str {
        self.addresses[service].as_str().unwrap()
    }

    /// The points of a node by an independent implementation of the merge: endpoint, service and provider to `[BytesIn,
    /// BytesOut, PacketsIn, PacketsOut]`.
    pub(crate) fn points(&self, node: &str) -> BTreeMap<[String; 3], [u64; 4]> {
        let (status, body) = get(&format!("http://{node}:{}/svcstats", self.port()));
        assert_eq!(status, 200, "{body}");
        let mut points = BTreeMap::new();
        for (endpoint, stats) in serde_json::from_str::<Value>(&body).unwrap().as_object().unwrap() {
            for (service, stats) in stats["SvcStats"].as_object().unwrap() {
                let entries = stats["ProvStats"].as_object().unwrap();
                let providers: Vec<_> = entries.keys().filter(|provider| *provider != endpoint).collect();
                for (entry, counters) in entries {
                    let provider = match (&providers[..], entry == endpoint) {
                        ([only], true) => only,
                        (_, true) => service,
                        (_, false) => entry,
                    };
                    let point: &mut [u64; 4] =
                        points.entry([endpoint, service, provider].map(Clone::clone)).or_default();
                    for (sum, name) in point.iter_mut().zip(COUNTERS) {
                        *sum += counters[name].as_u64().unwrap_or(0);
                    }
                }
            }
        }
        points
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fields of a point, in the order of [`Cluster::points`].
pub(crate) const COUNTERS: [&str; 4] = ["BytesIn", "BytesOut", "PacketsIn", "PacketsOut"];

pub(crate) fn get(url: &str) -> Answer {
    answer(agent().get(url).call()).unwrap_or_else(|| panic!("{url} answers"))
}

/// A Netplugin with one endpoint, whose counters a test increases. Its thread ends with the process.
#[derive(Clone)]
pub(crate) struct Netplugin {
    address: String,
    bytes: Arc<Mutex<Bytes>>,
    switch: Switch,
    answers: Arc<Mutex<Vec<Bytes>>>,
}

/// Bytes received, by service.
pub(crate) type Bytes = BTreeMap<String, u64>;

impl Netplugin {
    pub(crate) fn start(services: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let bytes: Bytes = services.iter().map(|service| ((*service).to_owned(), 0)).collect();
        let bytes = Arc::new(Mutex::new(bytes));
        let netplugin = Self { address, bytes, switch: Switch::default(), answers: Arc::default() };
        let serving = netplugin.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serving.answer(stream)));
        netplugin
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn add(&self, service: &str, bytes: u64) {
        *self.bytes.lock().unwrap().get_mut(service).unwrap() += bytes;
    }

    /// Whether all requests get 503 from now on.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.switch.set(refuses.then_some(Outage::Refuse));
    }

    /// Begins or ends an outage.
    pub(crate) fn switch(&self) -> &Switch {
        &self.switch
    }

    pub(crate) fn bytes(&self, service: &str) -> u64 {
        self.bytes.lock().unwrap()[service]
    }

    /// The counters that were sent, in order.
    pub(crate) fn answers(&self) -> Vec<Bytes> {
        self.answers.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut request = [0; 1024];
        // A killed client sends no request.
        let Ok(1..) = stream.read(&mut request) else { return };
        let bytes = self.bytes.lock().unwrap().clone();
        let service = |bytes: &u64| json!({ "ProvStats": { "10.1.1.7": { "BytesIn": bytes } } });
        let services: BTreeMap<_, _> = bytes.iter().map(|(ip, bytes)| (ip, service(bytes))).collect();
        let body = json!({ "11.1.1.2": { "EndpointIP": "11.1.1.2", "SvcStats": services } }).to_string();
        if self.switch.answer(stream, "503 Service Unavailable", &body) {
            self.answers.lock().unwrap().push(bytes);
        }
    }
}

/// A real etcd with its v2 API, killed on drop.
pub(crate) struct Etcd {
    // Dropped after the process is killed.
    _folder: TempDir,
    address: String,
    server: Child,
    guard: Child,
    /// The folder of its certificates and of the client's, if it has TLS.
    certificates: Option<PathBuf>,
}

impl Etcd {
    /// Starts etcd. A test fails if it is not installed; `.ci/setup` installs it.
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts one that serves by TLS and requires certificates of clients, with the files `server`, `client` and
    /// `authority` of a folder.
    pub(crate) fn start_with_tls(certificates: &Path) -> Self {
        Self::start_with(Some(certificates.to_owned()))
    }

    fn start_with(certificates: Option<PathBuf>) -> Self {
        let folder = TempDir::new().unwrap();
        let [client, peer] = free_ports();
        let [address, peer] = [client, peer].map(|port| format!("127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.args(["--enable-v2=true", "--name", "test", "--log-level", "error", "--data-dir"]).arg(folder.path());
        for (flag, address) in [("client-urls", &address), ("peer-urls", &peer)] {
            let scheme = if certificates.is_some() && flag == "client-urls" { "https" } else { "http" };
            let url = format!("{scheme}://{address}");
            let advertise = if flag == "peer-urls" { "initial-advertise-peer-urls" } else { "advertise-client-urls" };
            command.args([format!("--listen-{flag}={url}"), format!("--{advertise}={url}")]);
        }
        command.arg(format!("--initial-cluster=test=http://{peer}"));
        if let Some(certificates) = &certificates {
            let files = [("cert-file", "server.pem"), ("key-file", "server.key"), ("trusted-ca-file", "authority.pem")];
            command.args(files.map(|(flag, name)| format!("--{flag}={}", certificates.join(name).display())));
            command.arg("--client-cert-auth");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().unwrap_or_else(|error| panic!("etcd does not start ({error}); run .ci/setup"));
        let guard = guard(server.id(), folder.path());
        let etcd = Self { _folder: folder, address, server, guard, certificates };
        wait_until("etcd", || etcd.ask(&[], "/health").filter(|(_, body)| body.contains("true")));
        etcd
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Registers a node as Netplugin does.
    pub(crate) fn add(&self, host: &str) {
        let entry = json!({ "ServiceName": "netplugin", "Role": "", "TTL": 60, "HostAddr": host, "Port": 9002 });
        let value = format!("value={entry}");
        let answer = self.ask(&["--request", "PUT", "--data-urlencode", &value], &Self::key(host));
        assert_eq!(answer.unwrap().0, 201);
    }

    pub(crate) fn remove(&self, host: &str) {
        assert_eq!(self.ask(&["--request", "DELETE"], &Self::key(host)).unwrap().0, 200);
    }

    fn key(host: &str) -> String {
        format!("/v2/keys/contiv.io/service/netplugin/{host}:9002")
    }

    /// Status and body of a request; `None` without an answer.
    fn ask(&self, arguments: &[&str], path: &str) -> Option<Answer> {
        let Some(certificates) = &self.certificates else {
            return curl(&[arguments, &[&format!("http://{}{path}", self.address)]].concat()).ok();
        };
        let [authority, certificate, key] =
            ["authority.pem", "client.pem", "client.key"].map(|name| certificates.join(name).display().to_string());
        let tls = ["--cacert", &authority, "--cert", &certificate, "--key", &key];
        curl(&[arguments, &tls, &[&format!("https://{}{path}", self.address)]].concat()).ok()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // The guard first: it must not kill a later process that is given the same id.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
