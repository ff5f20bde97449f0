//! The sessions of browsers: a login gives a cookie in place of the token, which the browser then does not keep.
//!
//! The cookie is 256 random bits; the server has its hash in memory, with the hash of the token. A session ends after
//! [`MAX_AGE`], with the logout, with the daemon, and once its token is not in the file any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};

use crate::tokens::{Token, TokenHash, hash_of};

/// How long a session lasts.
pub(super) const MAX_AGE: Duration = Duration::from_secs(12 * 3600);

/// The most sessions of a token: its oldest ends for a new one, so that one that is used by many ends no other's.
const MAX_SESSIONS_OF_TOKEN: usize = 256;

/// The name of the cookie.
const COOKIE: &str = "derived-statsd-session";

/// The sessions of a server.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<TokenHash, Session>>);

#[derive(Clone, Copy, Debug)]
struct Session {
    /// Of the token that the browser has logged in with.
    token: TokenHash,
    /// By the monotonic clock.
    end: Duration,
}

impl Sessions {
    /// Begins a session with a token at monotonic time `now`; returns the value of the header `Set-Cookie`.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub(super) fn begin(&self, token: TokenHash, now: Duration, is_secure: bool) -> std::io::Result<String> {
        let id = Token::random()?;
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.end > now);
        let of_token = || sessions.iter().filter(|(_, session)| session.token == token);
        // Sessions of tokens that are not in the file any more have ended, so that the file bounds those of all tokens.
        if of_token().count() >= MAX_SESSIONS_OF_TOKEN
            && let Some(oldest) = of_token().min_by_key(|(_, session)| session.end).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(hash_of(id.reveal()), Session { token, end: now + MAX_AGE });
        Ok(cookie(id.reveal(), MAX_AGE, is_secure))
    }

    /// The token of the session of a cookie, if it has not ended by `now`.
    pub(super) fn token(&self, id: &TokenHash, now: Duration) -> Option<TokenHash> {
        self.lock().get(id).filter(|session| session.end > now).map(|session| session.token)
    }

    /// Ends the sessions of the tokens that are not there any more.
    pub(super) fn retain(&self, is_there: impl Fn(&TokenHash) -> bool) {
        self.lock().retain(|_, session| is_there(&session.token));
    }

    /// Ends the session of a cookie; returns the value of `Set-Cookie` that removes the cookie.
    pub(super) fn end(&self, id: Option<&TokenHash>, is_secure: bool) -> String {
        if let Some(id) = id {
            self.lock().remove(id);
        }
        cookie("", Duration::ZERO, is_secure)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of the session that the cookie of a request has.
pub(super) fn id_of(headers: &HeaderMap) -> Option<TokenHash> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| hash_of(id))
}

/// A cookie that no script reads, that under TLS no request without it has, and that a browser sends from a page of another
/// site only with a link that is followed, such as one of an alert. Of such a link comes a `GET`, which changes nothing.
/// Without a path it is for the folder of the login: behind a proxy, other applications of the host do not get it.
fn cookie(id: &str, age: Duration, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Max-Age={}; HttpOnly; SameSite=Lax{secure}", age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(cookie: &str) -> TokenHash {
        let mut headers = HeaderMap::new();
        let pair = cookie.split(';').next().unwrap();
        headers.insert(header::COOKIE, format!("a=b; {pair}; {COOKIE}x=y").parse().unwrap());
        id_of(&headers).unwrap()
    }

    #[test]
    fn a_session_ends_with_its_time_its_logout_and_for_newer_ones() {
        let sessions = Sessions::default();
        let token = hash_of("token");
        let at = Duration::from_secs;
        let first = sessions.begin(token, at(0), true).unwrap();
        assert!(first.ends_with("; Max-Age=43200; HttpOnly; SameSite=Lax; Secure"), "{first}");
        assert!(!first.contains("token"), "{first}");
        let second = sessions.begin(token, at(1), false).unwrap();
        assert!(!second.contains("Secure") && second != first, "{second}");
        assert_eq!(sessions.token(&id(&first), at(43_199)), Some(token));
        assert_eq!(sessions.token(&id(&first), at(43_200)), None);
        assert!(sessions.end(Some(&id(&second)), false).contains("session=; Max-Age=0"));
        assert_eq!(sessions.token(&id(&second), at(2)), None);
        assert_eq!(sessions.token(&hash_of(""), at(2)), None);
        for _ in 1..MAX_SESSIONS_OF_TOKEN {
            sessions.begin(token, at(3), false).unwrap();
        }
        assert_eq!(sessions.token(&id(&first), at(3)), Some(token));
        sessions.begin(token, at(4), false).unwrap();
        assert_eq!(sessions.token(&id(&first), at(4)), None, "the oldest has made room");
        assert_eq!(sessions.lock().len(), MAX_SESSIONS_OF_TOKEN);
    }

    #[test]
    fn the_logins_of_one_token_end_no_session_of_another() {
        let sessions = Sessions::default();
        let (other, token) = (hash_of("other"), hash_of("token"));
        let at = Duration::from_secs;
        let kept = sessions.begin(other, at(0), false).unwrap();
        for _ in 0..1025 {
            sessions.begin(token, at(1), false).unwrap();
        }
        assert_eq!(sessions.token(&id(&kept), at(2)), Some(other));
    }
}
