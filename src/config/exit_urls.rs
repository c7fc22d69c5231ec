//! `EXIT_URLS`: the pages that a person can leave to.

use http::Uri;

use super::reader::Reader;

/// At least one, the default first.
pub(super) fn read(reader: &mut Reader) -> Vec<String> {
    let text = reader.text("EXIT_URLS");
    let mut urls = Vec::new();
    for url in text.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        if !is_page(url) {
            let form = "is not a URL such as https://www.example.org/, with http or https, and without spaces and quotes; a comma separates URLs, and is %2C inside one";
            reader.problem("EXIT_URLS", format_args!("\"{url}\" {form}"));
        }
        urls.push(url.to_owned());
    }
    if urls.is_empty() {
        reader.problem("EXIT_URLS", "it names no URL");
    }
    urls
}

/// Whether it is an absolute URL that a header field and an attribute of HTML can hold as it is.
fn is_page(url: &str) -> bool {
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte));
    let uri = url.parse::<Uri>().ok().filter(|_| is_plain);
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}
