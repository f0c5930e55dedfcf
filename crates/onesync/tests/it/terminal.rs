//! The program on a terminal, which `script` (of util-linux) gives it.

use crate::program::LONG;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A program on a terminal.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// What was written and not yet expected.
    text: String,
    /// Everything.
    all: String,
}

impl Terminal {
    /// Runs it on a home; arguments as a shell reads them.
    pub fn run(home: &Path, arguments: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_onesync");
        let line = format!("exec {program} --home {} {arguments}", home.display());
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("ONESYNC_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keys, screen, text: String::new(), all: String::new() }
    }

    /// Waits until a text is on the screen.
    pub async fn expect(&mut self, wanted: &str) {
        loop {
            if let Some(at) = self.text.find(wanted) {
                self.text = self.text.split_off(at + wanted.len());
                return;
            }
            let more = tokio::time::timeout(LONG, self.read()).await;
            assert!(more.is_ok_and(|more| more), "`{wanted}` does not come:\n{}", self.all);
        }
    }

    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let length = self.screen.read(&mut bytes).await.unwrap_or(0);
        let text = plain(&String::from_utf8_lossy(&bytes[..length]));
        self.all += &text;
        self.text += &text;
        length > 0
    }

    /// Types, and enters.
    pub async fn enter(&mut self, keys: &str) {
        self.keys.write_all(format!("{keys}\r").as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Waits for a question, and answers it.
    pub async fn answer(&mut self, question: &str, keys: &str) {
        self.expect(question).await;
        self.enter(keys).await;
    }

    /// The end of the program: everything that was on the screen.
    pub async fn ends_with(mut self, code: i32) -> String {
        while tokio::time::timeout(LONG, self.read()).await.unwrap() {}
        assert_eq!(self.child.wait().await.unwrap().code(), Some(code), "{}", self.all);
        self.all
    }
}

/// Text without what moves the cursor or colours it. Sequences that are cut by a read leave some signs, which no test wants.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(sign) = rest.next() {
        match sign {
            '\u{1b}' => {
                rest.next_if_eq(&'[');
                while rest.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
                rest.next();
            }
            '\r' => {}
            sign => out.push(sign),
        }
    }
    out
}
