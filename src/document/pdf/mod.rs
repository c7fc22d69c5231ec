//! A document as a PDF that is accessible (PDF/UA-1) and says nothing about who made it, with what, or when.

mod drawing;
mod flow;
mod fonts;
mod pages;
mod paragraph;
mod pieces;
#[cfg(test)]
mod tests;

use krilla::configure::{Accessibility, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::Point;
use krilla::metadata::Metadata;
use krilla::outline::{Outline, OutlineNode};
use krilla::tagging::{Node, TagGroup, TagTree};
use krilla::{Document as File, SerializeSettings};

use self::drawing::Drawn;
use self::flow::Flow;
use self::paragraph::Typesetter;
use super::structure::Document;
use super::words::neutral_title;

/// The document as a PDF on A4. The same document gives the same bytes. The metadata have its language and a neutral title,
/// and no author, producer or date.
#[must_use]
pub fn pdf(document: &Document) -> Vec<u8> {
    let mut typesetter = Typesetter::new();
    let flow = flow::flow(document, &mut typesetter);
    let pages = pages::pages(&flow.rows);

    let configuration = ConfigurationBuilder::new().with_accessibility_validator(Accessibility::UA1).finish();
    let configuration = configuration.unwrap_or_default();
    let mut file = File::new_with(SerializeSettings { configuration, ..SerializeSettings::default() });
    let (title, language) = (neutral_title(document.language).to_owned(), document.language.tag().to_owned());
    file.set_metadata(Metadata::new().title(title).language(language.clone()));
    let drawn = drawing::draw(&mut file, &document.title, &flow, &pages, &mut typesetter);
    file.set_outline(outline(&flow, &drawn));
    let mut tree = TagTree::new().with_lang(Some(language));
    tree.push(group(&flow, &drawn, 0));
    file.set_tag_tree(tree);
    let file =
        file.finish().expect("texts have only letters that fonts have, so that the file keeps the rules of PDF/UA");
    without_toolkit(file)
}

/// Blanks the name of the library in the XMP metadata: it is a producer by another name. The length stays, so that the
/// places of the file's objects do.
fn without_toolkit(mut file: Vec<u8>) -> Vec<u8> {
    let name = b" x:xmptk=\"xmp-writer\"";
    if let Some(start) = file.windows(name.len()).rposition(|window| window == name) {
        file[start..start + name.len()].fill(b' ');
    }
    file
}

fn outline(flow: &Flow, drawn: &Drawn) -> Outline {
    let mut outline = Outline::new();
    for heading in &flow.headings {
        let (page, y) = drawn.places[heading.row];
        let destination = XyzDestination::new(page, Point::from_xy(0.0, y));
        outline.push_child(OutlineNode::new(heading.text.clone(), destination));
    }
    outline
}

/// An element of the structure with all that is inside it.
fn group(flow: &Flow, drawn: &Drawn, element: usize) -> TagGroup {
    let contents = drawn.contents[element].iter().map(|content| Node::from(*content));
    let children = flow.elements[element].children.iter().map(|child| Node::from(group(flow, drawn, *child)));
    TagGroup::with_children(flow.elements[element].tag.clone(), contents.chain(children).collect())
}
