//! URLs as they are shown: never with their user part, which may hold a password or a token. This
//! is the only place that knows which part that is.

use std::fmt;

use serde::{Serialize, Serializer};

/// The replacement of a secret in the text of another program.
const HIDDEN: &str = "***";
/// Shorter texts are not looked for: they stand in any sentence.
const SECRET_BYTES_MIN: usize = 3;
/// The user name of git servers' ssh addresses. It names no person and is no secret.
const SSH_USER: &str = "git";

/// The URL of a repository or of another server, as it was written. `Display`,
/// `Debug` and `Serialize` leave its user part out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Url(String);

/// A user name and what proves it, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user, perhaps empty.
    pub user: String,
    /// The password; none where only a user is given.
    pub password: Option<String>,
}

impl Url {
    /// Any text; [`Self::fault`] says whether git can use it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What keeps this from being the URL of a repository, if anything does.
    pub fn fault(&self) -> Option<&'static str> {
        let text = self.0.as_str();
        if text.is_empty() {
            return Some("it is empty");
        }
        if text.starts_with('-') {
            return Some("it begins with -");
        }
        if text.chars().any(char::is_control) {
            return Some("it holds control characters");
        }
        let parts = Parts::of(text);
        if parts.broken {
            return Some("its user part holds a / that is not written as %2F");
        }
        let login = parts.login();
        let control = |text: &str| text.chars().any(char::is_control);
        if login.is_some_and(|login| {
            control(&login.user) || login.password.as_deref().is_some_and(control)
        }) {
            return Some("its user part holds control characters");
        }
        if parts.is_ssh() && parts.user.is_some_and(|user| user.contains(':')) {
            return Some("ssh takes no password in an address; give the host a key");
        }
        None
    }

    /// The URL for a program's arguments: without its user part, except for ssh, which takes the
    /// user from its arguments only, and no password.
    pub fn plain(&self) -> String {
        let parts = Parts::of(&self.0);
        match parts.user {
            Some(user) if parts.is_ssh() => format!("{}{user}@{}", parts.before, parts.after),
            _ => parts.without_user(),
        }
    }

    /// The user part, for programs that take it by another way than arguments; none for ssh.
    pub fn login(&self) -> Option<Login> {
        let parts = Parts::of(&self.0);
        match parts.is_ssh() {
            true => None,
            false => parts.login(),
        }
    }

    /// Whether it is a directory of this machine.
    pub fn is_local(&self) -> bool {
        match self.0.split_once("://") {
            Some((scheme, _)) => scheme == "file",
            None => !Parts::of(&self.0).is_ssh(),
        }
    }

    /// Whether `other` is the same address with the same login.
    pub fn is(&self, other: &str) -> bool {
        self.0 == other
    }

    /// The text of another program without this URL's user part, and without that of any other.
    pub fn scrub(&self, words: &str) -> String {
        let parts = Parts::of(&self.0);
        let Some(user) = parts.user.filter(|user| *user != SSH_USER) else {
            return scrub(words);
        };
        let mut words = words.replace(&format!("{user}@"), "");
        let login = parts.login();
        let decoded = login.iter().flat_map(|login| {
            let user = match &login.password {
                // A user beside a password is no secret, but belongs to it.
                Some(_) => None,
                None => Some(login.user.clone()),
            };
            [user, login.password.clone()]
        });
        let raw = user.split_once(':').map_or(user, |(_, password)| password);
        let secrets = decoded.flatten().chain([user.to_owned(), raw.to_owned()]);
        for secret in secrets.filter(|secret| secret.len() >= SECRET_BYTES_MIN) {
            words = words.replace(&secret, HIDDEN);
        }
        scrub(&words)
    }
}

