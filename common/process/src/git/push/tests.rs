//! Against real repositories, with a clone at hand and without.

use std::fs;

use super::*;
use crate::git::{
    ls_remote,
    tests::{commit, git, repository},
};

const LIMIT: Duration = Duration::from_secs(60);

async fn push_tags(
    url: &Url,
    sha: &str,
    tags: &[String],
    known: &Refs,
    clone: &Path,
    within: Duration,
) -> Result<(), PushError> {
    let commit = Commit::find(url, sha, known, clone, within).await?;
    commit.push_tags(url, tags, within).await
}

fn names(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

#[tokio::test]
async fn tags_are_made_on_commits_that_are_at_hand_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let (bare, clone) = repository(directory.path());
    let old = commit(&clone, "one");
    let new = commit(&clone, "two");
    git(&clone, &["push", "-q", "origin", "HEAD:refs/heads/main"]);
    let url = Url::new(format!("file://{}", bare.display()));
    let known = ls_remote(&url, LIMIT).await.unwrap();
    let elsewhere = directory.path();
    // One that a ref stands on, one that none does, and one from the clone; two at once.
    for (sha, tags, at) in [
        (&new, ["a", "b"], elsewhere),
        (&old, ["c", "größe/d"], elsewhere),
        (&old, ["e", "f"], clone.as_path()),
    ] {
        let tags = names(&tags);
        push_tags(&url, sha, &tags, &known, at, LIMIT)
            .await
            .unwrap();
        // Doing it again is harmless.
        push_tags(&url, sha, &tags, &known, at, LIMIT)
            .await
            .unwrap();
        let refs = ls_remote(&url, LIMIT).await.unwrap();
        for tag in tags {
            assert_eq!(
                refs.tips.get(&format!("refs/tags/{tag}")),
                Some(sha),
                "{tag}"
            );
        }
    }
    // Nobody's tag is moved, and of several none is made then.
    let error = push_tags(&url, &new, &names(&["g", "c"]), &known, elsewhere, LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::Exists { .. }), "{error}");
    let refs = ls_remote(&url, LIMIT).await.unwrap();
    assert!(!refs.tips.contains_key("refs/tags/g"), "{refs:?}");
    let left: Vec<_> = fs::read_dir(elsewhere).unwrap().collect();
    assert_eq!(left.len(), 2, "only the remote and the clone: {left:?}");
}

