//! What must hold of the HTML of every page, whatever it shows.

use std::collections::BTreeSet;

/// An element as it begins: its name and the text of its attributes.
fn elements(html: &str) -> Vec<(&str, &str)> {
    let begins = html.split('<').skip(1);
    let begins = begins.filter(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()));
    begins
        .map(|rest| {
            let inside = rest.split_once('>').map_or(rest, |(inside, _)| inside);
            inside.split_once(' ').unwrap_or((inside, ""))
        })
        .collect()
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = format!(" {attributes}")
        .find(&format!(" {name}=\""))
        .map(|at| attributes.split_at(at))?;
    after.split('"').nth(1)
}

/// Looks at a page.
pub(super) fn check(name: &str, html: &str) {
    let all = elements(html);
    let count = |element: &str| all.iter().filter(|(found, _)| *found == element).count();
    for (element, most) in [
        ("h1", 1),
        ("main", 1),
        ("header", 1),
        ("footer", 1),
        ("html", 1),
    ] {
        assert_eq!(count(element), most, "{name}: {element}");
    }
    let mut ids = BTreeSet::new();
    let mut heading = 1;
    for (element, attributes) in &all {
        for inline in [
            " style=",
            " onclick=",
            " onload=",
            " onerror=",
            "javascript:",
        ] {
            assert!(
                !format!(" {attributes}").contains(inline),
                "{name}: {element} {attributes}"
            );
        }
        if let Some(id) = attribute(attributes, "id") {
            assert!(ids.insert(id.to_owned()), "{name}: the id {id} twice");
        }
        for from in ["src", "href", "action"] {
            let place = attribute(attributes, from);
            let here = place.is_none_or(|place| place.starts_with('/') || place.starts_with('#'));
            assert!(here, "{name}: {place:?} is elsewhere");
        }
        match *element {
            "script" => assert!(
                attribute(attributes, "src").is_some(),
                "{name}: an inline script"
            ),
            "style" => panic!("{name}: an inline style"),
            "th" => assert!(
                attribute(attributes, "scope").is_some(),
                "{name}: {attributes}"
            ),
            "table" => {
                let title = attribute(attributes, "aria-labelledby").expect("a table has a name");
                assert!(html.contains(&format!("id=\"{title}\"")), "{name}: {title}");
            }
            "progress" => assert!(attribute(attributes, "aria-label").is_some(), "{name}"),
            "h1" | "h2" | "h3" => {
                let level = usize::from(element.as_bytes()[1] - b'0');
                assert!(level <= heading + 1, "{name}: h{level} after h{heading}");
                heading = level;
            }
            _ => {}
        }
    }
    fields(name, html);
}

/// Each field is inside of its label.
fn fields(name: &str, html: &str) {
    for field in ["<input", "<select"] {
        for (at, _) in html.match_indices(field) {
            let before = &html[..at];
            let (opened, closed) = (before.rfind("<label>"), before.rfind("</label>"));
            assert!(opened > closed, "{name}: a field without a label");
        }
    }
}

#[test]
#[should_panic(expected = "twice")]
fn an_id_that_is_there_twice_is_found() {
    let twice = r#"<html><header></header><main><h1></h1><p id="a"></p><p id="a"></p></main><footer></footer></html>"#;
    check("a page", twice);
}

#[test]
#[should_panic(expected = "without a label")]
fn a_field_without_a_label_is_found() {
    fields("a page", r#"<label>Name</label><input name="a">"#);
}
