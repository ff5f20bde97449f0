//! Whether the files of secrets that the configuration names can be read, as they are now.

use std::io::{Error, ErrorKind};
use std::path::Path;

use daemon_base::setting::file::read_text;

use crate::config::{Config, LogKind, Survey, keys, notice};

/// The ends of the keys that name a file with a secret.
const KINDS: [&str; 3] = [".password_file", ".secret_file", ".token_file"];

/// Adds a problem for each file that a part of the daemon would read and cannot, and a notice for one without a secret.
pub(super) fn check(survey: &mut Survey) {
    for key in keys::all() {
        let Some(path) = survey.effective.text(&key).filter(|_| is_secret(&key)).map(str::to_owned) else { continue };
        if !is_in_use(survey, &key) {
            continue;
        }
        match read_text(Path::new(&path)) {
            Err(error) => survey.add_problem(&key, &unreadable(&path, &error)),
            Ok(text) if !text.trim_end_matches(['\r', '\n']).is_empty() => {}
            // A signature with an empty key is anybody's.
            Ok(_) if key.ends_with(".secret_file") => {
                survey.add_problem(&key, &format!("{path} is empty; write the secret into it, or remove the setting"));
            }
            Ok(_) => survey.notices.push(notice!("{key}: {path} is empty, so an empty secret is sent; write it there")),
        }
    }
}

fn is_secret(key: &str) -> bool {
    KINDS.iter().any(|kind| key.ends_with(kind))
}

fn unreadable(path: &str, error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("{path} does not exist; create it, or correct the path"),
        // The text names owner, mode and remedy.
        _ => format!("{path} cannot be read: {error}"),
    }
}

/// Whether a part of the daemon reads the file of this key: a sink with a URL, a poller with servers, Kafka if it is used.
fn is_in_use(survey: &Survey, key: &str) -> bool {
    let Config { log, opserver, sinks, .. } = &survey.config;
    match key.rsplit_once('.') {
        Some(("kafka", _)) => log.kind == LogKind::Kafka || sinks.redis.uve_topics.is_some(),
        Some(("opserver", _)) => !opserver.servers.is_empty(),
        Some((section, _)) => survey.effective.text(&format!("{section}.url")).is_some(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_secret_is_of_one_of_the_kinds_and_of_a_section_that_is_known() {
        let known = ["kafka", "opserver"];
        let certificates = ["ca_file", "certificate_file", "key_file", "tokens_file"];
        for key in keys::all().into_iter().filter(|key| key.ends_with("_file")) {
            let is_certificate = certificates.iter().any(|name| key.ends_with(&format!(".{name}")));
            assert!(is_certificate != is_secret(&key), "is {key} a secret?");
            let section = key.rsplit_once('.').map(|(section, _)| section).unwrap_or_default();
            let has_url = keys::all().contains(&format!("{section}.url"));
            assert!(is_certificate || known.contains(&section) || has_url, "when is {key} used?");
        }
    }
}
