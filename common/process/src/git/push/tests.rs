//! Against real repositories, with a clone at hand and without.

use std::fs;

use super::*;
use crate::git::{
    ls_remote,
    tests::{commit, git, repository},
};

const LIMIT: Duration = Duration::from_secs(60);

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
    let url = format!("file://{}", bare.display());
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
            assert_eq!(refs.get(&format!("refs/tags/{tag}")), Some(sha), "{tag}");
        }
    }
    // Nobody's tag is moved, and of several none is made then.
    let error = push_tags(&url, &new, &names(&["g", "c"]), &known, elsewhere, LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::Exists { .. }), "{error}");
    let refs = ls_remote(&url, LIMIT).await.unwrap();
    assert!(!refs.contains_key("refs/tags/g"), "{refs:?}");
    let left: Vec<_> = fs::read_dir(elsewhere).unwrap().collect();
    assert_eq!(left.len(), 2, "only the remote and the clone: {left:?}");
}

#[tokio::test]
async fn what_cannot_be_pushed_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let (bare, clone) = repository(directory.path());
    let sha = commit(&clone, "one");
    git(&clone, &["push", "-q", "origin", "HEAD:refs/heads/main"]);
    let url = format!("file://{}", bare.display());
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
    let gone = format!("file://{}", directory.path().join("none.git").display());
    let error = push_tags(&gone, &sha, &tags, &known, &clone, LIMIT)
        .await
        .unwrap_err();
    assert!(error.is_passing(), "{error}");
    let error = push_tags("--upload-pack=x", &sha, &tags, &known, at, LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PushError::Git(GitError::Url { .. })),
        "{error}"
    );
}
