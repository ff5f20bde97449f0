//! The liveness of one object.

/// One object's liveness in a window group. An object that is not alive has no proxy UVE.
///
/// 0 for an object that is not alive, else one more than its idle periods in a row: 4 bytes, because each object has
/// one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Liveness(u32);

/// The most idle periods that are counted, and so the longest timeout.
pub(in crate::table) const MAX_SILENT: u32 = u32::MAX - 1;

impl Liveness {
    /// Alive, and silent for so many periods; they stop at [`MAX_SILENT`].
    pub(super) fn after(silent: u32) -> Self {
        Self(silent.saturating_add(1))
    }

    pub(super) fn is_alive(self) -> bool {
        self.0 > 0
    }

    /// The liveness after one more window.
    pub(super) fn after_window(self, touched: bool, timeout: u32) -> Self {
        if touched {
            return Self::after(0);
        }
        if !self.is_alive() {
            return self;
        }
        let silent = self.silent() + 1;
        if timeout > 0 && silent >= timeout { Self::default() } else { Self::after(silent) }
    }

    /// Silent periods in a row; 0 for an object that is not alive.
    pub(super) fn silent(self) -> u32 {
        self.0.saturating_sub(1)
    }
}

/// The liveness of 64 objects after a window, one bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::table) struct LivenessChange {
    /// Had samples in the window, or are silent for less than the timeout.
    pub(in crate::table) alive: u64,
    /// Were alive and have reached the timeout: the proxy UVE is deleted now.
    pub(in crate::table) deleted: u64,
}