/// The text without the user parts of all URLs in it.
pub fn scrub(words: &str) -> String {
    let mut scrubbed = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find("://") {
        let from = at + "://".len();
        let end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>' | '`');
        let to = rest[from..]
            .find(end)
            .map_or(rest.len(), |length| from + length);
        scrubbed.push_str(&rest[..from]);
        let parts = Parts::of_authority("", &rest[from..to]);
        scrubbed.push_str(&parts.shown());
        rest = &rest[to..];
    }
    scrubbed.push_str(rest);
    scrubbed
}

/// A URL taken apart: `before`, the user part with its `@`, `after`.
struct Parts<'a> {
    before: &'a str,
    user: Option<&'a str>,
    after: &'a str,
    /// Whether the user part reaches over a slash, where no program looks for it.
    broken: bool,
    /// Whether this is `[USER@]HOST:PATH`, as ssh has it.
    short: bool,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        if let Some(at) = text.find("://") {
            let (before, rest) = text.split_at(at + "://".len());
            return Self::of_authority(before, rest);
        }
        let none = Self {
            before: "",
            user: None,
            after: text,
            broken: false,
            short: false,
        };
        // A path with a colon in it begins with a slash or dot.
        let host = text.split('/').next().unwrap_or_default();
        if !host.contains(':') || host.starts_with('.') {
            return none;
        }
        match host.rfind('@') {
            Some(at) => Self {
                user: Some(&text[..at]),
                after: &text[at + 1..],
                short: true,
                ..none
            },
            None => Self {
                short: true,
                ..none
            },
        }
    }

    fn of_authority(before: &'a str, rest: &'a str) -> Self {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        let (at, broken) = match authority.rfind('@') {
            Some(at) => (Some(at), false),
            // A port that is none is the beginning of a password with a slash in it.
            None => {
                let port = authority.rsplit_once(':').map(|(_, port)| port);
                let none = |port: &str| !port.bytes().all(|byte| byte.is_ascii_digit());
                let six = authority.starts_with('[') && authority.ends_with(']');
                match port.is_some_and(none) && !six {
                    true => (rest.rfind('@'), rest.contains('@')),
                    false => (None, false),
                }
            }
        };
        Self {
            before,
            user: at.map(|at| &rest[..at]),
            after: at.map_or(rest, |at| &rest[at + 1..]),
            broken,
            short: false,
        }
    }

    fn is_ssh(&self) -> bool {
        let scheme = self.before.strip_suffix("://").unwrap_or_default();
        self.short || matches!(scheme, "ssh" | "git+ssh" | "ssh+git")
    }

    fn without_user(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// For people: a query may hold a token as well.
    fn shown(&self) -> String {
        let after = match self.is_ssh() || self.before == "file://" {
            true => self.after,
            false => self.after.split('?').next().unwrap_or_default(),
        };
        match self.user {
            Some(SSH_USER) if self.is_ssh() => format!("{}{SSH_USER}@{after}", self.before),
            _ => format!("{}{after}", self.before),
        }
    }

    fn login(&self) -> Option<Login> {
        let user = self.user.filter(|user| !user.is_empty())?;
        Some(match user.split_once(':') {
            Some((user, password)) => Login {
                user: decoded(user),
                password: Some(decoded(password)),
            },
            None => Login {
                user: decoded(user),
                password: None,
            },
        })
    }
}

/// With every `%XX` as the byte that it stands for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Parts::of(&self.0).shown())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_user_part() {
        for (text, shown) in [
            ("http://user:s3cr3t@h:9/x.git", "http://h:9/x.git"),
            ("https://t0ken@h/x.git", "https://h/x.git"),
            ("https://a:b@c@h/x.git", "https://h/x.git"),
            ("https://u:p/w@h/x.git", "https://h/x.git"),
            ("https://h/x@2.git", "https://h/x@2.git"),
            ("https://h:80/x@2.git", "https://h:80/x@2.git"),
            ("https://[::1]/x@2.git", "https://[::1]/x@2.git"),
            ("https://h/x.git?private_token=s3cr3t", "https://h/x.git"),
            ("ssh://git@h:22/x", "ssh://git@h:22/x"),
            ("ssh://bob:pw@h/x", "ssh://h/x"),
            ("git@h:services/x", "git@h:services/x"),
            ("bob:pw@h:services/x", "h:services/x"),
            ("/srv/git/a@b.git", "/srv/git/a@b.git"),
            ("./a:b@c", "./a:b@c"),
            ("file:///srv/a?b.git", "file:///srv/a?b.git"),
        ] {
            let url = Url::new(text);
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }

    #[test]
    fn programs_get_the_login_apart_from_the_url() {
        let login = |text: &str| {
            let url = Url::new(text);
            let login = url.login();
            (url.plain(), login.map(|one| (one.user, one.password)))
        };
        let some = |user: &str, password: Option<&str>| {
            Some((user.to_owned(), password.map(str::to_owned)))
        };
        let plain = "https://h/x".to_owned();
        assert_eq!(
            login("https://a%40b:p%2Fw%zz@h/x"),
            (plain.clone(), some("a@b", Some("p/w%zz")))
        );
        assert_eq!(login("https://t@h/x"), (plain.clone(), some("t", None)));
        assert_eq!(login("https://@h/x"), (plain.clone(), None));
        assert_eq!(login("https://h/x"), (plain, None));
        assert_eq!(login("bob@h:x"), ("bob@h:x".to_owned(), None));
        assert_eq!(login("ssh://bob@h/x"), ("ssh://bob@h/x".to_owned(), None));
        assert_eq!(
            format!("{:?}", Url::new("https://a:b@h").login()),
            "Some(Login(***))"
        );
    }

    #[test]
    fn what_git_cannot_use_is_said() {
        for fine in [
            "https://a:b@h/x",
            "git@h:x",
            "/srv/x",
            "ssh://git@h/x",
            "file:///x",
        ] {
            assert_eq!(Url::new(fine).fault(), None, "{fine}");
        }
        for bad in [
            "",
            "-x",
            "a\nb",
            "https://u:p/w@h/x",
            "https://u:p%0aw@h/x",
            "a:b@h:x",
        ] {
            assert!(Url::new(bad).fault().is_some(), "{bad:?}");
        }
        assert!(Url::new("/x").is_local() && Url::new("file:///x").is_local());
        assert!(!Url::new("git@h:x").is_local() && !Url::new("https://h/x").is_local());
    }

    #[test]
    fn other_peoples_words_hold_no_user_part() {
        let url = Url::new("https://bob:s3%63r3t@h/x.git");
        for (words, scrubbed) in [
            (
                "unable to access 'https://bob:s3%63r3t@h/x.git/': no",
                "unable to access 'https://h/x.git/': no",
            ),
            (
                "could not read Password for 'https://bob@h': no; see ftp://a:b@c/ too",
                "could not read Password for 'https://h': no; see ftp://c/ too",
            ),
            ("the token s3cr3t has expired", "the token *** has expired"),
            ("as s3%63r3t", "as ***"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(url.scrub(words), scrubbed);
        }
        let ssh = Url::new("git@h:x");
        assert_eq!(
            ssh.scrub("git@h: Permission denied"),
            "git@h: Permission denied"
        );
        assert_eq!(scrub("://a:b@"), "://");
    }
}
