//! deployments.json from a real git repository, also when that is away.

use std::{fs, path::Path};

use paasta_common::{deployments::Deployments, spec::DesiredState};
use tempfile::TempDir;

use super::*;
use crate::git::tests::{commit, git, repository};

/// A soa directory whose service `web` has its source in a real repository.
struct World {
    directory: TempDir,
    soa: SoaDir,
    clone: PathBuf,
    bare: PathBuf,
}

impl World {
    fn new(marathon: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (bare, clone) = repository(directory.path());
        let root = directory.path().join("soa");
        fs::create_dir_all(root.join("web")).unwrap();
        fs::write(
            root.join("web/service.yaml"),
            format!("git_url: file://{}\n", bare.display()),
        )
        .unwrap();
        let soa = SoaDir::open(&root).unwrap();
        let world = Self {
            directory,
            soa,
            clone,
            bare,
        };
        world.write("marathon-prod.yaml", marathon);
        world
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.web().join(name), text).unwrap();
    }

    fn web(&self) -> PathBuf {
        self.soa.path().join("web")
    }

    fn path(&self) -> PathBuf {
        self.web().join(FILE)
    }

    fn push(&self, reference: &str) {
        let to = format!("HEAD:{reference}");
        git(&self.clone, &["push", "-q", "--force", "origin", &to]);
    }

    async fn generate(&self) -> Result<Outcome, GenerateError> {
        let service = ServiceName::new("web").unwrap();
        generate_for_service(&self.soa, &service, &SystemConfig::default()).await
    }

    /// Sha and state of `prod.main` in the file.
    fn main(&self) -> Option<(String, DesiredState)> {
        let text = fs::read_to_string(self.path()).unwrap();
        let found = Deployments::parse(FILE, &text).unwrap().lookup(
            &ServiceName::new("web").unwrap(),
            &"prod".parse().unwrap(),
            &"main".parse().unwrap(),
            "prod.all",
        )?;
        Some((found.git_sha, found.desired_state))
    }
}

fn written() -> Outcome {
    Outcome::Written { problems: vec![] }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const MARATHON: &str = "main: {deploy_group: prod.all}\n";

#[tokio::test]
async fn a_deploy_a_stop_and_another_deploy_reach_the_file() {
    let world = World::new(MARATHON);
    assert_eq!(world.generate().await.unwrap(), written());
    assert_eq!(world.main(), None);
    let first = commit(&world.clone, "one");
    world.push("refs/tags/paasta-prod.all-20190101T000000-deploy");
    assert_eq!(world.generate().await.unwrap(), written());
    assert_eq!(world.main(), Some((first.clone(), DesiredState::Start)));
    world.push("refs/tags/paasta-prod.main-20190102T000000-stop");
    assert_eq!(world.generate().await.unwrap(), written());
    assert_eq!(world.main(), Some((first, DesiredState::Stop)));
    let second = commit(&world.clone, "two");
    world.push("refs/tags/paasta-prod.all-20190103T000000-deploy");
    assert_eq!(world.generate().await.unwrap(), written());
    assert_eq!(world.main(), Some((second, DesiredState::Start)));
    let unchanged = Outcome::Unchanged { problems: vec![] };
    assert_eq!(world.generate().await.unwrap(), unchanged);
    let expected = ["deployments.json", "marathon-prod.yaml", "service.yaml"];
    assert_eq!(names(&world.web()), expected);
}

#[tokio::test]
async fn a_moved_branch_of_the_seed_era_reaches_the_file() {
    let world = World::new("main: {}\n");
    let first = commit(&world.clone, "one");
    world.push("refs/heads/paasta-prod.main");
    world.generate().await.unwrap();
    assert_eq!(world.main().unwrap().0, first);
    let second = commit(&world.clone, "two");
    world.push("refs/heads/paasta-prod.main");
    world.generate().await.unwrap();
    assert_eq!(world.main().unwrap().0, second);
}

#[tokio::test]
async fn while_the_remote_is_away_the_file_stays_as_it_is() {
    let world = World::new(MARATHON);
    commit(&world.clone, "one");
    world.push("refs/tags/paasta-prod.all-20190101T000000-deploy");
    world.generate().await.unwrap();
    let before = fs::read(world.path()).unwrap();
    let away = world.directory.path().join("away.git");
    fs::rename(&world.bare, &away).unwrap();
    let error = world.generate().await.unwrap_err();
    assert!(matches!(error, GenerateError::Git { .. }), "{error}");
    let text = crate::chain::chain(&error);
    assert!(
        text.contains("web: the deployed versions are not known"),
        "{text}"
    );
    assert!(
        text.contains("does not appear to be a git repository"),
        "{text}"
    );
    assert_eq!(fs::read(world.path()).unwrap(), before);
    fs::rename(&away, &world.bare).unwrap();
    assert!(matches!(
        world.generate().await,
        Ok(Outcome::Unchanged { .. })
    ));
}

#[tokio::test]
async fn a_broken_file_keeps_what_was_deployed_and_hurts_no_other_cluster() {
    let world = World::new(MARATHON);
    world.write("marathon-dev.yaml", "main: {deploy_group: dev.all}\n");
    let first = commit(&world.clone, "one");
    world.push("refs/tags/paasta-prod.all-20190101T000000-deploy");
    world.push("refs/tags/paasta-dev.all-20190101T000000-deploy");
    world.generate().await.unwrap();
    world.write("marathon-prod.yaml", "main: [\n");
    let second = commit(&world.clone, "two");
    world.push("refs/tags/paasta-dev.all-20190102T000000-deploy");
    let Outcome::Written { problems } = world.generate().await.unwrap() else {
        panic!("the other cluster's version changed");
    };
    assert_eq!(problems[0].file, "web/marathon-prod.yaml");
    assert_eq!(world.main(), Some((first, DesiredState::Start)));
    let text = fs::read_to_string(world.path()).unwrap();
    assert!(text.contains(&second));
    // Without the file there is nothing to keep from: what is broken must be mended first.
    fs::write(world.path(), "{").unwrap();
    let error = world.generate().await.unwrap_err();
    assert!(matches!(error, GenerateError::File(_)), "{error}");
    assert_eq!(fs::read(world.path()).unwrap(), b"{");
}

#[tokio::test]
async fn a_service_without_instances_is_left_alone() {
    let world = World::new("_template: {}\n");
    assert_eq!(world.generate().await.unwrap(), Outcome::NothingDeclared);
    assert!(!world.path().exists());
}
