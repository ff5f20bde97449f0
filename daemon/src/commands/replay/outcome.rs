//! The outcome of every record of a replay: the number by fate, with the remedies.

use proxy_uve::{Fate, Fates};

/// The records of a replay by outcome.
#[derive(Clone, Debug)]
pub(super) struct Outcome(Vec<(Fate, u64)>);

impl Outcome {
    /// The records between two states of the same counts.
    pub(super) fn between(before: &Fates, after: &Fates) -> Self {
        let count = |fate: &Fate| (*fate, after.count(*fate).saturating_sub(before.count(*fate)));
        Self(Fate::ALL.iter().map(count).collect())
    }

    fn count(&self, fate: Fate) -> u64 {
        self.0.iter().find(|(known, _)| *known == fate).map_or(0, |(_, count)| *count)
    }

    /// The number of records that were not aggregated.
    pub(super) fn left_out(&self) -> u64 {
        self.0.iter().filter(|(fate, _)| *fate != Fate::Aggregated).map(|(_, count)| count).sum()
    }

    /// The lines of the summary.
    pub(super) fn lines(&self) -> Vec<String> {
        let (aggregated, late, left_out) = (self.count(Fate::Aggregated), self.count(Fate::Late), self.left_out());
        let mut lines = vec![format!("{aggregated} records were aggregated, {left_out} were left out")];
        if late > 0 && late == aggregated + left_out {
            lines.push(format!(
                "all {late} records were late: the log has closed their windows already. If they were replayed into it \
                 before, nothing is missing; to compute them again, use another log.data_dir"
            ));
            return lines;
        }
        for &(fate, count) in self.0.iter().filter(|(_, count)| *count > 0) {
            lines.extend(reason(fate).map(|reason| format!("{count} records {reason}")));
        }
        lines
    }
}

/// Why records were left out, with the remedy; `None` for those that were not.
fn reason(fate: Fate) -> Option<&'static str> {
    Some(match fate {
        Fate::Aggregated => return None,
        Fate::Duplicate => "were applied before",
        Fate::Future => "have a timestamp ahead of their arrival by more than aggregation.allowed_skew; correct it",
        Fate::Late => {
            "were late: their windows were closed already, by this log's earlier input or by newer records before them; \
             sort the files by time, or raise aggregation.allowed_lateness"
        }
        Fate::MalformedKey => "have a key that is not of the form `table:name`",
        Fate::MalformedPayload => "have a payload that cannot be read",
        Fate::MalformedValue => "have a value that does not fit the type of the stream",
        Fate::OverLimit => {
            "belong to objects or sources over the limit; raise aggregation.max_objects_per_partition or \
             aggregation.max_sources_per_object, or log.partitions where many sources have long names"
        }
        Fate::Refused => {
            "are older than the newest record of their key in a ranged window, or a counter moved by more than its type \
             holds; sort the files by time"
        }
        _ => "were left out for another reason",
    })
}
