//! The link of one algorithm for one element type, over both forms of a cell.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::algorithm::{Algorithm, Detector, Measured, Sample, UpdateError};
use crate::column::{Column, TypedColumn};
use crate::entry::Entry;
use crate::link::{BoxedState, Cell, CellMut, Link, Taken};
use crate::number::{Numeric, ValueType};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};
use crate::source_id::SourceId;

/// Ends a period without a value for the states whose bit is set.
type PassSilence<A, S> = fn(&A, &mut [S], u64);

/// The data that the links and the columns of one algorithm share.
#[derive(Debug)]
pub(crate) struct Shared<T: Numeric, A: Algorithm<T>> {
    pub(crate) entry: &'static Entry,
    pub(crate) algorithm: A,
    /// The index of the result's value, and the type of its field.
    pub(crate) value_field: Option<(usize, ValueType)>,
    /// The function of a detector for periods without a value.
    pub(crate) pass_silence: Option<PassSilence<A, A::State>>,
    element: PhantomData<fn() -> T>,
}

impl<T: Numeric, A: Algorithm<T>> Shared<T, A> {
    /// The value of the result in the type of its field, because columns pass values as bits of that type. `None` for a
    /// number that the type cannot represent, a NaN or an infinity, which a registered algorithm might return: the next
    /// links would never recover from it.
    #[inline]
    pub(crate) fn value(&self, state: &A::State, now: u64) -> Option<Measured> {
        let (index, value_type) = self.value_field?;
        let Measured { number, overflowed } = self.algorithm.value(state, now, index)?;
        Some(Measured { number: number.to_type(value_type)?, overflowed })
    }

    /// Restores a state that `version` of the algorithm saved.
    pub(crate) fn restore(&self, version: u16, words: &mut Words<'_>) -> Result<A::State, RestoreError> {
        let known = self.entry.state_version();
        match version {
            _ if version == known => self.algorithm.restore(words),
            _ if version < known => self.algorithm.migrate(version, words),
            found => Err(RestoreError::AlgorithmVersion { algorithm: self.entry.name().into(), found, known }),
        }
    }
}

/// The link of an algorithm for samples of type `T`.
#[derive(Debug)]
pub(crate) struct TypedLink<T: Numeric, A: Algorithm<T>>(Arc<Shared<T, A>>);

impl<T: Numeric, A: Algorithm<T>> TypedLink<T, A> {
    /// The link of an algorithm that is not a detector; `value` is the index and the type of the result's value.
    pub(crate) fn aggregate(entry: &'static Entry, algorithm: A, value: Option<(usize, ValueType)>) -> Self {
        Self(Arc::new(Shared { entry, algorithm, value_field: value, pass_silence: None, element: PhantomData }))
    }

    #[inline]
    fn put(&self, cell: CellMut<'_>, state: A::State) {
        match cell {
            CellMut::Words(words) => self.0.algorithm.store(&state, words),
            CellMut::Boxed(boxed) => {
                if let Some(boxed) = boxed.as_any_mut().downcast_mut() {
                    *boxed = state;
                }
            }
        }
    }

    /// Reads the state of a cell; `None` for the state of another algorithm.
    #[inline]
    fn read<R>(&self, cell: Cell<'_>, read: impl FnOnce(&A::State) -> R) -> Option<R> {
        match cell {
            Cell::Boxed(state) => state.as_any().downcast_ref().map(read),
            Cell::Words(words) => self.0.algorithm.load(words).map(|state| read(&state)),
        }
    }

    /// Changes the state of a cell; `None` for the state of another algorithm.
    #[inline]
    fn change<R>(&self, cell: CellMut<'_>, change: impl FnOnce(&mut A::State) -> R) -> Option<R> {
        match cell {
            CellMut::Boxed(state) => state.as_any_mut().downcast_mut().map(change),
            CellMut::Words(words) => {
                let mut state = self.0.algorithm.load(words)?;
                let changed = change(&mut state);
                self.0.algorithm.store(&state, words);
                Some(changed)
            }
        }
    }

    #[inline]
    fn sample(at: u64, measured: Measured) -> Result<Sample<T>, UpdateError> {
        Ok(Sample { at, value: T::from_number(measured.number)?, overflowed: measured.overflowed })
    }
}

