//! Connections that are too many, say nothing, or are needed by others.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use super::*;

const SHORT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(30);

const LIMITS: Limits = Limits {
    total: 4,
    per_address: 3,
    handshake: SHORT,
    idle: Duration::from_secs(1),
};

async fn acceptor(limits: Limits) -> (Acceptor, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = Open::new("test", &Refusals::new(&Meters::default()));
    (Acceptor::new(listener, limits, Greeting(4), open), address)
}

async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Whether the other side has closed it.
async fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    let mut byte = [0];
    match timeout(within, stream.read(&mut byte)).await {
        Ok(Ok(0) | Err(_)) => true,
        Ok(Ok(_)) => panic!("nothing is sent"),
        Err(_) => false,
    }
}

/// Reads until it ends; says how long that took.
async fn read_out(mut guarded: Guarded) -> Duration {
    let began = Instant::now();
    let mut buffer = [0; 64];
    loop {
        match timeout(PATIENCE, guarded.read(&mut buffer)).await.unwrap() {
            Ok(0) | Err(_) => return began.elapsed(),
            Ok(_) => {}
        }
    }
}

fn counted(open: &Open, counts: &Counts, reason: &str) -> f64 {
    counts.with_label_values(&[open.endpoint, reason]).get() as f64
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let (mut acceptor, address) = acceptor(LIMITS).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(connect([127, 0, 0, 2], address).await);
    }
    let other = connect([127, 0, 0, 3], address).await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(acceptor.next().await);
    }
    assert_eq!(taken[3].address(), other.local_addr().unwrap());
    let open = acceptor.open();
    assert_eq!(open.count(), 4);
    assert_eq!(counted(&open, &open.refusals.refused, "address"), 2.0);
    for late in &mut clients[3..] {
        assert!(is_closed(late, PATIENCE).await);
    }
    drop(taken);
    assert_eq!(open.count(), 0);
    assert!(open.table.lock().by_address.is_empty());
}

#[tokio::test]
async fn who_only_holds_a_place_goes_for_one_who_may_use_it() {
    let (mut acceptor, address) = acceptor(LIMITS).await;
    let mut clients = Vec::new();
    let mut taken = Vec::new();
    for host in 2..6 {
        clients.push(connect([127, 0, 0, host], address).await);
        taken.push(acceptor.next().await);
    }
    // The first asks for something, the second is the oldest that does not.
    let busy = taken[0].activity().begin();
    let _late = connect([127, 0, 0, 9], address).await;
    let _late = acceptor.next().await;
    let second = taken.remove(1);
    assert!(read_out(second).await < SHORT);
    assert!(!is_closed(&mut clients[0], Duration::from_millis(20)).await);
    // All that are left ask: there is no place for another one.
    let others: Vec<Busy> = taken.iter().map(|one| one.activity().begin()).collect();
    let _busy_too = _late.activity().begin();
    let mut refused = connect([127, 0, 0, 10], address).await;
    let waiting = timeout(SHORT, acceptor.next()).await;
    assert!(waiting.is_err(), "it is not taken");
    assert!(is_closed(&mut refused, PATIENCE).await);
    let open = acceptor.open();
    assert_eq!(counted(&open, &open.refusals.closed, "evicted"), 1.0);
    assert_eq!(counted(&open, &open.refusals.refused, "total"), 1.0);
    drop((busy, others));
}

#[tokio::test]
async fn silence_ends_and_work_does_not() {
    let (mut acceptor, address) = acceptor(LIMITS).await;
    let _silent = connect([127, 0, 0, 2], address).await;
    let took = read_out(acceptor.next().await).await;
    assert!(
        took >= SHORT - Duration::from_millis(50) && took < SHORT * 3,
        "{took:?}"
    );

    // A byte now and then is no greeting.
    let mut slow = connect([127, 0, 0, 2], address).await;
    let guarded = acceptor.next().await;
    let drip = async {
        for _ in 0..3 {
            slow.write_all(b"x").await.unwrap();
            sleep(SHORT / 3).await;
        }
    };
    let (took, ()) = tokio::join!(read_out(guarded), drip);
    assert!(took < SHORT * 3, "{took:?}");

    let mut greeting = connect([127, 0, 0, 2], address).await;
    greeting.write_all(b"hello").await.unwrap();
    let guarded = acceptor.next().await;
    let activity = guarded.activity();
    let work = async {
        let busy = activity.begin();
        sleep(LIMITS.idle * 2).await;
        drop(busy);
    };
    let (took, ()) = tokio::join!(read_out(guarded), work);
    assert!(took >= LIMITS.idle * 3 - SHORT, "{took:?}");
    let open = acceptor.open();
    assert_eq!(counted(&open, &open.refusals.closed, "handshake"), 2.0);
    assert_eq!(counted(&open, &open.refusals.closed, "idle"), 1.0);
}
