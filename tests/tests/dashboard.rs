//! The dashboard in a real browser, on real coordinators with agents whose containers are made up:
//! every page with a cluster behind it, a deploy, a bounce that cannot go on, a host that is gone, an
//! election and the loss of the quorum, all seen on a page that is not loaded again.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the browser is asked on threads of its own; how long each change took is printed"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use paasta_proto::v1::HostState;
use paasta_tests::{
    browser::{Browser, ENTER},
    linked::Linked,
    proxy::Link,
    run::eventually,
};
use tokio::time::Instant;

const AGENTS: u16 = 3;
const REPLICAS: usize = 6;
/// Open pages that a coordinator lets follow.
const FOLLOWERS: usize = 64;
/// A host is lost so long after its lease, milliseconds: not while this test looks.
const LOST_AFTER_MS: u64 = 600_000;
/// The row of a bounce on the first page.
const BOUNCE: &str = "[id='bounce-hello.main']";
/// The pages and what each of them shows.
const PAGES: [(&str, &str, &str); 7] = [
    ("/", "Now", "wide.main"),
    ("/services", "Services", "hello.main"),
    (
        "/services?q=wid&state=not-as-wanted",
        "Services",
        "wide.main",
    ),
    ("/i/hello.main", "hello.main", "aaaaaaaa"),
    ("/hosts", "Hosts", "3 of 3 hosts"),
    ("/events", "Events", "hello.main"),
    ("/cluster", "Coordinators", "leader"),
];

/// Declares `SERVICE.main` and the version that runs.
fn deploy(cluster: &Linked, service: &str, digit: &str, fields: &str) -> Result<()> {
    let dir = cluster.soa().join(service);
    fs::create_dir_all(&dir)?;
    let sha = digit.repeat(40);
    let v1 = serde_json::json!({ format!("{service}:paasta-demo.main"): {
        "docker_image": format!("services-{service}:paasta-{sha}"),
        "desired_state": "start", "force_bounce": null,
    }});
    let replace = |name: &str, text: String| -> Result<()> {
        let new = dir.join(format!("{name}.new"));
        fs::write(&new, text)?;
        Ok(fs::rename(new, dir.join(name))?)
    };
    replace(
        "marathon-demo.yaml",
        format!("main: {{instances: {REPLICAS}, {fields}}}\n"),
    )?;
    replace(
        "deployments.json",
        serde_json::json!({ "v1": v1 }).to_string(),
    )
}

/// Works with the browser on a thread of its own.
async fn with<T: Send + 'static>(
    browser: &Arc<Browser>,
    work: impl FnOnce(&Browser) -> Result<T> + Send + 'static,
) -> Result<T> {
    let browser = Arc::clone(browser);
    tokio::task::spawn_blocking(move || work(&browser)).await?
}

async fn running() -> Result<(Linked, u64)> {
    let mut cluster = Linked::start(3, Link::default(), LOST_AFTER_MS).await?;
    for number in 1..=AGENTS {
        cluster.agent(number, &[1, 2, 3])?;
    }
    deploy(&cluster, "hello", "a", "cpus: 0.1, mem: 64")?;
    deploy(&cluster, "wide", "a", "cpus: 1000, mem: 64")?;
    let all_run = || async { (cluster.containers().0 == REPLICAS).then_some(()) };
    cluster.until("the replicas run", all_run).await?;
    let leader = || cluster.leader_of(&[1, 2, 3]);
    let leader = cluster.until("there is a leader", leader).await?;
    Ok((cluster, leader))
}

/// Every page has its facts without a script, and says to the browser what it may do.
fn without_script(address: SocketAddr) -> Result<()> {
    for (path, title, fact) in PAGES {
        let answer = raw(address, path)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("a head")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        let head = head.to_ascii_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            ensure!(head.contains(header), "{path}: no {header} in {head}");
        }
        ensure!(
            body.contains(&format!("<h1>{title}</h1>")),
            "{path}: {body}"
        );
        ensure!(body.contains(fact), "{path}: no {fact} in {body}");
    }
    for (path, code) in [
        ("/i/nothing.main", "404"),
        ("/services?state=sad", "400"),
        ("/i/x", "400"),
    ] {
        let answer = raw(address, path)?;
        ensure!(
            answer.starts_with(&format!("HTTP/1.1 {code}")),
            "{path}: {answer}"
        );
        ensure!(answer.contains("<h1>"), "{path} is no page: {answer}");
    }
    Ok(())
}

