//! The contrast of the colours, computed as WCAG 2.2 does (1.4.3 and 1.4.11), in both palettes.

use std::collections::BTreeMap;

use crate::dashboard::assets::STYLE;

/// Text and what it stands on: 4.5 at least.
const TEXTS: [&str; 8] = [
    "ink", "soft", "link", "good", "moving", "waits", "bad", "idle",
];
const GROUNDS: [&str; 2] = ["paper", "raised"];

type Palette = BTreeMap<String, [u8; 3]>;

/// The palettes of the style, in order: light, dark.
fn palettes() -> Vec<Palette> {
    let mut found = Vec::new();
    let mut rest = STYLE;
    while let Some((_, after)) = rest.split_once(":root {") {
        let (inside, after) = after.split_once('}').expect("a palette ends");
        let colours = inside.lines().filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
            let number = u32::from_str_radix(value.trim_end_matches(';'), 16).ok()?;
            let [_, red, green, blue] = number.to_be_bytes();
            Some((name.to_owned(), [red, green, blue]))
        });
        found.push(colours.collect());
        rest = after;
    }
    found
}

/// The relative luminance, from 0 to 1.
fn luminance(colour: [u8; 3]) -> f64 {
    let linear = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        match part <= 0.040_45 {
            true => part / 12.92,
            false => ((part + 0.055) / 1.055).powf(2.4),
        }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_stands_out_in_light_and_dark() {
    assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
    assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.01);
    let palettes = palettes();
    assert_eq!(palettes.len(), 2, "light and dark");
    for palette in &palettes {
        for ground in GROUNDS {
            for text in TEXTS {
                let found = contrast(palette[text], palette[ground]);
                assert!(
                    found >= 4.5,
                    "{text} on {ground}: {found:.2} in {palette:?}"
                );
            }
            // Borders of fields, and the ring around what has the focus.
            for line in ["line", "link"] {
                let found = contrast(palette[line], palette[ground]);
                assert!(found >= 3.0, "{line} on {ground}: {found:.2}");
            }
        }
    }
}

#[test]
fn no_colour_is_outside_of_the_palettes() {
    let rules = STYLE.lines().filter(|line| line.contains('#'));
    let outside = rules.filter(|line| {
        let line = line.trim();
        !line.starts_with("--") && !line.starts_with('#')
    });
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<&str>::new());
}
