//! Registered algorithms: an aggregate and a detector whose states have no fixed number of words.
//!
//! The aggregate also changes the element type, has a value before its first sample, and has an older version.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use derived_stats::entry::{
    Argument, ArgumentError, ArgumentKind, Built, Claims, Entry, Field, NumberKind, Role, Roles, Unit,
};
use derived_stats::{
    Algorithm, Detector, Flaw, MergeError, Number, Numeric, Record, Registry, Report, RestoreError, Sample,
    UpdateError, WordWriter, Words,
};

/// The registry of the suite.
pub(crate) static REGISTRY: LazyLock<Registry> = LazyLock::new(|| registry(&DISTINCT));

/// The registry of a program whose `OwnDistinct` is older by one version.
pub(crate) static OLD_REGISTRY: LazyLock<Registry> = LazyLock::new(|| registry(&OLD_DISTINCT));

fn registry(distinct: &'static Entry) -> Registry {
    let mut registry = Registry::new();
    registry.register(distinct).unwrap();
    registry.register(&HABIT).unwrap();
    registry
}

static DISTINCT: Entry =
    Entry::new("OwnDistinct", Roles::AGGREGATE, "the number of different values", |given| distinct::<2>(given.text(0)))
        .arguments(&[BY])
        .structured("DistinctResult", &FIELDS)
        .claims(CLAIMS)
        .version(2);

static OLD_DISTINCT: Entry =
    Entry::new("OwnDistinct", Roles::AGGREGATE, "the number of different values", |given| distinct::<1>(given.text(0)))
        .arguments(&[BY])
        .structured("DistinctResult", &FIELDS)
        .claims(CLAIMS);

const BY: Argument = Argument::optional("by", ArgumentKind::Text, "`bits` or `size`", "size");
const CLAIMS: Claims = Claims { merges: true, order_insensitive: true, within_samples: false, scales: false };
static FIELDS: [Field; 1] =
    [Field::number("distinct", NumberKind::U64, Unit::None, "different values").role_of(Role::Value)];

pub(crate) fn distinct<const VERSION: u16>(by: Option<&str>) -> Result<Built, ArgumentError> {
    match by {
        None | Some("bits") => Ok(Built::aggregate(Distinct::<VERSION> { by_size: false })),
        Some("size") => Ok(Built::aggregate(Distinct::<VERSION> { by_size: true })),
        Some(_) => Err(ArgumentError::other("write `bits` or `size`")),
    }
}

/// Counts different values, or different sizes.
#[derive(Clone, Copy, Debug)]
struct Distinct<const VERSION: u16> {
    by_size: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    values: BTreeSet<u64>,
    overflowed: bool,
}

impl<const VERSION: u16> Distinct<VERSION> {
    fn read(words: &mut Words<'_>) -> Result<Seen, RestoreError> {
        let overflowed = words.flag("overflow")?;
        let len = words.next("number of values")?;
        let mut values = BTreeSet::new();
        for _ in 0..len {
            let value = words.next("value")?;
            if values.last().is_some_and(|last| *last >= value) {
                return Err(RestoreError::invalid("value", value));
            }
            values.insert(value);
        }
        Ok(Seen { values, overflowed })
    }
}

impl<T: Numeric, const VERSION: u16> Algorithm<T> for Distinct<VERSION> {
    type State = Seen;

    fn start(&self) -> Seen {
        Seen::default()
    }

    fn is_empty(&self, state: &Seen) -> bool {
        state.values.is_empty()
    }

    fn update(&self, state: &mut Seen, sample: Sample<T>) -> Result<(), UpdateError> {
        let bits = if self.by_size { sample.value.to_f64().abs().to_bits() } else { sample.value.to_bits() };
        state.values.insert(bits);
        state.overflowed |= sample.overflowed;
        Ok(())
    }

    fn report(&self, state: &Seen, _now: u64) -> Report<Record> {
        let record = Record::new([Number::U64(state.values.len() as u64)]);
        Report::Value(record.flawed(state.overflowed.then_some(Flaw::Overflow)))
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut Seen, from: &Seen) -> Result<(), MergeError> {
        into.values.extend(&from.values);
        into.overflowed |= from.overflowed;
        Ok(())
    }

