//! Mistakes in the command line, and the help: what they say, whatever the environment gives.

use crate::paasta::{paasta, paasta_with};

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
