//! What clients and strangers may do to a coordinator without its leader losing office.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use paasta_proto::v1::{
    EventsRequest, MetastatusRequest, StatusRequest, StatusResponse, admin_client::AdminClient,
};
use paasta_tests::hostile::arena::{Arena, MEMBERS};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tonic::{Code, Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

/// Connections that say nothing, over all coordinators.
const IDLE: usize = 5_000;
/// From how many addresses they come.
const STRANGERS: u8 = 10;
/// Connections that say what every client says first, a byte at a time.
const SLOW: usize = 50;
/// Of the dearest reads, how many at once.
const FLOOD: usize = 24;
/// Repositories at an endless server.
const REPOSITORIES: usize = 4;
const MEBIBYTE: usize = 1 << 20;
const ANSWER: Duration = Duration::from_secs(10);

/// Names of a megabyte and bytes that are no message, again and again.
pub(crate) async fn long_names(arena: &Arena, leader: u64, hold: Duration) -> Result<()> {
    let channel = arena.channel(leader)?;
    let began = Instant::now();
    while began.elapsed() < hold {
        let asked = StatusRequest {
            service: "a".repeat(MEBIBYTE),
            ..StatusRequest::default()
        };
        let refused = timeout(ANSWER, AdminClient::new(channel.clone()).status(asked)).await?;
        let refused = refused.err().context("a name of a megabyte is no name")?;
        ensure!(refused.code() == Code::InvalidArgument, "{refused}");
        ensure!(refused.message().len() < 1_000, "it repeats what it got");
        let refused = timeout(ANSWER, other_message(&channel)).await?;
        let refused = refused.err().context("it is no such message")?;
        ensure!(refused.code() == Code::InvalidArgument, "{refused}");
    }
    Ok(())
}

/// A message of another kind in the place of a request for the status.
async fn other_message(channel: &Channel) -> Result<(), tonic::Status> {
    let mut client = Grpc::new(channel.clone());
    let ready = client.ready().await;
    ready.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static("/paasta.v1.Admin/Status");
    let wrong = EventsRequest {
        after: 5,
        ..EventsRequest::default()
    };
    let codec = ProstCodec::<EventsRequest, StatusResponse>::default();
    client
        .unary(Request::new(wrong), path, codec)
        .await
        .map(drop)
}

/// Thousands of connections that say nothing, and some that say it slowly.
pub(crate) async fn connections(arena: &Arena, hold: Duration) -> Result<()> {
    let began = Instant::now();
    let mut idle = Vec::new();
    for at in 0..IDLE {
        let stranger = u8::try_from(at % usize::from(STRANGERS))?;
        let to = arena.address(MEMBERS[at % MEMBERS.len()]);
        // One that is turned away at once is as good.
        if let Ok(Ok(stream)) = timeout(ANSWER, from(stranger, to)).await {
            idle.push(stream);
        }
    }
    ensure!(
        idle.len() > IDLE / 2,
        "only {} connections were made",
        idle.len()
    );
    let mut slow = Vec::new();
    for at in 0..SLOW {
        let to = arena.address(MEMBERS[at % MEMBERS.len()]);
        slow.push(from(STRANGERS, to).await?);
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut bytes = preface.iter();
    while began.elapsed() < hold {
        let byte = bytes.next().copied().unwrap_or(0);
        for stream in &mut slow {
            // It may have been closed, which is what it deserves.
            let _ = stream.write_all(&[byte]).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Repositories at a server that sends refs for ever, asked again and again; then they are declared
/// no longer.
pub(crate) async fn endless_git(arena: &Arena, hold: Duration) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move {
        let mut sending = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            sending.spawn(send_refs(stream));
        }
    });
    let names = (0..REPOSITORIES).map(|at| format!("endless{at}"));
    let dirs: Vec<_> = names.map(|name| arena.soa().join(name)).collect();
    for dir in &dirs {
        fs::create_dir_all(dir)?;
        fs::write(
            dir.join("service.yaml"),
            format!("git_url: git://{address}/x.git\n"),
        )?;
        fs::write(
            dir.join("marathon-demo.yaml"),
            "main: {cpus: 0.1, mem: 64}\n",
        )?;
    }
    tokio::time::sleep(2 * hold).await;
    for dir in &dirs {
        fs::remove_dir_all(dir)?;
    }
    serving.abort();
    Ok(())
}

async fn send_refs(mut stream: TcpStream) {
    let mut asked = vec![0; 1024];
    let _ = stream.read(&mut asked).await;
    for number in 0_u64.. {
        let line = format!("{number:040x} refs/heads/b{number:012}\n");
        let packet = format!("{:04x}{line}", line.len() + 4);
        if stream.write_all(packet.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A connection from an address of the loopback network.
async fn from(stranger: u8, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 9, 9, stranger + 1], 0)))?;
    Ok(socket.connect(to).await?)
}

/// The dearest reads, as many at once as one client likes, of every coordinator.
pub(crate) async fn flood(arena: &Arena, hold: Duration) -> Result<()> {
    let channels: Vec<Channel> = MEMBERS
        .into_iter()
        .map(|id| arena.channel(id))
        .collect::<Result<_>>()?;
    let began = Instant::now();
    let ask = |at: usize| {
        let channel = channels[at % channels.len()].clone();
        async move {
            while began.elapsed() < hold {
                let asked = StatusRequest {
                    replicas: true,
                    ..StatusRequest::default()
                };
                let mut client = AdminClient::new(channel.clone());
                // Whether each is answered is not what this is about.
                let _ = timeout(ANSWER, client.status(asked)).await;
                let _ = timeout(ANSWER, client.metastatus(MetastatusRequest::default())).await;
            }
        }
    };
    join_all((0..FLOOD).map(ask)).await;
    Ok(())
}
