//! Looks at the state that may take long, off the threads that consensus and sessions run on: a
//! few at once, and of each client one after the other, so that a client that requests everything again
//! and again costs the others no more than one look.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

use super::status::RpcError;
use crate::store::IoMode;

/// Looks at once, at least; otherwise as many as there are cores.
const AT_ONCE_MIN: usize = 2;
/// Looks of one client that wait for their turn, at most.
const WAITING_MAX: usize = 64;
/// How long one may wait for its turn.
const TURN_MAX: Duration = Duration::from_secs(5);

const BUSY: &str = "this coordinator has too many large requests to answer";

/// Whose look it is: an address, or a client without one.
pub type Client = Option<IpAddr>;

/// Where looks are taken. Clones are the same.
#[derive(Clone, Debug)]
pub struct Looks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    io: IoMode,
    places: Semaphore,
    clients: Mutex<BTreeMap<Client, Turns>>,
}

/// The looks of one client that are not over.
#[derive(Debug)]
struct Turns {
    count: usize,
    turn: Arc<Semaphore>,
}

impl Looks {
    /// Nothing is looked at yet.
    pub fn new(io: IoMode) -> Self {
        let cores = thread::available_parallelism().map_or(AT_ONCE_MIN, |cores| cores.get());
        let inner = Inner {
            io,
            places: Semaphore::new(cores.max(AT_ONCE_MIN)),
            clients: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Takes a look for a client, when it is its turn.
    ///
    /// # Errors
    /// [`RpcError::Busy`] when too many wait, or for too long.
    pub async fn take<T, F>(&self, client: Client, look: F) -> Result<T, RpcError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (_left, turn) = self.enter(client)?;
        let turns = async {
            let own = turn.acquire_owned().await.ok()?;
            let place = self.inner.places.acquire().await.ok()?;
            Some((own, place))
        };
        let Ok(Some(_turns)) = timeout(TURN_MAX, turns).await else {
            return Err(RpcError::Busy { what: BUSY });
        };
        let looked = self.inner.io.run(move || Ok(look())).await;
        looked.map_err(|_| RpcError::Stopping)
    }

    fn enter(&self, client: Client) -> Result<(Left, Arc<Semaphore>), RpcError> {
        let mut clients = self.inner.clients.lock();
        let turns = clients.entry(client).or_insert_with(|| Turns {
            count: 0,
            turn: Arc::new(Semaphore::new(1)),
        });
        if turns.count > WAITING_MAX {
            return Err(RpcError::Busy { what: BUSY });
        }
        turns.count += 1;
        let left = Left {
            inner: Arc::clone(&self.inner),
            client,
        };
        Ok((left, Arc::clone(&turns.turn)))
    }
}

/// Dropped when a look is over, or nobody waits for it any more.
struct Left {
    inner: Arc<Inner>,
    client: Client,
}

impl Drop for Left {
    fn drop(&mut self) {
        let mut clients = self.inner.clients.lock();
        let none_left = clients.get_mut(&self.client).is_some_and(|turns| {
            turns.count -= 1;
            turns.count == 0
        });
        if none_left {
            clients.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::mpsc::{Receiver, sync_channel},
    };

    use futures_util::future::join_all;

    use super::*;

    fn client(last: u8) -> Client {
        Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
    }

    /// A look that lasts until its sender is dropped.
    fn until(end: Receiver<()>) -> impl FnOnce() + Send + 'static {
        move || {
            // Either way its sender is done with it.
            let _ = end.recv();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_floods_waits_for_itself() {
        let looks = Looks::new(IoMode::Threaded);
        let (going_on, end) = sync_channel(1);
        let own = looks.clone();
        let first = tokio::spawn(async move { own.take(client(1), until(end)).await });
        while looks.inner.clients.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let own = looks.clone();
                tokio::spawn(async move { own.take(client(1), || ()).await })
            })
            .collect();
        while looks.inner.clients.lock()[&client(1)].count <= WAITING_MAX {
            tokio::task::yield_now().await;
        }
        let one_more = looks.take(client(1), || ()).await;
        assert!(
            matches!(one_more, Err(RpcError::Busy { .. })),
            "{one_more:?}"
        );
        for other in 2..10 {
            assert_eq!(
                looks.take(client(other), move || other).await.unwrap(),
                other
            );
        }
        drop(going_on);
        first.await.unwrap().unwrap();
        for one in join_all(waiting).await {
            one.unwrap().unwrap();
        }
        assert!(
            looks.inner.clients.lock().is_empty(),
            "nobody is remembered"
        );
    }

    #[tokio::test]
    async fn who_gives_up_leaves_its_turn() {
        let looks = Looks::new(IoMode::Inline);
        let all = u32::try_from(looks.inner.places.available_permits()).unwrap();
        let _all = looks.inner.places.acquire_many(all).await.unwrap();
        let given_up = timeout(Duration::from_millis(20), looks.take(client(1), || ())).await;
        assert!(given_up.is_err(), "there is no place");
        assert!(looks.inner.clients.lock().is_empty());
    }
}