impl<T: Numeric, D: Detector<T>> TypedLink<T, D> {
    /// The link of a detector.
    pub(crate) fn detector(entry: &'static Entry, detector: D, value: Option<(usize, ValueType)>) -> Self {
        let pass_silence: PassSilence<D, D::State> = |detector, states, slots| {
            for (bit, state) in states.iter_mut().enumerate() {
                if slots >> bit & 1 == 1 {
                    detector.pass_silence(state);
                }
            }
        };
        let (algorithm, pass_silence) = (detector, Some(pass_silence));
        Self(Arc::new(Shared { entry, algorithm, value_field: value, pass_silence, element: PhantomData }))
    }
}

impl<T: Numeric, A: Algorithm<T>> Link for TypedLink<T, A> {
    fn column(&self) -> Box<dyn Column> {
        Box::new(TypedColumn::new(Arc::clone(&self.0)))
    }

    fn takes_every_sample(&self) -> bool {
        self.0.algorithm.takes_every_sample()
    }

    fn words(&self) -> Option<usize> {
        self.0.algorithm.words()
    }

    fn heap_bytes(&self) -> usize {
        let boxed = if self.words().is_none() { size_of::<A::State>() + size_of::<Box<dyn BoxedState>>() } else { 0 };
        boxed + self.0.algorithm.heap_bytes()
    }

    fn grows(&self) -> bool {
        self.0.algorithm.grows()
    }

    fn reset(&self, cell: CellMut<'_>) {
        self.put(cell, self.0.algorithm.start());
    }

    fn start_boxed(&self) -> Box<dyn BoxedState> {
        Box::new(self.0.algorithm.start())
    }

    fn is_empty(&self, cell: Cell<'_>) -> bool {
        self.read(cell, |state| self.0.algorithm.is_empty(state)).unwrap_or(true)
    }

    fn update(&self, cell: CellMut<'_>, at: u64, measured: Measured) -> Result<(), UpdateError> {
        let sample = Self::sample(at, measured)?;
        let updated = self.change(cell, |state| self.0.algorithm.update(state, sample));
        updated.unwrap_or(Err(UpdateError::ForeignState))
    }

    fn update_from(&self, cell: CellMut<'_>, source: SourceId, at: u64, measured: Measured) -> Result<(), UpdateError> {
        let sample = Self::sample(at, measured)?;
        let updated = self.change(cell, |state| self.0.algorithm.update_from(state, source, sample));
        updated.unwrap_or(Err(UpdateError::ForeignState))
    }

    fn begin_period(&self, open: CellMut<'_>, ended: Cell<'_>) {
        if let Some(next) = self.read(ended, |ended| self.0.algorithm.next_period(ended)) {
            self.put(open, next);
        }
    }

    fn take(&self, cell: CellMut<'_>, now: u64) -> Taken {
        let algorithm = &self.0.algorithm;
        let taken = self.change(cell, |state| {
            let taken = Taken { is_sampled: !algorithm.is_empty(state), value: self.0.value(state, now) };
            *state = algorithm.next_period(state);
            taken
        });
        taken.unwrap_or(Taken { is_sampled: false, value: None })
    }

    fn pass(&self, cell: CellMut<'_>, now: u64, measured: Measured) -> Option<Measured> {
        let sample = Self::sample(now, measured).ok()?;
        let passed = self.change(cell, |state| {
            self.0.algorithm.update(state, sample).ok()?;
            self.0.value(state, now)
        });
        passed.flatten()
    }

    fn score(&self, cell: CellMut<'_>, now: u64, measured: Measured) -> Option<Report<Record>> {
        let sample = Self::sample(now, measured).ok()?;
        let scored = self.change(cell, |state| {
            self.0.algorithm.update(state, sample).ok()?;
            Some(self.0.algorithm.report(state, now))
        });
        scored.flatten()
    }

    fn pass_silence(&self, cell: CellMut<'_>) {
        if let Some(pass_silence) = self.0.pass_silence {
            self.change(cell, |state| pass_silence(&self.0.algorithm, core::slice::from_mut(state), 1));
        }
    }

    fn report(&self, cell: Cell<'_>, now: u64) -> Report<Record> {
        self.read(cell, |state| self.0.algorithm.report(state, now)).unwrap_or(Report::NotReady(None))
    }

    fn save(&self, cell: Cell<'_>, words: &mut Vec<u64>) {
        self.read(cell, |state| self.0.algorithm.save(state, &mut WordWriter::new(words)));
    }

    fn restore(&self, cell: CellMut<'_>, version: u16, words: &mut Words<'_>) -> Result<(), RestoreError> {
        self.put(cell, self.0.restore(version, words)?);
        Ok(())
    }
}

