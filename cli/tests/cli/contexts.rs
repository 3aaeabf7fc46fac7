//! Contexts: how a cluster is reached, kept in files of the user.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use crate::{
    fake::{Fake, Script, nobody},
    paasta::{Ran, paasta_with},
};

/// A user's home.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    pub(crate) fn run_with(&self, args: &[&str], more: &[(&str, &str)]) -> Ran {
        let home = self.path().to_str().expect("a path");
        let mut env = vec![("XDG_CONFIG_HOME", home)];
        env.extend(more);
        paasta_with(args, &env, "")
    }

    pub(crate) fn add(&self, name: &str, address: &str) {
        self.run(&["context", "add", name, "--coordinators", address])
            .exits(0);
    }
}

fn ready() -> Fake {
    Fake::start(Script {
        page: 10,
        ..Script::default()
    })
}

#[test]
fn a_context_is_added_shown_used_and_removed() {
    let (home, fake) = (Home::new(), ready());
    let none = home.run(&["context", "list"]).exits(0);
    assert!(none.stderr.contains("paasta context add"), "{none:?}");
    home.add("demo", &fake.address);
    home.add("away", &nobody());
    let taken = home
        .run(&["context", "add", "demo", "--coordinators", "a:1"])
        .exits(1);
    assert!(taken.stderr.contains("--replace"), "{taken:?}");

    let list = home.run(&["context", "list", "--json"]).exits(0).json();
    let names: Vec<_> = list.as_array().expect("a list").iter().collect();
    assert_eq!(
        (&names[0]["name"], &names[0]["current"]),
        (&"away".into(), &false.into())
    );
    assert_eq!(
        (&names[1]["cluster"], &names[1]["current"]),
        (&"demo".into(), &true.into())
    );
    let text = home.run(&["context", "list"]).exits(0);
    assert!(
        text.stdout.contains("*  demo  demo     no   127.0.0.1:"),
        "{text:?}"
    );
    let shown = home.run(&["context", "show"]).exits(0);
    assert!(shown.stdout.contains("name          demo\n"), "{shown:?}");

    // The current one is asked, another on demand, and what is named otherwise wins.
    let short = ["why", "hello.main", "--timeout", "500ms"];
    let asked = |more: &[&str]| home.run(&[&short, more].concat());
    // Its answer, that there is no such instance, is 1.
    asked(&[]).exits(1);
    asked(&["--context", "away"]).exits(3);
    asked(&["--context", "away", "--coordinators", &fake.address]).exits(1);
    let by_env = |more: &[&str], env: &[(&str, &str)]| home.run_with(&[&short, more].concat(), env);
    by_env(&[], &[("PAASTA_CONTEXT", "away")]).exits(3);
    let away = nobody();
    by_env(&["--context", "demo"], &[("PAASTA_COORDINATORS", &away)]).exits(1);

    home.run(&["context", "use", "away"]).exits(0);
    asked(&[]).exits(3);
    home.run(&["context", "remove", "away"]).exits(0);
    let unknown = home.run(&["context", "use", "dem"]).exits(1);
    assert!(
        unknown.stderr.contains("did you mean \"demo\"?"),
        "{unknown:?}"
    );
}

#[test]
fn a_context_that_cannot_be_used_says_why_and_hides_no_other() {
    let (home, fake) = (Home::new(), ready());
    home.add("demo", &fake.address);
    home.add("open", &fake.address);
    let file = |name: &str| home.path().join(format!("paasta/contexts/{name}.yaml"));
    fs::write(file("bad"), "cluster: bad\ncoordinators: [nowhere]\n").expect("write");
    fs::set_permissions(file("bad"), fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::set_permissions(file("open"), fs::Permissions::from_mode(0o644)).expect("its mode");
    let list = home.run(&["context", "list"]).exits(1);
    for words in ["bad.yaml:2:", "HOST:PORT", "open.yaml", "0644", "chmod 600"] {
        assert!(list.stderr.contains(words), "{words}: {list:?}");
    }
    assert!(list.stdout.contains("demo"), "{list:?}");
    let bad = home.run(&["list", "--context", "bad"]).exits(1);
    assert!(bad.stderr.contains("bad.yaml:2:"), "{bad:?}");
    let open = home.run(&["list", "--context", "open"]).exits(1);
    assert!(open.stderr.contains("chmod 600"), "{open:?}");
    home.run(&["list", "--context", "demo"]).exits(0);
}