    /// Version 1 had the length twice.
    fn save(&self, state: &Seen, words: &mut WordWriter<'_>) {
        if VERSION == 1 {
            words.push(state.values.len() as u64);
        }
        words.extend([u64::from(state.overflowed), state.values.len() as u64]);
        words.extend(state.values.iter().copied());
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Seen, RestoreError> {
        if VERSION == 1 {
            words.next("number of values")?;
        }
        Self::read(words)
    }

    fn migrate(&self, version: u16, words: &mut Words<'_>) -> Result<Seen, RestoreError> {
        if version != 1 {
            return Err(RestoreError::UnknownAlgorithmVersion { found: version });
        }
        words.next("number of values")?;
        Self::read(words)
    }
}

static HABIT: Entry = Entry::new("HABIT", Roles::DETECTOR, "the distance from the value one season ago", |given| {
    Ok(Built::detector(Habit { season: given.whole(0).unwrap_or(1) as usize }))
})
.arguments(&[Argument::required(
    "season",
    ArgumentKind::Whole { least: 1, most: 24 },
    "a season of 1 to 24 periods",
    "7",
)])
.structured(
    "HabitResult",
    &[
        Field::number("expected", NumberKind::F64, Unit::Metric, "the value one season ago").role_of(Role::Expected),
        Field::error(),
        Field::number("score", NumberKind::F64, Unit::Metric, "the distance from it").role_of(Role::Score),
        Field::number("value", NumberKind::Metric, Unit::Metric, "the newest value").role_of(Role::Value),
    ],
);

/// Scores a value against the value of the same period of the previous season. A silent period advances the season.
#[derive(Clone, Copy, Debug)]
struct Habit {
    season: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct HabitState<T> {
    expected: Vec<f64>,
    position: usize,
    newest: Option<(T, f64, bool)>,
}

impl<T: Numeric> Algorithm<T> for Habit {
    type State = HabitState<T>;

    fn start(&self) -> HabitState<T> {
        HabitState { expected: vec![0.0; self.season], position: 0, newest: None }
    }

    fn is_empty(&self, state: &HabitState<T>) -> bool {
        state.newest.is_none()
    }

    fn update(&self, state: &mut HabitState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        let expected = std::mem::replace(&mut state.expected[state.position], sample.value.to_f64());
        state.position = (state.position + 1) % self.season;
        state.newest = Some((sample.value, expected, sample.overflowed));
        Ok(())
    }

    fn report(&self, state: &HabitState<T>, _now: u64) -> Report<Record> {
        let Some((newest, expected, overflowed)) = state.newest else {
            return Report::NotReady(None);
        };
        let score = (newest.to_f64() - expected).clamp(f64::MIN, f64::MAX);
        let record = Record::new([Number::F64(expected), Number::F64(score), newest.into_number()]);
        Report::Value(record.flawed(overflowed.then_some(Flaw::Overflow)))
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn heap_bytes(&self) -> usize {
        self.season * size_of::<f64>()
    }

    fn save(&self, state: &HabitState<T>, words: &mut WordWriter<'_>) {
        words.push(state.position as u64);
        words.extend(state.expected.iter().map(|value| value.to_bits()));
        words.push(u64::from(state.newest.is_some()));
        if let Some((newest, expected, overflowed)) = state.newest {
            words.extend([newest.to_bits(), expected.to_bits(), u64::from(overflowed)]);
        }
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<HabitState<T>, RestoreError> {
        let position = words.next("position")?;
        let invalid = RestoreError::invalid("position", position);
        let position = usize::try_from(position).ok().filter(|position| *position < self.season).ok_or(invalid)?;
        let expected = (0..self.season).map(|_| words.finite("expected")).collect::<Result<_, _>>()?;
        let newest = match words.flag("newest")? {
            false => None,
            true => Some((words.finite("newest")?, words.finite("expected")?, words.flag("overflow")?)),
        };
        Ok(HabitState { expected, position, newest })
    }
}

impl<T: Numeric> Detector<T> for Habit {
    fn pass_silence(&self, state: &mut HabitState<T>) {
        state.position = (state.position + 1) % self.season;
    }
}
