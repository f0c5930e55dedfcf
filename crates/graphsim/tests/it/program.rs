//! The standalone program: starts, seeds, answers, keeps its state at a polite end.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tokio::net::TcpStream;

use crate::lab::exchange;

/// A program that does not outlive its test.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_onesync-graphsim"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("http://").trim_end_matches("/v1.0").to_owned();
        Program { child, address }
    }

    async fn users(&self) -> usize {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let answer = exchange(stream, &self.address, "GET", "/_sim/dump", &[], String::new()).await.unwrap();
        answer.body["users"].as_array().unwrap().len()
    }

    fn end(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn it_keeps_its_state_from_start_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let seed = folder.path().join("seed.json");
    std::fs::write(&seed, json!({"users": [{"userPrincipalName": "a@contoso.com"}]}).to_string()).unwrap();
    let state = state.to_str().unwrap();
    let first = Program::start(&["--state", state, "--seed-file", seed.to_str().unwrap()]);
    assert_eq!(first.users().await, 1);
    first.end();
    let second = Program::start(&["--state", state]);
    assert_eq!(second.users().await, 1);
    second.end();
}
