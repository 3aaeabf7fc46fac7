//! `hello`: the example service of paasta, one image with a web server and a worker in it.
//!
//! `hello` serves HTTP on 0.0.0.0:8888, `hello worker` works without a port, and `hello check`
//! asks a server in the same container whether it is healthy. SIGTERM ends each of them cleanly,
//! as pid 1 as well as under an init.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, io, thread};

mod behaviour;
mod check;
mod http;
mod identity;
mod server;
mod stop;

use behaviour::Behaviour;
use identity::Identity;

/// The port that services in bridge mode listen on.
const PORT: u16 = 8888;
/// How often the worker says that it works.
const WORK_INTERVAL: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // Before any thread exists, so that every thread leaves the signals to the one that waits.
    let signals = match stop::block() {
        Ok(signals) => signals,
        Err(error) => return fail("cannot block signals", &error),
    };
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(signals),
        ["worker"] => work(signals),
        ["check"] => check::run(PORT),
        _ => {
            eprintln!("usage: hello [worker | check]");
            ExitCode::from(2)
        }
    }
}

fn serve(signals: stop::Signals) -> ExitCode {
    let behaviour = Behaviour::from_env(|key| env::var(key).ok());
    behaviour.clone().start();
    let identity = Identity::from_env(|key| env::var(key).ok());
    println!("{identity}: serving on port {PORT}");
    let server = match server::Server::start(PORT, identity, behaviour.unhealthy) {
        Ok(server) => server,
        Err(error) => return fail("cannot listen", &error),
    };
    signals.wait();
    println!("hello: stops after the requests under way");
    Arc::clone(&server).finish();
    behaviour.exit_code()
}

fn work(signals: stop::Signals) -> ExitCode {
    let behaviour = Behaviour::from_env(|key| env::var(key).ok());
    behaviour.clone().start();
    let identity = Identity::from_env(|key| env::var(key).ok());
    let spawned = thread::Builder::new().name("work".into()).spawn(move || {
        for round in 1_u64.. {
            println!("{identity}: round {round}");
            thread::sleep(WORK_INTERVAL);
        }
    });
    if let Err(error) = spawned {
        return fail("cannot start working", &error);
    }
    signals.wait();
    behaviour.exit_code()
}

fn fail(what: &str, error: &io::Error) -> ExitCode {
    eprintln!("hello: {what}: {error}");
    ExitCode::FAILURE
}
