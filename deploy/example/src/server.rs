//! The web server: a thread per connection, at most `CONNECTIONS_MAX` of them.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::http::{self, Request, Response};
use crate::identity::Identity;

/// More connections than this at a time are answered with 503 at once.
const CONNECTIONS_MAX: usize = 256;
/// A client that sends or takes nothing for so long is given up.
const IO_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests under way get this long to finish after SIGTERM.
const FINISH_TIMEOUT: Duration = Duration::from_secs(8);
/// The longest answer to `/slow`.
const SLOW_MAX: Duration = Duration::from_secs(60);
/// A failing accept (out of file descriptors, mostly) is tried again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server.
pub struct Server {
    identity: Identity,
    healthy: AtomicBool,
    under_way: Mutex<usize>,
    idle: Condvar,
}

impl Server {
    /// Listens on every address; fails when the port is taken.
    pub fn start(port: u16, identity: Identity, unhealthy: bool) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        let server = Arc::new(Self {
            identity,
            healthy: AtomicBool::new(!unhealthy),
            under_way: Mutex::new(0),
            idle: Condvar::new(),
        });
        let accepting = Arc::clone(&server);
        thread::Builder::new()
            .name("accept".into())
            .spawn(move || accepting.accept(&listener))?;
        Ok(server)
    }

    /// Returns when no request is under way, or after `FINISH_TIMEOUT`. New ones are still
    /// answered meanwhile: the load balancer may not know yet that we are leaving.
    pub fn finish(&self) {
        let under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let left = self
            .idle
            .wait_timeout_while(under_way, FINISH_TIMEOUT, |count| *count > 0);
        let (count, _) = left.unwrap_or_else(PoisonError::into_inner);
        if *count > 0 {
            eprintln!("hello: {} requests did not finish in time", *count);
        }
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    eprintln!("hello: accept: {error}");
                    thread::sleep(ACCEPT_PAUSE);
                    continue;
                }
            };
            let Some(place) = Place::take(&self) else {
                refuse(&stream);
                continue;
            };
            let spawned = thread::Builder::new().spawn(move || place.0.serve(&stream));
            if let Err(error) = spawned {
                eprintln!("hello: no thread for a connection: {error}");
            }
        }
    }

    fn serve(&self, stream: &TcpStream) {
        // A client that goes away is its own business.
        let _ = stream
            .set_read_timeout(Some(IO_TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(IO_TIMEOUT)))
            .and_then(|()| http::read_request(stream))
            .and_then(|request| http::write_response(stream, &request, &self.answer(&request)));
    }

    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET" | "HEAD", "/") => ok(self.identity.to_string()),
            ("GET" | "HEAD", "/status") if self.healthy.load(Ordering::SeqCst) => ok("healthy"),
            ("GET" | "HEAD", "/status") => Response {
                status: "503 Service Unavailable",
                body: "unhealthy\n".into(),
            },
            ("GET", "/slow") => {
                thread::sleep(slow(&request.query));
                ok(self.identity.to_string())
            }
            ("POST", "/healthy") => self.become_healthy(true),
            ("POST", "/unhealthy") => self.become_healthy(false),
            (_, "/" | "/status" | "/slow" | "/healthy" | "/unhealthy") => Response {
                status: "405 Method Not Allowed",
                body: "use another method\n".into(),
            },
            _ => Response {
                status: "404 Not Found",
                body: "nothing here\n".into(),
            },
        }
    }

    fn become_healthy(&self, healthy: bool) -> Response {
        self.healthy.store(healthy, Ordering::SeqCst);
        ok(if healthy {
            "healthy from now on"
        } else {
            "unhealthy from now on"
        })
    }
}

/// One of the `CONNECTIONS_MAX` places, given back when dropped.
struct Place(Arc<Server>);

impl Place {
    fn take(server: &Arc<Server>) -> Option<Self> {
        let mut count = server
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *count >= CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Self(Arc::clone(server)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self
            .0
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.idle.notify_all();
    }
}

fn refuse(stream: &TcpStream) {
    let request = Request {
        method: "GET".into(),
        path: "/".into(),
        query: String::new(),
    };
    let busy = Response {
        status: "503 Service Unavailable",
        body: "too many connections\n".into(),
    };
    // The accept loop must not wait for a slow client: a small answer fits the socket's buffer.
    let _ = stream
        .set_nonblocking(true)
        .and_then(|()| http::write_response(stream, &request, &busy));
}

fn ok(body: impl Into<String>) -> Response {
    Response {
        status: "200 OK",
        body: body.into() + "\n",
    }
}

/// `ms=N` of the query, at most `SLOW_MAX`, one second without it.
fn slow(query: &str) -> Duration {
    let wanted = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ms=")?.parse().ok());
    Duration::from_millis(wanted.unwrap_or(1000)).min(SLOW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            identity: Identity::from_env(|_| None),
            healthy: AtomicBool::new(true),
            under_way: Mutex::new(0),
            idle: Condvar::new(),
        }
    }

    fn status(server: &Server, method: &str, path: &str) -> &'static str {
        let request = Request {
            method: method.into(),
            path: path.into(),
            query: String::new(),
        };
        server.answer(&request).status
    }

    #[test]
    fn health_is_what_it_was_told_last() {
        let server = server();
        assert_eq!(status(&server, "GET", "/status"), "200 OK");
        assert_eq!(status(&server, "POST", "/unhealthy"), "200 OK");
        assert_eq!(status(&server, "GET", "/status"), "503 Service Unavailable");
        assert_eq!(status(&server, "POST", "/healthy"), "200 OK");
        assert_eq!(status(&server, "HEAD", "/status"), "200 OK");
    }

    #[test]
    fn wrong_paths_and_methods_are_told_apart() {
        assert_eq!(
            status(&server(), "GET", "/unhealthy"),
            "405 Method Not Allowed"
        );
        assert_eq!(status(&server(), "GET", "/elsewhere"), "404 Not Found");
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let server = Arc::new(server());
        let mut places: Vec<Place> = (0..CONNECTIONS_MAX)
            .filter_map(|_| Place::take(&server))
            .collect();
        assert_eq!(places.len(), CONNECTIONS_MAX);
        assert!(Place::take(&server).is_none());
        places.pop();
        assert!(Place::take(&server).is_some());
    }

    #[test]
    fn slow_requests_are_bounded() {
        assert_eq!(slow("ms=250"), Duration::from_millis(250));
        assert_eq!(slow("a=1&ms=99999999"), SLOW_MAX);
        assert_eq!(slow("ms=x"), Duration::from_secs(1));
    }
}
