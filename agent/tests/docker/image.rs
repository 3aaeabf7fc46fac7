//! The image of these tests, and the docker client. The benchmarks use it too.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Runs docker and returns what it says; fails the test when docker does.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new("docker")
        .args(args)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("these tests need the docker client; install docker.io");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "docker {args:?}: {errors}; is dockerd running?"
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The static program of the test image, compiled once.
pub(crate) fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| {
        // Kept from one run of the tests to the next, by its source.
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/server.rs");
        let sum = crc32fast::hash(&std::fs::read(source).unwrap());
        let binary = root.join(format!("agent-test-server-{sum:08x}"));
        if binary.exists() {
            return binary;
        }
        let fresh = root.join(format!(
            "agent-test-server-{sum:08x}.{}",
            std::process::id()
        ));
        let compiled = Command::new("rustc")
            .args(["--edition", "2024", "-C", "opt-level=1"])
            .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"])
            .args(["--target", "x86_64-unknown-linux-gnu", source, "-o"])
            .arg(&fresh)
            .status();
        assert!(
            compiled.unwrap().success(),
            "the test image's program does not compile"
        );
        std::fs::rename(&fresh, &binary).unwrap();
        binary
    })
}

/// An image of one program, under two names.
pub(crate) fn import(binary: &Path, dir: &Path, image: &str) {
    let root = dir.join("image");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::copy(binary, root.join("server")).unwrap();
    std::fs::copy(binary, root.join("bin/sh")).unwrap();
    let tar = dir.join("image.tar");
    let packed = Command::new("tar")
        .arg("-cf")
        .arg(&tar)
        .arg("-C")
        .arg(&root)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let entrypoint = r#"ENTRYPOINT ["/server"]"#;
    docker(&[
        "import",
        "--change",
        entrypoint,
        &tar.to_string_lossy(),
        image,
    ]);
    std::fs::remove_dir_all(&root).unwrap();
}
