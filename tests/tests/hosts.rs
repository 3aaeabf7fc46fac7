//! Hosts on one machine behave as hosts do, and leave nothing behind. Needs root and dockerd.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paasta_tests::disk::Filler;
use paasta_tests::hosts::Hosts;
use paasta_tests::registry::Registry;
use paasta_tests::run::{bounded, eventually, text};
use paasta_tests::traces::traces;

const PORT: u16 = 31000;
const DISK_MIB: u32 = 256;
const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(20);

#[test]
fn hosts_answer_die_come_back_and_leave_nothing() {
    let before = traces("zqa").unwrap();
    let hosts = Hosts::up("zqa", 2).unwrap();
    let registry = Registry::up(&hosts).unwrap();
    let image = registry.push_example(SHA).unwrap();
    run_hello(&hosts, 1, &image).unwrap();
    run_hello(&hosts, 2, &image).unwrap();
    for host in hosts.all() {
        let body = eventually(WAIT, &host.name, || get(host.ip)).unwrap();
        assert!(
            body.contains("service=hello") && body.contains("version=01234567"),
            "{body}"
        );
    }
    reach_each_other(&hosts).unwrap();
    lose_power(&hosts).unwrap();
    be_cut_off(&hosts).unwrap();

    let (processes, sockets) = (hosts.processes().unwrap(), shim_sockets(&hosts).unwrap());
    assert!(
        processes.len() >= 8,
        "two hosts run more than {processes:?}"
    );
    assert!(
        !sockets.is_empty() && sockets.iter().all(|socket| socket.exists()),
        "{sockets:?}"
    );
    let during = traces("zqa").unwrap();
    assert!(
        during.len() > before.len() + 20,
        "the check sees too little: {during:?}"
    );
    let state = hosts.state().to_owned();
    hosts.down().unwrap();

    let left: Vec<_> = processes
        .into_iter()
        .filter(|process| lives(*process))
        .collect();
    assert!(
        left.is_empty(),
        "processes that outlived their hosts: {left:?}"
    );
    let left: Vec<_> = sockets
        .into_iter()
        .filter(|socket| socket.exists())
        .collect();
    assert!(
        left.is_empty(),
        "sockets that outlived their hosts: {left:?}"
    );
    assert_eq!(traces("zqa").unwrap(), before);
    assert!(!state.exists(), "{} is still there", state.display());
}

#[test]
fn a_dropped_set_is_gone_and_two_sets_do_not_meet() {
    let before = traces("zqb").unwrap();
    {
        let one = Hosts::up("zqb", 1).unwrap();
        let other = Hosts::up("zqc", 1).unwrap();
        assert_ne!(one.gateway(), other.gateway());
        assert_ne!(
            one.docker(1, &["info", "-f", "{{.DockerRootDir}}"])
                .unwrap(),
            other
                .docker(1, &["info", "-f", "{{.DockerRootDir}}"])
                .unwrap()
        );
        let error = Hosts::up("zqb", 1).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error:#}");
        assert!(traces("zqb").unwrap().len() > before.len());
    }
    assert_eq!(traces("zqb").unwrap(), before);
}

#[test]
fn containers_outlive_dockerd_when_told_so() {
    let hosts = Hosts::up_with("zqd", 1, &["--live-restore"]).unwrap();
    let image = Registry::up(&hosts).unwrap().push_example(SHA).unwrap();
    run_hello(&hosts, 1, &image).unwrap();
    let started = "{{.State.Pid}} {{.State.StartedAt}}";
    let before = hosts
        .docker(1, &["inspect", "-f", started, "hello"])
        .unwrap();
    let pid = fs::read_to_string(hosts.host(1).dir.join("dockerd.pid")).unwrap();
    text(bounded(WAIT, "kill").args(["-KILL", pid.trim()])).unwrap();
    eventually(WAIT, "dockerd dies", || {
        ensure!(hosts.docker(1, &["version"]).is_err(), "it still answers");
        Ok(())
    })
    .unwrap();
    hosts.start_host(1).unwrap();
    assert_eq!(
        hosts
            .docker(1, &["inspect", "-f", started, "hello"])
            .unwrap(),
        before
    );
    eventually(WAIT, "the container answers", || get(hosts.host(1).ip)).unwrap();
}

#[test]
fn a_small_disk_fills_alone_and_stays_until_its_host_is_gone() {
    let before = traces("zqf").unwrap();
    let hosts = Hosts::up("zqf", 1).unwrap();
    let error = Filler::fill(hosts.host(1), DISK_MIB).unwrap_err();
    assert!(
        error.to_string().contains("no disk of its own"),
        "{error:#}"
    );
    let error = hosts.start_host_with_disk(1, DISK_MIB).unwrap_err();
    assert!(format!("{error:#}").contains("kill-host"), "{error:#}");
    hosts.kill_host(1).unwrap();
    hosts.start_host_with_disk(1, DISK_MIB).unwrap();
    let filler = Filler::fill(hosts.host(1), DISK_MIB).unwrap();
    let told = hosts.docker(1, &["volume", "create"]).unwrap_err();
    assert!(format!("{told:#}").contains("no space left"), "{told:#}");
    filler.remove().unwrap();
    hosts.docker(1, &["volume", "create", "kept"]).unwrap();
    hosts.kill_host(1).unwrap();
    hosts.start_host(1).unwrap();
    hosts.docker(1, &["volume", "inspect", "kept"]).unwrap();
    assert!(Filler::fill(hosts.host(1), DISK_MIB - 100).is_err());
    hosts.down().unwrap();
    assert_eq!(traces("zqf").unwrap(), before);
}

