//! Whether two URLs name the same repository, however each of them is spelt.

/// Ports that mean the same as none.
const PORTS: [&str; 4] = ["22", "80", "443", "9418"];

/// Whether they are the same host and path: `git@host:team/a.git`, `ssh://git@host:22/team/a` and
/// `https://host/team/a.git` are.
pub fn same_place(one: &str, other: &str) -> bool {
    match (place(one), place(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The host, empty for this machine's own directories, and the path.
fn place(url: &str) -> Option<(String, &str)> {
    let url = url.trim();
    let (authority, path) = match url.split_once("://") {
        Some(("file", path)) => ("", path),
        Some((_, rest)) => rest.split_once('/')?,
        // git@host:path, as ssh has it; a path with a colon in it begins with a slash or dot.
        None => match url.split_once(':') {
            Some((host, path)) if !host.contains('/') => (host, path),
            _ => ("", url),
        },
    };
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if PORTS.contains(&port) => host,
        _ => host,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let path = path.trim_end_matches('/');
    (!path.is_empty()).then(|| (host.to_ascii_lowercase(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_many_spellings() {
        let spellings = [
            "git@git.example.com:team/hello.git",
            "git.example.com:/team/hello",
            "ssh://git@git.example.com:22/team/hello.git",
            "https://user:word@Git.Example.com/team/hello/",
            "https://git.example.com:443/team/hello.git/",
            "git://git.example.com/team/hello",
        ];
        for one in spellings {
            for other in spellings {
                assert!(same_place(one, other), "{one} {other}");
            }
        }
        assert!(same_place("/srv/git/hello.git", "file:///srv/git/hello"));
    }

    #[test]
    fn others_are_others() {
        let ours = "git@git.example.com:team/hello.git";
        for other in [
            "git@git.example.com:team/hello2.git",
            "git@git.example.com:other/hello.git",
            "git@example.com:team/hello.git",
            "ssh://git@git.example.com:2222/team/hello.git",
            "/team/hello.git",
            "https://git.example.com",
            "",
        ] {
            assert!(!same_place(ours, other), "{other}");
        }
        assert!(!same_place("", "") && !same_place("https://a/", "https://a"));
    }
}
