//! Tables against an oracle that sorts and folds, on random proxy types and random records.
//!
//! A note on deletion: the window of an `N-` attribute may hold a deletion, when N is more than the timeout and one. If
//! the object comes back within such a window, its samples from before the deletion count or not, as the lateness
//! has it: a window that forgets can do so only before samples from after the deletion are in it. The types here keep
//! out of that corner.

mod oracle;
mod restarts;
mod workload;

use proptest::prelude::*;

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
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn property_a_table_gives_what_sorting_and_folding_gives(case in cases()) {
        let (mut rows, table) = run(&case);
        rows.sort();
        let expected = oracle::outcome(&case);
        prop_assert_eq!(table.fates(), &expected.fates);
        let missing: Vec<_> = expected.rows.iter().filter(|row| !rows.contains(row)).collect();
        let surplus: Vec<_> = rows.iter().filter(|row| !expected.rows.contains(row)).collect();
        prop_assert!(rows == expected.rows, "missing {missing:#?}\nsurplus {surplus:#?}");
    }

    #[test]
    fn property_results_come_in_the_order_of_their_windows(case in cases()) {
        let (rows, _) = run(&Case { types: case.types.iter().filter(|of| of.period > 0).cloned().collect(), ..case });
        let ends: Vec<u64> = rows.iter().map(|row| row.split(' ').next().unwrap().parse().unwrap()).collect();
        prop_assert!(ends.is_sorted());
    }

    #[test]
    fn property_no_record_and_no_sample_is_lost(mut case in cases()) {
        case.steps.push(Step::Advance { to: 3 * workload::START });
        let (rows, table) = run(&case);
        let samples = case.steps.iter().filter(|step| matches!(step, Step::Sample { .. })).count();
        prop_assert_eq!(table.fates().total(), samples as u64);
        let sums = rows.iter().filter(|row| row.contains(" AggProxySum-"));
        let has_overflow = rows.iter().any(|row| row.contains("\"error\""));
        let value = |row: &String| Some(row.split("\"value\":{\"value\":").nth(1)?.trim_end_matches('}').parse::<u128>().unwrap());
        prop_assume!(!has_overflow);
        prop_assert_eq!(sums.filter_map(value).sum::<u128>(), oracle::outcome(&case).summed);
    }

    #[test]
    fn property_advancing_more_often_changes_nothing(case in cases(), seconds in 1..400u64) {
        let case = Case { steps: case.steps.into_iter().filter(|step| matches!(step, Step::Sample { .. })).collect(), ..case };
        let (rows, _) = run(&case);
        let (mut table, mut other) = (case.table(), Vec::new());
        for (position, step) in case.steps.iter().enumerate() {
            apply(&mut table, position, *step);
            // Never past the watermark that the samples make.
            table.advance(table.watermark().saturating_sub(seconds * SECOND));
            table.advance(table.watermark());
            other.extend(taken(&mut table));
        }
        prop_assert_eq!(rows, other);
    }
}
