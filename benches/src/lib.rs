//! Seeded input for the benchmarks, the same bytes on every machine, and the job on which systems are compared.

pub mod job;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod netplugin;

use std::sync::Arc;
use std::time::Duration;

use proxy_uve::schema::Schema;
use proxy_uve::{Plan, StreamName, TableSettings};

/// Start of the generated records, microseconds since the epoch: a whole minute.
pub const START: u64 = 1_488_000_000_000_000;

/// One minute in microseconds: the period of the built-in types.
pub const MINUTE: u64 = 60_000_000;

/// One generated record of one stream.
#[derive(Clone, Debug)]
pub struct Generated {
    /// `table:name`, about 50 bytes.
    pub key: Vec<u8>,
    /// Contrail's XML element.
    pub payload: Vec<u8>,
    /// Its time, microseconds since the epoch.
    pub at: u64,
    /// Its value.
    pub value: u64,
}

/// `count` records over `objects` Virtual Networks in random order, spread evenly over `minutes`.
pub fn records(count: u64, objects: u64, minutes: u64) -> Vec<Generated> {
    let mut random = SplitMix64(42);
    let record = |index| {
        let object = random.below(objects);
        let at = START + index * minutes * MINUTE / count;
        let value = 10 + random.below(250);
        let key = format!("ObjectVNTable:default-domain:tenant-{:04}:vn-{object:06}", object % 1000);
        let payload =
            format!("<egress_flow_count type=\"u64\" identifier=\"5\" timestamp=\"{at}\">{value}</egress_flow_count>");
        Generated { key: key.into_bytes(), payload: payload.into_bytes(), at, value }
    };
    (0..count).map(record).collect()
}

/// The plan of one stream with both built-in proxy types.
pub fn plan() -> Arc<Plan> {
    let schema = Schema::builtin();
    let types: Vec<_> = schema.types().cloned().collect();
    let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count");
    Arc::new(Plan::new(stream.expect("a valid name"), &types))
}

/// The default settings without lateness, as records in order need none.
pub fn settings() -> TableSettings {
    TableSettings::default().with_allowed_lateness(Duration::ZERO).with_max_objects(usize::MAX)
}

/// A small generator of reproducible random numbers (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next 64 random bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}
