//! When the certificates that the daemon shows expire.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The end of each certificate, by the setting that names its file.
#[derive(Debug, Default)]
pub(crate) struct CertificateTelemetry {
    expiry: Family<[(&'static str, String); 1], Gauge>,
}

impl CertificateTelemetry {
    /// Sets when the certificate of a setting expires, in seconds since 1970.
    pub(crate) fn expires(&self, setting: &str, seconds: u64) {
        let gauge = self.expiry.get_or_create(&[("setting", setting.to_owned())]);
        gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Removes all values: the settings are others.
    pub(crate) fn forget(&self) {
        self.expiry.clear();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "When a certificate that this daemon shows to clients or servers expires, by its setting";
        registry.register_with_unit("certificate_expiry_timestamp", help, Unit::Seconds, self.expiry.clone());
    }
}
