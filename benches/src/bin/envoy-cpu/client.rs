//! A client on HTTP/1.1 with several connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail};

/// Connections that are used at once, as a worker under load reads several at a time.
const CONNECTIONS: usize = 8;

pub struct Client(Vec<BufReader<TcpStream>>);

impl Client {
    pub fn connect(port: u16) -> Result<Client> {
        let connect = |_| {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            Ok(BufReader::new(stream))
        };
        Ok(Client((0..CONNECTIONS).map(connect).collect::<std::io::Result<_>>()?))
    }

    /// Sends a request so many times; each has to be answered with 200.
    pub fn send(&mut self, request: Vec<u8>, count: u32) -> Result<()> {
        for _ in 0..count / CONNECTIONS as u32 {
            for connection in &mut self.0 {
                connection.get_mut().write_all(&request)?;
            }
            for connection in &mut self.0 {
                read(connection)?;
            }
        }
        Ok(())
    }

    /// The body of the answer to a GET.
    pub fn get(&mut self, path: &str) -> Result<String> {
        let connection = &mut self.0[0];
        connection.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nhost: admin\r\n\r\n").as_bytes())?;
        read(connection)
    }
}

fn read(connection: &mut BufReader<TcpStream>) -> Result<String> {
    let (mut length, mut chunked, mut line) = (0, false, String::new());
    connection.read_line(&mut line)?;
    if !line.contains(" 200 ") {
        bail!("answered {line:?}");
    }
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().context("content-length")?,
            "transfer-encoding" => chunked = true,
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
    Ok(String::from_utf8(body)?)
}
