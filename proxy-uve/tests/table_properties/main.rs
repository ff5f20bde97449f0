//! Tables against an oracle that sorts and folds, on random proxy types and random records.
//!
//! A note on deletion: the window of an `N-` attribute may contain a deletion, when N is more than the timeout and one.
//! If the object comes back within such a window, its samples from before the deletion count or not, depending on the
//! lateness: a window that forgets can do so only before samples from after the deletion are in it. The types here avoid
//! that case.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod changes;
mod oracle;
mod restarts;
mod sets;
mod workload;

use derived_stats::Number;
use proptest::prelude::*;
use proxy_uve::OpenWindow;

use crate::workload::{Case, SECOND, Step, apply, cases, taken};

/// All results, and the table after the last step.
fn run(case: &Case) -> (Vec<String>, proxy_uve::Table) {
    let mut table = case.table();
    let mut rows = Vec::new();
    for (position, step) in case.steps.iter().enumerate() {
        apply(&mut table, position, *step);
        rows.extend(taken(&mut table));
    }
    (rows, table)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn property_a_table_gives_what_sorting_and_folding_gives(case in cases()) {
        let (mut rows, table) = run(&case);
        rows.sort();
        let expected = oracle::outcome(&case);
        prop_assert_eq!(table.fates(), &expected.fates);
        let first = (0..).find(|&index| rows.get(index) != expected.rows.get(index) || index > rows.len());
        let index = first.unwrap_or_default();
        prop_assert!(rows == expected.rows, "row {index}: {:#?}, not {:#?}", rows.get(index), expected.rows.get(index));
    }

    #[test]
    fn property_objects_show_what_their_open_windows_hold(case in cases()) {
        let (_, table) = run(&case);
        let mut shown = Vec::new();
        for view in table.keys().filter_map(|key| table.object(key)) {
            let key = String::from_utf8_lossy(view.key);
            for (of, attribute) in view.types.iter().flat_map(|of| of.attributes.iter().map(move |attribute| (of, attribute))) {
                let window = |window: &OpenWindow| {
                    format!("{key} {} {} {} {:?}", of.uve_name, attribute.name, window.start, window.value)
                };
                shown.extend(attribute.open.iter().map(window));
            }
        }
        shown.sort();
        prop_assert_eq!(shown, oracle::outcome(&case).open);
    }

    #[test]
    fn property_results_come_in_the_order_of_their_windows(case in cases()) {
        let (rows, _) = run(&Case { types: case.types.iter().filter(|of| of.period > 0).cloned().collect(), ..case });
        let ends: Vec<u64> = rows.iter().map(|row| row.split(' ').next().unwrap().parse().unwrap()).collect();
        prop_assert!(ends.is_sorted());
    }

    #[test]
    fn property_no_record_and_no_sample_is_lost(mut case in cases()) {
        let newest = case.steps.iter().map(|step| match *step {
            Step::Advance { to: at } | Step::Sample { at, .. } => at,
            Step::Remove { .. } => 0,
        });
        let end = newest.max().unwrap_or_default() + 600 * SECOND;
        case.steps.push(Step::Advance { to: end });
        for step in &mut case.steps {
            if let Step::Sample { value, .. } = step && *value == Number::U64(u64::MAX) {
                *value = Number::U64(1 << 60);
            }
        }
        let (rows, table) = run(&case);
        let samples = case.steps.iter().filter(|step| matches!(step, Step::Sample { .. })).count();
        prop_assert_eq!(table.fates().total(), samples as u64);
        let sums = rows.iter().filter(|row| row.contains(" AggProxySum-"));
        let value = |row: &String| Some(row.split("\"value\":{\"value\":").nth(1)?.trim_end_matches('}').parse::<u128>().unwrap());
        prop_assert_eq!(sums.filter_map(value).sum::<u128>(), oracle::outcome(&case).summed);
    }

    #[test]
    fn property_advancing_in_small_steps_changes_nothing(case in cases(), seconds in 1..400u64) {
        let steps = case.steps.into_iter().filter(|step| matches!(step, Step::Sample { value: Number::U64(_), .. }));
        let case = Case { steps: steps.collect(), ..case };
        let (rows, _) = run(&case);
        let (mut table, mut other) = (case.table(), Vec::new());
        for (position, step) in case.steps.iter().enumerate() {
            // To where the sample will move the watermark, in steps.
            let Step::Sample { at, .. } = *step else { continue };
            let to = at.saturating_sub(case.lateness);
            let from = table.watermark().max(to.saturating_sub(3600 * SECOND));
            (from..to).step_by((seconds * SECOND) as usize).for_each(|time| table.advance(time));
            table.advance(to);
            apply(&mut table, position, *step);
            other.extend(taken(&mut table));
        }
        prop_assert_eq!(rows, other);
    }
}
