//! What daemons refuse to do before transport is secured.

use std::time::Duration;

use paasta_tests::cluster::binaries::binaries;
use paasta_tests::run::bounded;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_coordinator_listens_on_loopback_only_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let run = |flags: &[&str]| {
        let output = bounded(LIMIT, binaries().unwrap().join("paasta-coordinator"))
            .args(["run", "--node-id=1", "--listen=192.0.2.1:7001"])
            .arg(format!(
                "--config-dir={}",
                dir.path().join("config").display()
            ))
            .arg(format!("--data-dir={}", dir.path().join("data").display()))
            .arg(format!("--soa-dir={}", dir.path().display()))
            .args(flags)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    };
    let refused = run(&[]);
    assert!(
        refused.contains("192.0.2.1") && refused.contains("--insecure-test-network"),
        "{refused}"
    );
    let refused = run(&["--insecure-test-network=198.51.100.0/24"]);
    assert!(refused.contains("192.0.2.1"), "{refused}");
    // With the right network it is the kernel that refuses: the address is nobody's.
    let tried = run(&["--insecure-test-network=192.0.2.0/24"]);
    assert!(!tried.contains("--insecure-test-network"), "{tried}");
}
