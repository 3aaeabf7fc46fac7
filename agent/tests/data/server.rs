//! The one program of the test image: an HTTP server, and, called `sh`, what of a shell the tests
//! need: `exit N` and `serve`.
use std::{
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    process,
};

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
}

fn main() {
    let args: Vec<String> = env::args().collect();
    if args[0].ends_with("sh") {
        let words: Vec<&str> = args[2].split(' ').collect();
        match words[..] {
            ["exit", code] => process::exit(code.parse().unwrap()),
            ["serve", ..] => {}
            _ => process::exit(127),
        }
    }
    println!("serving with {:?}", &args[1..]);
    eprintln!("this is stderr");
    // In the host's network the port is the one that the environment names.
    let port = env::var("LISTEN").and_then(env::var);
    let port = port.map_or(8888, |port| port.parse().unwrap());
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut asked = [0; 4096];
        let n = stream.read(&mut asked).unwrap_or(0);
        let text = String::from_utf8_lossy(&asked[..n]).into_owned();
        let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
        if let Some(code) = path.strip_prefix("/exit/") {
            eprintln!("told to exit");
            process::exit(code.parse().unwrap());
        }
        let body = match path.as_str() {
            "/env" => env::vars()
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect(),
            "/deaf" => {
                // SAFETY: SIGTERM (15) is ignored (1); nothing else looks at signals.
                unsafe { signal(15, 1) };
                "deaf".to_owned()
            }
            "/write" => {
                fs::write("note", "written").unwrap();
                env::current_dir().unwrap().display().to_string()
            }
            _ => "ok".to_owned(),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes());
    }
}
