//! What texts of smartstack.yaml may hold.

use proptest::prelude::*;

use super::*;

/// Characters that end, quote, continue or expand a word of HAProxy's configuration.
const ACTIVE: &[char] = &['\n', '\r', '\0', '\t', '"', '\'', '\\', '#', '%', '$', '`'];

fn active(text: &str) -> bool {
    text.contains(ACTIVE) || text.chars().any(|c| c.is_control() || !c.is_ascii())
}

#[test]
fn texts_that_frame_messages_or_break_words_are_refused() {
    for name in ["X-Served-By", "a", "X1"] {
        HeaderName::new(name).unwrap();
    }
    for name in [
        "",
        "X Y",
        "Content-Length",
        "transfer-encoding",
        "X:",
        "X\n",
    ] {
        assert!(HeaderName::new(name).is_err(), "{name:?}");
    }
    for value in ["v", "a b, c; d=e", "http://x/?a=b&c=[1]{2}"] {
        HeaderValue::new(value).unwrap();
    }
    for value in [
        "",
        " a",
        "a ",
        "a\nserver x",
        "a\"b",
        "%[env(HOME)]",
        "$HOME",
        "a#b",
        "é",
    ] {
        assert!(HeaderValue::new(value).is_err(), "{value:?}");
    }
    for path in ["/", "/a/b-c_d.e~"] {
        Path::new(path).unwrap();
    }
    for path in ["", "a", "/a b", "/a\n", "/%41", "/a#", "/a|b"] {
        assert!(Path::new(path).is_err(), "{path:?}");
    }
    let namespace = Namespace::new("my_web.canary-1").unwrap();
    assert_eq!(
        (namespace.service(), namespace.name()),
        ("my_web", "canary-1")
    );
    for text in ["web", "web.", ".main", "a.b.c", "a b.c", "a\n.b", "-a.b"] {
        assert!(Namespace::new(text).is_err(), "{text:?}");
    }
    let location: Location = "region:us:1".parse().unwrap();
    assert_eq!(
        (location.kind.as_str(), location.name.as_str()),
        ("region", "us:1")
    );
    assert!("region".parse::<Location>().is_err());
}

#[test]
fn options_survive_json_and_are_bounded() {
    let mut options = NamespaceOptions {
        extra_headers: [("X-A".parse().unwrap(), "b c".parse().unwrap())].into(),
        endpoint_timeouts: [("/slow".parse().unwrap(), 5_000)].into(),
        extra_advertise: [(
            "region:a".parse().unwrap(),
            ["region:b".parse().unwrap()].into(),
        )]
        .into(),
        ..NamespaceOptions::default()
    };
    options.check().unwrap();
    let json = serde_json::to_string(&options).unwrap();
    assert_eq!(
        serde_json::from_str::<NamespaceOptions>(&json).unwrap(),
        options
    );
    assert_eq!(
        serde_json::from_str::<NamespaceOptions>("{}").unwrap(),
        NamespaceOptions::default()
    );
    let forged = json.replace("b c", "b\\nserver evil 10.0.0.1:1");
    assert!(serde_json::from_str::<NamespaceOptions>(&forged).is_err());
    options.timeout_server_ms = MS_MAX + 1;
    let error = options.check().unwrap_err();
    assert_eq!(error.field, "timeout_server_ms");
    options.timeout_server_ms = 0;
    options.endpoint_timeouts = (0..=ENTRIES_MAX)
        .map(|n| (format!("/{n}").parse().unwrap(), 1))
        .collect();
    assert_eq!(options.check().unwrap_err().field, "endpoint_timeouts");
}

proptest! {
    #[test]
    fn no_accepted_text_holds_an_active_character(text in any::<String>(), ascii in "[ -~\\n\\t]{0,40}") {
        for text in [&text, &ascii] {
            prop_assert!(HeaderName::new(text).is_err() || !active(text));
            prop_assert!(HeaderValue::new(text).is_err() || !active(text));
            prop_assert!(Path::new(text).is_err() || !active(text));
            prop_assert!(Namespace::new(text).is_err() || !active(text));
            prop_assert!(LocationType::new(text).is_err() || !active(text));
        }
    }
}
