//! Several listeners: their roles, Unix sockets, and TLS with certificates that change, of clients and of the daemon.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::broker::free_ports;
use crate::support::{Daemon, certificates, command, curl, line, wait_until};

/// A setting with these listeners.
fn listeners(listeners: &[String]) -> String {
    format!("http.listeners=[{}]", listeners.join(", "))
}

/// A listener of TLS with the files of `server` in a folder.
fn with_tls(port: u16, folder: &Path, more: &str) -> String {
    let folder = folder.display();
    let files = format!("certificate = \"{folder}/server.pem\", key = \"{folder}/server.key\"{more}");
    format!("{{address = \"127.0.0.1:{port}\", tls = {{{files}}}}}")
}

/// Exit code and messages of `validate` for one listener.
fn validate(folder: &Path, listener: &str) -> (i32, String) {
    let file = folder.join("d.toml");
    let data = folder.join("data");
    let text = format!(
        "[http]\nlisten = \"none\"\n[[http.listeners]]\n{listener}\n[log]\ndata_dir = \"{}\"\n",
        data.display()
    );
    std::fs::write(&file, text).unwrap();
    let run = binary::run(&["validate", file.to_str().unwrap()], "");
    (run.code.unwrap(), run.stderr)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn a_listener_serves_the_paths_of_its_roles_and_names_role_and_listener_for_others() {
    let folder = TempDir::new().unwrap();
    let [port] = free_ports();
    let socket = path(folder.path(), "http.sock");
    let set = listeners(&[
        format!("{{address = \"127.0.0.1:{port}\", roles = [\"ingest\"]}}"),
        format!("{{address = \"unix:{socket}\", roles = [\"probes\", \"admin\"], mode = \"0600\"}}"),
    ]);
    let daemon = Daemon::start(&folder.path().join("data"), &[&set]);
    let unix = |path: &str| curl(&["--unix-socket", &socket, &format!("http://x{path}")]).unwrap();
    let tcp = |path: &str| curl(&[&format!("http://127.0.0.1:{port}{path}")]).unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    for route in ["/healthz", "/metrics", "/api/v1/config", "/api/v1/partitions", "/ping", "/health"] {
        assert_ne!(unix(route).0, 404, "{route}");
    }
    for route in ["/", "/analytics/uves", "/api/v1/loudest", "/api/v1/results/stream", "/assets/page.js"] {
        let (status, body) = unix(route);
        let expected = format!("needs a listener with the role query; unix:{socket} has probes, admin");
        assert!(status == 404 && body.contains(&expected), "{route}: {status} {body}");
    }
    let (status, body) = curl(&["--unix-socket", &socket, "--data", "x", "http://x/api/v1/samples"]).unwrap();
    assert!(status == 404 && body.contains("the role ingest"), "{status} {body}");
    assert_ne!(curl(&["--data", "x", &format!("http://127.0.0.1:{port}/api/v1/samples")]).unwrap().0, 404);
    assert_eq!((tcp("/ping").0, tcp("/healthz").0, tcp("/metrics").0), (204, 404, 404));
    // What changes the configuration is of the role admin, with all that is under it.
    let stream = "http://x/api/v1/config/streams/UveVirtualNetworkAgent-x";
    for arguments in [&["--data", "x"][..], &["-X", "DELETE"]] {
        let answer = curl(&[arguments, &["--unix-socket", &socket, stream]].concat()).unwrap();
        assert!(!answer.1.contains("needs a listener"), "{answer:?}");
        let answer =
            curl(&[arguments, &[&format!("http://127.0.0.1:{port}/api/v1/config/streams/S-x")]].concat()).unwrap();
        assert!(answer.1.contains("needs a listener with the role admin"), "{answer:?}");
    }
    // A path that does not exist is that of no role.
    assert!(tcp("/no-such-path").1.contains("does not exist"));
    assert_eq!(daemon.get("/metrics").0, 200, "http.listen has all roles");
    daemon.stop();
    assert!(!Path::new(&socket).exists(), "the daemon removes its socket");
}

#[test]
fn a_socket_of_a_killed_daemon_is_replaced_and_one_in_use_is_not() {
    let folder = TempDir::new().unwrap();
    let socket = path(folder.path(), "http.sock");
    let set = listeners(&[format!("{{address = \"unix:{socket}\"}}")]);
    let start = |data: &str| Daemon::try_spawn(command("run", &folder.path().join(data), &[&set, "http.listen=none"]));
    // Without an address of TCP the tests do not notice that it listens.
    let other = UnixListener::bind(&socket).unwrap();
    let (status, said) = start("a").map(|_| ()).expect_err("the socket is in use");
    assert!(status.code() == Some(1) && said.contains("another process listens there"), "{said}");
    drop(other);
    assert!(Path::new(&socket).exists(), "a killed daemon leaves it");
    let set = [set.as_str()];
    let daemon = Daemon::start(&folder.path().join("a"), &set);
    let (status, body) = curl(&["--unix-socket", &socket, "http://x/healthz"]).unwrap();
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    // Slow and silent clients of the socket are closed as others are, and a request is answered meanwhile.
    let silent: Vec<_> = (0..300).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert_eq!(curl(&["--unix-socket", &socket, "http://x/healthz"]).unwrap().0, 200);
    drop(silent);
    daemon.stop();
}

#[test]
fn each_listener_on_an_address_of_the_network_needs_a_guard() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    let files = format!("certificate = \"{0}/server.pem\", key = \"{0}/server.key\"", folder.path().display());
    let clients = format!("tls = {{ {files}, client_ca = \"{}\" }}", path(folder.path(), "authority.pem"));
    let tls = format!("tls = {{ {files} }}");
    for (more, is_guarded) in [
        ("", false),
        (tls.as_str(), false),
        ("roles = [\"probes\", \"ingest\"]", false),
        ("roles = [\"probes\"]", true),
        (clients.as_str(), true),
    ] {
        let (code, said) = validate(folder.path(), &format!("address = \"0.0.0.0:8443\"\n{more}"));
        let expected = "`http.listeners`: everybody who reaches 0.0.0.0:8443 could read and post";
        assert_eq!((code, said.contains(expected)), (if is_guarded { 0 } else { 64 }, !is_guarded), "{more}: {said}");
    }
}

