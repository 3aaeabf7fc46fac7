//! Mistakes in the command line, and the help: what they say, whatever the environment gives.

use std::fs;

use crate::paasta::{paasta, paasta_in, paasta_with};

#[test]
fn a_usage_line_names_no_option_that_the_environment_gives() {
    let env = [
        ("PAASTA_COORDINATORS", "127.0.0.1:1"),
        ("PAASTA_SYSTEM_CONFIG_DIR", "/etc/paasta"),
    ];
    for args in [
        &["why", "--bogus"][..],
        &["logs", "-n", "5"],
        &["rollback", "--bogus"],
    ] {
        let ran = paasta_with(args, &env, "").exits(1);
        assert!(!ran.stderr.contains("--coordinators"), "{ran:?}");
        assert!(!ran.stderr.contains("--config-dir"), "{ran:?}");
        let usage = format!("Usage: paasta {}", args[0]);
        assert!(ran.stderr.contains(&usage), "{ran:?}");
    }
}

#[test]
fn the_help_is_by_task_and_on_one_screen() {
    let help = paasta(&["--help"]).exits(0).stdout;
    for group in [
        "Deploy:",
        "Look:",
        "Hosts:",
        "Emergencies:",
        "Pipeline:",
        "Coordinators:",
    ] {
        assert!(help.contains(group), "{group} in {help}");
    }
    assert!(help.lines().count() <= 48, "{help}");
}

#[test]
fn a_flag_of_paasta_that_is_not_here_says_what_to_use() {
    let ran = paasta(&["start", "-s", "web", "-b", "prod.main"]).exits(1);
    assert!(
        ran.stderr
            .contains("-b of PaaSTA's start is not here. Instead: -c CLUSTER -i"),
        "{ran:?}"
    );
}

#[test]
fn commands_of_paastas_masters_say_what_to_use() {
    for (verb, instead) in [
        ("setup_marathon_job", "paasta why"),
        ("check_capacity", "paasta metastatus"),
        ("fsm", "paasta new-service"),
    ] {
        let ran = paasta(&[verb, "--anything"]).exits(1);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(ran.stderr.contains(instead), "{ran:?}");
    }
}

#[test]
fn a_directory_is_listed_without_any_coordinator() {
    let dir = tempfile::tempdir().expect("a directory");
    for (service, file) in [("web", "main: {}\nworker: {}\n"), ("notes", "")] {
        let of_it = dir.path().join("soa").join(service);
        fs::create_dir_all(&of_it).expect("make it");
        fs::write(of_it.join("service.yaml"), "{}\n").expect("write it");
        if !file.is_empty() {
            fs::write(of_it.join("marathon-prod.yaml"), file).expect("write it");
        }
    }
    let etc = dir.path().join("etc");
    fs::create_dir(&etc).expect("make it");
    let list = |args: &[&str]| {
        let args = [&["list", "-d", "soa"][..], args].concat();
        let env = [("PAASTA_SYSTEM_CONFIG_DIR", etc.to_str().expect("a path"))];
        paasta_in(dir.path(), &args, &env).exits(0)
    };
    assert_eq!(list(&[]).stdout, "web\n");
    assert_eq!(list(&["-a"]).stdout, "notes\nweb\n");
    assert_eq!(list(&["-i"]).stdout, "web.main\nweb.worker\n");
    assert_eq!(list(&["-i", "--json"]).json()["instances"][1], "web.worker");
}