#[cfg(all(test, feature = "parser"))]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::entry::{Built, Roles};
    use crate::link::raw_value;
    use crate::menu::{DETECTOR_CALL, menu};
    use crate::{Context, Number, Registry, Silence, Spec};

    /// An inline pipeline of every entry, with all its arguments.
    fn specs() -> Vec<Spec> {
        let mut specs = Vec::new();
        for entry in menu().iter().filter(|entry| entry.roles().inline) {
            let arguments: String = entry
                .argument_list()
                .iter()
                .map(|argument| format!(":{}", argument.written(argument.example())))
                .collect();
            let detector = if entry.roles().detector { format!("{DETECTOR_CALL}:") } else { String::new() };
            for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
                for arguments in [&arguments, ""] {
                    // Without arguments, if they are optional.
                    let annotation = format!("raw:{detector}{}{arguments}", entry.name());
                    specs.extend(Spec::parse(&annotation, Context::new(value)));
                }
            }
        }
        specs
    }

    proptest! {
        #[test]
        fn property_a_state_in_words_is_the_state_in_a_column(samples in prop::collection::vec(any::<u64>(), 0..20)) {
            let specs = specs();
            prop_assert!(specs.len() >= 3 * menu().iter().filter(|entry| entry.roles().inline).count());
            for spec in specs {
                let link = spec.inline_link().expect("an inline spec").link();
                let (mut column, mut stored) = (link.column(), alloc::vec![0; link.words().unwrap_or_default()]);
                if link.words().is_some() {
                    link.reset(CellMut::Words(&mut stored));
                }
                for (at, bits) in samples.iter().enumerate() {
                    let (at, value) = (at as u64 * 1_000_000, Number::from_bits(spec.value_type(), *bits));
                    // Not every bit pattern is a sample.
                    let taken = column.update(0, at, value).is_ok();
                    if link.words().is_some() {
                        prop_assert_eq!(link.update(CellMut::Words(&mut stored), at, raw_value(value)).is_ok(), taken);
                    }
                }
                let (mut of_column, mut of_words) = (Vec::new(), Vec::new());
                column.save(0, &mut of_column);
                link.save(Cell::Words(&stored), &mut of_words);
                if link.words().is_some() {
                    prop_assert_eq!(of_words, of_column, "{}", spec);
                }
            }
        }
    }

    /// A number computed from the newest sample, of another type than the entry declares.
    #[derive(Clone, Debug)]
    struct OfNewest(fn(f64) -> Number);

    /// The newest sample divided by itself: NaN for 0, which a registered algorithm might return.
    #[expect(clippy::eq_op, reason = "NaN for 0, else 1")]
    static RATIO: Entry = Entry::new("DSRatio", Roles::AGGREGATE, "a ratio", |_| {
        Ok(Built::aggregate(OfNewest(|value| Number::F64(value / value))))
    });

    /// Half of the newest sample, as an integer or not.
    static HALF: [Entry; 3] = [
        Entry::new("DSHalf", Roles::AGGREGATE, "a half", |_| {
            Ok(Built::aggregate(OfNewest(|value| Number::F64(value / 2.0))))
        }),
        Entry::new("DSHalfI", Roles::AGGREGATE, "a half", |_| {
            Ok(Built::aggregate(OfNewest(|value| Number::I64((value / 2.0) as i64))))
        }),
        Entry::new("DSHalfU", Roles::AGGREGATE, "a half", |_| {
            Ok(Built::aggregate(OfNewest(|value| Number::U64((value / 2.0) as u64))))
        }),
    ];

    impl<T: Numeric> Algorithm<T> for OfNewest {
        type State = Option<T>;

        fn start(&self) -> Option<T> {
            None
        }

        fn is_empty(&self, state: &Option<T>) -> bool {
            state.is_none()
        }

        fn update(&self, state: &mut Option<T>, sample: Sample<T>) -> Result<(), UpdateError> {
            *state = Some(sample.value);
            Ok(())
        }

        fn report(&self, state: &Option<T>, _now: u64) -> Report<Record> {
            let record = state.map(|value| Record::new([(self.0)(value.to_f64())]));
            record.map_or(Report::NotReady(None), Report::Value)
        }

        fn save(&self, _state: &Option<T>, _words: &mut WordWriter<'_>) {}

        fn restore(&self, _words: &mut Words<'_>) -> Result<Option<T>, RestoreError> {
            Ok(None)
        }
    }

    /// A sum that refuses the words that it saves.
    #[derive(Clone, Debug)]
    struct Forgetful;

    static FORGETFUL: Entry = Entry::new("Forgetful", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Forgetful)));

    impl<T: Numeric> Algorithm<T> for Forgetful {
        type State = u64;

        fn start(&self) -> u64 {
            0
        }

        fn is_empty(&self, state: &u64) -> bool {
            *state == 0
        }

        fn update(&self, state: &mut u64, _: Sample<T>) -> Result<(), UpdateError> {
            *state += 1;
            Ok(())
        }

        fn report(&self, state: &u64, _now: u64) -> Report<Record> {
            Report::Value(Record::new([Number::U64(*state)]))
        }

        fn words(&self) -> Option<usize> {
            Some(1)
        }

        fn save(&self, state: &u64, words: &mut WordWriter<'_>) {
            words.push(*state);
        }

        fn restore(&self, words: &mut Words<'_>) -> Result<u64, RestoreError> {
            match words.next("samples")? {
                0 => Ok(0),
                word => Err(RestoreError::invalid("samples", word)),
            }
        }
    }

    #[test]
    fn words_that_an_algorithm_does_not_load_are_refused_and_not_reset() {
        let mut registry = Registry::new();
        registry.register(&FORGETFUL).expect("a new name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        let spec = Spec::parse("raw:Forgetful", context).expect("a good annotation");
        let mut state = spec.start();
        assert_eq!(spec.update(&mut state, 0, Number::U64(1)), Ok(()));
        assert_eq!(spec.update(&mut state, 0, Number::U64(1)), Err(UpdateError::ForeignState));
    }

    #[test]
    fn a_value_of_another_type_than_its_field_is_converted_or_not_passed_on() {
        use crate::column::{DownstreamColumn, WindowColumn};

        let mut registry = Registry::new();
        HALF.iter().for_each(|entry| registry.register(entry).expect("a new name"));
        let cases = [
            ("DSHalf", Number::U64(6), None),
            ("DSHalf", Number::F64(7.0), Some(Number::F64(3.5))),
            ("DSHalfI", Number::F64(-6.0), Some(Number::F64(-3.0))),
            ("DSHalfI", Number::U64(6), Some(Number::U64(3))),
            ("DSHalfU", Number::F64(6.0), Some(Number::F64(3.0))),
            ("DSHalfU", Number::I64(6), Some(Number::I64(3))),
        ];
        for (name, sample, half) in cases {
            let context = Context::new(sample.value_type()).with_registry(&registry);
            let spec = Spec::parse(&format!("1.{name}-raw:DSAnomaly:EWM:1"), context).expect("a good annotation");
            let (mut state, mut window) = (spec.start(), WindowColumn::new(&spec).expect("a periodic spec"));
            let mut downstream = DownstreamColumn::new(&spec).expect("a spec with a detector");
            spec.update(&mut state, 0, sample).expect("a finite sample");
            window.update(0, 0, sample).expect("a finite sample");
            assert_eq!(window.value(0, 0), half, "{name} of {sample:?}");
            let closed = [spec.close(&mut state, 0, Silence::Once), downstream.close(0, &window, 0, Silence::Once)];
            let values = closed.map(|report| report.and_then(Report::forced)?.value());
            assert_eq!(values, [half; 2], "{name} of {sample:?}");
        }
    }

    #[test]
    fn a_value_that_is_not_finite_does_not_reach_the_next_link() {
        use crate::column::{DownstreamColumn, WindowColumn};

        let mut registry = Registry::new();
        registry.register(&RATIO).expect("a new name");
        let context = Context::new(ValueType::F64).with_registry(&registry);
        let spec = Spec::parse("1.DSRatio-raw:DSAnomaly:EWM:1", context).expect("a good annotation");
        let (mut state, mut window) = (spec.start(), WindowColumn::new(&spec).expect("a periodic spec"));
        let mut downstream = DownstreamColumn::new(&spec).expect("a spec with a detector");
        for (sample, is_fed) in [(0.0, false), (2.0, true)] {
            spec.update(&mut state, 0, Number::F64(sample)).expect("a finite sample");
            window.update(0, 0, Number::F64(sample)).expect("a finite sample");
            assert_eq!(spec.close(&mut state, 0, Silence::Once).is_some(), is_fed, "{sample}");
            assert_eq!(downstream.close(0, &window, 0, Silence::Once).is_some(), is_fed, "{sample}");
        }
    }
}
