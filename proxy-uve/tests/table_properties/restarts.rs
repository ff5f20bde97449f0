//! A table that was saved and restored goes on as if nothing had happened.

use proptest::prelude::*;

use crate::workload::{Saved, apply, cases, plan, taken};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn property_restarts_change_no_byte(case in cases(), restarts in proptest::collection::vec(any::<(bool, bool)>(), 160)) {
        let (mut undisturbed, mut restarted) = (case.table(), case.table());
        let plan = plan(&case.types);
        let mut saved = Saved::default();
        for (position, (step, (snapshot, restart))) in case.steps.iter().zip(restarts).enumerate() {
            apply(&mut undisturbed, position, *step);
            apply(&mut restarted, position, *step);
            prop_assert_eq!(taken(&mut undisturbed), taken(&mut restarted));
            if snapshot || restart {
                saved.take(&mut restarted);
            }
            if restart {
                let (table, report) = saved.restore(plan.clone(), case.settings());
                prop_assert!(report.is_unchanged(), "{}", report);
                restarted = table;
            }
            prop_assert_eq!(undisturbed.fates(), restarted.fates());
            let of = |table: &proxy_uve::Table| (table.watermark(), table.position(), table.newest_timestamp(), table.objects());
            prop_assert_eq!(of(&undisturbed), of(&restarted));
        }
        // What is saved is the same too: all at once, or in pieces over many restarts.
        let mut whole = Saved::default();
        whole.take(&mut undisturbed);
        saved.take(&mut restarted);
        prop_assert_eq!(whole.meta, saved.meta);
        prop_assert_eq!(whole.chunks, saved.chunks);
    }
}
