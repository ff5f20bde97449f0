//! Saving and restoring one object's state.
//!
//! ```text
//! words := [reading-seen reading] flags [closed-at] cell*
//! ```
//!
//! Only a counter has a reading, and only the form `Window` has `closed-at`.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::column::restore_reading;
use crate::number::Number;
use crate::saved::{RestoreError, STATE_VERSION, SavedState, Words};
use crate::spec::run::{CLOSED, DOWNSTREAM, SAMPLES};
use crate::spec::{Form, Spec, SpecLink};
use crate::state::{Flag, State};

impl Spec {
    /// Saves the state. A state of another spec is saved as the state before the first sample.
    pub fn save(&self, state: &State) -> SavedState {
        let mut words = Vec::new();
        self.save_words(state, &mut words);
        SavedState { version: STATE_VERSION, pipeline: self.identity(), algorithms: self.versions(), words }
    }

    /// The versions of the words that [`save_words`](Self::save_words) writes; store them with the words.
    pub fn versions(&self) -> Vec<u16> {
        self.links().map(SpecLink::state_version).collect()
    }

    /// Appends the words of the state, as in [`save`](Self::save), for callers that store versions and identity
    /// elsewhere.
    pub fn save_words(&self, state: &State, words: &mut Vec<u64>) {
        let state = if self.owns(state) { state } else { &self.start };
        if self.reading.is_some() {
            let reading = self.reading_of(state);
            words.extend(reading.map_or([0, 0], |reading| [1, Number::bits(reading)]));
        }
        words.push(u64::from(state.flag(Flag::FromSamples)));
        if let Form::Window { closed_at, .. } = self.form {
            words.push(state.word(closed_at));
        }
        for (index, link, _) in self.cells() {
            link.link().save(state.cell(&self.layout, index), words);
        }
    }

    /// Restores a state, which continues bit for bit. Words of older versions of an algorithm are migrated.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] for a state of another pipeline or of a newer version, or with invalid words.
    pub fn restore(&self, saved: &SavedState) -> Result<State, RestoreError> {
        self.check_saved(saved.version, &saved.pipeline)?;
        let mut words = Words::new(&saved.words);
        let state = self.restore_words(&saved.algorithms, &mut words)?;
        words.finish()?;
        Ok(state)
    }

    /// Refuses a saved state of another layout or another pipeline.
    pub(crate) fn check_saved(&self, version: u16, pipeline: &str) -> Result<(), RestoreError> {
        if version != STATE_VERSION {
            return Err(RestoreError::Version { found: version });
        }
        let expected = self.identity();
        if pipeline != expected {
            return Err(RestoreError::WrongPipeline { expected, found: pipeline.to_string() });
        }
        Ok(())
    }

    /// Restores the words that [`save_words`](Self::save_words) wrote in `versions`.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] for invalid words, a newer version or missing words.
    pub fn restore_words(&self, versions: &[u16], words: &mut Words<'_>) -> Result<State, RestoreError> {
        if versions.len() != self.links().count() {
            return Err(RestoreError::invalid("number of versions", versions.len() as u64));
        }
        let mut state = self.start();
        if self.reading.is_some() {
            self.set_reading(&mut state, restore_reading(self.value_type, words)?);
        }
        const SAMPLED: &str = "samples in the newest period";
        let sampled = words.flag(SAMPLED)?;
        if sampled && !matches!(self.form, Form::Chain { .. }) {
            return Err(RestoreError::invalid(SAMPLED, 1));
        }
        state.set_flag(Flag::FromSamples, sampled);
        if let Form::Window { closed_at, .. } = self.form {
            state.set_word(closed_at, words.next("end of the closed period")?);
        }
        for (index, link, version) in self.cells() {
            link.link().restore(state.cell_mut(&self.layout, index), versions[version], words)?;
        }
        self.check_closed(&state)?;
        Ok(state)
    }

    /// Refuses the end of a closed period without a closed period.
    fn check_closed(&self, state: &State) -> Result<(), RestoreError> {
        let Form::Window { link, closed_at } = &self.form else {
            return Ok(());
        };
        match state.word(*closed_at) {
            0 => Ok(()),
            _ if !link.link().is_empty(state.cell(&self.layout, CLOSED)) => Ok(()),
            end => Err(RestoreError::invalid("end of the closed period", end)),
        }
    }

