//! The interned names of keys.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

/// The names of the keys of a column, each with the number of objects that use it.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    uses: BTreeMap<Arc<str>, usize>,
}

impl Names {
    /// The interned name, with one more use.
    pub(super) fn take(&mut self, name: &str) -> Arc<str> {
        let held = self.uses.get_key_value(name).map(|(held, _)| Arc::clone(held));
        let name = held.unwrap_or_else(|| Arc::from(name));
        *self.uses.entry(Arc::clone(&name)).or_default() += 1;
        name
    }

    /// Removes one use of the name, and frees the name after the last.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(uses) = self.uses.get_mut(name) {
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(name);
            }
        }
    }

    /// The bytes of the texts with their counts, and of the entries. Does not count the overhead of the nodes of the
    /// map.
    pub(super) fn bytes(&self) -> usize {
        const COUNTS: usize = 2 * size_of::<usize>();
        self.uses.keys().map(|name| COUNTS + name.len() + size_of::<(Arc<str>, usize)>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_stored_once_until_no_object_uses_it() {
        let mut names = Names::default();
        let (first, second) = (names.take("blue"), names.take("blue"));
        assert!(Arc::ptr_eq(&first, &second));
        names.release("blue");
        assert!(Arc::ptr_eq(&first, &names.take("blue")), "one object still used it");
        names.release("blue");
        names.release("blue");
        assert_eq!((names.uses.len(), names.bytes()), (0, 0));
        names.release("blue");
        assert!(!Arc::ptr_eq(&first, &names.take("blue")));
    }
}