fn raw(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A page that follows, as far as its first message.
fn follower(address: SocketAddr) -> Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let ask = format!("GET /live?page=%2F HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(ask.as_bytes())?;
    let mut begin = [0; 12];
    stream.read_exact(&mut begin)?;
    Ok((stream, String::from_utf8_lossy(&begin).into_owned()))
}

/// So many pages follow as may; one more is refused, until another is gone.
fn followers_are_bounded(address: SocketAddr) -> Result<()> {
    let mut all = Vec::new();
    loop {
        let (stream, head) = follower(address)?;
        if head != "HTTP/1.1 200" {
            ensure!(head == "HTTP/1.1 503", "{head}");
            break;
        }
        all.push(stream);
        ensure!(all.len() <= FOLLOWERS, "{} follow", all.len());
    }
    ensure!(all.len() == FOLLOWERS, "only {} follow", all.len());
    drop(all);
    eventually(Duration::from_secs(30), "a place is free again", || {
        let (_, head) = follower(address)?;
        ensure!(head == "HTTP/1.1 200", "{head}");
        Ok(())
    })
}

/// Every page in the browser, and the keyboard.
fn pages(browser: &Browser, address: SocketAddr) -> Result<()> {
    for (path, title, fact) in PAGES {
        browser.open(&format!("http://{address}{path}"))?;
        ensure!(
            browser.text("h1")? == title,
            "{path}: {}",
            browser.text("h1")?
        );
        let main = browser.text("main")?;
        ensure!(main.contains(fact), "{path}: no {fact} in {main}");
        let wide = browser.run(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
        )?;
        ensure!(wide == 0, "{path} is wider than the screen by {wide}");
    }
    browser.open(&format!("http://{address}/services"))?;
    // Moments are shown in the time of the browser, and as UTC in their title.
    let title = browser.run("return document.querySelector('main time').title")?;
    ensure!(
        title.as_str().is_some_and(|text| text.ends_with("UTC")),
        "{title}"
    );
    browser.press("j")?;
    let focused = "return document.activeElement.innerText";
    ensure!(
        browser.run(focused)? == "hello.main",
        "j goes to the first row"
    );
    browser.press("j")?;
    ensure!(
        browser.run(focused)? == "wide.main",
        "j goes to the next row"
    );
    browser.press("k/")?;
    browser.press(&format!("wide{ENTER}"))?;
    eventually(Duration::from_secs(30), "the search is in the URL", || {
        let url = browser.url()?;
        ensure!(url.contains("q=wide"), "{url}");
        Ok(())
    })?;
    let main = browser.until_shown("#instances", "wide.main")?;
    ensure!(!main.contains("hello.main"), "{main}");
    quiet(browser)
}

/// The console has no error: nothing was refused by the policy, not loaded or thrown.
fn quiet(browser: &Browser) -> Result<()> {
    let said = browser.console()?;
    ensure!(said.is_empty(), "the console said {said:?}");
    Ok(())
}

/// Opens a page, and marks it: when it is loaded again the mark is gone.
fn stay(browser: &Browser, url: &str) -> Result<()> {
    browser.open(url)?;
    browser.run("window.stayed = true").map(drop)
}

fn stayed(browser: &Browser) -> Result<()> {
    let stayed = browser.run("return window.stayed === true")?;
    ensure!(stayed == true, "the page was loaded again");
    quiet(browser)
}

/// A deploy is seen on the page of the instance; then one that cannot go on, on the first page.
async fn deploys(cluster: &Linked, browser: &Arc<Browser>, url: &str) -> Result<()> {
    let page = format!("{url}/i/hello.main");
    with(browser, move |browser| stay(browser, &page)).await?;
    deploy(cluster, "hello", "b", "cpus: 0.1, mem: 64")?;
    let began = Instant::now();
    with(browser, move |browser| {
        browser.until_shown("#summary", "6 happy")?;
        browser.until_shown("#versions", "bbbbbbbb")?;
        println!("the new version was shown after {:?}", began.elapsed());
        stayed(browser)
    })
    .await?;
    let page = format!("{url}/");
    with(browser, move |browser| {
        stay(browser, &page)?;
        browser.until_gone(BOUNCE)
    })
    .await?;
    deploy(cluster, "hello", "c", "cpus: 1000, mem: 64")?;
    let began = Instant::now();
    with(browser, move |browser| {
        let row = browser.until_shown(BOUNCE, "6 happy")?;
        println!("the bounce was shown after {:?}", began.elapsed());
        for fact in [
            "hello.main",
            "going",
            "crossover",
            "0/6",
            "paasta bounce status hello.main",
        ] {
            ensure!(row.contains(fact), "no {fact} in {row}");
        }
        stayed(browser)
    })
    .await?;
    deploy(cluster, "hello", "b", "cpus: 0.1, mem: 64")?;
    with(browser, move |browser| {
        browser.until_gone(BOUNCE)?;
        stayed(browser)
    })
    .await
}

/// A host that is gone is seen on the first page.
async fn host_lost(cluster: &Linked, browser: &Arc<Browser>) -> Result<()> {
    cluster.end_agent(3)?;
    let began = Instant::now();
    with(browser, move |browser| {
        let row = browser.until_shown("#host-h3", "unknown")?;
        println!("the silent host was shown after {:?}", began.elapsed());
        ensure!(row.contains("paasta brake status"), "{row}");
        browser.until_shown("#summary", "Not all is as wanted.")?;
        stayed(browser)
    })
    .await
}

/// The page of a follower goes on over the end of the leader; and says when there is none.
async fn elections(
    cluster: &mut Linked,
    browser: &Arc<Browser>,
    leader: u64,
    here: u64,
) -> Result<()> {
    let began = Instant::now();
    cluster.stop(leader).await?;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let next = cluster
        .until("another one leads", || cluster.leader_of(&others))
        .await?;
    let words = format!("Coordinator {next} leads; coordinator {here} shows this page.");
    with(browser, move |browser| {
        browser.until_shown("#standing", &words)?;
        println!("the next leader was shown after {:?}", began.elapsed());
        browser.until_shown("#bounces", "wide.main")?;
        stayed(browser)
    })
    .await?;
    let other = others
        .into_iter()
        .find(|id| *id != here)
        .context("one more")?;
    cluster.stop(other).await?;
    let began = Instant::now();
    with(browser, move |browser| {
        let said = browser.until_shown("#standing", "No leader")?;
        println!(
            "the loss of the quorum was shown after {:?}",
            began.elapsed()
        );
        ensure!(said.contains("What runs keeps running"), "{said}");
        browser.until_shown("#summary", "Without a leader nothing is decided.")?;
        stayed(browser)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_follows_a_cluster_through_a_deploy_a_lost_host_and_elections() -> Result<()> {
    let (mut cluster, leader) = running().await?;
    let here = leader % 3 + 1;
    let (address, leading) = (cluster.http(here)?, cluster.http(leader)?);
    let plain = move || -> Result<()> {
        without_script(leading)?;
        without_script(address)?;
        followers_are_bounded(address)
    };
    tokio::task::spawn_blocking(plain).await??;
    let browser = tokio::task::spawn_blocking(|| Browser::start("dashboard")).await??;
    let browser = Arc::new(browser);
    with(&browser, move |browser| pages(browser, address)).await?;
    deploys(&cluster, &browser, &format!("http://{address}")).await?;
    host_lost(&cluster, &browser).await?;
    let hosts = cluster.metastatus(here).await?.hosts;
    let up = hosts.iter().filter(|host| host.state() == HostState::Up);
    ensure!(up.count() == usize::from(AGENTS) - 1, "{hosts:?}");
    elections(&mut cluster, &browser, leader, here).await?;
    tokio::task::spawn_blocking(move || drop(browser)).await?;
    cluster.end().await
}
