//! The form of a number or an address, by its kind.

use http::Uri;

use super::registry::Kind;

impl Kind {
    /// What a value of this kind has to be; `None` if it is.
    pub(super) fn mistake_in(self, value: &str) -> Option<&'static str> {
        let is_valid = match self {
            Kind::Phone => {
                let (number, extension) = value.split_once(" ext ").unwrap_or((value, "0"));
                is_number(number, 2) && !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_digit())
            }
            Kind::Whatsapp => is_number(value, 8),
            Kind::Email => is_email(value),
            Kind::Chat | Kind::Web => is_url(value),
        };
        let form = match self {
            Kind::Phone => {
                "a phone number has 2 to 15 digits, with spaces, hyphens, brackets, a + at the beginning, and perhaps \" ext \" \
                 and an extension"
            }
            Kind::Whatsapp => {
                "a number of WhatsApp has 8 to 15 digits, with spaces, hyphens, brackets or a + at the beginning"
            }
            Kind::Email => "an e-mail address has the form name@example.org",
            Kind::Chat | Kind::Web => "a chat or website is a URL of the form https://example.org/path",
        };
        (!is_valid).then_some(form)
    }

    /// The value without what makes no difference, to find the same one twice.
    pub(super) fn plain(self, value: &str) -> String {
        match self {
            Kind::Phone | Kind::Whatsapp => value.chars().filter(char::is_ascii_alphanumeric).collect(),
            Kind::Email => value.to_ascii_lowercase(),
            Kind::Chat | Kind::Web => value.trim_end_matches('/').to_ascii_lowercase(),
        }
    }
}

fn is_number(text: &str, min_digits: usize) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let rest = text.strip_prefix('+').unwrap_or(text);
    // Fifteen digits are the longest number there is (ITU-T E.164).
    (min_digits..=15).contains(&digits)
        && rest.starts_with(|first: char| first.is_ascii_digit() || first == '(')
        && rest.ends_with(|last: char| last.is_ascii_digit())
        && rest.bytes().all(|byte| byte.is_ascii_digit() || b" -()".contains(&byte))
}

fn is_email(text: &str) -> bool {
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"@,;<>\"()".contains(&byte))
    };
    text.split_once('@').is_some_and(|(user, host)| is_word(user) && is_word(host) && is_host(host))
}

fn is_url(text: &str) -> bool {
    let uri: Option<Uri> = text.parse().ok();
    let authority = uri.as_ref().filter(|uri| uri.scheme_str() == Some("https")).and_then(Uri::authority);
    authority.is_some_and(|authority| !authority.as_str().contains('@') && is_host(authority.host()))
}

/// Whether it is a name on the public Internet.
fn is_host(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    labels.len() > 1 && labels.iter().all(|label| !label.is_empty()) && host.parse::<std::net::IpAddr>().is_err()
}