#[test]
fn a_stopped_registry_keeps_its_images_and_bad_versions_can_be_made() {
    let hosts = Hosts::up("zqe", 1).unwrap();
    let registry = Registry::up(&hosts).unwrap();
    let image = registry
        .push_variant(SHA, &[("CRASH_AFTER_MS", 50), ("EXIT_CODE", 7)])
        .unwrap();
    hosts.docker(1, &["rmi", &image]).unwrap();
    registry.stop().unwrap();
    assert!(
        hosts.docker(1, &["pull", &image]).is_err(),
        "pulled from a registry that is stopped"
    );
    registry.start().unwrap();
    hosts.docker(1, &["pull", "-q", &image]).unwrap();
    hosts
        .docker(1, &["run", "-d", "--name", "bad", &image])
        .unwrap();
    assert_eq!(hosts.docker(1, &["wait", "bad"]).unwrap(), "7");
}

fn run_hello(hosts: &Hosts, index: usize, image: &str) -> Result<()> {
    let publish = format!("{PORT}:8888");
    let version = format!("PAASTA_DOCKER_IMAGE={image}");
    let words = [
        "run", "-d", "--init", "--name", "hello", "-p", &publish, "-e", &version, image,
    ];
    hosts.docker(index, &words).map(drop)
}

fn reach_each_other(hosts: &Hosts) -> Result<()> {
    let url = format!("http://{}:{PORT}/status", hosts.host(2).ip);
    let body = text(hosts.command_in(1, "curl").args(["-fsS", "-m", "5", &url]))?;
    ensure!(body == "healthy", "host 2 said {body} to host 1");
    Ok(())
}

fn lose_power(hosts: &Hosts) -> Result<()> {
    let (host, boot_id) = (hosts.host(2), hosts.host(2).dir.join("boot_id"));
    let before = fs::read_to_string(&boot_id)?;
    // A connection that stands when the power goes: nobody may close it.
    let mut standing = TcpStream::connect_timeout(&(host.ip, PORT).into(), ANSWER_LIMIT)?;
    hosts.kill_host(2)?;
    ensure!(get(host.ip).is_err(), "host 2 answers without power");
    ensure!(
        hosts.docker(2, &["version"]).is_err(),
        "dockerd of host 2 answers without power"
    );
    standing.set_read_timeout(Some(ANSWER_LIMIT))?;
    let kind = standing.read(&mut [0]).map_err(|error| error.kind());
    ensure!(
        kind == Err(std::io::ErrorKind::WouldBlock),
        "the peer heard of the death: {kind:?}"
    );
    get(hosts.host(1).ip).context("host 1 is not concerned")?;

    hosts.start_host(2)?;
    ensure!(
        fs::read_to_string(&boot_id)? != before,
        "a boot has a new id"
    );
    let state = hosts.docker(2, &["inspect", "-f", "{{.State.Running}}", "hello"])?;
    ensure!(
        state == "false",
        "the container is known and does not run: {state}"
    );
    hosts.docker(2, &["start", "hello"])?;
    eventually(WAIT, "host 2 after its boot", || get(host.ip)).map(drop)
}

fn be_cut_off(hosts: &Hosts) -> Result<()> {
    hosts.cut(1)?;
    ensure!(
        get(hosts.host(1).ip).is_err(),
        "host 1 answers through a cut wire"
    );
    let running = hosts.docker(1, &["inspect", "-f", "{{.State.Running}}", "hello"])?;
    ensure!(running == "true", "a cut wire ends no container");
    get(hosts.host(2).ip).context("host 2 is not concerned")?;
    hosts.heal(1)?;
    eventually(WAIT, "host 1 after healing", || get(hosts.host(1).ip)).map(drop)
}

/// `GET /` of the example service.
fn get(ip: Ipv4Addr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((ip, PORT)), ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(
        answer.starts_with("HTTP/1.1 200 "),
        "the answer was {answer:?}"
    );
    Ok(answer)
}

/// The sockets of container shims, which lie outside of the state directory.
fn shim_sockets(hosts: &Hosts) -> Result<Vec<PathBuf>> {
    let found = text(bounded(WAIT, "find").arg(hosts.state()).args([
        "-path",
        "*/exec/containerd/*",
        "-name",
        "address",
        "-exec",
        "sed",
        "s/$/\\n/",
        "{}",
        ";",
    ]))?;
    Ok(found
        .split_whitespace()
        .map(|line| line.trim_start_matches("unix://").into())
        .collect())
}

/// Whether this very process still runs: its number may be another's by now.
fn lives((pid, start): (u32, u64)) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return false;
    };
    let fields: Vec<&str> = fields.split(' ').collect();
    fields[0] != "Z" && fields[19].parse() == Ok(start)
}