#[test]
fn tls_has_versions_from_1_2_on_and_a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates::make(folder, "server");
    let [port] = free_ports();
    let daemon = Daemon::start(&folder.join("data"), &[&listeners(&[with_tls(port, folder, "")])]);
    let url = format!("https://127.0.0.1:{port}/healthz");
    let authority = path(folder, "authority.pem");
    let get = |more: &[&str]| curl(&[&["--cacert", &authority, &url], more].concat());
    assert_eq!(get(&[]), Ok((200, "ok\n".to_owned())));
    assert_eq!(get(&["--tls-max", "1.2"]), Ok((200, "ok\n".to_owned())));
    assert_eq!(get(&["--tlsv1.3"]), Ok((200, "ok\n".to_owned())));
    assert!(get(&["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]).is_err());
    assert!(curl(&["--cacert", &path(folder, "stranger.pem"), &url]).unwrap_err().contains("certificate"));
    // HTTP without TLS gets no response.
    assert!(curl(&[&format!("http://127.0.0.1:{port}/healthz")]).is_err());
    let warning = "warning: the new certificate of the listener";
    std::fs::copy(folder.join("stranger.key"), folder.join("server.key")).unwrap();
    wait_until("the key of another certificate is noticed", || get(&[]).unwrap().1.contains(warning).then_some(()));
    let status = daemon.get("/api/v1/status").1;
    assert!(status.contains("cannot be used together"), "{status}");
    daemon.wait_until_said("The certificate of a listener cannot be used");
    // A new certificate, of another authority, and its key.
    certificates::sign(folder, "next", "stranger");
    std::fs::rename(folder.join("next.pem"), folder.join("server.pem")).unwrap();
    std::fs::rename(folder.join("next.key"), folder.join("server.key")).unwrap();
    let stranger = path(folder, "stranger.pem");
    wait_until("the new certificate is in use", || {
        curl(&["--cacert", &stranger, &url]).is_ok_and(|(_, body)| body == "ok\n").then_some(())
    });
    assert!(get(&[]).is_err(), "the authority of the old one is not that of the new one");
    let said = daemon.stop();
    assert!(!said.contains("PRIVATE KEY"), "{said}");
}

#[test]
fn a_certificate_of_several_listeners_is_reported_once() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates::make(folder, "server");
    let ports: [u16; 3] = free_ports();
    let set = listeners(&ports.map(|port| with_tls(port, folder, "")));
    let daemon = Daemon::start(&folder.join("data"), &[&set]);
    let read = "The certificate of a listener was read.";
    wait_until("the files are read again", || daemon.stderr().contains(read).then_some(()));
    std::fs::write(folder.join("server.key"), "nonsense").unwrap();
    let refused = "The certificate of a listener cannot be used";
    wait_until("the key is refused", || daemon.stderr().contains(refused).then_some(()));
    let said = daemon.stop();
    assert_eq!([read, refused].map(|text| said.matches(text).count()), [1, 1], "{said}");
}

#[test]
fn a_client_without_a_certificate_of_the_authority_cannot_connect() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates::make(folder, "server");
    certificates::sign(folder, "client", "authority");
    certificates::sign(folder, "imposter", "stranger");
    let [port] = free_ports();
    let clients = format!(", client_ca = \"{}\"", path(folder, "authority.pem"));
    let daemon = Daemon::start(&folder.join("data"), &[&listeners(&[with_tls(port, folder, &clients)])]);
    let get = |client: Option<&str>| {
        let authority = path(folder, "authority.pem");
        let files = client.map(|name| [path(folder, &format!("{name}.pem")), path(folder, &format!("{name}.key"))]);
        let url = format!("https://127.0.0.1:{port}/healthz");
        let mut arguments = vec!["--cacert", &authority, &url];
        files.iter().for_each(|[pem, key]| arguments.extend(["--cert", pem, "--key", key]));
        curl(&arguments)
    };
    assert_eq!(get(Some("client")), Ok((200, "ok\n".to_owned())));
    for stranger in [None, Some("imposter")] {
        assert!(get(stranger).is_err(), "{stranger:?}");
    }
    // A moment after the client finds the connection closed.
    let failed = "http_connections_closed_total{reason=\"tls_handshake\"} 2\n";
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(failed).then_some(()));
    assert!(daemon.stop().contains("its TLS handshake failed"));
}

