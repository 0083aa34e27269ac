//! The smallest embedding: one plugin, one request, headers only.
//!
//! ```text
//! cargo run --release -p host-minimal -- target/release/libheader_rewrite.so
//! ```

#![forbid(unsafe_code)]

use std::process::ExitCode;

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, LocalResponse, Stream};
use dynvm::{Loader, LoaderOptions, PluginConfig, Vm};

/// The proxy's side of a request, which the plugin may read and change.
struct Request {
    headers: Headers,
    answer: Option<LocalResponse>,
}

impl Stream for Request {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&self.headers as &dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&mut self.headers as &mut dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn send_local_response(&mut self, response: LocalResponse) {
        self.answer = Some(response);
    }
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", dynvm::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: host-minimal PLUGIN.so|PLUGIN.wasm [CONFIGURATION]")?;
    let configuration = std::env::args().nth(2).unwrap_or_default();

    // Native plugins have every right of this process, so they are allowed explicitly.
    let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
    let module = loader.load_file(&path)?;
    let mut vm = Vm::builder(&module).build()?;
    let root = vm.start_plugin(PluginConfig::named("example").configuration(configuration))?;

    let headers = Headers::from([(":method", "GET"), (":path", "/hello"), (":authority", "example.com")]);
    let count = headers.len();
    let stream = vm.create_stream(root, Box::new(Request { headers, answer: None }))?;
    let status = vm.on_request_headers(stream, count, true);
    println!("the plugin says {}", status.name());
    if let Some(request) = vm.stream::<Request>(stream) {
        match &request.answer {
            Some(answer) => println!("it answers with status {}", answer.status_code),
            None => println!("the request goes on with {:#?}", request.headers),
        }
    }
    // Ends the stream: proxy_on_done, proxy_on_log, proxy_on_delete.
    vm.delete_stream(stream);
    Ok(())
}
