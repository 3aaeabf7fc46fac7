//! `paasta new-service`: the files of a new service in yelpsoa-configs. They are made in a hidden
//! directory, validated there, and moved to their place in one step, since coordinators watch it.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use paasta_common::{
    id::{ClusterName, ServiceName},
    soa::{
        SoaDir,
        validate::{Checked, validate},
    },
    url::Url,
};
use paasta_process::help::examples;
use serde::Serialize;

use super::Context;
use crate::{exit::Exit, render, terminal::note};

const EXAMPLES: &[&str] = &[
    "paasta new-service hello   # on a terminal: prompts for the rest",
    "paasta new-service hello --git-url git@git.example.com:hello --team web --cluster prod",
    "paasta new-service hello --git-url URL --team web --cluster stage,prod --proxy-port 20900",
];

/// Write the files of a new service in yelpsoa-configs
///
/// service.yaml, monitoring.yaml, deploy.yaml, a marathon-CLUSTER.yaml for each cluster and, with
/// --proxy-port, smartstack.yaml. The files pass `paasta validate`, or nothing is written.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(EXAMPLES, ""))]
pub struct Args {
    /// The name of the service
    #[arg(value_name = "SERVICE")]
    pub service: Option<ServiceName>,
    /// The repository of its source
    #[arg(short = 'u', long, value_name = "URL")]
    pub git_url: Option<String>,
    /// The team that gets its alarms
    #[arg(long, value_name = "TEAM")]
    pub team: Option<String>,
    /// The clusters it runs in, in the order of promotion
    #[arg(
        short,
        long,
        alias = "clusters",
        value_name = "CLUSTER,...",
        value_delimiter = ','
    )]
    pub cluster: Vec<ClusterName>,
    /// What it is, in one line
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// How many replicas
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub instances: u32,
    /// Cores of each replica, in thousandths
    #[arg(long, value_name = "MILLICORES", default_value_t = 250)]
    #[arg(value_parser = clap::value_parser!(u32).range(10..=64_000))]
    pub cpus_milli: u32,
    /// Memory of each replica, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(4..=1_048_576))]
    pub mem: u32,
    /// The path that answers 200 when a replica is healthy
    #[arg(long, value_name = "PATH", default_value = "/status", value_parser = uri)]
    pub healthcheck_uri: String,
    /// The port of the load balancer on every host [default: none]
    #[arg(short, long, value_name = "PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1024..))]
    pub proxy_port: Option<u16>,
    /// The yelpsoa-configs directory [default: soa_dir of the configuration]
    #[arg(short = 'd', long, visible_short_alias = 'y', value_name = "DIR")]
    pub soa_dir: Option<PathBuf>,
    /// Print the files and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A file to write, for `--json` too.
#[derive(Debug, Serialize)]
struct NewFile {
    name: String,
    text: String,
}

/// What a service needs, complete.
#[derive(Clone)]
struct Service {
    name: ServiceName,
    git_url: String,
    team: String,
    clusters: Vec<ClusterName>,
}

/// Writes the files, or prints them.
///
/// # Errors
/// Something is missing and there is no terminal to prompt on; the service is there already; a
/// value makes a file that does not validate; the directory cannot be written.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let service = complete(args)?;
    let root = context.soa_dir(args.soa_dir.as_deref())?;
    let files = files(args, &service);
    let shown = shown(args, &service);
    if args.dry_run {
        print(context, &shown)?;
        return Ok(Exit::Ok);
    }
    let home = root.join(service.name.as_str());
    ensure!(
        !home.exists(),
        "{} is there already: edit its files, and check them with paasta validate -y {0}",
        home.display()
    );
    let aside = root.join(format!(".new-{}-{}", service.name, std::process::id()));
    let written = write(&aside, &home, &service, &files, context);
    // What is left there is of no use to anyone; a failure to remove it must not hide the other.
    let _ = fs::remove_dir_all(&aside);
    let checked = written?;
    if !checked.iter().all(Checked::ok) {
        context.print(&render::validate::render(&checked, &context.view))?;
        bail!("nothing was written: correct the values that the lines above name");
    }
    match context.global.json {
        true => print(context, &shown)?,
        false => {
            for file in &files {
                context.print(&format!("{}/{}\n", home.display(), file.name))?;
            }
        }
    }
    note(&format!(
        "commit these files; the first version runs after: paasta mark-for-deployment -s {} -l {} -k SHA",
        service.name,
        group(&service.clusters[0])
    ));
    Ok(Exit::Ok)
}

/// The files as they are printed: without the user part of the repository's URL.
fn shown(args: &Args, service: &Service) -> Vec<NewFile> {
    let git_url = Url::new(&service.git_url).to_string();
    if git_url != service.git_url {
        note("the user part of the git URL is not printed; service.yaml has it");
    }
    files(
        args,
        &Service {
            git_url,
            ..service.clone()
        },
    )
}