    /// The cells of a state, each with its link and the index of that link.
    fn cells(&self) -> impl Iterator<Item = (usize, &SpecLink, usize)> {
        let (first, closed): (_, Option<&SpecLink>) = match &self.form {
            Form::Inline(link) => (link, None),
            Form::Window { link, .. } => (link, Some(link)),
            Form::Chain { window, .. } => (window, None),
        };
        let closed = closed.map(|link| (CLOSED, link, 0));
        let downstream = self.links().enumerate().skip(1).map(|(index, link)| (DOWNSTREAM + index - 1, link, index));
        core::iter::once((SAMPLES, &**first, 0)).chain(closed).chain(downstream)
    }
}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use super::*;
    use crate::number::ValueType;
    use crate::spec::{Context, MetricKind, Silence};

    fn spec(annotation: &str) -> Spec {
        Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation")
    }

    fn sampled(spec: &Spec) -> State {
        let mut state = spec.start();
        spec.update(&mut state, 3, Number::U64(7)).expect("a good sample");
        state
    }

    #[test]
    fn a_state_is_saved_in_the_order_of_its_layout_and_restored() {
        let inline = spec("raw:DSSum");
        let window = spec("1-raw:DSSum");
        let chain = spec("1.DSSum.DSNone-raw:DSAnomaly:EWM:0.1");
        let counter =
            Spec::parse("raw:DSSum", Context::new(ValueType::U64).with_metric(MetricKind::Agg)).expect("a good one");
        let mut closed = sampled(&window);
        window.close(&mut closed, 9, Silence::Once);
        let mut silent = closed.clone();
        window.close(&mut silent, 10, Silence::Once);
        let mut passed = sampled(&chain);
        chain.close(&mut passed, 9, Silence::Once);
        // The sum and the count of one sample: in the open window, then in the closed one.
        let [sum, count] = [7, inline.save(&sampled(&inline)).words[2]];
        assert_eq!(inline.save(&sampled(&inline)).words, [0, sum, count]);
        assert_eq!(window.save(&sampled(&window)).words, [0, 0, sum, count, 0, 0]);
        assert_eq!(window.save(&closed).words, [0, 9, 0, 0, sum, count]);
        assert_eq!(counter.save(&counter.start()).words, [0, 0, 0, 0, 0]);
        assert_eq!(counter.save(&sampled(&counter)).words, [1, 7, 0, sum, count]);
        assert_eq!(chain.save(&passed).words[..5], [1, 0, 0, sum, count]);
        let states = [
            (&inline, inline.start()),
            (&inline, sampled(&inline)),
            (&window, window.start()),
            (&window, sampled(&window)),
            (&window, closed),
            (&window, silent),
            (&counter, counter.start()),
            (&counter, sampled(&counter)),
            (&chain, chain.start()),
            (&chain, passed),
        ];
        for (spec, state) in states {
            assert_eq!(spec.restore(&spec.save(&state)), Ok(state), "{spec}");
        }
    }

    #[test]
    fn a_saved_state_that_the_pipeline_cannot_have_is_refused() {
        let window = spec("1-raw:DSSum");
        let saved = window.save(&sampled(&window));
        let refused = |change: fn(&mut SavedState)| {
            let mut changed = saved.clone();
            change(&mut changed);
            window.restore(&changed).expect_err("another state")
        };
        let version = STATE_VERSION + 1;
        assert_eq!(refused(|saved| saved.version += 1), RestoreError::Version { found: version });
        assert_eq!(refused(|saved| saved.version -= 1), RestoreError::Version { found: version - 2 });
        let (expected, found) = (window.identity(), spec("1-raw:DSAvg").identity());
        let other = refused(|saved| saved.pipeline = spec("1-raw:DSAvg").identity());
        assert_eq!(other, RestoreError::WrongPipeline { expected, found });
        assert_eq!(refused(|saved| saved.algorithms.clear()), RestoreError::invalid("number of versions", 0));
        assert_eq!(refused(|saved| saved.algorithms.push(1)), RestoreError::invalid("number of versions", 2));
        // Only the values of a chain come from the samples of a period.
        assert_eq!(refused(|saved| saved.words[0] = 1), RestoreError::invalid("samples in the newest period", 1));
        assert_eq!(refused(|saved| saved.words[1] = 9), RestoreError::invalid("end of the closed period", 9));
        assert_eq!(refused(|saved| saved.words.push(0)), RestoreError::TooLong { extra: 1 });
        assert_eq!(refused(|saved| saved.words.truncate(5)), RestoreError::TooShort { field: "samples" });
    }

    #[test]
    fn a_state_of_another_spec_is_saved_as_the_start() {
        let sum = spec("raw:DSSum");
        assert_eq!(sum.save(&sampled(&spec("raw:DSAvg"))), sum.save(&sum.start()));
    }
}
