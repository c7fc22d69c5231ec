//! The pages that a person can leave to (`EXIT_URLS`).

use http::Uri;

use super::reader::Reader;

/// Bytes of a URL: a form that names it has 1,024, and a browser writes up to three for each byte of the URL.
const MAX_BYTES: usize = 200;

/// At least one, the default first.
pub(super) fn read(reader: &mut Reader) -> Vec<String> {
    let text = reader.text("EXIT_URLS");
    let mut urls = Vec::new();
    for url in text.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        if let Some(problem) = problem_with(url) {
            reader.problem("EXIT_URLS", format_args!("{problem}; a comma separates URLs, and is %2C inside one"));
        }
        urls.push(url.to_owned());
    }
    if urls.is_empty() {
        reader.problem("EXIT_URLS", "it names no URL");
    }
    urls
}

/// Why nobody can leave to this URL; `None` where people can.
pub(super) fn problem_with(url: &str) -> Option<String> {
    if url.len() > MAX_BYTES {
        return Some(format!("\"{url}\" has more than {MAX_BYTES} bytes"));
    }
    let form = "is not a URL such as https://www.example.org/, with http or https, and without spaces and quotes";
    (!is_page(url)).then(|| format!("\"{url}\" {form}"))
}

/// Whether it is an absolute URL that a header field and an attribute of HTML can hold as it is.
fn is_page(url: &str) -> bool {
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte));
    let uri = url.parse::<Uri>().ok().filter(|_| is_plain);
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}
