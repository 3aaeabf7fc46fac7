//! What a person types first: verbs of PaaSTA from memory, the files of a new service, its pipeline.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::paasta::{Ran, paasta, paasta_in};

const SERVICE: [&str; 7] = [
    "new-service",
    "greet",
    "--git-url",
    "https://git.example.com/greet.git",
    "--team",
    "web: \"x\" #",
    "--cluster=stage,prod",
];

/// A system configuration and an empty yelpsoa-configs directory.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (etc, soa) = (dir.path().join("etc"), dir.path().join("soa"));
        fs::create_dir(&etc).expect("make the directory");
        fs::create_dir(soa).expect("make the directory");
        let text = "cluster: prod\ndocker_registry: registry:5000\n";
        fs::write(etc.join("paasta.yaml"), text).expect("write the file");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ran {
        let etc = self.path("etc").display().to_string();
        paasta(&[&["--config-dir", &etc], args].concat())
    }

    fn made(&self, more: &[&str]) -> Ran {
        let soa = self.path("soa").display().to_string();
        self.run(&[&SERVICE[..], &["-d", &soa], more].concat())
    }

    fn pipeline(&self, format: &str) -> Ran {
        let soa = self.path("soa").display().to_string();
        self.run(&["pipeline", "-s", "greet", "-d", &soa, "--format", format])
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is there")
}

fn entries(dir: &Path) -> Vec<String> {
    let all = fs::read_dir(dir).expect("read the directory");
    let mut all: Vec<String> = all
        .map(|one| {
            one.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    all.sort();
    all
}

#[test]
fn absent_verbs_say_why_and_what_to_use() {
    for (verb, instead) in [
        ("spark-run", "spark-submit"),
        ("fsm", "paasta new-service"),
        ("generate-pipeline", "paasta pipeline"),
        ("docker-exec", "docker exec"),
    ] {
        let ran = paasta(&[verb, "-s", "hello", "--whatever"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.contains(instead), "{ran:?}");
    }
    let typo = paasta(&["statsu"]);
    assert!(
        typo.code == 1 && typo.stderr.contains("did you mean status"),
        "{typo:?}"
    );
}

#[test]
fn an_instance_has_two_names_and_a_guess() {
    let nobody = ["--coordinators", "127.0.0.1:1", "--timeout", "50ms"];
    for form in [
        vec!["why", "hello.main"],
        vec!["why", "-s", "hello", "-i", "main"],
        vec!["history", "--service", "hello", "--instances", "main"],
    ] {
        let ran = paasta(&[&nobody[..], &form].concat());
        assert_eq!(ran.code, 3, "{form:?}: {ran:?}");
    }
    let both = paasta(&[&nobody[..], &["why", "hello.main", "-s", "hello"]].concat());
    assert_eq!(both.code, 1, "{both:?}");
    let home = tempfile::tempdir().expect("a directory");
    let repository = home.path().join("services-hello");
    fs::create_dir(&repository).expect("make the directory");
    let guessed = paasta_in(&repository, &[&nobody[..], &["why"]].concat(), &[]);
    assert_eq!(guessed.code, 3, "{guessed:?}");
    let none = home.path().join("No Service");
    fs::create_dir(&none).expect("make the directory");
    let none = paasta_in(&none, &[&nobody[..], &["why"]].concat(), &[]);
    assert!(
        none.code == 1 && none.stderr.contains("-s SERVICE -i INSTANCE"),
        "{none:?}"
    );
}

#[test]
fn a_new_service_passes_validate() {
    let world = World::new();
    let ran = world.made(&["--proxy-port", "20900", "--description", "Says: 'hi'"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("-l stage.everything"), "{ran:?}");
    let expected = [
        "deploy.yaml",
        "marathon-prod.yaml",
        "marathon-stage.yaml",
        "monitoring.yaml",
        "service.yaml",
        "smartstack.yaml",
    ];
    assert_eq!(entries(&world.path("soa/greet")), expected);
    assert_eq!(
        entries(&world.path("soa")),
        ["greet"],
        "nothing is left aside"
    );
    let root = world.path("soa").display().to_string();
    let checked = world.run(&["validate", "-y", &root, "--strict"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    // A value stays a value, whatever stands in it.
    let info = world.run(&["info", "-s", "greet", "-d", &root, "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info.stdout).expect("JSON");
    assert_eq!(info["description"], "Says: 'hi'");
    assert_eq!(info["teams"], serde_json::json!(["web: \"x\" #"]));

    let before = read(&world.path("soa/greet/service.yaml"));
    let again = world.made(&["--description", "another"]);
    assert!(
        again.code == 1 && again.stderr.contains("is there already"),
        "{again:?}"
    );
    assert_eq!(read(&world.path("soa/greet/service.yaml")), before);
}

#[test]
fn a_new_service_is_written_whole_or_not_at_all() {
    let world = World::new();
    let dry = world.made(&["--dry-run"]);
    assert!(
        dry.code == 0 && dry.stdout.contains("# marathon-prod.yaml"),
        "{dry:?}"
    );
    let root = world.path("soa").display().to_string();
    let missing = world.run(&["new-service", "greet", "-d", &root]);
    assert!(
        missing.code == 1 && missing.stderr.contains("--git-url"),
        "{missing:?}"
    );
    let name = world.run(&["new-service", "Greet--x", "-d", &root]);
    assert_eq!(name.code, 1, "{name:?}");
    assert_eq!(entries(&world.path("soa")), Vec::<String>::new());
}

#[test]
fn a_pipeline_has_a_stage_for_each_step() {
    let world = World::new();
    assert_eq!(world.made(&[]).code, 0);
    let text = |format: &str| {
        let ran = world.pipeline(format);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let github = text("github");
    assert_eq!(github.matches("- run:").count(), 5, "{github}");
    assert!(
        github.contains("paasta itest -s greet -c $GITHUB_SHA"),
        "{github}"
    );
    assert_eq!(github.matches("environment:").count(), 1, "{github}");
    let gitlab = text("gitlab");
    assert_eq!(gitlab.matches("when: manual").count(), 1, "{gitlab}");
    let jenkins = text("jenkins");
    let mark = "sh 'paasta mark-for-deployment -s greet -l prod.everything -k $GIT_COMMIT \
                --wait-for-deployment'";
    assert!(jenkins.contains(mark), "{jenkins}");
    assert!(
        jenkins.contains("input { message 'Go on with prod.everything?' }"),
        "{jenkins}"
    );

    let bad = "pipeline:\n- step: 'a; rm -rf /'\n";
    fs::write(world.path("soa/greet/deploy.yaml"), bad).expect("write the file");
    let bad = world.pipeline("github");
    assert!(
        bad.code == 1 && bad.stderr.contains("pipeline[0].step"),
        "{bad:?}"
    );
    fs::remove_file(world.path("soa/greet/deploy.yaml")).expect("remove the file");
    let none = world.pipeline("github");
    assert!(
        none.code == 1 && none.stderr.contains("deploy.yaml"),
        "{none:?}"
    );
}
