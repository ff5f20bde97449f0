//! Partial states from clients: what an edge has aggregated, as records of the log.

use daemon_log::{AppendBatch, PartitionId};
use proxy_uve::wire::{MAX_PAYLOAD_LENGTH, PartialSeal, PartialState};

use super::{Intake, LineError, PayloadForm, check_key};
use crate::timestamp::{self, TimeUnit};

impl Intake {
    /// Adds the record of the partial state in the first line of `text`, which is not empty. Returns how many bytes the
    /// line has with its line break, and the outcome; `None` for a blank line, and for the last line of an output, of
    /// which only the form is checked. `scratch` is reused from line to line.
    pub fn push_first_partial(
        &self,
        text: &[u8],
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> (usize, Option<Result<(), LineError>>) {
        let taken = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |end| end + 1);
        let line = text.get(..taken).unwrap_or_default().trim_ascii();
        // The last line of an output counts its states; a client may post them in several bodies.
        if PartialSeal::is_seal(line) {
            return (taken, PartialSeal::check_form(line).err().map(|error| Err(error.into())));
        }
        (taken, (!line.is_empty()).then(|| self.push_partial(line, batch, scratch)))
    }

    /// Adds the record of a partial state, as [`PartialState::encode`] writes it. It is checked here by the rules of its
    /// table, so that its sender gets the error: a state that is accepted is never malformed or of the future later.
    ///
    /// # Errors
    ///
    /// When the line is rejected; the batch is then as before.
    pub fn push_partial(&self, line: &[u8], batch: &mut AppendBatch, scratch: &mut Vec<u8>) -> Result<(), LineError> {
        if self.form == PayloadForm::Published {
            return Err(LineError::PartialsNotPublished);
        }
        let state = PartialState::decode(line, MAX_PAYLOAD_LENGTH)?;
        check_key(state.key.as_bytes())?;
        // An attribute of several structs is named with its struct.
        let stream = match self.by_stream.get(&*state.attribute) {
            Some(&stream) => stream,
            None => self.stream_of(state.attribute.as_bytes())?,
        };
        timestamp::check(state.window, TimeUnit::Micros, batch.appended_at(), self.allowed_skew)?;
        let unknown = || LineError::UnknownStream { name: state.attribute.to_string() };
        self.plans.get(&stream).ok_or_else(unknown)?.check_partial(&state)?;
        scratch.clear();
        state.encode(scratch);
        if scratch.len() > MAX_PAYLOAD_LENGTH {
            return Err(LineError::TooLong { length: scratch.len(), limit: MAX_PAYLOAD_LENGTH });
        }
        let key = state.key.as_bytes();
        let partition = proxy_uve::partition(key, u32::from(self.partitions));
        let id = PartitionId::new(stream, u16::try_from(partition).unwrap_or(0));
        Ok(batch.push(id, key, scratch)?)
    }
}

#[cfg(test)]
mod tests {
    use derived_stats::column::WindowColumn;
    use derived_stats::{Context, Number, Spec, ValueType};
    use proxy_uve::{Fate, Position, Record, StreamName, Table, TableSettings};

    use super::*;
    use crate::intake::tests::intake_of;

    const NOW: u64 = 1_488_000_000_000_000;

