//! A program with a linked plugin, which rustc compiles without cargo. `OUT_DIR` is where `dynvm build --static` wrote to.

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, Stream};
use dynvm::{Module, PluginConfig, Vm};

mod header_rewrite {
    include!(concat!(env!("OUT_DIR"), "/header-rewrite.rs"));
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let module = Module::linked(&header_rewrite::PLUGIN);
    let mut vm = Vm::builder(&module).build()?;
    let root = vm.start_plugin(PluginConfig::named("linked"))?;
    let headers = Headers::from([(":method", "GET"), (":path", "/hello"), (":authority", "example.com")]);
    let stream = vm.create_stream(root, Box::new(Request(headers)))?;
    let status = vm.on_request_headers(stream, 3, true);
    println!("{}: {}", module.name(), status.name());
    Ok(())
}
