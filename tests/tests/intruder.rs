//! A program in a container tries every port of coordinators and agents, from a bridge and from the
//! host's network. With TLS it gains nothing; the same program gains everything where TLS is off.

#[path = "intruder/scene.rs"]
mod scene;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use paasta_tests::{
    intruder::{Attack, Attempt},
    run::eventually,
};

use scene::{Scene, image};

const LIMIT: Duration = Duration::from_secs(90);
/// In the environment of the services.
const SECRET: &str = "s3cret-of-";

fn gained(attempts: &[Attempt], attack: Attack) -> Vec<&Attempt> {
    let of = attempts.iter().filter(|one| one.attack == attack);
    of.filter(|one| one.gained).collect()
}

#[test]
fn without_tls_a_container_on_the_hosts_network_gains_everything() -> Result<()> {
    let image = image()?;
    let scene = Scene::up(false)?;
    let (attempts, healthy) = std::thread::scope(|scope| {
        let intruding = scope.spawn(|| scene.intrude(&image, "host"));
        // While it runs: what it claims to run counts as healthy.
        let healthy = eventually(LIMIT, "bait.i0 is believed to be happy", || {
            let status = scene.cluster.operator.status("bait.i0")?;
            let happy = status.counts.context("counts")?.happy;
            ensure!(happy == 1, "{happy} happy");
            Ok(())
        });
        (intruding.join(), healthy)
    });
    let attempts = attempts.map_err(|_| anyhow::anyhow!("the intruder panicked"))??;
    healthy.with_context(|| format!("{attempts:#?}"))?;
    for attack in [
        Attack::Http,
        Attack::Describe,
        Attack::Drain,
        Attack::Vote,
        Attack::Register,
        Attack::Impersonate,
    ] {
        ensure!(
            !gained(&attempts, attack).is_empty(),
            "{attack:?}: {attempts:#?}"
        );
    }
    for attack in [Attack::Describe, Attack::Register, Attack::Impersonate] {
        let read = gained(&attempts, attack);
        ensure!(
            read.iter().any(|one| one.words.contains(SECRET)),
            "{attack:?}: {read:#?}"
        );
    }
    let app = attempts
        .iter()
        .find(|one| one.address.ends_with("/marathon_app"));
    ensure!(app.is_some_and(|one| one.words.contains(SECRET)), "{app:?}");
    Ok(())
}

#[test]
fn with_tls_no_container_gains_anything() -> Result<()> {
    let image = image()?;
    let scene = Scene::up(true)?;
    let before = scene.look()?;
    scene.every_port_is_tried()?;
    for network in ["bridge", "host"] {
        let attempts = scene.intrude(&image, network)?;
        ensure!(attempts.len() > 20, "{network}: {attempts:#?}");
        for attempt in &attempts {
            let open = scene.may_be_read(network, attempt);
            ensure!(attempt.gained == open, "{network}: {attempt:#?}");
            ensure!(!attempt.words.contains(SECRET), "{network}: {attempt:#?}");
        }
        let tried: BTreeSet<Attack> = attempts.iter().map(|one| one.attack).collect();
        ensure!(tried.len() == 6, "{tried:?}");
    }
    let after = scene.look()?;
    ensure!(before == after, "{before:#?}\nbecame\n{after:#?}");
    Ok(())
}