#[tokio::test]
async fn what_cannot_be_pushed_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let (bare, clone) = repository(directory.path());
    let sha = commit(&clone, "one");
    git(&clone, &["push", "-q", "origin", "HEAD:refs/heads/main"]);
    let url = Url::new(format!("file://{}", bare.display()));
    let known = ls_remote(&url, LIMIT).await.unwrap();
    let (tags, at) = (names(&["t"]), directory.path());
    let nowhere = "1".repeat(40);
    let error = push_tags(&url, &nowhere, &tags, &known, at, LIMIT).await;
    let error = error.unwrap_err();
    assert!(matches!(error, PushError::NoCommit { .. }), "{error}");
    assert!(!error.is_passing());
    // A hook of the remote is where permissions are refused.
    fs::write(
        bare.join("hooks/pre-receive"),
        "#!/bin/sh\necho not you >&2\nexit 1\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bare.join("hooks/pre-receive"), mode).unwrap();
    let error = push_tags(&url, &sha, &tags, &known, at, LIMIT)
        .await
        .unwrap_err();
    assert!(
        error.is_passing() && error.to_string().contains("not you"),
        "{error}"
    );
    let gone = directory.path().join("none.git");
    let gone = Url::new(format!("file://{}", gone.display()));
    let error = push_tags(&gone, &sha, &tags, &known, &clone, LIMIT)
        .await
        .unwrap_err();
    assert!(error.is_passing(), "{error}");
    let error = push_tags(&Url::new("--upload-pack=x"), &sha, &tags, &known, at, LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PushError::Git(GitError::Url { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_marked_is_a_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (bare, clone) = repository(directory.path());
    let sha = commit(&clone, "one");
    fs::write(clone.join("file"), "content").unwrap();
    let blob = git(&clone, &["hash-object", "-w", "file"]);
    git(&clone, &["tag", "-a", "-m", "x", "annotated"]);
    git(&clone, &["tag", "-a", "-m", "x", "twice", "annotated"]);
    git(&clone, &["tag", "-a", "-m", "x", "of-blob", &blob]);
    git(&clone, &["tag", "blob", &blob]);
    git(
        &clone,
        &["push", "-q", "origin", "HEAD:refs/heads/main", "--tags"],
    );
    let url = Url::new(format!("file://{}", bare.display()));
    let known = ls_remote(&url, LIMIT).await.unwrap();
    let object = |tag: &str| git(&clone, &["rev-parse", &format!("refs/tags/{tag}")]);
    // With the refs at hand and without, from a clone and from elsewhere.
    for known in [&known, &Refs::default()] {
        for at in [clone.as_path(), directory.path()] {
            for tag in ["annotated", "twice"] {
                let found = Commit::find(&url, &object(tag), known, at, LIMIT).await;
                assert_eq!(found.unwrap().sha(), sha, "{tag}");
            }
            for tag in ["blob", "of-blob"] {
                let found = Commit::find(&url, &object(tag), known, at, LIMIT).await;
                let error = found.unwrap_err();
                assert!(
                    matches!(error, PushError::NotACommit { .. }),
                    "{tag}: {error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_repository_of_the_longer_shas_works() {
    let directory = tempfile::tempdir().unwrap();
    let (bare, clone) = (directory.path().join("r.git"), directory.path().join("c"));
    for (at, bare) in [(&bare, true), (&clone, false)] {
        let mut arguments = vec!["init", "-q", "--object-format=sha256"];
        arguments.extend(bare.then_some("--bare"));
        let path = at.to_string_lossy();
        git(directory.path(), &[arguments.as_slice(), &[&path]].concat());
    }
    let sha = commit(&clone, "one");
    assert_eq!(sha.len(), SHA256_CHARS);
    git(
        &clone,
        &[
            "push",
            "-q",
            &bare.to_string_lossy(),
            "HEAD:refs/heads/main",
        ],
    );
    let url = Url::new(format!("file://{}", bare.display()));
    let known = ls_remote(&url, LIMIT).await.unwrap();
    let tags = names(&["t"]);
    push_tags(&url, &sha, &tags, &known, directory.path(), LIMIT)
        .await
        .unwrap();
    let refs = ls_remote(&url, LIMIT).await.unwrap();
    assert_eq!(refs.tips.get("refs/tags/t"), Some(&sha));
}

/// A pack without an end, from a server of the first protocol.
#[tokio::test]
async fn a_pack_without_an_end_is_given_up() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::new(format!("git://{}/x.git", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = endless(&mut connection);
            });
        }
    });
    fn endless(connection: &mut std::net::TcpStream) -> std::io::Result<()> {
        let packet = |text: &[u8]| [format!("{:04x}", text.len() + 4).as_bytes(), text].concat();
        let sha = "a".repeat(40);
        let can = "side-band-64k shallow filter allow-tip-sha1-in-want ofs-delta";
        let refs = format!("{sha} refs/heads/x\0{can}\n");
        connection.write_all(&packet(refs.as_bytes()))?;
        connection.write_all(b"0000")?;
        // What it wants, and that it is done.
        let mut asked = Vec::new();
        let mut part = [0; 4096];
        while !asked.windows(4).any(|four| four == b"done") {
            let length = connection.read(&mut part)?;
            if length == 0 {
                return Ok(());
            }
            asked.extend_from_slice(&part[..length]);
            if asked.windows(6).any(|six| six == b"deepen") && asked.ends_with(b"0000") {
                connection.write_all(&packet(format!("shallow {sha}").as_bytes()))?;
                connection.write_all(b"0000")?;
            }
        }
        connection.write_all(&packet(b"NAK\n"))?;
        // One object of a gigabyte and more, stored and not compressed.
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        pack.extend([0xbf, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x78, 0x01]);
        connection.write_all(&packet(&[&[1], pack.as_slice()].concat()))?;
        let block = [&[0, 0xff, 0x7f, 0, 0x80][..], &[b'x'; 0x7fff]].concat();
        loop {
            connection.write_all(&packet(&[&[1], block.as_slice()].concat()))?;
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let mut init = call("init", &url, LIMIT, Limits::REMOTE).command();
    init.args(["init", "-q", "--bare"])
        .current_dir(directory.path());
    call("init", &url, LIMIT, Limits::REMOTE)
        .run(init)
        .await
        .unwrap();
    let sha = "a".repeat(40);
    let error = fetch(directory.path(), &url, &sha, &Refs::default(), LIMIT).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, PushError::Git(GitError::Limit { .. })),
        "{error}"
    );
    println!("{error}");
}
