//! Many repositories whose servers take the question and never answer: how many gits the leader
//! runs at once, and that none is left when it stops.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use paasta_tests::{
    loopback::{Loopback, LoopbackOptions},
    run::{eventually, throughout},
};

/// `deployments.at_once` of the coordinators.
const AT_ONCE: usize = 6;
/// Servers that hang, each with so many repositories: one server gets three quarters of `at_once`.
const SERVERS: u8 = 4;
const REPOSITORIES: usize = 10;
/// Programs that one git starts for a repository behind HTTP: its helper for remotes.
const PROGRAMS: usize = 3;
const SOON: Duration = Duration::from_secs(60);
/// Longer than several turns of what is asked every second.
const LONG: Duration = Duration::from_secs(8);

/// Takes connections and keeps them, for as long as the test lives.
fn silent_server(last: u8) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from(([127, 3, 3, last], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            kept.push(stream);
        }
    });
    address
}

/// The process and its parent, and the program's name, of every process.
fn processes() -> BTreeMap<u32, (u32, String)> {
    let entries = fs::read_dir("/proc").unwrap();
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent = |id: u32| {
        // One that has just ended has no parent.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (head, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let name = head.split_once('(')?.1.to_owned();
        (state != "Z").then_some((id, (parent, name)))
    };
    ids.filter_map(parent).collect()
}

/// The children of a process, and all that they started.
fn below(of: u32) -> (Vec<u32>, Vec<u32>) {
    let all = processes();
    let children_of = |parents: &[u32]| -> Vec<u32> {
        let children = all
            .iter()
            .filter(|(_, (parent, _))| parents.contains(parent));
        children.map(|(id, _)| *id).collect()
    };
    let children = children_of(&[of]);
    let (mut found, mut newest) = (children.clone(), children.clone());
    while !newest.is_empty() {
        newest = children_of(&newest);
        found.extend(&newest);
    }
    (children, found)
}

fn hang(cluster: &Loopback) -> Result<()> {
    for server in 1..=SERVERS {
        let address = silent_server(server);
        for number in 0..REPOSITORIES {
            // Both kinds: git itself waits, or a program that it starts.
            let scheme = if number % 2 == 0 { "git" } else { "http" };
            let url = format!("{scheme}://{address}/r{number}.git");
            cluster.follow_url(&format!("s{server}-{number}"), &url)?;
        }
    }
    Ok(())
}

#[test]
fn no_more_gits_run_than_are_allowed_while_forty_repositories_hang() {
    let mut cluster = Loopback::up(LoopbackOptions {
        git: true,
        git_at_once: AT_ONCE as u32,
        ..LoopbackOptions::new("gits", &[0])
    })
    .unwrap();
    hang(&cluster).unwrap();
    let pid = cluster.pid(1).unwrap();
    eventually(SOON, "as many gits as may run", || {
        let (children, _) = below(pid);
        ensure!(children.len() == AT_ONCE, "{} run", children.len());
        Ok(())
    })
    .unwrap();
    let mut most = (0, 0);
    throughout(LONG, "the number of gits is bounded", || {
        let (children, all) = below(pid);
        most = (most.0.max(children.len()), most.1.max(all.len()));
        ensure!(children.len() <= AT_ONCE, "{children:?} are children");
        ensure!(all.len() <= AT_ONCE * PROGRAMS, "{all:?} are below");
        Ok(())
    })
    .unwrap();
    let (children, all) = most;
    println!("at most {children} gits, {all} processes, in {LONG:?}");
    assert_eq!(children, AT_ONCE, "they did not all hang");
    assert!(
        all > children,
        "no git started a program: nothing was shown of them"
    );
    // What needs no repository goes on.
    cluster.declare("one", 5, 'a').unwrap();
    eventually(SOON, "others are taken in", || {
        cluster.operator.status("one.i3")
    })
    .unwrap();

    let (_, left) = below(pid);
    let names = processes();
    let left: Vec<_> = left
        .into_iter()
        .map(|id| (id, names.get(&id).cloned().unwrap_or_default().1))
        .collect();
    cluster.stop(1).unwrap();
    eventually(SOON, "its gits end with it", || {
        let now = processes();
        let still = left
            .iter()
            .find(|(id, name)| now.get(id).is_some_and(|(_, now)| now == name));
        still.map_or(Ok(()), |one| Err(anyhow::anyhow!("{one:?} runs")))
    })
    .unwrap();
}
