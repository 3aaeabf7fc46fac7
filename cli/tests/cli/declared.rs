//! The verbs that read yelpsoa-configs and ask nobody: `info`, `list -a`, `list-clusters`.

use std::{fs, path::Path};

use crate::paasta::{Ran, paasta_with};

const SMARTSTACK: &str =
    "main: {proxy_port: 20973}\nlog: {proxy_port: 20974, mode: tcp}\nbare: {}\n";

fn configs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("make the directory");
        fs::write(path, text).expect("write the file");
    };
    write(
        "etc/paasta.yaml",
        &format!("soa_dir: {}/soa\n", dir.path().display()),
    );
    write(
        "soa/hello/service.yaml",
        "description: Says hello\nexternal_link: http://wiki/hello\ngit_url: git@git:services/hello\n",
    );
    write(
        "soa/hello/marathon-north.yaml",
        "main: {mem: 64}\nworker: {mem: 64}\n",
    );
    write("soa/hello/marathon-south.yaml", "main: {mem: 64}\n");
    write(
        "soa/hello/monitoring.yaml",
        "team: greeters\nrunbook: y/hello\n",
    );
    write("soa/hello/smartstack.yaml", SMARTSTACK);
    write("soa/bare/service.yaml", "{}\n");
    write("soa/odd/marathon-north.yaml", "main: {mem: lots}\n");
    dir
}

fn ask(dir: &Path, args: &[&str]) -> Ran {
    let config = dir.join("etc").display().to_string();
    let mut all = args.to_vec();
    all.extend(["--config-dir", &config]);
    paasta_with(&all, &[("COLUMNS", "80")], "")
}

#[test]
fn info_says_what_a_service_is() {
    let dir = configs();
    let text = ask(dir.path(), &["info", "-s", "hello"]).exits(0).stdout;
    assert_eq!(text, HELLO);
    let json = ask(dir.path(), &["info", "-s", "hello", "--json"])
        .exits(0)
        .json();
    assert_eq!(json["clusters"]["south"][0], "main");
    assert_eq!(json["teams"][0], "greeters");
    let bare = ask(dir.path(), &["info", "-s", "bare"]).exits(0).stdout;
    assert!(
        bare.contains("Deployed To:          no cluster\n"),
        "{bare}"
    );
    let odd = ask(dir.path(), &["info", "-s", "odd"]).exits(1).stdout;
    assert!(
        odd.contains("odd/marathon-north.yaml") && odd.contains("mem"),
        "{odd}"
    );
    let unknown = ask(dir.path(), &["info", "-s", "helo"]).exits(1).stderr;
    assert!(unknown.contains("did you mean hello?"), "{unknown}");
}

const HELLO: &str = "\
Service Name:         hello
Description:          Says hello
External Link:        http://wiki/hello
Monitored By:         greeters
Runbook:              y/hello
Git Repo:             git@git:services/hello
Deployed To:
  north:              main, worker
  south:              main
Smartstack Endpoints:
  tcp://169.254.255.254:20974 (log)
  http://169.254.255.254:20973 (main)
";

#[test]
fn names_are_listed_without_a_coordinator() {
    let dir = configs();
    let all = ask(dir.path(), &["list", "-a"]).exits(0).stdout;
    assert_eq!(all, "bare\nhello\nodd\n");
    let json = ask(dir.path(), &["list", "-a", "--json"]).exits(0).json();
    assert_eq!(json["services"][1], "hello");
    let near = ask(dir.path(), &["list", "-a", "-s", "helo"]).exits(1);
    assert!(near.stderr.contains("did you mean hello?"), "{near:?}");
    let clusters = ask(dir.path(), &["list-clusters"]).exits(0).stdout;
    assert_eq!(clusters, "north\nsouth\n");
    let soa = dir.path().join("soa").display().to_string();
    ask(dir.path(), &["list-clusters", "-d", &soa]).exits(0);
    let nowhere = ask(dir.path(), &["list-clusters", "-d", "/nonexistent"]).exits(1);
    assert!(nowhere.stderr.contains("/nonexistent"), "{nowhere:?}");
    let declared = ask(dir.path(), &["list", "-d", &soa]).exits(0).stdout;
    assert_eq!(declared, "hello\nodd\n");
}
