//! An agent whose own disk is full or read-only says so, touches nothing that runs, and goes on by
//! itself when it can write again.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use paasta_common::{
    assignment::Want,
    report::{HostPart, Runtime},
};

use crate::world::{World, docker};

/// A small file system in memory, unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "none"])
            .arg(at)
            .status();
        assert!(mounted.unwrap().success(), "this test needs root");
        Self(at.to_owned())
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        let zeros = [0; 4_096];
        while file.write_all(&zeros).is_ok() {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.unwrap().success(), "{} stays", self.0.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_agent_is_named_and_mended_and_stops_nothing() {
    let fill = |small: &Small| {
        let filler = small.fill();
        move || std::fs::remove_file(filler).unwrap()
    };
    cannot_write_for_a_while("No space left on device", fill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_of_the_agent_is_named_and_stops_nothing() {
    let cover = |small: &Small| {
        // A read-only mount of the same over it: the files that are open stay writable.
        let at = small.0.clone();
        mount(&["--bind"], &[&at, &at]);
        mount(&["-o", "remount,bind,ro"], &[&at]);
        move || {
            let uncovered = Command::new("umount").arg(&at).status();
            assert!(uncovered.unwrap().success());
        }
    };
    cannot_write_for_a_while("Read-only file system", cover).await;
}

fn mount(options: &[&str], paths: &[&Path]) {
    let mounted = Command::new("mount").args(options).args(paths).status();
    assert!(mounted.unwrap().success(), "mount {options:?}");
}

/// Keeps the agent from writing by `hinder`, which returns how that ends.
async fn cannot_write_for_a_while<End: FnOnce()>(words: &str, hinder: impl FnOnce(&Small) -> End) {
    let mut world = World::asleep();
    let small = Small::mount(&world.dir.path().join("state"));
    world.start();
    let app = world.minimal();
    world
        .assign(&[(1, Want::Run, app.clone()), (2, Want::Run, app)])
        .await;
    let one = world.until_healthy(1).await;
    let two = world.until_healthy(2).await;
    let end = hinder(&small);
    // Its end must be written before anything is begun for it.
    docker(&["kill", one.container.as_deref().unwrap()]);
    let degraded = world
        .until_runtime(words, |runtime| *runtime != Runtime::Ok)
        .await;
    let Runtime::Degraded { reason, part, .. } = degraded else {
        panic!("{degraded:?}");
    };
    assert_eq!(part, HostPart::Disk, "{reason}");
    assert!(reason.contains(words), "{reason}");
    let same = world.until_healthy(2).await;
    assert_eq!((same.run, same.container), (two.run, two.container));

    end();
    world
        .until_runtime("well again", |runtime| *runtime == Runtime::Ok)
        .await;
    let next = world
        .until(1, "replaced", |report| {
            report.run == one.run + 1 && report.container != one.container
        })
        .await;
    assert_eq!(next.failures, 1, "{}", next.message);
    world.until_healthy(1).await;
    // What was written then can be read by the next agent.
    world.restart().await;
    let known = world.until_healthy(1).await;
    assert_eq!(known.run, next.run);
    world.stop().await;
}
