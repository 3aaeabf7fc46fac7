//! A git remote with the example service, and the refs by which versions are deployed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::run::{bounded, text};
use crate::tidy::root;

const GIT_LIMIT: Duration = Duration::from_secs(60);
/// What the example service's own repository holds: the rest of the directory is ours.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "Dockerfile",
    "Makefile",
    ".gitignore",
    "src",
];

/// A bare remote and a clone to work in.
#[derive(Debug)]
pub struct Repository {
    remote: PathBuf,
    work: PathBuf,
    commits: u32,
}

impl Repository {
    /// Makes `remote.git` and `hello` below `dir`, with one commit on `main`, pushed.
    pub fn create(dir: &Path) -> Result<Self> {
        let (remote, work) = (dir.join("remote.git"), dir.join("hello"));
        text(
            git(dir)
                .args(["init", "-q", "--bare", "-b", "main"])
                .arg(&remote),
        )?;
        text(git(dir).args(["init", "-q", "-b", "main"]).arg(&work))?;
        text(git(&work).args(["remote", "add", "origin"]).arg(&remote))?;
        let example = root().join("deploy/example");
        for name in SOURCES {
            copy(&example.join(name), &work.join(name))?;
        }
        let mut made = Self {
            remote,
            work,
            commits: 0,
        };
        made.commit("Say hello")?;
        Ok(made)
    }

    /// For `git_url` in service.yaml.
    pub fn url(&self) -> String {
        format!("file://{}", self.remote.display())
    }

    /// The clone.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Commits whatever has changed, and a counter so that something has; pushes `main` and
    /// returns the full sha.
    pub fn commit(&mut self, message: &str) -> Result<String> {
        self.commits += 1;
        fs::write(self.work.join("VERSION"), format!("{}\n", self.commits))?;
        text(git(&self.work).args(["add", "--all"]))?;
        text(git(&self.work).args(["commit", "-q", "-m", message]))?;
        text(git(&self.work).args(["push", "-q", "origin", "main"]))?;
        text(git(&self.work).args(["rev-parse", "HEAD"]))
    }

    /// Deploys by branch: sets `paasta-CLUSTER.INSTANCE` to the sha, by force.
    pub fn push_branch(&self, cluster: &str, instance: &str, sha: &str) -> Result<()> {
        self.push(&format!("+{sha}:refs/heads/paasta-{cluster}.{instance}"))
    }

    /// Deploys by tag: `paasta-GROUP-TIME-deploy` at the sha; the time is `YYYYMMDDTHHMMSS`, UTC.
    pub fn push_deploy_tag(&self, group: &str, time: &str, sha: &str) -> Result<()> {
        self.push(&format!("+{sha}:refs/tags/paasta-{group}-{time}-deploy"))
    }

    /// Starts or stops by tag: `paasta-CLUSTER.INSTANCE-TIME-ACTION`, the action start or stop.
    pub fn push_control_tag(
        &self,
        target: (&str, &str),
        time: &str,
        action: &str,
        sha: &str,
    ) -> Result<()> {
        let (cluster, instance) = target;
        self.push(&format!(
            "+{sha}:refs/tags/paasta-{cluster}.{instance}-{time}-{action}"
        ))
    }

    /// Deletes a ref of the remote, named in full (`refs/tags/...`).
    pub fn delete_ref(&self, name: &str) -> Result<()> {
        self.push(&format!(":{name}"))
    }

    /// The remote's refs as `git ls-remote` prints them: sha, tab, name.
    pub fn ls_remote(&self) -> Result<String> {
        text(git(&self.work).args(["ls-remote", &self.url()]))
    }

    fn push(&self, refspec: &str) -> Result<()> {
        text(git(&self.work).args(["push", "-q", "origin", refspec])).map(drop)
    }
}

/// Git in `dir`, untouched by the configuration of the user of the tests.
fn git(dir: &Path) -> Command {
    let mut command = bounded(GIT_LIMIT, "git");
    for variable in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_TEMPLATE_DIR",
    ] {
        command.env_remove(variable);
    }
    command
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args([
            "-c",
            "user.name=Author",
            "-c",
            "user.email=author@example.com",
        ]);
    command
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    if !from.is_dir() {
        return fs::copy(from, to).map(drop).with_context(failed);
    }
    fs::create_dir_all(to).with_context(failed)?;
    for entry in fs::read_dir(from).with_context(failed)? {
        let name = entry?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_seen_by_a_reader_of_the_remote() {
        let dir = tempfile::tempdir().unwrap();
        let mut repository = Repository::create(dir.path()).unwrap();
        let first = text(git(repository.work()).args(["rev-parse", "HEAD"])).unwrap();
        let second = repository.commit("Say it again").unwrap();
        assert_ne!(first, second);

        repository.push_branch("demo", "main", &second).unwrap();
        repository.push_branch("demo", "main", &first).unwrap();
        repository
            .push_deploy_tag("demo.everything", "20260102T030405", &second)
            .unwrap();
        repository
            .push_control_tag(("demo", "main"), "20260102T030406", "stop", &second)
            .unwrap();
        let refs = repository.ls_remote().unwrap();
        for line in [
            format!("{first}\trefs/heads/paasta-demo.main"),
            format!("{second}\trefs/heads/main"),
            format!("{second}\trefs/tags/paasta-demo.everything-20260102T030405-deploy"),
            format!("{second}\trefs/tags/paasta-demo.main-20260102T030406-stop"),
        ] {
            assert!(
                refs.lines().any(|have| have == line),
                "no {line} in\n{refs}"
            );
        }

        repository
            .delete_ref("refs/heads/paasta-demo.main")
            .unwrap();
        assert!(
            !repository
                .ls_remote()
                .unwrap()
                .contains("refs/heads/paasta-demo.main")
        );
    }

    #[test]
    fn the_clone_holds_a_service_that_can_be_built() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::create(dir.path()).unwrap();
        let files = text(git(repository.work()).args(["ls-files"])).unwrap();
        for name in ["Makefile", "Dockerfile", "Cargo.lock", "src/main.rs"] {
            assert!(
                files.lines().any(|have| have == name),
                "no {name} in\n{files}"
            );
        }
        assert!(
            !files.contains("target/") && !files.contains("soa/"),
            "{files}"
        );
    }
}
