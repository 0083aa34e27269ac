//! The plugin's calls and ticks: tasks of the worker's thread, whose events the worker delivers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dynvm::host::{DispatchError, HeaderMap, Headers, HttpCall, HttpCallResponse, HttpCalls, Timers};
use dynvm::{CallId, ContextId};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{interval, timeout};

use crate::proxy::{self, MAX_BODY};
use crate::{Error, HttpClient, Setup};

/// What the plugin is told between callbacks.
pub enum Event {
    Answer(CallId, HttpCallResponse),
    Tick(ContextId),
}

/// Starts calls and ticks, and sends their events.
pub struct Outside {
    setup: Arc<Setup>,
    client: HttpClient,
    events: UnboundedSender<Event>,
    calls: RefCell<Vec<(ContextId, AbortHandle)>>,
    ticks: RefCell<HashMap<ContextId, AbortHandle>>,
}

impl Outside {
    pub fn new(setup: Arc<Setup>, client: HttpClient) -> (Rc<Outside>, UnboundedReceiver<Event>) {
        let (events, receiver) = unbounded_channel();
        (Rc::new(Outside { setup, client, events, calls: RefCell::default(), ticks: RefCell::default() }), receiver)
    }
}

impl HttpCalls for Outside {
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError> {
        let address = *self.setup.clusters.get(&call.upstream).ok_or(DispatchError::BadArgument)?;
        let (id, root, limit) = (call.id, call.root, call.timeout);
        let limit = if limit.is_zero() { proxy::PATIENCE } else { limit };
        let answer = fetch(self.client.clone(), address, call);
        let events = self.events.clone();
        let task = spawn_local(async move {
            // An answer without headers is a call that failed.
            let answer = timeout(limit, answer).await.ok().and_then(Result::ok).unwrap_or_default();
            let _ = events.send(Event::Answer(id, answer));
        });
        let mut calls = self.calls.borrow_mut();
        calls.retain(|(_, task)| !task.is_finished());
        calls.push((root, task.abort_handle()));
        Ok(())
    }

    fn cancel_all(&self, root: ContextId) {
        for (_, task) in self.calls.borrow_mut().extract_if(.., |(owner, _)| *owner == root) {
            task.abort();
        }
    }
}

impl Timers for Outside {
    fn set_tick_period(&self, root: ContextId, period: Option<Duration>) {
        let events = self.events.clone();
        let task = period.map(|period| {
            spawn_local(async move {
                let mut ticks = interval(period);
                // The first one is due at once.
                ticks.tick().await;
                loop {
                    ticks.tick().await;
                    let _ = events.send(Event::Tick(root));
                }
            })
        });
        let mut ticks = self.ticks.borrow_mut();
        let previous = match task {
            Some(task) => ticks.insert(root, task.abort_handle()),
            None => ticks.remove(&root),
        };
        if let Some(previous) = previous {
            previous.abort();
        }
    }
}

async fn fetch(client: HttpClient, address: SocketAddr, call: HttpCall) -> Result<HttpCallResponse, Error> {
    let (mut parts, ()) = Request::new(()).into_parts();
    call.headers.for_each(&mut |name, value| parts.add(name, value));
    let request = proxy::outgoing(parts, address, Full::from(Bytes::from(call.body)))?;
    let (parts, body) = client.request(request).await?.into_parts();
    let mut headers = Headers::new();
    parts.for_each(&mut |name, value| headers.add(name, value));
    let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes().to_vec();
    Ok(HttpCallResponse { headers, body, trailers: Headers::new() })
}
