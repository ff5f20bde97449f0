//! A Netplugin as in the field: services with two ports, the form of 2016, endpoints that move, forms that change.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::Random;
use super::outage::Switch;

/// An endpoint and a service.
pub(crate) type Pair = (&'static str, &'static str);

/// The form of the services of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Several,
    /// That of 2016.
    Single,
}

/// What an answer has of a pair: the counter of one of its ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reading {
    pub(crate) form: Form,
    pub(crate) port: u16,
    pub(crate) bytes: u64,
}

pub(crate) type Readings = BTreeMap<Pair, Reading>;

/// A Netplugin whose counters and form a test changes. Its thread ends with the process.
#[derive(Clone)]
pub(crate) struct FieldNode {
    address: String,
    state: Arc<Mutex<State>>,
    switch: Switch,
    answers: Arc<Mutex<Vec<Readings>>>,
}

struct State {
    form: Form,
    /// The bytes received, by port.
    counters: BTreeMap<Pair, BTreeMap<u16, u64>>,
    random: Random,
}

impl FieldNode {
    pub(crate) fn start(form: Form, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { form, counters: BTreeMap::new(), random: Random(seed) }));
        let node = Self { address, state, switch: Switch::default(), answers: Arc::default() };
        let serving = node.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serving.answer(stream)));
        node
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Begins or ends an outage.
    pub(crate) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Adds to a counter, which begins at zero.
    pub(crate) fn add(&self, pair: Pair, port: u16, bytes: u64) {
        *self.state.lock().unwrap().counters.entry(pair).or_default().entry(port).or_default() += bytes;
    }

    pub(crate) fn change_form(&self) {
        let mut state = self.state.lock().unwrap();
        state.form = if state.form == Form::Single { Form::Several } else { Form::Single };
    }

    /// The readings that were sent, in order.
    pub(crate) fn answers(&self) -> Vec<Readings> {
        self.answers.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut request = [0; 1024];
        // A killed client sends no request.
        let Ok(1..) = stream.read(&mut request) else { return };
        let readings = self.state.lock().unwrap().readings();
        if self.switch.answer(stream, "503 Service Unavailable", &body(&readings)) {
            self.answers.lock().unwrap().push(readings);
        }
    }
}

impl State {
    /// Of each pair the counter of one port, as Netplugin shows that of the flow that it read last.
    fn readings(&mut self) -> Readings {
        let Self { form, counters, random } = self;
        let reading = |(pair, ports): (&Pair, &BTreeMap<u16, u64>)| {
            let (port, bytes) = ports.iter().nth(random.below(ports.len() as u64) as usize)?;
            Some((*pair, Reading { form: *form, port: *port, bytes: *bytes }))
        };
        counters.iter().filter_map(reading).collect()
    }
}

fn body(readings: &Readings) -> String {
    let mut endpoints: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for ((endpoint, service), Reading { form, port, bytes }) in readings {
        let mut of_service = json!({ "Protocol": "TCP", "SvcPort": port.to_string(), "ProvPort": port.to_string() });
        let counters = json!({ "BytesIn": bytes });
        match form {
            Form::Several => of_service["ProvStats"] = json!({ "10.1.1.7": counters }),
            Form::Single => {
                of_service["ProviderIP"] = json!("10.1.1.7");
                of_service["Stats"] = counters;
            }
        }
        endpoints.entry(endpoint).or_default().insert(service, of_service);
    }
    let endpoints = endpoints.into_iter().map(|(ip, services)| (ip, json!({ "SvcStats": services })));
    json!(endpoints.collect::<BTreeMap<_, _>>()).to_string()
}
