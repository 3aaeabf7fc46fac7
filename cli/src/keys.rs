//! Keys that are pressed while a live view is shown. Signals stay what they are: Ctrl-C ends.

use std::{
    io::{self, IsTerminal as _, Read as _, Stdin},
    thread,
};

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use tokio::sync::mpsc::{Receiver, channel};

/// Keys that wait to be looked at, at most; more are lost.
const WAITING_MAX: usize = 64;

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character that can be shown.
    Char(char),
    /// Enter.
    Enter,
    /// Backspace.
    Backspace,
    /// Escape.
    Escape,
}

/// The keyboard, line by line no more; the terminal is as before when this is dropped.
#[derive(Debug)]
pub struct Keys {
    stdin: Stdin,
    before: Option<Termios>,
    pressed: Option<Receiver<Key>>,
}

impl Keys {
    /// Reads the keys of standard input, when it is a terminal; else there are none.
    pub fn open() -> Self {
        let stdin = io::stdin();
        let before = match stdin.is_terminal() {
            true => tcgetattr(&stdin).ok(),
            false => None,
        };
        let pressed = before.as_ref().and_then(|before| {
            let mut now = before.clone();
            now.local_flags
                .remove(LocalFlags::ICANON | LocalFlags::ECHO);
            now.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
            now.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
            tcsetattr(&stdin, SetArg::TCSANOW, &now).ok()?;
            Some(listen())
        });
        Self {
            stdin,
            before,
            pressed,
        }
    }

    /// Whether keys can be pressed.
    pub fn are_read(&self) -> bool {
        self.pressed.is_some()
    }

    /// The next key; never, where there are none.
    pub async fn next(&mut self) -> Key {
        if let Some(pressed) = &mut self.pressed
            && let Some(key) = pressed.recv().await
        {
            return key;
        }
        self.pressed = None;
        std::future::pending().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // There is nowhere to say that the terminal is gone.
            let _ = tcsetattr(&self.stdin, SetArg::TCSANOW, before);
        }
    }
}

/// Reads on a thread of its own, which ends with the process: a read of a terminal has no deadline.
fn listen() -> Receiver<Key> {
    let (send, pressed) = channel(WAITING_MAX);
    thread::spawn(move || {
        let mut bytes = [0; 32];
        while let Ok(read @ 1..) = io::stdin().lock().read(&mut bytes) {
            for key in keys(&bytes[..read]) {
                // A key too many is lost; without a receiver there is nothing to do.
                if let Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) = send.try_send(key) {
                    return;
                }
            }
        }
    });
    pressed
}

/// The keys of what was read at once. Sequences of keys that are none of these (arrows) are left
/// out.
fn keys(bytes: &[u8]) -> Vec<Key> {
    if bytes.len() > 1 && bytes[0] == 0x1b {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter_map(key).collect()
}

fn key(c: char) -> Option<Key> {
    match c {
        '\r' | '\n' => Some(Key::Enter),
        '\u{7f}' | '\u{8}' => Some(Key::Backspace),
        '\u{1b}' => Some(Key::Escape),
        c if c.is_control() || c == '\u{fffd}' => None,
        c => Some(Key::Char(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_keys_and_arrows_none() {
        assert_eq!(keys(b"q"), [Key::Char('q')]);
        assert_eq!(keys("ä\n".as_bytes()), [Key::Char('ä'), Key::Enter]);
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x7f"), [Key::Backspace]);
        assert_eq!(keys(b"\x1b[A"), []);
        assert_eq!(keys(b"\x04"), []);
    }
}
