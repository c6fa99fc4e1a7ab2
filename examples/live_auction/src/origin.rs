//! Which addresses this application answers to, and whether a request comes from its own pages.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};

/// The origins of the application, as a browser writes them: `https://auctions.example`, without a path.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Arc<[String]>);

impl Origins {
    pub(crate) fn new(origins: Vec<String>) -> Self {
        Self(origins.into())
    }

    /// Whether the request names a host that is ours. A page of somebody else, whose name was made to point here, sends its own.
    pub(crate) fn is_our_host(&self, headers: &HeaderMap) -> bool {
        let host = only(headers, &header::HOST);
        host.is_some_and(|host| self.0.iter().any(|origin| host_of(origin) == host))
    }

    /// Whether the request was sent by a page of ours, on the host that it was sent to. Browsers send an `Origin` with every
    /// form and every WebSocket; a request without one is not from a browser's page, and is refused.
    ///
    /// A cookie says who asks, not whose page asks: other applications on the same machine are the "same site" to it,
    /// whatever their port.
    pub(crate) fn is_our_page(&self, headers: &HeaderMap) -> bool {
        let (origin, host) = (only(headers, &header::ORIGIN), only(headers, &header::HOST));
        let (Some(origin), Some(host)) = (origin, host) else {
            return false;
        };
        self.0.iter().any(|ours| ours == origin && host_of(ours) == host)
    }

    /// Whether browsers speak HTTPS with us, so that cookies can be kept to that.
    pub(crate) fn are_secure(&self) -> bool {
        self.0.iter().all(|origin| origin.starts_with("https://"))
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The host and port of an origin.
fn host_of(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

    use super::Origins;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_our_pages_on_our_hosts_are_ours() {
        let ours = Origins::new(vec!["http://a.test:1".to_owned(), "http://b.test:1".to_owned()]);
        let is_ours = |origin, host| {
            ours.is_our_page(&headers(&[(header::ORIGIN, origin), (header::HOST, host)]))
        };
        assert!(is_ours("http://a.test:1", "a.test:1"));
        assert!(is_ours("http://b.test:1", "b.test:1"));
        for (origin, host) in [
            ("http://b.test:1", "a.test:1"),
            ("http://a.test:2", "a.test:1"),
            ("https://a.test:1", "a.test:1"),
            ("http://evil.test", "a.test:1"),
            ("http://evil.test", "evil.test"),
            ("http://a.test:1.evil.test", "a.test:1"),
            ("null", "a.test:1"),
            ("", ""),
        ] {
            assert!(!is_ours(origin, host), "{origin} to {host}");
        }
        assert!(!ours.is_our_page(&headers(&[(header::HOST, "a.test:1")])));
        let twice = [
            (header::HOST, "a.test:1"),
            (header::ORIGIN, "http://a.test:1"),
            (header::ORIGIN, "http://evil.test"),
        ];
        assert!(!ours.is_our_page(&headers(&twice)));
        assert!(ours.is_our_host(&headers(&[(header::HOST, "b.test:1")])));
        assert!(!ours.is_our_host(&headers(&[(header::HOST, "evil.test")])));
        assert!(!ours.is_our_host(&HeaderMap::new()));
    }
}
