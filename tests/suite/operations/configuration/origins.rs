//! `CORS_ALLOWED_ORIGINS`: what an origin is, and which are allowed where it is not set.

use safespace::config::AllowedOrigins;

use super::{problems, read};

fn allowed(list: &str) -> AllowedOrigins {
    read(&[("HOME", "/h"), ("CORS_ALLOWED_ORIGINS", list)]).allowed_origins
}

#[test]
fn origins_are_normalised_as_browsers_serialise_them() {
    for (list, expected) in [
        ("https://chat.example", vec!["https://chat.example"]),
        ("HTTPS://Chat.Example:443", vec!["https://chat.example"]),
        ("http://chat.example:80", vec!["http://chat.example"]),
        ("http://chat.example:443", vec!["http://chat.example:443"]),
        ("https://chat.example:8443", vec!["https://chat.example:8443"]),
        ("http://[0:0:0:0:0:0:0:1]:5173", vec!["http://[::1]:5173"]),
        ("http://[::1]", vec!["http://[::1]"]),
        ("http://192.0.2.1:5173", vec!["http://192.0.2.1:5173"]),
        (",https://a.example,,", vec!["https://a.example"]),
        ("https://xn--mnchen-3ya.example", vec!["https://xn--mnchen-3ya.example"]),
        (" https://a.example , https://b.example,https://A.example", vec!["https://a.example", "https://b.example"]),
    ] {
        assert_eq!(allowed(list), AllowedOrigins::Listed(expected.into_iter().map(str::to_owned).collect()), "{list}");
    }
}

#[test]
fn what_is_no_origin_is_refused_by_name() {
    let long = format!("https://{}.example", "a".repeat(250));
    let many: Vec<String> = (1..=101).map(|port| format!("https://a.example:{port}")).collect();
    for (list, problem) in [
        ("*", "name the origins"),
        ("null", "name the origins"),
        ("http://[::ffff:192.0.2.1]", "write it as IPv4"),
        ("chat.example", "http:// or https://"),
        ("ftp://chat.example", "http:// or https://"),
        ("https://", "has a host that is empty"),
        ("https://chat.example/", "has a path"),
        ("https://chat.example/app", "has a path"),
        ("https://chat.example?x", "has a path"),
        ("https://chat.example#x", "has a path"),
        ("https://user@chat.example", "has a user"),
        ("https://*.chat.example", "has a host that"),
        ("https://münchen.example", "xn--"),
        ("https://a b.example", "has a host that"),
        ("https://chat.example:", "from 1 to 65535"),
        ("https://chat.example:0", "from 1 to 65535"),
        ("https://chat.example:65536", "from 1 to 65535"),
        ("https://chat.example:+80", "from 1 to 65535"),
        ("http://::1:5173", "IPv6 address in brackets"),
        ("http://[fe80::1%25eth0]", "IPv6 address in brackets"),
        ("http://[::1]x", "from 1 to 65535"),
        ("http://[::g]", "has a host that"),
        ("http://127.0.0.256", "IPv4"),
        (&long, "254 characters"),
        (&many.join(","), "100 at most"),
    ] {
        let found = problems(&[("HOME", "/h"), ("CORS_ALLOWED_ORIGINS", list)]);
        let is_found = |text: &String| text.starts_with("CORS_ALLOWED_ORIGINS: ") && text.contains(problem);
        assert!(found.len() == 1 && is_found(&found[0]), "{list}: {found:?}");
    }
}

#[test]
fn without_the_variable_local_origins_are_allowed_in_development_and_none_in_production() {
    let production = [("ENVIRONMENT", "production"), ("DATABASE_URL", "postgres://u:p@h/d")];
    let (development, production) = (read(&[("HOME", "/h")]).allowed_origins, read(&production).allowed_origins);
    assert!(production.is_empty() && !development.is_empty());
    for (origin, is_local) in [
        ("http://localhost", true),
        ("http://localhost:5173", true),
        ("https://localhost:65535", true),
        ("http://127.0.0.1:3000", true),
        ("https://[::1]:5173", true),
        ("http://localhost:0", false),
        ("http://localhost:65536", false),
        ("http://localhost:05173", false),
        ("http://localhost:", false),
        ("http://localhost:5173/", false),
        ("http://localhost.evil.example", false),
        ("http://localhost5", false),
        ("http://127.0.0.1.evil.example:80", false),
        ("http://127.0.0.2", false),
        ("HTTP://localhost", false),
        ("ftp://localhost", false),
        ("https://chat.example", false),
        ("null", false),
        ("", false),
    ] {
        assert_eq!((development.contains(origin), production.contains(origin)), (is_local, false), "{origin}");
    }
    let listed = allowed("https://chat.example");
    assert!(listed.contains("https://chat.example") && !listed.contains("http://localhost:5173"));
}
