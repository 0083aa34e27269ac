//! A client on HTTP/1.1 with several connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Ended after this time without an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections to one port. Several are used at once, as a worker under load reads several at a time.
pub struct Client(Vec<BufReader<TcpStream>>);

/// A response.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// True if the server ends the connection.
    pub closes: bool,
}

impl Client {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn connect(port: u16, connections: usize) -> Result<Client> {
        let connect = |_| {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(BufReader::new(stream))
        };
        Ok(Client((0..connections).map(connect).collect::<std::io::Result<_>>()?))
    }

    /// Sends a request so many times; each has to be answered with 200.
    ///
    /// # Errors
    ///
    /// Another answer, or none.
    pub fn send(&mut self, request: &[u8], count: usize) -> Result<()> {
        for _ in 0..count / self.0.len() {
            for connection in &mut self.0 {
                connection.get_mut().write_all(request)?;
            }
            for connection in &mut self.0 {
                let status = read(connection)?.status;
                ensure!(status == 200, "answered with {status}");
            }
        }
        Ok(())
    }

    /// Sends a request on one connection.
    ///
    /// # Errors
    ///
    /// No answer.
    pub fn request(&mut self, request: &[u8]) -> Result<Answer> {
        let connection = &mut self.0[0];
        connection.get_mut().write_all(request)?;
        read(connection)
    }

    /// The body of the answer to a GET.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn get(&mut self, path: &str) -> Result<String> {
        let answer = self.request(format!("GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n").as_bytes())?;
        ensure!(answer.status == 200, "{path} is answered with {}", answer.status);
        Ok(answer.body)
    }
}

fn read(connection: &mut BufReader<TcpStream>) -> Result<Answer> {
    let (mut length, mut chunked, mut closes, mut line) = (0, false, false, String::new());
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("answered {line:?}"))?;
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().context("content-length")?,
            "transfer-encoding" => chunked = true,
            "connection" => closes = value == "close",
            _ => {}
        }
    }
    let mut body = Vec::new();
    if !chunked {
        body.resize(length, 0);
        connection.read_exact(&mut body)?;
    }
    while chunked {
        line.clear();
        connection.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim_end(), 16).context("a chunk's size")?;
        let start = body.len();
        body.resize(start + size, 0);
        connection.read_exact(&mut body[start..])?;
        connection.read_line(&mut line)?;
        chunked = size > 0;
    }
    Ok(Answer { status, body: String::from_utf8(body)?, closes })
}