fn print(context: &Context, files: &[NewFile]) -> anyhow::Result<()> {
    if context.global.json {
        return context.print_json(&serde_json::json!({ "files": files }));
    }
    for file in files {
        context.print(&format!("# {}\n{}\n", file.name, file.text))?;
    }
    Ok(())
}

/// Makes the files aside, checks them and moves them, when they are right.
fn write(
    aside: &Path,
    home: &Path,
    service: &Service,
    files: &[NewFile],
    context: &Context,
) -> anyhow::Result<Vec<Checked>> {
    let made = aside.join(service.name.as_str());
    fs::create_dir_all(&made).with_context(|| format!("cannot make {}", made.display()))?;
    for file in files {
        let path = made.join(&file.name);
        fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let checked = validate(
        &SoaDir::open(aside)?,
        &service.name,
        &context.system()?,
        true,
    )?;
    if checked.iter().all(Checked::ok) {
        fs::rename(&made, home)
            .with_context(|| format!("cannot move the files to {}", home.display()))?;
    }
    Ok(checked)
}

/// Fills in what the command line leaves out, on a terminal; elsewhere names what is missing.
fn complete(args: &Args) -> anyhow::Result<Service> {
    let terminal = io::stdin().is_terminal();
    let ask = |flag: &str, question: &str| -> anyhow::Result<String> {
        ensure!(terminal, "give {flag}: there is no terminal to prompt on");
        prompt(question)
    };
    let name = match &args.service {
        Some(name) => name.clone(),
        None => ServiceName::new(&ask("SERVICE", "Name of the service")?)?,
    };
    let git_url = match &args.git_url {
        Some(url) => url.clone(),
        None => ask("--git-url", "URL of its git repository")?,
    };
    let team = match &args.team {
        Some(team) => team.clone(),
        None => ask("--team", "Team that gets its alarms")?,
    };
    let clusters = match args.cluster.is_empty() {
        false => args.cluster.clone(),
        true => {
            let answer = ask("--cluster", "Clusters, in the order of promotion (a,b)")?;
            let names = answer.split(',').map(|one| ClusterName::new(one.trim()));
            names.collect::<Result<_, _>>()?
        }
    };
    Ok(Service {
        name,
        git_url,
        team,
        clusters,
    })
}

fn prompt(question: &str) -> anyhow::Result<String> {
    write!(io::stderr(), "{question}: ").context("cannot write to the terminal")?;
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the terminal")?;
    let line = line.trim();
    ensure!(!line.is_empty(), "nothing was typed: nothing is written");
    Ok(line.to_owned())
}

fn group(cluster: &ClusterName) -> String {
    format!("{cluster}.everything")
}

/// A YAML scalar that is this text and nothing else: JSON's strings are YAML's.
fn scalar(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn files(args: &Args, service: &Service) -> Vec<NewFile> {
    let file = |name: &str, text: String| NewFile {
        name: name.to_owned(),
        text: format!("---\n{text}"),
    };
    let description = args.description.clone();
    let description = description.unwrap_or_else(|| format!("The service {}", service.name));
    let mut all = vec![
        file(
            "service.yaml",
            format!(
                "description: {}\ngit_url: {}\n",
                scalar(&description),
                scalar(&service.git_url)
            ),
        ),
        file(
            "monitoring.yaml",
            format!("team: {}\npage: false\n", scalar(&service.team)),
        ),
        file("deploy.yaml", deploy(&service.clusters)),
    ];
    for cluster in &service.clusters {
        all.push(file(
            &format!("marathon-{cluster}.yaml"),
            marathon(args, cluster),
        ));
    }
    if let Some(port) = args.proxy_port {
        let uri = scalar(&args.healthcheck_uri);
        all.push(file(
            "smartstack.yaml",
            format!("main:\n  proxy_port: {port}\n  mode: http\n  healthcheck_uri: {uri}\n"),
        ));
    }
    all
}

fn deploy(clusters: &[ClusterName]) -> String {
    let mut text = "pipeline:\n".to_owned();
    for step in ["itest", "security-check", "push-to-registry"] {
        text.push_str(&format!("  - step: {step}\n"));
    }
    for (at, cluster) in clusters.iter().enumerate() {
        text.push_str(&format!("  - step: {}\n", group(cluster)));
        text.push_str("    wait_for_deployment: true\n");
        if at + 1 < clusters.len() {
            text.push_str("    trigger_next_step_manually: true\n");
        }
    }
    text
}

fn marathon(args: &Args, cluster: &ClusterName) -> String {
    let (cores, thousandths) = (args.cpus_milli / 1_000, args.cpus_milli % 1_000);
    format!(
        "main:\n  instances: {}\n  cpus: {cores}.{thousandths:03}\n  mem: {}\n  deploy_group: {}\n  \
         healthcheck_mode: http\n  healthcheck_uri: {}\n",
        args.instances,
        args.mem,
        group(cluster),
        scalar(&args.healthcheck_uri),
    )
}

fn uri(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text.len() <= 255 {
        true => Ok(text.to_owned()),
        false => Err("give a path that begins with /, at most 255 characters".to_owned()),
    }
}