#[test]
fn slow_handshakes_end_in_time_and_make_room_for_requests() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    let [port] = free_ports();
    let set = listeners(&[with_tls(port, folder.path(), "")]);
    let limits = ["http.max_connections=8", "http.header_timeout=1s"];
    let daemon = Daemon::start(&folder.path().join("data"), &[&[set.as_str()], &limits[..]].concat());
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    // The head of a record of a handshake, whose rest does not come.
    let slow = || {
        let mut stream = connect();
        stream.write_all(&[22, 3, 1, 1, 0]).unwrap();
        stream
    };
    let mut streams: Vec<_> = (0..100).map(|index| if index % 2 == 0 { slow() } else { connect() }).collect();
    let url = format!("https://127.0.0.1:{port}/healthz");
    assert_eq!(curl(&["--cacert", &path(folder.path(), "authority.pem"), &url]), Ok((200, "ok\n".to_owned())));
    for stream in &mut streams {
        // It ends, with an alert or without, or is reset.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // The counter is there from the start.
    let closed = "derived_statsd_http_connections_closed_total{reason=\"header_timeout\"} ";
    daemon.wait_for("/metrics", |(_, metrics)| {
        let count = metrics.lines().find_map(|line| line.strip_prefix(closed))?;
        (count.parse::<u64>().unwrap() > 0).then_some(())
    });
    daemon.stop();
}

/// Makes the file `tokens` of a daemon, and `me` with a token of it that may read.
fn make_token(folder: &Path) {
    let run = binary::run(&["token", "me", "--scopes", "read"], "");
    std::fs::write(folder.join("tokens"), &run.stdout).unwrap();
    std::fs::write(folder.join("me"), run.stderr.rsplit(' ').next().unwrap()).unwrap();
}

