//! What each request and each page costs the threads of a leader with many instances and replicas:
//! how late a task is woken there that sleeps for 5 ms. The leader has one thread, so that
//! whatever holds a thread is seen.

mod pages;
mod requests;
mod scene;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use requests::{Expected, rows};
use scene::Scene;

/// For how long a request is made again and again.
const LOOK: Duration = Duration::from_millis(500);
/// For how long a thread may be held, in seconds, beyond what the machine itself does to it.
const HELD_MAX: f64 = 0.05;
/// For how long a leader stands still that must be seen to do so.
const STANDSTILL: Duration = Duration::from_millis(300);
/// A machine that does something else meanwhile does not do so three times.
const TRIES: usize = 3;

/// The latest beat while something was done, and while nothing was, in seconds.
#[derive(Clone, Copy, Debug)]
struct Measured {
    held: f64,
    idle: f64,
}

impl Measured {
    fn is_good(self) -> bool {
        self.held <= HELD_MAX + self.idle
    }
}

/// Looks up to three times, and keeps the best.
async fn best(scene: &Scene, mut work: impl AsyncFnMut()) -> Measured {
    let mut best: Option<Measured> = None;
    for _ in 0..TRIES {
        let idle = scene.latest(async || tokio::time::sleep(LOOK).await).await;
        let held = scene
            .latest(async || {
                let until = Instant::now() + LOOK;
                while Instant::now() < until {
                    work().await;
                }
            })
            .await;
        let now = Measured { held, idle };
        best = best.filter(|best| best.held <= held).or(Some(now));
        if now.is_good() {
            return now;
        }
    }
    best.unwrap()
}

/// A leader whose threads stand still for a while: the measurement must show that.
async fn shows_what_holds_it(scene: &Scene) {
    let latest = scene
        .latest(async || {
            scene.signal(Signal::SIGSTOP);
            tokio::time::sleep(STANDSTILL).await;
            scene.signal(Signal::SIGCONT);
        })
        .await;
    assert!(latest > HELD_MAX * 2.0, "{latest} s after {STANDSTILL:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_and_no_page_holds_the_leaders_executor_for_50_ms() {
    let scene = Scene::set().await.unwrap();
    shows_what_holds_it(&scene).await;
    let mut bad = Vec::new();
    let mut note = |what: String, measured: Measured| {
        let (held, idle) = (measured.held * 1_000.0, measured.idle * 1_000.0);
        let line = format!("{held:>6} ms, idle {idle:>4} ms  {what}");
        println!("{line}");
        if !measured.is_good() {
            bad.push(line);
        }
    };
    for row in rows() {
        for (at, request) in row.requests.iter().enumerate() {
            let answer = scene.call(row.path, request.clone()).await;
            match row.expected {
                Expected::Answer => assert!(answer.is_ok(), "{} {at}: {answer:?}", row.path),
                Expected::Refusal => assert!(answer.is_err(), "{} {at}: {answer:?}", row.path),
            }
            let measured = best(&scene, async || {
                // What is refused once too often is held back, which is as good.
                let _ = scene.call(row.path, request.clone()).await;
                scene.write().await;
            })
            .await;
            note(format!("{} {at}", row.path), measured);
        }
    }
    for page in pages::pages(&scene).await {
        let (code, _) = scene.get(&page).await.unwrap();
        assert!(page.codes.contains(&code), "{page:?} answers {code}");
        let measured = best(&scene, async || {
            let _ = scene.get(&page).await;
            scene.write().await;
        })
        .await;
        note(page.path.clone(), measured);
    }
    assert!(bad.is_empty(), "held for too long:\n{}", bad.join("\n"));
}

#[tokio::test]
async fn every_call_and_every_page_has_a_row() {
    requests::complete();
    pages::complete();
}
