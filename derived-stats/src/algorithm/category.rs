//! `DSCategory:names[:range]`: the number of samples of each category, and of all others.
//!
//! ```text
//! name  = the number of samples that are the text or the number `name`
//! other = the number of the other samples
//! ```
//!
//! | | |
//! |---|---|
//! | source | the definition; result: Contrail's `CategoryResult` |
//! | unit and type | samples, as u64 |
//! | range | 1 to 63 categories; counts stop at 2^64-1 |
//! | error | none for numbers; a text is recognised by its [hash](crate::text_sample) of 64 bits |
//! | memory | 80 bytes an object; of more than 9 categories 16, and 8 for each and for the others with samples |
//! | cost | at most a comparison with each category for each sample, 15 ns for 9 |
//!
//! Categories are the names of the annotation, not the values that are seen: so an object has a bounded state and its
//! results have fixed fields, whatever is sent. The number of categories is limited by the
//! [numbers of a result](crate::Record::MAX_NUMBERS). A name is a text of a metric of texts, such as `timeout`, or a
//! number, such as the status 404.
//!
//! The first category is the value: `1.DSCategory(error,ok)-raw:DSAnomaly:EWM:0.1` scores the number of errors.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::algorithm::counts::{self, COUNTS, Classes, Counts, Few, MOST_COUNTS, Many, algorithm_of_counts};
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, UpdateError, Windowed};
use crate::entry::{
    Argument, ArgumentError, ArgumentKind, ArgumentPart, Claims, Entry, Explanation, Field, Given, NumberKind, Role,
    Roles, Unit,
};
use crate::number::{Numeric, ValueType};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};
use crate::text_sample::{MAX_TEXT_SAMPLE, hash};

/// The name of the last count.
const OTHER: &str = "other";

/// The largest number of categories: the last count is that of the others.
const MOST: usize = MOST_COUNTS - 1;

const EXPECTED: &str = "1 to 63 different texts or numbers with `,` between them, not `other`, such as `ok,error`";

/// The menu entry of `DSCategory`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSCategory", Roles::AGGREGATE, "the number of samples of each category", |given| {
        let category = Category::new(given.text(0).unwrap_or_default());
        let bad = |CategoryError| ArgumentError::Bad { index: 0, expected: EXPECTED.to_string() };
        match category.map_err(bad)? {
            category if category.counts() <= COUNTS => built(given, 1, Few(category)),
            category => built(given, 1, Many(category)),
        }
    })
    .arguments(&[Argument::required("names", ArgumentKind::List { most: MOST }, EXPECTED, "0,7,ok"), RANGE])
    .structured_by("CategoryResult", |given, _| Cow::Owned(fields(given)))
    .explained(|given, _| explain(given))
    .claims(Claims { merges: true, order_insensitive: true, within_samples: false, scales: false })
    .of_texts();

fn fields(given: &Given<'_>) -> Vec<Field> {
    let count = |name| Field::number(name, NumberKind::U64, Unit::Samples, "samples").in_group("counters");
    let names = given.text(0).unwrap_or_default().split(',').count().min(MOST);
    let mut fields: Vec<Field> = (0..names).map(|part| count("").named_by_part(0, part)).collect();
    if let Some(first) = fields.first_mut() {
        *first = first.role_of(Role::Value);
    }
    fields.push(count(OTHER));
    fields
}

fn explain(given: &Given<'_>) -> Explanation {
    let names = given.text(0).unwrap_or_default().replace(',', ", ");
    let whole = alloc::format!("the number of samples that are {names}, and of all others");
    explain_window(given, 1, &whole, &alloc::format!("{whole}, of the last"))
}

/// Counts the samples of each category.
///
/// 80 bytes an object in an annotation, 88 with this type. The counts of more than 9 categories are in a box. See
/// [`text_sample`](crate::text_sample) for texts.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut statuses = Pipeline::parse("raw:DSCategory:200,404")?;
/// for status in [200, 200, 404, 503] {
///     statuses.update(0, Number::U64(status))?;
/// }
/// let result = statuses.report(0).forced().expect("a result after every sample");
/// let counts = ["200", "404", "other"].map(|name| result.number(name));
/// assert_eq!(counts, [2, 1, 1].map(|count| Some(Number::U64(count))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    names: Box<[Name]>,
}

/// The samples of one category: the bits of its hash, and of its number in each type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Name {
    hash: u64,
    f64: Option<u64>,
    i64: Option<u64>,
    u64: Option<u64>,
}

/// A text that is not 1 to 63 different names of categories.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected 1 to 63 different texts or numbers with `,` between them, not `other`, each of at most 256 bytes")]
pub struct CategoryError;

impl Name {
    fn of(text: &str) -> Self {
        // The bits of -0.0 are not those of 0.0, which is equal.
        let double: Option<f64> = text.parse().ok().filter(|double: &f64| double.is_finite());
        Self {
            hash: hash(text),
            f64: double.map(|double| (double + 0.0).to_bits()),
            i64: text.parse().ok().map(i64::cast_unsigned),
            u64: text.parse().ok(),
        }
    }