#[test]
fn commands_reach_a_daemon_by_tls_and_by_its_socket_with_their_files() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates::make(folder, "server");
    certificates::sign(folder, "client", "authority");
    let [port] = free_ports();
    let (socket, authority) = (path(folder, "http.sock"), path(folder, "authority.pem"));
    make_token(folder);
    let set = listeners(&[
        with_tls(port, folder, &format!(", client_ca = \"{authority}\"")),
        format!("{{address = \"unix:{socket}\"}}"),
    ]);
    let tokens = format!("http.tokens_file={}", path(folder, "tokens"));
    let daemon = Daemon::start(&folder.join("data"), &[&set, &tokens]);
    let (https, unix) = (format!("https://127.0.0.1:{port}"), format!("unix:{socket}"));
    let (me, certificate, key) = (path(folder, "me"), path(folder, "client.pem"), path(folder, "client.key"));
    let token = ["--token-file", me.as_str()];
    let files = ["--ca", &authority, "--certificate", &certificate, "--key", &key];
    let run = |arguments: &[&[&str]]| binary::run(&arguments.concat(), "");
    for (url, files) in [(https.as_str(), &files[..]), (unix.as_str(), &[])] {
        let top = run(&[&["top", "--once", "--url", url], &token, files]);
        assert!(top.code == Some(0) && top.stdout.contains("UveVirtualNetworkAgent"), "{url}: {top:?}");
        let health = run(&[&["health", "--url", url], files]);
        assert_eq!((health.code, health.stdout.as_str()), (Some(0), "ok\n"), "{url}: {health:?}");
        let without = run(&[&["top", "--once", "--url", url], files]);
        assert!(without.code == Some(1) && without.stderr.contains("401"), "{url}: {without:?}");
        let tap = run(&[&["tap", "--url", url, "no-such-stream"], &token, files]);
        assert!(tap.code == Some(1) && tap.stderr.contains("no-such-stream"), "{url}: {tap:?}");
    }
    let config = folder.join("d.toml");
    std::fs::write(&config, "").unwrap();
    let diff = run(&[&["validate", "--diff", &unix, config.to_str().unwrap()], &token]);
    assert!(diff.code == Some(0) && diff.stdout.contains("http.listeners"), "{diff:?}");
    // Without the authority or the certificate there is no answer, and never without a check of the certificate.
    for files in [&["--ca", authority.as_str()][..], &[]] {
        let health = run(&[&["health", "--url", &https], files]);
        assert!(health.code == Some(1) && health.stderr.contains("no answer"), "{health:?}");
    }
    daemon.stop();
    let gone = run(&[&["health", "--url", &unix]]);
    assert!(gone.code == Some(1) && gone.stderr.contains("no answer"), "{gone:?}");
}

fn empty_configuration(folder: &Path) -> String {
    let config = path(folder, "d.toml");
    std::fs::write(&config, "").unwrap();
    config
}

/// The commands that request a running daemon, up to its URL.
fn requests(config: &str) -> [Vec<&str>; 4] {
    [
        vec!["health", "--url"],
        vec!["top", "--once", "--url"],
        vec!["tap", "T:a", "--url"],
        vec!["validate", config, "--diff"],
    ]
}

