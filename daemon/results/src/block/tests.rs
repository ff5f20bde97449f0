//! Tests of blocks: round trips, damage, sizes and allocations.

use std::sync::Arc;

use derived_stats::{Description, Flaw, Number, Output, Record, Report};
use proptest::prelude::*;
use proxy_uve::schema::Schema;
use proxy_uve::{AttributeResult, Fate, Plan, ResultSink as _, StreamName, Subject, Table, TableSettings};

use super::*;

/// A plan with every form of result: numbers and structs, of windows and of samples, and two attributes in one type.
fn plan(element: &str) -> Plan {
    let head = format!(
        "1: string name (key=\"\") 2: string proxy 3: optional bool deleted 4: optional {element} raw (hidden=\"yes\")"
    );
    let text = format!(
        "struct Element {{ 1: optional {element} staging 2: optional {element} value }}
         struct Periodic {{
           {head}
           5: optional Element sum (stats=\"1-raw:DSSum\")
           6: optional Element newest (stats=\"3-raw:DSNone\")
           7: optional derived_stats_results.AnomalyResult odd (stats=\"1.DSSum-raw:DSAnomaly:EWM:0.1\")
         }} (period=\"1\", timeout=\"2\")
         struct Inline {{
           {head}
           5: optional {element} inline (stats=\"raw:DSSum\")
           6: optional derived_stats_results.EWMResult ewm (stats=\"raw:DSEWM:0.1\")
           7: optional derived_stats_results.NullResult null (stats=\"raw:DSNull\")
         }}"
    );
    let types: Vec<_> = Schema::parse("test.sandesh", &text).unwrap().types().cloned().collect();
    Plan::new(StreamName::new("A", "b").unwrap(), &types)
}

/// A result as a table sends it, and as a reader must return it.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    type_index: usize,
    key: String,
    start: u64,
    end: u64,
    deleted: bool,
    partial: bool,
    values: Vec<(usize, Record)>,
}

fn send(plan: &Plan, sink: &mut BlockSink, sent: &Sent) {
    let uve = plan.uves().nth(sent.type_index).unwrap();
    let mut subject = Subject::new(sent.key.as_bytes(), sent.type_index, "A-b", sent.start..sent.end);
    (subject.deleted, subject.partial) = (sent.deleted, sent.partial);
    sink.begin(&subject);
    for (index, record) in &sent.values {
        let attribute = uve.attributes().nth(*index).unwrap();
        let description: &Description = attribute.description;
        let report = Report::Value(Output::borrowed(description, record));
        let mut result = AttributeResult::new(attribute.name, report, sent.start);
        result.partial = sent.partial;
        sink.attribute(&subject, &result);
    }
    sink.end(&subject);
}

fn blocks(sink: &mut BlockSink) -> Vec<Vec<u8>> {
    sink.take().unwrap().records().map(|(_, block)| block.to_vec()).collect()
}

/// The results that a reader finds, one by one and in batches, with the index of each shape in the plan.
fn read(plan: &Plan, reader: &mut BlockReader, block: &[u8]) -> Result<Vec<Sent>, BlockError> {
    let shapes: Vec<_> = plan.uves().map(|uve| UveShape::of(&uve, "A-b")).collect();
    let mut found = Vec::new();
    let one_by_one = read_all(reader, block, |row| found.extend(sent_of(row, &shapes)));
    let mut of_batches = Vec::new();
    let batches = read_batches(reader, block, |row| of_batches.extend(sent_of(row, &shapes)));
    assert_eq!((batches, &of_batches), (one_by_one.clone(), &found));
    one_by_one.map(|()| found)
}

fn read_all(reader: &mut BlockReader, block: &[u8], mut take: impl FnMut(&Row<'_>)) -> Result<(), BlockError> {
    let mut rows = reader.rows(block)?;
    while let Some(row) = rows.next()? {
        take(&row);
    }
    Ok(())
}

fn read_batches(reader: &mut BlockReader, block: &[u8], mut take: impl FnMut(&Row<'_>)) -> Result<(), BlockError> {
    let mut rows = reader.rows(block)?;
    loop {
        let batch = rows.batch()?;
        if batch.is_empty() {
            return Ok(());
        }
        assert!(batch.len() <= BATCH);
        batch.iter().for_each(&mut take);
    }
}

fn sent_of(row: &Row<'_>, shapes: &[UveShape]) -> Option<Sent> {
    let type_index = shapes.iter().position(|shape| *shape == **row.shape)?;
    let Row { start, end, deleted, partial, .. } = *row;
    for (attribute, value) in row.encoded() {
        let record = value.decode(attribute).unwrap();
        for index in 0..=attribute.numbers() {
            let (alone, whole) = (value.number(attribute, index), record.get(index));
            assert_eq!(alone.map(|it| (it.value_type(), it.bits())), whole.map(|it| (it.value_type(), it.bits())));
        }
    }
    let index = |name: &str| row.shape.attributes.iter().position(|attribute| *attribute.name == *name).unwrap();
    let values = row.attributes().map(|(attribute, record)| (index(&attribute.name), record)).collect();
    Some(Sent { type_index, key: row.key.to_owned(), start, end, deleted, partial, values })
}

fn number() -> impl Strategy<Value = Option<Number>> {
    prop_oneof![
        Just(None),
        any::<u64>().prop_map(|value| Some(Number::U64(value))),
        any::<i64>().prop_map(|value| Some(Number::I64(value))),
        // Every bit pattern except NaN, which is not equal to itself.
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("a number", |value| !value.is_nan())
            .prop_map(|value| { Some(Number::F64(value)) }),
    ]
}

fn record(numbers: usize) -> impl Strategy<Value = Record> {
    let flaws = [None, Some(Flaw::Overflow), Some(Flaw::TooLarge), Some(Flaw::Collapsed)];
    let flaw = prop::sample::select(flaws.to_vec());
    (prop::collection::vec(number(), numbers), flaw)
        .prop_map(|(numbers, flaw)| Record::from_numbers(numbers).unwrap().flawed(flaw))
}

fn sent() -> impl Strategy<Value = Sent> {
    let numbers: Vec<Vec<usize>> = {
        let plan = plan("u64");
        let shapes = plan.uves().map(|uve| UveShape::of(&uve, "A-b"));
        shapes.map(|shape| shape.attributes.iter().map(AttributeShape::numbers).collect()).collect()
    };
    (0..numbers.len()).prop_flat_map(move |type_index| {
        let attributes = &numbers[type_index];
        let values: Vec<_> = attributes.iter().map(|&numbers| prop::option::of(record(numbers))).collect();
        let key = prop_oneof!["T:[a-c]", "T:.{0,20}"];
        // Few windows, so that rows share them, and any window.
        let time = prop_oneof![(0..3u64).prop_map(|it| it * 60_000_000), any::<u64>()];
        (key, time.clone(), time, any::<bool>(), any::<bool>(), values).prop_map(
            move |(key, start, end, deleted, partial, values)| {
                let given = values.into_iter().enumerate();
                let values: Vec<_> = given.filter_map(|(index, record)| Some((index, record?))).collect();
                let values = if deleted { Vec::new() } else { values };
                Sent { type_index, key, start, end, deleted, partial, values }
            },
        )
    })
}

proptest! {
    #[test]
    fn property_results_read_back_bit_for_bit(
        results in prop::collection::vec(sent(), 0..200), limit in prop_oneof![Just(0), 300..3000usize, Just(MAX_BLOCK_BYTES)],
    ) {
        let plan = plan("u64");
        let mut sink = BlockSink::new(&plan, limit);
        results.iter().for_each(|result| send(&plan, &mut sink, result));
        let expected: Vec<_> =
            results.into_iter().filter(|result| result.deleted || !result.values.is_empty()).collect();
        prop_assert_eq!(sink.rows(), expected.len() as u64);
        let blocks = blocks(&mut sink);
        let mut found = Vec::new();
        for block in &blocks {
            // A new reader for each block, because a block is self-contained.
            let rows = read(&plan, &mut BlockReader::default(), block).unwrap();
            prop_assert!(block.len() <= limit || rows.len() == 1, "{} bytes for {} rows", block.len(), rows.len());
            prop_assert_eq!(declared_rows(block), rows.len() as u64);
            found.extend(rows);
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!((sink.rows(), sink.bytes()), (0, 0));
    }

    #[test]
    fn property_no_bytes_make_a_reader_panic(bytes: Vec<u8>, rows in 0..9u8, cut: prop::sample::Index) {
        let (plan, mut block) = one_block();
        let _ = read(&plan, &mut BlockReader::default(), &bytes);
        // After the header, and after any prefix of a block, also within its definition.
        block[2] = rows;
        let headed = [&block[..HEADER_LEN], &bytes].concat();
        let _ = read(&plan, &mut BlockReader::default(), &headed);
        let grown = [&block[..cut.index(block.len())], &bytes].concat();
        let _ = read(&plan, &mut BlockReader::default(), &grown);
    }

    #[test]
    fn property_a_changed_or_missing_byte_makes_no_reader_panic(
        results in prop::collection::vec(sent(), 1..6), flip in 1..=255u8,
    ) {
        let plan = plan("i64");
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        results.iter().for_each(|result| send(&plan, &mut sink, result));
        for block in blocks(&mut sink) {
            for at in 0..block.len() {
                let mut damaged = block.clone();
                damaged[at] ^= flip;
                let _ = read(&plan, &mut BlockReader::default(), &damaged);
                // A block that is cut has fewer rows than it declares.
                let cut = read(&plan, &mut BlockReader::default(), &block[..at]);
                prop_assert!(matches!(cut, Err(BlockError::Damaged { .. })), "{at} of {}: {cut:?}", block.len());
            }
        }
    }
}

fn sum(key: &str, value: u64) -> Sent {
    let values = vec![(0, Record::new([Number::U64(value)]))];
    let (start, end) = (60_000_000, 61_000_000);
    Sent { type_index: 0, key: key.to_owned(), start, end, deleted: false, partial: false, values }
}

fn one_block() -> (Plan, Vec<u8>) {
    let plan = plan("u64");
    let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
    send(&plan, &mut sink, &sum("T:a", 7));
    let block = blocks(&mut sink).remove(0);
    (plan, block)
}

#[test]
fn a_block_of_a_newer_version_is_refused_with_the_remedy() {
    let (plan, mut block) = one_block();
    block[1] = VERSION + 1;
    let refused = read(&plan, &mut BlockReader::default(), &block).unwrap_err();
    assert_eq!(refused, BlockError::Version { found: 4 });
    insta::assert_snapshot!(refused, @"the block of results has version 4, this build reads versions up to 3; run the build that wrote it, or a newer one");
}

#[test]
fn a_damaged_block_is_refused_with_offset_and_field() {
    let (plan, block) = one_block();
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut damaged = block.clone();
        change(&mut damaged);
        read(&plan, &mut BlockReader::default(), &damaged).unwrap_err().to_string()
    };
    let last = block.len() - 1;
    insta::assert_snapshot!(refused(&|block| block[0] = b'{'), @r##"the block of results is damaged before byte 6, in `header`: found the first byte 0x7b, expected 0xb5"##);
    insta::assert_snapshot!(refused(&|block| block[1] = 0), @r##"the block of results is damaged before byte 6, in `version`: found 0, expected 1 or more"##);
    insta::assert_snapshot!(refused(&|block| block[2] = 2), @r##"the block of results is damaged before byte 159, in `rows`: found the end, 1 rows early, expected a row"##);
    insta::assert_snapshot!(refused(&|block| block[2] = 0), @r##"the block of results is damaged before byte 142, in `rows`: found one more row, expected the end"##);
    insta::assert_snapshot!(refused(&|block| block[last] = 9), @r##"the block of results is damaged before byte 159, in `attribute`: found 9, expected an attribute of the entry"##);
    insta::assert_snapshot!(refused(&|block| block[last - 3] = 255), @r##"the block of results is damaged before byte 156, in `flaw`: found 255, expected a known flaw"##);
    insta::assert_snapshot!(refused(&|block| block[142] |= flag::SAME_KEY), @r##"the block of results is damaged before byte 143, in `flags`: found 4, expected a key in the first row"##);
    insta::assert_snapshot!(refused(&|block| block[142] |= flag::SAME_WINDOW), @r##"the block of results is damaged before byte 147, in `flags`: found 8, expected a window in the first row"##);
    insta::assert_snapshot!(refused(&|block| block.truncate(last)), @r##"the block of results is damaged before byte 158, in `attribute`: found 0 bytes to the end, expected more"##);
    insta::assert_snapshot!(refused(&|block| block.push(0)), @r##"the block of results is damaged before byte 160, in `definition`: found 0 bytes to the end, expected more"##);
}

/// The writer never makes such a zero, and both ways to read have to take it for the same.
#[test]
fn a_zero_of_two_bytes_is_no_definition() {
    let plan = sample::plan();
    let block = sample::block_of_sums(&[("T:a", 1), ("T:b", 2)]);
    let at = block.windows(3).rposition(|bytes| bytes == b"T:b").unwrap() - 3;
    assert_eq!(block[at], 1, "the entry of the second row, before its flags and the length of its key");
    let changed = [&block[..at], &[0x80, 0], &block[at + 1..]].concat();
    let refused = read(&plan, &mut BlockReader::default(), &changed).unwrap_err();
    assert!(refused.to_string().contains("found 0, expected a defined entry"), "{refused}");
}

/// A plan of windows with histograms of these numbers of bounds, which have one number more.
fn histograms(bounds: &[usize]) -> Plan {
    let attribute = |(index, count): (usize, &usize)| {
        let bounds: Vec<_> = (1..=*count).map(|bound| bound.to_string()).collect();
        let (number, bounds) = (index + 5, bounds.join(","));
        format!(
            "{number}: optional derived_stats_results.HistogramResult h{count} (stats=\"1-raw:DSHistogram:{bounds}\")"
        )
    };
    let attributes: Vec<_> = bounds.iter().enumerate().map(attribute).collect();
    let text = format!(
        "struct Histograms {{
           1: string name (key=\"\") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden=\"yes\")
           {}
         }} (period=\"1\", timeout=\"2\")",
        attributes.join("\n")
    );
    let types: Vec<_> = Schema::parse("test.sandesh", &text).unwrap().types().cloned().collect();
    Plan::new(StreamName::new("A", "b").unwrap(), &types)
}

/// A result of each attribute of a plan of [`histograms`].
fn of_histograms(plan: &Plan) -> impl Strategy<Value = Sent> + use<> {
    let shape = plan.uves().next().map(|uve| UveShape::of(&uve, "A-b")).unwrap();
    let records: Vec<_> = shape.attributes.iter().map(|attribute| record(attribute.numbers())).collect();
    records.prop_map(|records| {
        let values = records.into_iter().enumerate().collect();
        Sent { type_index: 0, key: "T:a".into(), start: 1, end: 2, deleted: false, partial: false, values }
    })
}

proptest! {
    #[test]
    fn property_results_of_many_numbers_read_back_bit_for_bit(
        results in prop::collection::vec(of_histograms(&histograms(&[9, 10, 30, 31, 32, 63])), 1..8),
        limit in prop_oneof![Just(0), 3000..9000usize],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let plan = histograms(&[9, 10, 30, 31, 32, 63]);
        let mut sink = BlockSink::new(&plan, limit);
        results.iter().for_each(|result| send(&plan, &mut sink, result));
        let mut found = Vec::new();
        for block in blocks(&mut sink) {
            let rows = read(&plan, &mut BlockReader::default(), &block).unwrap();
            prop_assert!(block.len() <= limit || rows.len() == 1, "{} bytes for {} rows", block.len(), rows.len());
            prop_assert_eq!(block[1], VERSION);
            for cut in &cuts {
                let at = cut.index(block.len());
                let cut = read(&plan, &mut BlockReader::default(), &block[..at]);
                prop_assert!(matches!(cut, Err(BlockError::Damaged { .. })), "{at} of {}: {cut:?}", block.len());
            }
            found.extend(rows);
        }
        prop_assert_eq!(found, results);
    }
}

#[test]
fn only_blocks_with_many_numbers_have_the_newer_version() {
    for (bounds, version) in [(9, NARROW_VERSION), (10, VERSION), (63, VERSION)] {
        let plan = histograms(&[bounds]);
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let numbers = (0..=bounds as u64).map(|number| Some(Number::U64(number)));
        let values = vec![(0, Record::from_numbers(numbers).unwrap())];
        send(&plan, &mut sink, &Sent { values, ..sum("T:a", 0) });
        assert_eq!(blocks(&mut sink)[0][1], version, "{bounds} bounds");
    }
}

#[test]
fn types_behind_the_last_number_are_refused() {
    for bounds in [30, 31, 32, 63] {
        let shape = histograms(&[bounds]).uves().next().map(|uve| UveShape::of(&uve, "A-b")).unwrap();
        let numbers = shape.attributes[0].numbers();
        let record = Record::from_numbers((0..numbers).map(|_| None)).unwrap();
        let mut bytes = Vec::new();
        put_value(&mut bytes, &record, numbers);
        assert_eq!(read_value(&mut Reader::new(&bytes), numbers), Ok(record), "{bounds} bounds");
    }
    assert!(read_value(&mut Reader::new(&[0; 80]), 65).is_err(), "more numbers than a record has");
    // 31 numbers, and the type of the 32nd; 33 numbers, and the type of the 34th.
    let types = |types: &[u64]| {
        let mut bytes = vec![0];
        types.iter().for_each(|types| put_varint(&mut bytes, *types));
        bytes.extend([0; 40]);
        bytes
    };
    assert!(read_value(&mut Reader::new(&types(&[1 << 62])), 31).is_err());
    assert!(read_value(&mut Reader::new(&types(&[1 << 62])), 32).is_ok());
    assert!(read_value(&mut Reader::new(&types(&[0, 1 << 2])), 33).is_err());
    assert!(read_value(&mut Reader::new(&types(&[0, 1])), 33).is_ok());
}

#[test]
fn one_byte_separates_blocks_from_lines() {
    let (_, block) = one_block();
    assert!(is_block(&block) && !is_block(b"{\"key\":\"T:a\"}") && !is_block(b""));
    assert_eq!([declared_rows(&block), declared_rows(b"{}"), declared_rows(&block[..3])], [1, 1, 0]);
    assert!(std::str::from_utf8(&block[..1]).is_err(), "no text starts with the first byte of a block");
}

#[test]
fn equal_definitions_of_two_blocks_become_one_shape() {
    let (_, block) = one_block();
    let mut reader = BlockReader::default();
    let mut shape = |block: &[u8]| Arc::clone(reader.rows(block).unwrap().next().unwrap().unwrap().shape);
    assert!(Arc::ptr_eq(&shape(&block), &shape(&block)));
}

#[test]
fn a_result_of_a_known_type_needs_few_bytes_and_no_allocation() {
    let plan = plan("u64");
    let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
    let rounds = |sink: &mut BlockSink, count| {
        for number in 0..count {
            let key = [b'T', b':', b'0' + (number % 10) as u8, b'0' + (number / 10 % 10) as u8];
            let subject = Subject::new(&key, 0, "A-b", 60_000_000..61_000_000);
            let uve = plan.uves().next().unwrap();
            let attribute = uve.attributes().next().unwrap();
            let output = Output::new(attribute.description, Record::new([Number::U64(36)]));
            sink.begin(&subject);
            sink.attribute(&subject, &AttributeResult::new(attribute.name, Report::Value(output), 60_000_000));
            sink.end(&subject);
        }
    };
    rounds(&mut sink, 1);
    let first = sink.bytes();
    rounds(&mut sink, 1000);
    assert!((sink.bytes() - first) / 1000 < 16, "{} bytes for 1000 results", sink.bytes() - first);
    // The capacity that the sink keeps is enough for the next thousand.
    sink.take().unwrap();
    let measured = allocation_counter::measure(|| rounds(&mut sink, 1000));
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

/// The time of the first sample: windows that start earlier are partial.
const FIRST_SAMPLE: u64 = 1_000_005;

/// The lines of a row of [`plan`]: `newest` has a window of three periods, and so a line of its own.
fn lines_of(row: &proxy_uve::ResultRow<'_>) -> Vec<String> {
    let data = std::str::from_utf8(row.json).unwrap().replace(",\"partial\":true", "");
    let head_length = data.find("\"A-b\"").unwrap() + "\"A-b\"".len();
    let (head, attributes) = data.strip_suffix('}').unwrap().split_at(head_length);
    let line = |start: u64, attributes: &str| {
        let (uve, end) = (row.uve_name, row.end);
        let partial = if start < FIRST_SAMPLE { ",\"partial\":true" } else { "" };
        format!(r#"{{"key":"T:a","uve":"{uve}","start":{start},"end":{end},"data":{head}{partial}{attributes}}}}}"#)
    };
    let Some(at) = attributes.find(",\"newest\":") else { return vec![line(row.start, attributes)] };
    let length = attributes[at..].find('}').unwrap() + 1;
    let (newest, others) = (&attributes[at..at + length], [&attributes[..at], &attributes[at + length..]].concat());
    let of_period = (!others.is_empty()).then(|| line(row.start, &others));
    of_period.into_iter().chain([line(row.end - 3_000_000, newest)]).collect()
}

/// A record of the first type of [`plan`].
fn record_of(plan: &Plan, index: usize) -> Record {
    let shape = plan.uves().next().map(|uve| UveShape::of(&uve, "A-b")).unwrap();
    let numbers = 0..shape.attributes[index].numbers() as u64;
    Record::from_numbers(numbers.map(|number| Some(Number::U64(number)))).unwrap()
}

/// Sends a result of the period from 90 to 100: the index of each attribute, the start of its window, whether that is
/// partial.
fn send_windows(plan: &Plan, sink: &mut BlockSink, attributes: &[(usize, u64, bool)]) {
    let mut subject = Subject::new(b"T:a", 0, "A-b", 90..100);
    subject.partial = attributes.iter().any(|(.., partial)| *partial);
    sink.begin(&subject);
    for &(index, start, partial) in attributes {
        let attribute = plan.uves().next().unwrap().attributes().nth(index).unwrap();
        let report = Report::Value(Output::new(attribute.description, record_of(plan, index)));
        let mut result = AttributeResult::new(attribute.name, report, start);
        result.partial = partial;
        sink.attribute(&subject, &result);
    }
    sink.end(&subject);
}

#[test]
fn each_length_of_windows_has_a_row_of_its_own() {
    let plan = plan("u64");
    let row = |start: u64, partial: bool, indices: &[usize]| {
        let values = indices.iter().map(|index| (*index, record_of(&plan, *index))).collect();
        Sent { start, end: 100, partial, values, ..sum("T:a", 0) }
    };
    for limit in [0, MAX_BLOCK_BYTES] {
        let mut sink = BlockSink::new(&plan, limit);
        send_windows(&plan, &mut sink, &[(2, 50, true), (0, 90, false), (1, 70, false)]);
        send_windows(&plan, &mut sink, &[(1, 50, true), (2, 50, false)]);
        send_windows(&plan, &mut sink, &[(2, 70, false), (0, 90, false)]);
        send_windows(&plan, &mut sink, &[(1, 90, true), (0, 90, false)]);
        assert_eq!(sink.rows(), 7);
        let expected = [
            row(90, false, &[0]),
            row(70, false, &[1]),
            row(50, true, &[2]),
            row(50, true, &[1, 2]),
            row(90, false, &[0]),
            row(70, false, &[2]),
            row(90, true, &[1, 0]),
        ];
        let blocks = blocks(&mut sink);
        assert_eq!(blocks.len(), if limit == 0 { 7 } else { 1 });
        let rows = blocks.iter().map(|block| read(&plan, &mut BlockReader::default(), block).unwrap());
        assert_eq!(rows.flatten().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn every_form_of_result_gives_the_json_of_a_table_without_blocks() {
    for (element, values) in [("u64", ["20", "0", "18446744073709551615"]), ("double", ["0.5", "36", "-1e300"])] {
        let plan = Arc::new(plan(element));
        let settings = TableSettings::default().with_allowed_lateness(std::time::Duration::ZERO);
        let mut rows = Table::new(Arc::clone(&plan), settings);
        let mut blocks = Table::with_sink(Arc::clone(&plan), settings, BlockSink::new(&plan, MAX_BLOCK_BYTES));
        for (position, value) in (1..).zip(values.iter().cycle().take(150)) {
            // A gap before every tenth sample causes a deletion.
            let at = 1_000_000 * (position + position / 10 * 5) + 5;
            let payload = format!("{{\"ts\":{at},\"value\":{value}}}");
            let (position, payload) = (proxy_uve::Position::new(position), payload.as_bytes());
            let record = proxy_uve::Record { position, arrived: at, key: b"T:a", payload };
            assert_eq!((rows.ingest(&record), blocks.ingest(&record)), (Fate::Aggregated, Fate::Aggregated));
        }
        let expected = rows.drain().flat_map(|row| lines_of(&row));
        let (mut reader, mut found) = (BlockReader::default(), Vec::new());
        for (_, block) in blocks.sink_mut().take().unwrap().records() {
            let mut rows = reader.rows(block).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let mut line = Vec::new();
                crate::line::write(&row, &mut line);
                found.push(String::from_utf8(line).unwrap());
            }
        }
        assert!(found.len() > 300, "{} results of {element}", found.len());
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

#[test]
fn an_empty_block_has_no_rows() {
    let mut reader = BlockReader::default();
    assert!(reader.rows(&EMPTY).unwrap().batch().unwrap().is_empty());
    assert_eq!((is_block(&EMPTY), declared_rows(&EMPTY)), (true, 0));
}
