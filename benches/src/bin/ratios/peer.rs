//! The crate proxy-wasm-host, in a separate process because it needs a newer Rust.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use dynvm_benches::Workload;

pub struct Peer {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(program: &Path, wasm: &Path) -> anyhow::Result<Peer> {
        let mut child = Command::new(program)
            .arg(wasm)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", program.display()))?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Peer { child, questions, answers })
    }

    /// The nanoseconds that the streams took, by the peer's own clock.
    pub fn streams(&mut self, workload: Workload, count: u32) -> anyhow::Result<f64> {
        let questions = self.questions.as_mut().expect("open until it is dropped");
        writeln!(questions, "{} {} {} {count}", workload.name, workload.headers, workload.body)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| format!("the peer answered {answer:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends at the end of its input.
        self.questions = None;
        let _ = self.child.wait();
    }
}
