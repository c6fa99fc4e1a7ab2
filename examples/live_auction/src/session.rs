//! Who is asking: a signed cookie, and the token that shows that a form is from a page of that session.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::{HeaderMap, header, request::Parts};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::app::App;
use crate::failure::Failure;

/// The name of the cookie. Under HTTPS, with one user for a browser and the path `/`, call it `__Host-session`.
const COOKIE: &str = "live_auction";
const LASTS: Duration = Duration::from_secs(12 * 3_600);

/// Signs texts, so that whoever brings one back cannot have changed it.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a secret of any length"))
    }

    /// The purpose is signed, too: a tag for one of them is none for another.
    fn over(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [purpose, "\0", text] {
            mac.update(part.as_bytes());
        }
        mac
    }

    fn sign(&self, purpose: &str, text: &str) -> String {
        hex::encode(self.over(purpose, text).finalize().into_bytes())
    }

    /// Compares in a time that tells nothing of the right tag.
    fn is_signed(&self, purpose: &str, text: &str, tag: &str) -> bool {
        hex::decode(tag).is_ok_and(|tag| self.over(purpose, text).verify_slice(&tag).is_ok())
    }
}

/// A user who has signed in.
///
/// The demo keeps a session for each user and not for each browser: the pages of `ann` live under `/as/ann`, and so does her
/// cookie. A tab can be ann's and the next one bob's. A host has one session for a browser, and no user in its paths.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    user: String,
    ends: Duration,
    /// What is signed: the user in hexadecimal, the end in seconds, and a number that no other session has.
    text: String,
}

impl Session {
    /// Begins a session, and gives the header that sets its cookie. Whether `user` is who they say is the caller's affair.
    pub(crate) fn begin(signer: &Signer, user: &str, secure: bool) -> Result<String, Failure> {
        let ends = now().saturating_add(LASTS).as_secs();
        let text = format!("{}.{ends}.{}", hex::encode(user), random()?);
        let tag = signer.sign("session", &text);
        let (age, secure) = (LASTS.as_secs(), if secure { "; Secure" } else { "" });
        Ok(format!("{COOKIE}={text}.{tag}; Path=/as/{user}; Max-Age={age}; {ATTRIBUTES}{secure}"))
    }

    /// The header that removes the cookie.
    pub(crate) fn end(&self) -> String {
        format!("{COOKIE}=; Path=/as/{}; Max-Age=0; {ATTRIBUTES}", self.user)
    }

    fn read(signer: &Signer, cookie: &str) -> Option<Self> {
        let (text, tag) = cookie.rsplit_once('.')?;
        if !signer.is_signed("session", text, tag) {
            return None;
        }
        let mut parts = text.split('.');
        let user = String::from_utf8(hex::decode(parts.next()?).ok()?).ok()?;
        let ends = Duration::from_secs(parts.next()?.parse().ok()?);
        let session = Self { user, ends, text: text.to_owned() };
        (!session.time_left().is_zero()).then_some(session)
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn time_left(&self) -> Duration {
        self.ends.saturating_sub(now())
    }

    /// What every form of this session carries. Another site can send a form here, with the cookie, but cannot read this.
    pub(crate) fn token(&self, signer: &Signer) -> String {
        signer.sign("form", &self.text)
    }

    pub(crate) fn check(&self, signer: &Signer, token: &str) -> Result<(), Failure> {
        match signer.is_signed("form", &self.text, token) {
            true => Ok(()),
            false => Err(Failure::WrongToken),
        }
    }
}

/// No script reads it, and no form of another site brings it. It comes with links from elsewhere.
const ATTRIBUTES: &str = "HttpOnly; SameSite=Lax";

/// The session of the user whose pages are asked for.
impl FromRequestParts<App> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let path = RawPathParams::from_request_parts(parts, app).await;
        let path = path.map_err(|_| Failure::NotSignedIn)?;
        let (_, user) =
            path.iter().find(|(name, _)| *name == "user").ok_or(Failure::NotSignedIn)?;
        // The path of a cookie keeps it from other pages, but defends nothing: whose it is says the signed text.
        cookies(&parts.headers)
            .filter_map(|cookie| Session::read(&app.signer, cookie))
            .find(|session| session.user == user)
            .ok_or(Failure::NotSignedIn)
    }
}

/// The values of our cookies in a request: there may be some for several paths.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let headers = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = headers.flat_map(|cookies| cookies.split(';'));
    pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A text that nobody can guess and that is not there yet: also the key of a form, under which it counts once.
pub(crate) fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Failure::NoRandomness)?;
    Ok(hex::encode(bytes))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a session ends by this machine's clock; bids are judged by the ledger's"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{COOKIE, Session, Signer};

    fn cookie(signer: &Signer, user: &str) -> String {
        let header = Session::begin(signer, user, true).unwrap();
        let value = header.split(';').next().unwrap();
        value.strip_prefix(COOKIE).unwrap().strip_prefix('=').unwrap().to_owned()
    }

    #[test]
    fn a_cookie_is_read_as_it_was_signed() {
        let signer = Signer::new(b"a secret");
        let cookie = cookie(&signer, "ann");
        let session = Session::read(&signer, &cookie).unwrap();
        assert_eq!(session.user(), "ann");
        assert!(Session::read(&Signer::new(b"another secret"), &cookie).is_none());
        for at in 0..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            // Capital letters and small ones are the same digits of a tag; here there are only other digits.
            assert!(Session::read(&signer, &forged).is_none(), "{forged}");
        }
    }

    #[test]
    fn a_session_ends() {
        let signer = Signer::new(b"a secret");
        let text = format!("{}.1000.00", hex::encode("ann"));
        let tag = signer.sign("session", &text);
        assert!(Session::read(&signer, &format!("{text}.{tag}")).is_none());
    }

    #[test]
    fn a_token_is_of_its_session_only() {
        let signer = Signer::new(b"a secret");
        let read = |user| Session::read(&signer, &cookie(&signer, user)).unwrap();
        let (first, second) = (read("ann"), read("ann"));
        assert!(first.check(&signer, &first.token(&signer)).is_ok());
        assert!(first.check(&signer, &second.token(&signer)).is_err());
        assert!(first.check(&signer, "").is_err());
        let tag_of_the_cookie = signer.sign("session", &first.text);
        assert!(first.check(&signer, &tag_of_the_cookie).is_err());
    }
}