    /// Whether two texts are spellings of one number, such as `5` and `+5`.
    fn is_number_of(&self, other: &Self) -> bool {
        // As integers where both are, because integers that differ may be one double.
        match ((self.u64, other.u64), (self.i64, other.i64), (self.f64, other.f64)) {
            ((Some(one), Some(other)), _, _) | (_, (Some(one), Some(other)), _) | (_, _, (Some(one), Some(other))) => {
                one == other
            }
            _ => false,
        }
    }

    /// Whether a sample is in the category. A hash is a sample of unsigned integers.
    #[inline]
    fn is<T: Numeric>(&self, sample: T) -> bool {
        let bits = sample.to_bits();
        match T::TYPE {
            ValueType::F64 => self.f64 == Some(bits),
            ValueType::I64 => self.i64 == Some(bits),
            ValueType::U64 => self.hash == bits || self.u64 == Some(bits),
        }
    }
}

impl Category {
    /// Categories as in an annotation, such as `ok,error`.
    ///
    /// # Errors
    ///
    /// [`CategoryError`] for no or more than 63 names, and for one that is empty, too long, `other`, the same number as
    /// another (`5` and `+5`), or makes the same name of a field as another, as `a-b` and `amb` do.
    pub fn new(names: &str) -> Result<Self, CategoryError> {
        let mut parsed: Vec<Name> = Vec::new();
        let mut fields: Vec<String> = alloc::vec![OTHER.to_string()];
        for (part, name) in names.split(',').enumerate().take(MOST + 1) {
            let field = ArgumentPart { argument: 0, part }.of(names);
            if name.is_empty() || name.len() > MAX_TEXT_SAMPLE || fields.contains(&field) {
                return Err(CategoryError);
            }
            let name = Name::of(name);
            if parsed.iter().any(|other| other.is_number_of(&name)) {
                return Err(CategoryError);
            }
            parsed.push(name);
            fields.push(field);
        }
        if parsed.len() <= MOST { Ok(Self { names: parsed.into() }) } else { Err(CategoryError) }
    }
}

impl Classes for Category {
    fn counts(&self) -> usize {
        self.names.len() + 1
    }

    #[inline]
    fn class<T: Numeric>(&self, value: T) -> usize {
        // -0.0 is the same value as 0.0.
        let value = if value == T::default() { T::default() } else { value };
        self.names.iter().take_while(|name| !name.is(value)).count()
    }

    fn number(&self, counts: &[u64], index: usize) -> u64 {
        counts.get(index).copied().unwrap_or_default()
    }

    fn fill(&self, counts: &[u64], record: &mut Record) {
        counts::fill(counts.iter().copied(), record);
    }
}

algorithm_of_counts!(Category);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    fn counts<T: Numeric>(names: &str, samples: &[T]) -> Vec<u64> {
        let category = Category::new(names).expect("good names");
        let mut state = Algorithm::<T>::start(&category);
        for sample in samples {
            category.update(&mut state, Sample::new(0, *sample)).expect("every value is a sample");
        }
        let record = Algorithm::<T>::report(&category, &state, 0).forced().expect("there are samples");
        (0..record.len()).map(|index| record.get(index).map_or(0, Number::bits)).collect()
    }

    #[test]
    fn texts_and_numbers_are_recognised_in_every_type() {
        assert_eq!(counts("ok,7", &[hash("ok"), 7, 7, hash("7"), 8, hash("OK")]), [1, 3, 2]);
        assert_eq!(counts("-3,7", &[-3i64, 7, -7]), [1, 1, 1]);
        assert_eq!(counts("0,0.5,-2", &[0.0, -0.0, 0.5, -2.0, 2.0]), [2, 1, 1, 1]);
        assert_eq!(counts("ok", &[f64::MAX]), [0, 1]);
        assert_eq!(counts("1,2,3,4,5,6,7,8,9", &[9u64, 10, 1]), [1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn fifty_categories_have_a_count_each() {
        let names: Vec<_> = (0..50).map(|name| alloc::format!("name-{name}")).collect();
        let category = Category::new(&names.join(",")).expect("good names");
        let mut state = Algorithm::<u64>::start(&category);
        for text in names.iter().map(String::as_str).chain(["name-7", "x", "name-50"]) {
            category.update(&mut state, Sample::new(0, hash(text))).expect("every value is a sample");
        }
        let record = Algorithm::<u64>::report(&category, &state, 0).forced().expect("there are samples");
        let expected = (0..51).map(|index| Some(Number::U64(if index == 7 || index == 50 { 2 } else { 1 })));
        assert_eq!(Some(record), Record::from_numbers(expected));
        let many: Vec<_> = (0..64).map(|name| name.to_string()).collect();
        assert!(Category::new(&many[1..].join(",")).is_ok());
        assert_eq!(Category::new(&many.join(",")), Err(CategoryError));
    }

    #[test]
    fn names_without_a_field_of_their_own_are_refused() {
        let long = "x".repeat(257);
        let huge = "9007199254740993,9007199254740992";
        assert!(Category::new(huge).is_ok(), "different integers, and one double");
        for names in [
            "5,+5", "0,-0", "1,1.0", "1e3,1000", "07,7", "-5,-5.0", "", "a,", "a,a", "a,other", "a-b,amb", "a b,a_b",
            &long,
        ] {
            assert_eq!(Category::new(names), Err(CategoryError), "{names}");
        }
        assert!(Category::new(&long[1..]).is_ok());
    }
}
