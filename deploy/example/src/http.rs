//! Just enough HTTP/1: read one request, write one response, close.

use std::io::{self, Read, Write};

/// A request with a longer head is refused.
const HEAD_MAX: usize = 8 * 1024;
/// This much of a body is read and thrown away, so that closing does not reset the connection.
const BODY_MAX: u64 = 64 * 1024;

/// What the first line of a request says.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// GET, POST and so on, as sent.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// What follows the question mark, or nothing.
    pub query: String,
}

/// A status with a reason, and a text.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// For example `200 OK`.
    pub status: &'static str,
    /// Plain text, a line.
    pub body: String,
}

/// Reads one request; `InvalidData` when it is none.
pub fn read_request(mut stream: impl Read) -> io::Result<Request> {
    let mut head = Vec::new();
    let mut chunk = [0_u8; 1024];
    let end = loop {
        if let Some(at) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at;
        }
        if head.len() > HEAD_MAX {
            return Err(invalid("the head is too long"));
        }
        match stream.read(&mut chunk)? {
            0 => return Err(invalid("the head ends early")),
            count => head.extend_from_slice(&chunk[..count]),
        }
    };
    let text = std::str::from_utf8(&head[..end]).map_err(|_| invalid("the head is not text"))?;
    let request = parse_head(text)?;
    let have = (head.len() - end - 4) as u64;
    let want = content_length(text).min(BODY_MAX);
    io::copy(&mut stream.take(want.saturating_sub(have)), &mut io::sink())?;
    Ok(request)
}

/// Writes the response and says that the connection closes; a HEAD request gets no body.
pub fn write_response(
    mut stream: impl Write,
    request: &Request,
    response: &Response,
) -> io::Result<()> {
    let Response { status, body } = response;
    let length = body.len();
    let shown = if request.method == "HEAD" {
        ""
    } else {
        body.as_str()
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{shown}").as_bytes())?;
    stream.flush()
}

fn parse_head(text: &str) -> io::Result<Request> {
    let mut words = text.lines().next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(invalid("the first line is not a request"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(invalid("not HTTP/1"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
    })
}

fn content_length(text: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_its_query() {
        let request = read_request(&b"GET /slow?ms=5 HTTP/1.1\r\nHost: x\r\n\r\n"[..]).unwrap();
        assert_eq!(
            (&*request.method, &*request.path, &*request.query),
            ("GET", "/slow", "ms=5")
        );
    }

    #[test]
    fn a_body_is_consumed_and_no_more() {
        let mut bytes = &b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcREST"[..];
        // One byte at a time, so that nothing beyond the body is buffered.
        struct Slow<'a>(&'a mut &'static [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(&mut buffer[..1])
            }
        }
        read_request(Slow(&mut bytes)).unwrap();
        assert_eq!(bytes, b"REST");
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        for bytes in [
            &b"nonsense\r\n\r\n"[..],
            b"GET / SPDY\r\n\r\n",
            b"GET / HTTP/1.1\r\n",
        ] {
            assert_eq!(
                read_request(bytes).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }
        let long = vec![b'a'; HEAD_MAX + 2048];
        assert_eq!(
            read_request(&long[..]).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_head_request_gets_the_length_only() {
        let request = Request {
            method: "HEAD".into(),
            path: "/".into(),
            query: String::new(),
        };
        let mut out = Vec::new();
        write_response(
            &mut out,
            &request,
            &Response {
                status: "200 OK",
                body: "four".into(),
            },
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("Content-Length: 4\r\n") && text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }
}
