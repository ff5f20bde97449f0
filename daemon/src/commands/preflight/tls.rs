//! Whether the files of TLS that the configuration names can be used, as they are now.

use daemon_base::listener::ServerTls;

use crate::config::{Survey, tls};
use crate::settings;

/// Adds a problem for each file that a client or a listener cannot use.
pub(super) fn check(survey: &mut Survey) {
    if let Err((key, problem)) = settings::listeners(&survey.config.http) {
        survey.add_problem(key, &problem);
    }
    if let Some(Err(problem)) = survey.config.contiv.listen_tls.clone().map(ServerTls::read) {
        survey.add_problem("contiv.listen_tls", &problem);
    }
    for (section, files) in tls::clients(&survey.config) {
        if let Err((key, problem)) = files.read() {
            survey.add_problem(&format!("{section}.{key}"), &problem);
        }
    }
}