#[test]
fn a_command_without_an_answer_names_the_remedy() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates::make(folder, "server");
    certificates::sign_for(folder, "old", "authority", -1);
    let (authority, own_authority) = (path(folder, "authority.pem"), path(folder, "stranger.pem"));
    let [plain, secured, with_clients, own, expired, closed] = free_ports();
    let set = listeners(&[
        format!("{{address = \"127.0.0.1:{plain}\"}}"),
        with_tls(secured, folder, ""),
        with_tls(with_clients, folder, &format!(", client_ca = \"{authority}\"")),
        // As `openssl req -x509` makes it: its own authority.
        with_tls(own, folder, "").replace("server.", "stranger."),
        with_tls(expired, folder, "").replace("server.", "old."),
    ]);
    let daemon = Daemon::start(&folder.join("data"), &[&set]);
    let config = empty_configuration(folder);
    let url = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
    let (trusted, as_own) = (["--ca", &*authority], ["--ca", &*own_authority]);
    let (old, old_key) = (path(folder, "old.pem"), path(folder, "old.key"));
    let as_old = ["--ca", &*authority, "--certificate", &old, "--key", &old_key];
    let cases: [(String, &[&str], &str); 11] = [
        (url("https", expired), &trusted, "the certificate of the server has expired: replace it"),
        (url("https", with_clients), &as_old, "replace the certificate that --certificate names"),
        (url("http", closed), &[], "check that the daemon runs and has this listener; --url names another one"),
        (format!("unix:{}", path(folder, "no.sock")), &[], "check that the daemon runs and has this listener"),
        (url("https", secured), &[], "name the authority of its certificate by --ca FILE"),
        (format!("https://localhost:{secured}"), &trusted, "use a name or address of its certificate in the URL"),
        (url("https", with_clients), &trusted, "name a certificate of that authority by --certificate and --key"),
        (url("https", own), &as_own, "make it again with -addext basicConstraints=CA:FALSE"),
        (url("http", secured), &[], "use https:// in place of http://"),
        (url("https", plain), &[], "use http:// in place of https://"),
        ("http://no-such-host.invalid:1".to_owned(), &[], "check the name in the URL"),
    ];
    for command in requests(&config) {
        for (url, more, expected) in &cases {
            let run = binary::run(&[&command[..], &[url.as_str()], *more].concat(), "");
            let is_named = run.stderr.contains(&format!("no answer from {url}/")) && run.stderr.contains(expected);
            assert!(run.code == Some(1) && is_named, "{command:?} {url}: {run:?}");
        }
    }
    daemon.stop();
}

#[test]
fn a_command_whose_token_is_refused_names_the_remedy() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    make_token(folder);
    let [me, foreign, config] = ["me", "foreign", "d.toml"].map(|name| path(folder, name));
    std::fs::write(&foreign, "unknown").unwrap();
    std::fs::write(&config, "").unwrap();
    let daemon =
        Daemon::start(&folder.join("data"), &[&format!("http.tokens_file={}", folder.join("tokens").display())]);
    let url = daemon.url("");
    // The probes need no token.
    for command in &requests(&config)[1..] {
        for (more, expected) in [
            (&[][..], "responds with 401 Unauthorized: {\"error\":\"a token is needed"),
            (&[], "\"}; name the file of a token by --token-file (`derived-statsd token` makes one)"),
            (&["--token-file", &foreign], "by --token-file whose hash is in http.tokens_file"),
        ] {
            let run = binary::run(&[&command[..], &[url.as_str()], more].concat(), "");
            assert!(run.code == Some(1) && run.stderr.contains(expected), "{command:?} {more:?}: {run:?}");
        }
    }
    // The token becomes one that may only write.
    let lines = std::fs::read_to_string(folder.join("tokens")).unwrap().replace(" read ", " write ");
    std::fs::write(folder.join("tokens"), lines).unwrap();
    wait_until("the scope is missing", || {
        let run = binary::run(&["top", "--once", "--url", &url, "--token-file", &me], "");
        let remedy = "; name the file of a token with this scope by --token-file";
        (run.stderr.contains("lacks the scope `read`") && run.stderr.contains(remedy)).then_some(())
    });
    daemon.stop();
}

#[test]
fn links_lead_to_the_listener_of_the_request() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    certificates::make(folder, "server");
    let [port, plain] = free_ports();
    let set = listeners(&[with_tls(port, folder, ""), format!("{{address = \"127.0.0.1:{plain}\"}}")]);
    let daemon = Daemon::start(&folder.join("data"), &[&set, "aggregation.allowed_lateness=0s", "log.partitions=1"]);
    let authority = path(folder, "authority.pem");
    let samples: String =
        [1_488_000_000_000_000, 1_488_000_060_000_000].map(|at| line("x", "egress_flow_count", at, 7)).concat();
    let (bases, samples) =
        ([format!("https://127.0.0.1:{port}"), format!("http://127.0.0.1:{plain}")], samples.as_str());
    let ndjson = ["--header", "content-type: application/x-ndjson", "--data-binary", samples];
    let posted = curl(&[&["--cacert", &authority, &format!("{}/api/v1/samples", bases[0])], &ndjson[..]].concat());
    assert_eq!(posted.unwrap().0, 200);
    for base in &bases {
        let link = format!("\"href\":\"{base}/analytics/uves/");
        for list in ["", "/virtual-networks"] {
            let url = format!("{base}/analytics/uves{list}");
            wait_until(&link, || curl(&["--cacert", &authority, &url]).unwrap().1.contains(&link).then_some(()));
        }
    }
    daemon.stop();
}

