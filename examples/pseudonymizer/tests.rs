//! Unit tests of the transform without a store, and the layer laws of the conformance kit.

use throughline::layers::transform::{
    EditCounts, HeldTail, TextPart, TextStream as _, Transform as _, TransformLayer,
};
use throughline_conformance::{laws::LayerProfile, layer_laws};

use crate::layer::Pseudonyms;

layer_laws!(
    LayerProfile::transform("pseudonyms", "Ada Lovelace").restores().buffers() =>
        TransformLayer::new(Pseudonyms::new(["Ada", "Ada Lovelace"]))
);

fn down(names: &Pseudonyms, text: &str) -> String {
    names.down(TextPart::whole(text)).edits.apply(text).unwrap_or_else(|| text.to_owned())
}

#[test]
fn the_longest_matching_name_is_replaced() {
    let names = Pseudonyms::new(["Ada", "Ada Lovelace"]);
    assert_eq!(down(&names, "Ada, Ada Lovelace"), "pseudonym000001, pseudonym000002");
}

#[test]
fn a_split_text_is_stored_like_the_whole_text() {
    let names = Pseudonyms::new(["Ada", "Ada Lovelace", "Alan"]);
    let text = "é Ada Lovelace, Adam and Alan: Ada Lovel";
    let cuts: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
    for first in &cuts {
        for second in cuts.iter().filter(|second| *second >= first) {
            let mut stream = HeldTail::default();
            let mut stored = String::new();
            for (part, is_last) in
                [(&text[..*first], false), (&text[*first..*second], false), (&text[*second..], true)]
            {
                stored += &stream.push(&names, part, is_last, &mut EditCounts::new());
            }
            assert_eq!(stored, down(&names, text), "{first} {second}");
        }
    }
}
