//! A TCP proxy that holds up, delays or cuts each direction by itself: a link between two processes
//! that a test can make slow, deaf or mute.
//!
//! A direction that is held delivers nothing and loses nothing, as TCP over a network that drops
//! every packet one way: what was sent arrives when the direction is free again. While any
//! direction is held no new connection comes about, as its handshake needs both.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

/// Bytes read at once.
const PIECE_BYTES: usize = 16 << 10;
/// Bytes on their way in one direction of one connection, at most; then no more are read.
const IN_FLIGHT_MAX: usize = 8 << 20;

/// How one direction of a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// How long each byte takes.
    pub delay: Duration,
    /// Nothing arrives.
    pub held: bool,
}

/// How a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// From the side that dials to the side that listens.
    pub there: Direction,
    /// The other way.
    pub back: Direction,
}

impl Link {
    /// Nothing arrives, either way.
    pub fn cut() -> Self {
        let held = Direction {
            held: true,
            ..Direction::default()
        };
        Self {
            there: held,
            back: held,
        }
    }

    /// Each way takes half of `round_trip`.
    pub fn slow(round_trip: Duration) -> Self {
        let late = Direction {
            delay: round_trip / 2,
            held: false,
        };
        Self {
            there: late,
            back: late,
        }
    }
}

/// One link, and every connection over it. Dropping it ends them all.
pub struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Listens on a free port of loopback for whatever is to reach `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(target: SocketAddr) -> io::Result<Self> {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), target).await
    }

    /// The same, listening on `address`.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn on(address: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (link, state) = watch::channel(Link::default());
        let connections = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let all = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let connection = tokio::spawn(carry(near, target, state.clone()));
                let mut all = all.lock();
                all.retain(|one| !one.is_finished());
                all.push(connection.abort_handle());
            }
        });
        Ok(Self {
            address,
            link,
            connections,
            accepting: accepting.abort_handle(),
        })
    }

    /// What to dial instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes the link so, for connections that exist and for later ones.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Breaks every connection; new ones may be made.
    pub fn break_connections(&self) {
        for connection in self.connections.lock().drain(..) {
            connection.abort();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.break_connections();
    }
}

/// Carries one connection until either side closes it.
async fn carry(near: TcpStream, target: SocketAddr, mut link: watch::Receiver<Link>) {
    // The side that dials sees its connection made at once: what it sends waits.
    let free = |link: &Link| !link.there.held && !link.back.held;
    if link.wait_for(free).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    for side in [&near, &far] {
        // Without it small messages wait for each other; nothing else depends on it.
        let _ = side.set_nodelay(true);
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    // A side that closes ends its own direction; the other one may still have something to say.
    let there = pump(near_read, far_write, link.clone(), |link| link.there);
    let back = pump(far_read, near_write, link, |link| link.back);
    tokio::join!(there, back);
}

/// The pieces with the time of their arrival, the oldest first, and their bytes.
type Pieces = (VecDeque<(Instant, Vec<u8>)>, usize);

/// What is on its way, with when it arrives, the oldest first.
#[derive(Default)]
struct OnItsWay {
    pieces: Mutex<Pieces>,
    changed: Notify,
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
    side: fn(&Link) -> Direction,
) {
    let on_its_way = OnItsWay::default();
    let delays = link.clone();
    let reading = async {
        loop {
            while on_its_way.pieces.lock().1 >= IN_FLIGHT_MAX {
                on_its_way.changed.notified().await;
            }
            let mut piece = vec![0; PIECE_BYTES];
            let read = from.read(&mut piece).await.unwrap_or(0);
            piece.truncate(read);
            let at = Instant::now() + side(&delays.borrow()).delay;
            let mut pieces = on_its_way.pieces.lock();
            pieces.1 += read;
            pieces.0.push_back((at, piece));
            drop(pieces);
            on_its_way.changed.notify_waiters();
            if read == 0 {
                return;
            }
        }
    };
    let writing = async {
        loop {
            let changed = on_its_way.changed.notified();
            let next = on_its_way.pieces.lock().0.pop_front();
            let Some((at, piece)) = next else {
                changed.await;
                continue;
            };
            sleep_until(at).await;
            if link.wait_for(|link| !side(link).held).await.is_err() || piece.is_empty() {
                return;
            }
            if to.write_all(&piece).await.is_err() {
                return;
            }
            on_its_way.pieces.lock().1 -= piece.len();
            on_its_way.changed.notify_waiters();
        }
    };
    // Reading ends first, or the receiver has gone: then nobody waits for the rest.
    let mut reading = std::pin::pin!(reading);
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        () = &mut writing => {}
        () = &mut reading => writing.await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);
    const LATE: Duration = Duration::from_secs(20);

    /// A server that sends back every byte.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn round(stream: &mut TcpStream, byte: u8) -> u8 {
        stream.write_all(&[byte]).await.unwrap();
        timeout(LATE, stream.read_u8()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_held_direction_delivers_nothing_and_loses_nothing() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(round(&mut stream, 1).await, 1);
        let held = Direction {
            held: true,
            ..Direction::default()
        };
        for link in [
            Link {
                there: held,
                ..Link::default()
            },
            Link {
                back: held,
                ..Link::default()
            },
        ] {
            proxy.set(link);
            stream.write_all(&[2]).await.unwrap();
            assert!(timeout(SOON, stream.read_u8()).await.is_err(), "{link:?}");
            let mut second = TcpStream::connect(proxy.address()).await.unwrap();
            second.write_all(&[3]).await.unwrap();
            assert!(timeout(SOON, second.read_u8()).await.is_err(), "{link:?}");
            proxy.set(Link::default());
            assert_eq!(timeout(LATE, stream.read_u8()).await.unwrap().unwrap(), 2);
            assert_eq!(timeout(LATE, second.read_u8()).await.unwrap().unwrap(), 3);
        }
    }

    #[tokio::test]
    async fn a_slow_link_takes_its_round_trip_and_a_broken_one_ends() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.set(Link::slow(SOON));
        let began = Instant::now();
        assert_eq!(round(&mut stream, 1).await, 1);
        assert!(began.elapsed() >= SOON, "{:?}", began.elapsed());
        proxy.break_connections();
        let ended = timeout(LATE, stream.read_u8()).await.unwrap();
        assert!(ended.is_err());
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_arrives() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(&[7; 100_000]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        timeout(LATE, stream.read_to_end(&mut all))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(all.len(), 100_000);
    }
}
