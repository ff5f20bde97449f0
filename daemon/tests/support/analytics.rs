//! An analytics API of Contrail with one network.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Random;
use super::outage::{Outage, Switch};

/// An API whose thread ends with the process.
pub(crate) struct AnalyticsApi {
    address: String,
    switch: Switch,
    answers: Answers,
}

/// The values of the egress flow counts that were sent, in order.
type Answers = Arc<Mutex<Vec<u64>>>;

impl AnalyticsApi {
    /// An API whose network never changes.
    pub(crate) fn start() -> Self {
        Self::with_values(|_| 31)
    }

    /// An API whose network has another value in each answer, so large that a sum shows which answers it has.
    pub(crate) fn changing(seed: u64) -> Self {
        Self::with_values(move |answer| 1 + Random(seed * 1000 + answer as u64).below(1_000_000_000_000))
    }

    /// An API whose network has the egress flow count `value` in each of its answers.
    fn with_values(value: impl Fn(usize) -> u64 + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let api = Self { address, switch: Switch::default(), answers: Arc::default() };
        let (switch, answers) = (api.switch.clone(), Arc::clone(&api.answers));
        let serve = move |stream| drop(answer(stream, &switch, &answers, &value));
        thread::spawn(move || listener.incoming().flatten().for_each(serve));
        api
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether all requests get 401 from now on.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.switch.set(refuses.then_some(Outage::Refuse));
    }

    /// Begins or ends an outage.
    pub(crate) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The egress flow counts that were sent, in order.
    pub(crate) fn answers(&self) -> Vec<u64> {
        self.answers.lock().unwrap().clone()
    }
}

/// Answers a request for one network, summed over its sources.
fn answer(stream: TcpStream, switch: &Switch, answers: &Answers, value: &impl Fn(usize) -> u64) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut answers = answers.lock().unwrap();
    let value = value(answers.len());
    let counts = format!(r#"{{"egress_flow_count":{value},"ingress_flow_count":7}}"#);
    let body =
        format!(r#"{{"value":[{{"name":"default-domain:demo:vn1","value":{{"UveVirtualNetworkAgent":{counts}}}}}]}}"#);
    if switch.answer(stream, "401 Unauthorized", &body) {
        answers.push(value);
    }
    Ok(())
}
