//! Plugins that are part of the program, chosen by name.
//!
//! ```text
//! cargo run --release -p host-linked                      all of them
//! cargo run --release -p host-linked -- header_rewrite    one
//! ```

use std::process::ExitCode;

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, Stream};
use dynvm::{Loader, PluginConfig, Vm};

/// The plugins, as `build.rs` links them.
mod plugins {
    macro_rules! plugins {
        ($($name:ident)*) => {
            $(
                #[cfg($name)]
                mod $name {
                    include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
                }
            )*

            /// Makes the plugins known by their names.
            pub fn register() -> Result<(), dynvm::LoadError> {
                $(
                    #[cfg($name)]
                    dynvm::linked::register(&$name::PLUGIN)?;
                )*
                Ok(())
            }
        };
    }

    plugins!(header_rewrite sdk_old cxx);
}

struct Request(Headers);

impl Stream for Request {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&self.0 as &dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&mut self.0 as &mut dyn HeaderMap).ok_or(AbsentMap::Empty)
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
    plugins::register()?;
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names = dynvm::linked::names().into_iter().map(str::to_owned).collect();
    }
    let loader = Loader::new()?;
    for name in names {
        let module = loader.load_linked(&name)?;
        let mut vm = Vm::builder(&module).build()?;
        let root = vm.start_plugin(PluginConfig::named(&*name))?;
        let headers = Headers::from([(":method", "GET"), (":path", "/count"), (":authority", "example.com")]);
        let count = headers.len();
        let stream = vm.create_stream(root, Box::new(Request(headers)))?;
        let status = vm.on_request_headers(stream, count, true);
        println!("{name} (ABI {}) says {}", module.info().abi_version, status.name());
        vm.delete_stream(stream);
    }
    Ok(())
}
