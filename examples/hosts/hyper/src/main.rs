//! A reverse proxy on hyper that runs a plugin on requests and responses, and makes the plugin's HTTP calls and ticks.
//!
//! | file | idea |
//! |---|---|
//! | `proxy` | one request: through the plugin, to the upstream, and back |
//! | `exchange` | what the plugin reads and writes of a request and its response |
//! | `outside` | the plugin's calls and ticks |
//!
//! Each worker thread has a runtime, a VM and a client. A VM never leaves its thread, and no callback waits: what a callback asks for starts as a
//! task, and comes back to the worker as an event.

#![forbid(unsafe_code)]

mod exchange;
mod outside;
mod proxy;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

use dynvm::host::Services;
use dynvm::{FailurePolicy, Loader, LoaderOptions, Module, Plugin, PluginConfig, VmConfig};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::{LocalSet, spawn_local};

use outside::{Event, Outside};

type Error = Box<dyn std::error::Error + Send + Sync>;
type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// What all workers share.
struct Setup {
    module: Module,
    configuration: Vec<u8>,
    upstream: SocketAddr,
    /// Upstreams for the plugin's calls, by name.
    clusters: HashMap<Vec<u8>, SocketAddr>,
}

/// One thread's VM and client.
struct Worker {
    setup: Arc<Setup>,
    plugin: RefCell<Plugin>,
    client: HttpClient,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", dynvm::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream, plugin, more @ ..] = &*arguments else {
        return Err("usage: host-hyper LISTEN UPSTREAM PLUGIN [CONFIGURATION [NAME=ADDRESS]...]".into());
    };
    let mut setup = Setup {
        module: Loader::with_options(LoaderOptions::default().allow_native())?.load_file(plugin)?,
        configuration: more.first().map_or(Ok(Vec::new()), std::fs::read)?,
        upstream: upstream.parse()?,
        clusters: HashMap::new(),
    };
    for cluster in more.iter().skip(1) {
        let (name, address) = cluster.split_once('=').ok_or_else(|| format!("{cluster} is not NAME=ADDRESS"))?;
        setup.clusters.insert(name.into(), address.parse()?);
    }
    let setup = Arc::new(setup);
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;

    // Workers end only by an error, as when the plugin refuses its configuration.
    let (ended, errors) = mpsc::channel();
    for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
        let (setup, listener, ended) = (setup.clone(), listener.try_clone()?, ended.clone());
        thread::spawn(move || ended.send(work(setup, listener)));
    }
    println!("listening on {}", listener.local_addr()?);
    errors.recv()?
}

fn work(setup: Arc<Setup>, listener: TcpListener) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (outside, mut events) = Outside::new(setup.clone(), client.clone());
        let mut services = Services::default();
        (services.http_calls, services.timers) = (outside.clone(), outside);
        // A failed VM is replaced for the next stream, after a delay that grows if it fails again.
        let config = PluginConfig::named("plugin")
            .configuration(setup.configuration.clone())
            .failure_policy(FailurePolicy::Reload);
        let limits = VmConfig::default().memory_limit(256 << 20);
        let plugin = Plugin::builder(&setup.module, config).vm_config(limits).services(services).start()?;
        let worker = Rc::new(Worker { setup, plugin: RefCell::new(plugin), client });

        let deliverer = worker.clone();
        spawn_local(async move {
            while let Some(event) = events.recv().await {
                let mut plugin = deliverer.plugin.borrow_mut();
                match event {
                    Event::Tick(root) => plugin.vm().on_tick(root),
                    // An error is the answer to a call of a VM that was replaced.
                    Event::Answer(call, response) => drop(plugin.vm().on_http_call_response(call, response)),
                }
            }
        });

        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let Ok((connection, client)) = listener.accept().await else { continue };
            let worker = worker.clone();
            let service = service_fn(move |request| proxy::handle(worker.clone(), client, request));
            spawn_local(async move {
                let server =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(connection), service);
                if let Err(error) = server.await {
                    eprintln!("{client}: {error}");
                }
            });
        }
    })
}
