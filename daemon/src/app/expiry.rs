//! The expiry of the certificates that the daemon shows: a metric, and a message before the end.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::certificate::expiry;
use daemon_base::clock::Clock;
use daemon_base::setting::file;
use daemon_base::stop::Stop;
use tracing::{error, warn};

use crate::telemetry::CertificateTelemetry;

/// How often the files are polled. A listener takes a new certificate within a second; the metric may come later. A client
/// takes it when the configuration is read again, and then this begins anew.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long before the end the messages begin: time enough for a renewal by hand over a holiday.
const NOTICE_SECONDS: u64 = 14 * DAY;

const DAY: u64 = 24 * 3600;

/// A certificate that the daemon shows to clients or servers.
#[derive(Clone, Debug)]
pub(crate) struct OwnCertificate {
    /// The setting that names its file.
    pub setting: String,
    /// The file.
    pub path: PathBuf,
    /// Whether a new file is in use within a second. Otherwise it is when the configuration is read again.
    pub is_reloaded: bool,
}

/// The certificates that are watched.
pub(super) struct Expiry(Vec<Watched>);

struct Watched {
    /// The setting that names the file.
    setting: String,
    path: PathBuf,
    /// Whether a new file is in use without a change of the configuration.
    is_reloaded: bool,
    version: Option<file::Version>,
    /// The day since 1970 of the last message.
    reported: Option<u64>,
    ends: Option<u64>,
}

impl Expiry {
    pub(super) fn new(certificates: &[OwnCertificate]) -> Self {
        let watched = |certificate: &OwnCertificate| Watched {
            setting: certificate.setting.clone(),
            path: certificate.path.clone(),
            is_reloaded: certificate.is_reloaded,
            version: None,
            reported: None,
            ends: None,
        };
        Self(certificates.iter().map(watched).collect())
    }

    /// Watches until the stop.
    pub(super) fn watch(&mut self, telemetry: &CertificateTelemetry, clock: &dyn Clock, stop: &Stop) {
        loop {
            self.look(telemetry, clock.now_micros() / 1_000_000);
            if !stop.rest(INTERVAL) {
                return;
            }
        }
    }

    /// Reads what has changed; reports at second `now` since 1970 what expires soon, once a day for each.
    fn look(&mut self, telemetry: &CertificateTelemetry, now: u64) {
        for watched in &mut self.0 {
            watched.read();
            if let Some(ends) = watched.ends {
                telemetry.expires(&watched.setting, ends);
            }
            if let Some(notice) = watched.notice(now) {
                watched.log(notice);
            }
        }
    }
}

/// What a message is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Notice {
    /// It has expired so many days ago.
    Expired { days: u64 },
    /// It expires in so many days.
    Soon { days: u64 },
}

impl Watched {
    fn read(&mut self) {
        // The end is that of the certificate in use, whatever the file has now.
        if self.ends.is_some() && !self.is_reloaded {
            return;
        }
        let version = file::version(&self.path);
        if version == self.version {
            return;
        }
        // A file that cannot be read is reported by the part that uses it.
        if let Some(ends) = file::read_regular(&self.path).ok().and_then(|pem| expiry(&pem)) {
            (self.ends, self.reported) = (Some(ends), None);
        }
        self.version = version;
    }

    /// What is to be logged at second `now` since 1970, once on each day.
    fn notice(&mut self, now: u64) -> Option<Notice> {
        let ends = self.ends?;
        let today = Some(now / DAY);
        if ends > now.saturating_add(NOTICE_SECONDS) || self.reported == today {
            return None;
        }
        self.reported = today;
        Some(match ends.checked_sub(now) {
            Some(left) => Notice::Soon { days: left / DAY },
            None => Notice::Expired { days: (now - ends) / DAY },
        })
    }

    fn log(&self, notice: Notice) {
        let (setting, file) = (&self.setting, self.path.display());
        let then = if self.is_reloaded { "" } else { ", then read the configuration again (SIGHUP)" };
        match notice {
            Notice::Expired { days } => error!(
                setting, %file, days,
                "A certificate of this daemon has expired: connections that check it fail. Replace it and its key{then}."
            ),
            Notice::Soon { days } => {
                warn!(setting, %file, days, "A certificate of this daemon expires soon. Replace it and its key{then}.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_comes_once_a_day_from_14_days_before_the_end_on_and_ends_with_a_new_certificate() {
        let end = 100 * DAY;
        let mut watched = Watched {
            setting: "http.listeners 1".to_owned(),
            path: PathBuf::new(),
            is_reloaded: true,
            version: None,
            reported: None,
            ends: Some(end),
        };
        let soon = |days| Some(Notice::Soon { days });
        assert_eq!(watched.notice(end - 14 * DAY - 1), None);
        assert_eq!(watched.notice(end - 14 * DAY), soon(14));
        assert_eq!(watched.notice(end - 13 * DAY - 1), None, "the same day");
        assert_eq!(watched.notice(end - 13 * DAY), soon(13));
        assert_eq!(watched.notice(end - 1), soon(0));
        assert_eq!(watched.notice(end + 3 * DAY), Some(Notice::Expired { days: 3 }));
        watched.ends = Some(end + 400 * DAY);
        assert_eq!(watched.notice(end + 4 * DAY), None);
    }
}