#[test]
fn a_client_beyond_its_rate_gets_429_and_the_probes_go_on() {
    let folder = TempDir::new().unwrap();
    let daemon = Daemon::start(folder.path(), &["http.max_requests_per_second=1"]);
    let url = daemon.url("/metrics");
    let refused = (0..500).find_map(|_| {
        let (status, head) = curl(&["--include", &url]).unwrap();
        (status == 429).then_some(head)
    });
    let refused = refused.expect("more requests than one a second are refused");
    assert!(refused.contains("http.max_requests_per_second") && refused.contains("retry-after: "), "{refused}");
    assert_eq!(daemon.get("/healthz").0, 200);
    daemon.stop();
}

#[test]
fn validate_names_a_certificate_that_cannot_be_used() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let file = path(folder.path(), "empty.pem");
    let tls = format!("tls = {{ certificate = \"{file}\", key = \"{file}\" }}");
    let (code, said) = validate(folder.path(), &format!("address = \"127.0.0.1:8443\"\n{tls}"));
    assert!(code == 64 && said.contains("d.toml:3:"), "{said}");
    let expected = ["the listener at 127.0.0.1:8443", "empty.pem has no certificate in PEM"];
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn the_end_of_the_certificates_of_listeners_and_clients_is_a_metric_and_near_it_a_message() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    certificates::sign(folder.path(), "client", "authority");
    let [port] = free_ports();
    let set = listeners(&[with_tls(port, folder.path(), "")]);
    let own = [("certificate_file", "client.pem"), ("key_file", "client.key")];
    let [certificate, key] = own.map(|(key, name)| format!("sinks.webhook.{key}={}", path(folder.path(), name)));
    let url = "sinks.webhook.url=https://127.0.0.1:1";
    let daemon = Daemon::start(&folder.path().join("data"), &[&set, url, &certificate, &key]);
    let ends = |name: &str| {
        let openssl = ["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", &path(folder.path(), name)];
        let output = Command::new("openssl").args(openssl).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let end = text.trim().strip_prefix("notAfter=").unwrap();
        let seconds = Command::new("date").args(["--utc", "--date", end, "+%s"]).output().unwrap();
        String::from_utf8(seconds.stdout).unwrap().trim().to_owned()
    };
    for (setting, name) in [("http.listeners 1", "server.pem"), ("sinks.webhook.certificate_file", "client.pem")] {
        let line =
            format!("derived_statsd_certificate_expiry_timestamp_seconds{{setting=\"{setting}\"}} {}\n", ends(name));
        daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(&line).then_some(()));
    }
    // They are valid for two days.
    daemon.wait_until_said("A certificate of this daemon expires soon.");
    // The listener uses a new file within a second, the client at the next change of the configuration.
    let metric = |setting: &str, end: &str| {
        format!("derived_statsd_certificate_expiry_timestamp_seconds{{setting=\"{setting}\"}} {end}\n")
    };
    let before = ends("client.pem");
    for name in ["server", "client"] {
        certificates::sign_for(folder.path(), name, "authority", 400);
    }
    let renewed = ends("client.pem");
    assert_ne!(before, renewed);
    let (listener, client) = ("http.listeners 1", "sinks.webhook.certificate_file");
    let server = metric(listener, &ends("server.pem"));
    let metrics = daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(&server).then(|| metrics.clone()));
    assert!(metrics.contains(&metric(client, &before)), "the client still shows the old certificate");
    daemon.signal("HUP");
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(&metric(client, &renewed)).then_some(()));
    daemon.stop();
}
