//! The access logger: a plugin that is only asked to log streams.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, PropertyError, PropertyPath, Stream};

use crate::abi::AttributeId;
use crate::abi::access_logger::LogEntry;
use crate::abi::http_filter::HeaderKind;
use crate::deployed::Deployed;
use crate::local::Local;
use crate::properties::{self, Kind};

/// Has the plugin log a stream.
pub fn log(deployed: &Arc<Deployed>, entry: LogEntry) {
    let Some(local) = Local::of(deployed) else { return };
    local.look_after();
    let maps = [HeaderKind::RequestHeaders, HeaderKind::ResponseHeaders, HeaderKind::ResponseTrailers];
    let maps = maps.map(|kind| entry.headers(kind));
    let entry = Rc::new(Cell::new(Some(entry)));
    let stream = Logged { maps, entry: entry.clone() };
    if let Some(context) = local.create_stream(Box::new(stream)) {
        local.run(context, |vm| vm.on_log(context.context()));
        local.end_stream(context);
    }
    // The entry ends with the hook.
    entry.set(None);
    local.work_off();
}

/// A stream that is being logged.
struct Logged {
    maps: [Headers; 3],
    entry: Rc<Cell<Option<LogEntry>>>,
}

impl Stream for Logged {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        let index = match map {
            MapType::HttpRequestHeaders => 0,
            MapType::HttpResponseHeaders => 1,
            MapType::HttpResponseTrailers => 2,
            _ => return Err(AbsentMap::Empty),
        };
        Ok(&self.maps[index])
    }

    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        let segments: Vec<&[u8]> = path.segments().collect();
        let id = AttributeId::of(&segments.join(&b'.')).ok_or(PropertyError::NotFound)?;
        let entry = self.entry.take().ok_or(PropertyError::NotFound)?;
        let value = match properties::kind_of(id) {
            Kind::Number => entry.attribute_int(id).map(properties::number),
            Kind::Bool => entry.attribute_bool(id).map(properties::bool),
            Kind::Text => entry.attribute_string(id).map(Cow::Owned),
        };
        self.entry.set(Some(entry));
        value.ok_or(PropertyError::NotFound)
    }
}
