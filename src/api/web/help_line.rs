//! A help line as a link.

use crate::resources::{Kind, Resource};
use crate::web::HelpLine;

/// Calling codes of countries (ITU-T E.164) whose numbers begin with a 0 at home.
const CALLING_CODES: [(&str, &str); 1] = [("ID", "62")];

pub(super) fn help_line(line: &Resource, verified: bool) -> HelpLine<'_> {
    let value = &line.value;
    let label = if line.kind == Kind::Whatsapp { format!("WhatsApp {value}") } else { value.clone() };
    let href = match line.kind {
        Kind::Phone => Some(telephone(value)),
        Kind::Whatsapp => whatsapp(value, &line.country),
        Kind::Email => Some(format!("mailto:{value}")),
        Kind::Chat | Kind::Web => Some(value.clone()),
    };
    HelpLine { id: &line.id, name: &line.name, label, href, hours: &line.hours, verified }
}

/// The comma is a pause, after which a telephone dials the extension.
fn telephone(value: &str) -> String {
    let (number, extension) = value.split_once(" ext ").unwrap_or((value, ""));
    let separator = if extension.is_empty() { "" } else { "," };
    format!("tel:{}{separator}{extension}", digits(number))
}

/// WhatsApp needs the number with its calling code. `None` where that is not known.
fn whatsapp(value: &str, country: &str) -> Option<String> {
    let digits = digits(value);
    if let Some(international) = digits.strip_prefix('+') {
        return Some(format!("https://wa.me/{international}"));
    }
    let (_, code) = CALLING_CODES.iter().find(|(own, _)| *own == country)?;
    digits.strip_prefix('0').map(|national| format!("https://wa.me/{code}{national}"))
}

fn digits(value: &str) -> String {
    value.chars().filter(|char| char.is_ascii_digit() || *char == '+').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Registry;

    fn registry() -> Registry {
        Registry::load(None).expect("the embedded help lines are valid")
    }

    #[test]
    fn each_kind_of_help_line_is_a_link_that_opens_it() {
        let registry = registry();
        for kind in [Kind::Phone, Kind::Whatsapp, Kind::Email, Kind::Chat, Kind::Web] {
            for resource in registry.resources.iter().filter(|resource| resource.kind == kind) {
                let line = help_line(resource, false);
                let href = line.href.expect("each embedded one can be opened");
                let (scheme, rest) = href.split_once(':').expect("a scheme");
                let national = resource.value.trim_start_matches('0').replace(['-', ' ', '(', ')'], "");
                match kind {
                    Kind::Phone => assert!(scheme == "tel" && rest.bytes().all(|it| b"+,0123456789".contains(&it))),
                    Kind::Whatsapp => {
                        assert_eq!(format!("//wa.me/62{national}"), rest);
                        assert_eq!(line.label, format!("WhatsApp {}", resource.value));
                    }
                    Kind::Email => assert_eq!((scheme, rest), ("mailto", resource.value.as_str())),
                    Kind::Chat | Kind::Web => assert_eq!(href, resource.value),
                }
            }
        }
    }

    #[test]
    fn an_extension_follows_a_pause() {
        for (value, href) in [("1 ext 8", "tel:1,8"), ("(1) 2-3", "tel:123"), ("+1 2", "tel:+12")] {
            assert_eq!(telephone(value), href);
        }
    }

    #[test]
    fn a_number_of_whatsapp_without_a_known_calling_code_is_no_link() {
        for (value, country, href) in [
            ("+1 2", "XX", Some("https://wa.me/12")),
            ("+1 2", "ID", Some("https://wa.me/12")),
            ("0-1", "ID", Some("https://wa.me/621")),
            ("0-1", "XX", None),
            ("1 2", "ID", None),
        ] {
            assert_eq!(whatsapp(value, country).as_deref(), href, "{value} {country}");
        }
    }
}
