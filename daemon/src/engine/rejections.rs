//! The samples that the intake rejects, for the taps.

use daemon_partition::{RejectedSample, Tapped, Taps};
use daemon_sources::intake::{LineError, Rejections};
use proxy_uve::wire::WireSample;

/// Passes rejected samples to taps.
#[derive(Debug)]
pub(super) struct TappedRejections(pub Taps);

impl Rejections for TappedRejections {
    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn rejected(&self, stream: &str, key: &[u8], sample: &WireSample<'_>, reason: &LineError) {
        self.0.send(&Tapped::Rejected(RejectedSample { stream, key, sample, reason }));
    }
}
