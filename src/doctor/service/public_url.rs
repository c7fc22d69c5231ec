//! The public address of the service, as `--public-url` has it.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// `https://host`, or with a port; also `http://`, which the doctor then finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    is_https: bool,
    /// The host, with brackets around an IPv6 address.
    host: String,
    port: Option<u16>,
}

impl PublicUrl {
    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether Tor encrypts the way to it, whatever the scheme.
    pub(super) fn is_onion(&self) -> bool {
        self.host.to_ascii_lowercase().ends_with(".onion")
    }

    /// The address of the same host where browsers go without a scheme; `None` where this one has a port of its own.
    pub(super) fn plain(&self) -> Option<String> {
        (self.is_https && self.port.is_none_or(|port| port == 443)).then(|| format!("http://{}", self.host))
    }
}

impl fmt::Display for PublicUrl {
    /// Without a slash at its end.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

/// The text is no such URL.
#[derive(Debug, thiserror::Error)]
#[error("not a URL of the form https://host or https://host:port, without a user and a path")]
pub struct PublicUrlError;

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<PublicUrl, PublicUrlError> {
        let url: Uri = text.parse().map_err(|_| PublicUrlError)?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(PublicUrlError);
        };
        let has_port = authority.as_str().len() > authority.host().len();
        let is_whole = url.path() == "/" && url.query().is_none() && !text.contains(['#', '@']);
        if !is_whole || authority.host().is_empty() || has_port != authority.port_u16().is_some() {
            return Err(PublicUrlError);
        }
        Ok(PublicUrl { is_https: scheme == "https", host: authority.host().to_owned(), port: authority.port_u16() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_host_is_read_and_anything_else_is_refused() {
        for (text, written, plain) in [
            ("https://chat.example", "https://chat.example", Some("http://chat.example")),
            ("https://chat.example/", "https://chat.example", Some("http://chat.example")),
            ("https://chat.example:443", "https://chat.example:443", Some("http://chat.example")),
            ("https://[::1]:8443", "https://[::1]:8443", None),
            ("http://chat.example", "http://chat.example", None),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.plain().as_deref()), (written, plain), "{text}");
        }
        for text in
            ["chat.example", "ftp://a", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a:x", "/"]
        {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }
}
