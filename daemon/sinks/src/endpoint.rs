//! The endpoint of a sink that makes HTTP requests: its URL, its credentials, and the authorities of its certificate.

use std::path::Path;

use daemon_base::outbound::{Authorization, ClientTlsFiles, TlsFileProblem};
use daemon_base::setting::Secret;
use daemon_base::setting::address::is_https;
use http::Uri;
use ureq::tls::TlsConfig;

/// The secret of a setting, or of the file that the setting `key` names.
pub(crate) fn secret(given: Option<&Secret>, file: Option<&Path>, key: &str) -> anyhow::Result<Option<Secret>> {
    match file {
        Some(path) => Secret::from_file(path, key).map(Some),
        None => Ok(given.cloned()),
    }
}

/// The secret with which a webhook of this section signs. An empty one would be anybody's.
pub(crate) fn signing_key(
    given: Option<&Secret>,
    file: Option<&Path>,
    section: &str,
) -> anyhow::Result<Option<Secret>> {
    let secret = secret(given, file, &format!("{section}.secret_file"))?;
    anyhow::ensure!(
        secret.as_ref().is_none_or(|secret| !secret.reveal().is_empty()),
        "{section}: the secret is empty; write it into the file, or remove secret_file"
    );
    Ok(secret)
}

/// The problems with the two settings of a signing key, each with its key.
pub(crate) fn signing_key_problems(given: Option<&Secret>, file: Option<&Path>) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if given.is_some() && file.is_some() {
        problems.push(("secret_file", "secret and secret_file exclude each other; keep one".to_owned()));
    }
    if given.is_some_and(|secret| secret.reveal().is_empty()) {
        problems.push(("secret", "it is empty; write the secret, or remove the setting".to_owned()));
    }
    problems
}

/// Whether a request to a URL goes over the network without encryption.
pub(crate) fn is_in_clear(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    !local && uri.is_some_and(|uri| uri.scheme_str() == Some("http"))
}

/// The TLS of a client of the server at `url`, with the files of `section`.
pub(crate) fn tls(url: &str, files: &ClientTlsFiles, section: &str) -> anyhow::Result<TlsConfig> {
    if is_https(url) { files.config(section) } else { Ok(TlsConfig::default()) }
}

/// What is wrong with the files of a section whose server has this URL, each with its key.
pub(crate) fn tls_problems(url: &str, files: &ClientTlsFiles) -> Vec<TlsFileProblem> {
    files.problems(is_https(url), "a url with http uses no certificate; write https")
}

/// Validates the URL of an endpoint. The problem never shows the URL, which may contain a password or a token.
///
/// # Errors
///
/// A text with what is expected, and `example`.
pub(crate) fn check_url(url: &str, example: &str) -> Result<(), String> {
    let uri = url.parse::<Uri>().ok();
    let is_http = uri.as_ref().and_then(Uri::scheme_str).is_some_and(|scheme| matches!(scheme, "http" | "https"));
    let authority = uri.as_ref().and_then(Uri::authority).map(http::uri::Authority::as_str);
    if is_http && authority.is_some_and(|authority| !authority.contains('@')) && !url.contains('#') {
        Ok(())
    } else {
        Err(format!("expected a URL without credentials such as {example:?}"))
    }
}

/// Gives a section its `credentials`, from the keys of a user with a password and of a token. `tenant` is named for a section
/// that has that key, too.
macro_rules! has_credentials {
    ($section:ty $(, $tenant:ident)?) => {
        impl $section {
            pub(crate) fn credentials(&self) -> $crate::endpoint::Credentials<'_> {
                let credentials = $crate::endpoint::Credentials {
                    user: self.user.as_deref(),
                    password: self.password.as_ref(),
                    password_file: self.password_file.as_deref(),
                    token: self.token.as_ref(),
                    token_file: self.token_file.as_deref(),
                    tenant: None,
                };
                $(let credentials =
                    $crate::endpoint::Credentials { tenant: self.$tenant.as_deref(), ..credentials };)?
                credentials
            }
        }
    };
}
pub(crate) use has_credentials;

/// The keys with the credentials of a section: a user with a password, or a token, and a tenant.
#[derive(Clone, Copy)]
pub(crate) struct Credentials<'c> {
    pub user: Option<&'c str>,
    pub password: Option<&'c Secret>,
    pub password_file: Option<&'c Path>,
    pub token: Option<&'c Secret>,
    pub token_file: Option<&'c Path>,
    pub tenant: Option<&'c str>,
}

impl Credentials<'_> {
    /// The keys that others require or exclude, each with a text with the remedy.
    pub(crate) fn problems(self) -> impl Iterator<Item = (&'static str, String)> {
        let Self { user, password, password_file, token, token_file, tenant } = self;
        let has_password = password.is_some() || password_file.is_some();
        let has_token = token.is_some() || token_file.is_some();
        let wrong = [
            ("user", user.is_some() && !has_password, "the user has no password; set password_file too"),
            (
                "user",
                user.is_some_and(|user| user.contains(':')),
                "a user of basic authentication cannot contain `:`; use another user",
            ),
            (
                if password.is_some() { "password" } else { "password_file" },
                user.is_none() && has_password,
                "there is no user for the password; set user too",
            ),
            ("password_file", password.is_some() && password_file.is_some(), "password is set too; remove one of them"),
            ("token_file", token.is_some() && token_file.is_some(), "token is set too; remove one of them"),
            (
                if token.is_some() { "token" } else { "token_file" },
                has_token && has_password,
                "a request has either a user or a token; remove one of them",
            ),
            (
                "tenant",
                tenant.is_some_and(|tenant| !is_visible(tenant)),
                "expected visible ASCII characters without blanks",
            ),
        ];
        wrong.into_iter().filter(|&(_, is_wrong, _)| is_wrong).map(|(key, _, text)| (key, text.to_owned()))
    }

    /// Whether there is a secret.
    pub(crate) fn has_secret(self) -> bool {
        let Self { password, password_file, token, token_file, .. } = self;
        password.is_some() || password_file.is_some() || token.is_some() || token_file.is_some()
    }

    /// The headers of every request, with the secrets of the files; `section` is the name of the section.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or has invalid content.
    pub(crate) fn headers(self, section: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut headers = Vec::new();
        let password = secret(self.password, self.password_file, &format!("{section}.password_file"))?;
        if let Some((user, password)) = self.user.zip(password) {
            headers.push(("authorization", Authorization::basic(user, password.reveal()).header().to_owned()));
        }
        if let Some(token) = secret(self.token, self.token_file, &format!("{section}.token_file"))? {
            anyhow::ensure!(
                is_visible(token.reveal()),
                "{section}.token_file: the token is empty or has a character that is not visible ASCII; write the token \
                 alone"
            );
            headers.push(("authorization", format!("Bearer {}", token.reveal())));
        }
        headers.extend(self.tenant.map(|tenant| ("x-scope-orgid", tenant.to_owned())));
        Ok(headers)
    }
}

/// Whether a text is not empty and has visible ASCII characters only, as a header may have.
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
