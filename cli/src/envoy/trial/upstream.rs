//! The upstreams of the trial: servers that answer as the scenario says, and remember what they were asked.

use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynvm_differential::scenario::HttpCall;

use super::http1::{self, Message};

/// A server on a free port of this machine. It ends with the process.
pub struct Upstream {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The next answer. None: the request's body.
    answer: Option<Message>,
    delay: Duration,
    /// Requests, if they are recorded.
    seen: Option<Vec<Message>>,
}

impl Upstream {
    pub fn start() -> io::Result<Upstream> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Ok(Upstream { port, state })
    }

    /// Starts a server that gives one answer to all calls. None: the calls are to fail, so nobody listens.
    pub fn of_call(call: &HttpCall) -> io::Result<Option<Upstream>> {
        if call.fail {
            return Ok(None);
        }
        let upstream = Upstream::start()?;
        let response = call.answer().response.unwrap_or_default();
        upstream.state().delay = Duration::from_millis(call.delay_ms);
        upstream.answer(Some(super::traffic::response(&response.headers, &response.body, &response.trailers)));
        Ok(Some(upstream))
    }

    /// Sets the answer to the requests from now on. None: status 200 with the request's body.
    pub fn answer(&self, answer: Option<Message>) {
        self.state().answer = answer;
    }

    /// Remembers requests from now on, or forgets them.
    pub fn record(&self, on: bool) {
        self.state().seen = on.then(Vec::new);
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Message> {
        self.state().seen.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let _ = stream.set_nodelay(true);
    let mut from = BufReader::new(stream);
    while let Ok(Some(request)) = Message::read_request(&mut from) {
        let (answer, delay) = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let echo = || Message { start: status_line(200), body: request.body.clone(), ..Message::default() };
            let answer = state.answer.clone().unwrap_or_else(echo);
            let delay = state.delay;
            if let Some(seen) = &mut state.seen {
                seen.push(request);
            }
            (answer, delay)
        };
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        if http1::send(stream, &answer.bytes(true)).is_err() {
            return;
        }
    }
}

/// The first line of a response.
pub fn status_line(status: u32) -> String {
    format!("HTTP/1.1 {status} -")
}
