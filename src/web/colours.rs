//! The colours of the page on light and dark screens: the embedded ones, those of the operator, and whether they can be told apart.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml::Spanned;

use super::folder::Folder;
use crate::data_file::{self, FileError, Mistake, ensure, ensure_known};

/// The embedded colours.
const EMBEDDED: &str = include_str!("colours.toml");

/// WCAG 2.2, success criterion 1.4.3: text and what is behind it.
const TEXT: f64 = 4.5;

/// WCAG 2.2, success criterion 1.4.11: what shows where the keyboard is.
const FOCUS: f64 = 3.0;

/// Colours that must differ: one, the one behind it, and the lowest contrast.
const PAIRS: [(&str, &str, f64); 14] = [
    ("text", "background", TEXT),
    ("text", "surface", TEXT),
    ("text", "user_bubble", TEXT),
    ("text", "model_bubble", TEXT),
    ("muted", "background", TEXT),
    ("muted", "surface", TEXT),
    ("muted", "user_bubble", TEXT),
    ("muted", "model_bubble", TEXT),
    ("accent", "background", TEXT),
    ("accent", "surface", TEXT),
    ("on_accent", "accent", TEXT),
    ("on_leave", "leave", TEXT),
    ("focus", "background", FOCUS),
    ("focus", "surface", FOCUS),
];

/// The colours of a screen by their names, and where each is in the file.
type Screen = BTreeMap<String, Spanned<String>>;

/// `light` and `dark`.
type Screens = BTreeMap<String, Screen>;

/// The file of the operator.
type Replacements = BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<String>>>;

/// The colours as custom properties of CSS: `--text` and so on.
pub(super) fn load(folder: &Folder<'_>) -> Result<String, FileError> {
    let embedded: Screens = data_file::from_toml(EMBEDDED).expect("the tests read the embedded colours");
    let colours = folder.replace("colours.toml", embedded, replace)?;
    let (light, dark) = (properties(&colours["light"]), properties(&colours["dark"]));
    Ok(format!(":root {{{light} }}\n@media (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n"))
}

fn properties(screen: &Screen) -> String {
    let mut css = String::new();
    for (name, colour) in screen {
        // Writing to a String never fails.
        let _ = write!(css, " --{name}: {};", colour.as_ref());
    }
    css
}

/// Puts the operator's colours in the places of the embedded ones.
fn replace(colours: &mut Screens, file: Replacements) -> Result<(), Mistake> {
    for (screen, replacements) in file {
        ensure_known("there is no section", &screen, colours)?;
        let of_screen = colours.get_mut(screen.as_ref()).expect("a known section");
        let mut own = Vec::new();
        for (name, colour) in replacements {
            ensure_known(format_args!("[{}] has no colour", screen.as_ref()), &name, of_screen)?;
            let form = format_args!("{:?} is no colour of the form \"#25655f\"", colour.as_ref());
            ensure(channels(colour.as_ref()).is_some(), &colour, form)?;
            own.push(name.as_ref().clone());
            of_screen.insert(name.into_inner(), colour);
        }
        for (one, behind, needed) in PAIRS {
            // The embedded colours have their contrasts, and no line in this file.
            let changed = [one, behind].into_iter().find(|name| own.iter().any(|own| own == name));
            let Some(changed) = changed else { continue };
            let found = contrast(of_screen[one].as_ref(), of_screen[behind].as_ref());
            // Rounded down, so that what is too low never looks as if it were not.
            let shown = (found * 100.0).floor() / 100.0;
            let (colour, other) = (of_screen[one].as_ref(), of_screen[behind].as_ref());
            let what = format_args!(
                "{one} {colour} on {behind} {other} has a contrast of {shown:.2} to 1, and WCAG 2.2 needs {needed:.1} to 1 in \
                 [{}]; make one of them lighter or darker",
                screen.as_ref()
            );
            ensure(found >= needed, &of_screen[changed], what)?;
        }
    }
    Ok(())
}

/// Red, green and blue of `#rrggbb`.
fn channels(colour: &str) -> Option<[u8; 3]> {
    let digits = colour.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    let [_, channels @ ..] = number.to_be_bytes();
    Some(channels)
}

/// The contrast ratio of two colours, from 1 to 21 (WCAG 2.2).
fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The relative luminance of a colour, from 0 to 1 (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let linear = channels(colour).expect("a checked colour").map(|channel| {
        let share = f64::from(channel) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contrast_is_that_of_the_standard() {
        for (one, other, expected) in [
            ("#000000", "#ffffff", 21.0),
            ("#ffffff", "#ffffff", 1.0),
            ("#777777", "#FFFFFF", 4.478),
            ("#0000ff", "#ffffff", 8.592),
        ] {
            assert!((contrast(one, other) - expected).abs() < 0.001, "{one} {other}: {}", contrast(one, other));
        }
    }

    #[test]
    fn the_embedded_colours_have_every_contrast() {
        let embedded: Screens = data_file::from_toml(EMBEDDED).expect("colours");
        let own: Replacements = data_file::from_toml(EMBEDDED).expect("the same as those of an operator");
        assert_eq!(embedded.keys().collect::<Vec<_>>(), ["dark", "light"]);
        assert!(embedded["light"].keys().eq(embedded["dark"].keys()));
        let mut replaced = embedded.clone();
        if let Err(mistake) = replace(&mut replaced, own) {
            panic!("{}", mistake.in_text(EMBEDDED));
        }
        assert!(replaced == embedded);
    }
}