    /// The state of a sum.
    fn state() -> PartialState<'static> {
        let spec = Spec::parse("1-raw:DSSum", Context::new(ValueType::U64)).unwrap();
        let mut window = WindowColumn::new(&spec).unwrap();
        window.update(0, 0, Number::U64(36)).unwrap();
        let mut words = Vec::new();
        window.save(0, &mut words);
        PartialState {
            key: "T:a".into(),
            attribute: "flows".into(),
            window: NOW - NOW % 60_000_000,
            period: 60_000_000,
            state: "DSSum u64".into(),
            version: window.versions()[0],
            words,
        }
    }

    fn intake(form: PayloadForm) -> Intake {
        let streams = [("Agent", "flows", 0), ("Agent", "bytes", 1), ("Config", "bytes", 2)];
        let streams = streams.map(|(of, name, id)| (StreamName::new(of, name).unwrap(), id));
        intake_of(&streams, ValueType::U64, form)
    }

    fn push(state: &PartialState<'_>, form: PayloadForm) -> Result<AppendBatch, String> {
        let (mut line, mut batch) = (Vec::new(), AppendBatch::new(NOW));
        state.encode(&mut line);
        let pushed = intake(form).push_partial(&line, &mut batch, &mut Vec::new());
        pushed.map(|()| batch).map_err(|error| error.to_string())
    }

    #[test]
    fn an_accepted_state_is_aggregated_by_its_table() {
        let state = state();
        let batch = push(&state, PayloadForm::Stored).unwrap();
        let (_, key, payload) = batch.records().next().unwrap();
        let plan = intake(PayloadForm::Stored).plans[&0].clone();
        let mut table = Table::new(plan, TableSettings::default());
        let record = |position| Record { position: Position::new(position), arrived: NOW, key, payload };
        assert_eq!(table.fault(key, payload), None);
        assert_eq!(table.ingest(&record(0)), Fate::Aggregated);
        assert_eq!(table.ingest(&record(0)), Fate::Duplicate);
        let of_another = Record { key: b"T:b", ..record(1) };
        assert_eq!(table.ingest(&of_another), Fate::MalformedPayload, "the key of the record is that of the state");
        let named = PartialState { attribute: "Config-bytes".into(), ..state };
        assert_eq!(push(&named, PayloadForm::Stored).unwrap().records().next().unwrap().0, PartitionId::new(2, 0));
    }

    #[test]
    fn a_rejected_state_has_an_error_with_the_remedy() {
        let good = state();
        let cases = [
            (PartialState { attribute: "bytes".into(), ..good.clone() }, "more than one stream"),
            (PartialState { attribute: "other".into(), ..good.clone() }, "no stream `other` is configured"),
            (PartialState { key: "a".into(), ..good.clone() }, "the key is not `table:name`"),
            (PartialState { window: good.window + 60_000_000, ..good.clone() }, "ahead of the arrival"),
            (PartialState { window: 60_000_000, ..good.clone() }, "before 2001-01-01"),
            (
                PartialState { state: "DSSum f64".into(), ..good.clone() },
                "takes `60s DSSum u64`; aggregate with the same",
            ),
            (PartialState { period: 30_000_000, ..good.clone() }, "the state is `30s DSSum u64`, `Agent-flows` takes"),
            (
                PartialState { words: vec![], ..good.clone() },
                "`words` is not a state of `DSSum u64`: the saved state ends",
            ),
            (PartialState { version: 999, ..good.clone() }, "the saved state of `DSSum` has version 999"),
            (PartialState { words: vec![0; MAX_PAYLOAD_LENGTH], ..good.clone() }, "where at most 65536 are allowed"),
        ];
        for (state, expected) in cases {
            let error = push(&state, PayloadForm::Stored).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let error = push(&good, PayloadForm::Published).expect_err("published");
        assert!(error.contains("embedded log"), "{error}");
    }

    #[test]
    fn a_last_line_is_passed_over_unless_it_cannot_be_read() {
        let outcome = |line: &str| {
            let (mut batch, intake) = (AppendBatch::new(NOW), intake(PayloadForm::Stored));
            let (taken, outcome) = intake.push_first_partial(line.as_bytes(), &mut batch, &mut Vec::new());
            assert_eq!((taken, batch.len()), (line.len(), 0));
            outcome.map(|outcome| outcome.map_err(|error| error.to_string()).expect_err("no state"))
        };
        assert_eq!(outcome("{\"partial_end\":1,\"states\":0,\"crc\":\"00000000\"}\n"), None);
        assert_eq!(outcome("{ \"crc\": \"00000000\", \"states\": 0, \"partial_end\": 1 }\n"), None);
        let newer = outcome("{\"partial_end\":2,\"states\":0,\"crc\":\"00000000\"}\n");
        assert!(newer.is_some_and(|error| error.contains("`partial_end` is 2")));
        let cut = outcome("{\"partial_end\":1,\"stat\n");
        assert!(cut.is_some_and(|error| error.contains("the last line is not as")));
    }
}
