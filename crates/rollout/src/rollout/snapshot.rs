//! Content of a stream (header maps and bodies), and its changes.

use dynvm::abi::types::{BufferType, MapType};
use dynvm::host::{HeaderMap, Headers, Stream};

/// The maps of a stream.
pub(super) const MAPS: [MapType; 4] = [
    MapType::HttpRequestHeaders,
    MapType::HttpRequestTrailers,
    MapType::HttpResponseHeaders,
    MapType::HttpResponseTrailers,
];

/// The buffers of a stream.
pub(super) const BUFFERS: [BufferType; 4] =
    [BufferType::HttpRequestBody, BufferType::HttpResponseBody, BufferType::DownstreamData, BufferType::UpstreamData];

/// Content of a stream at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) maps: [Option<Headers>; 4],
    pub(super) buffers: [Option<Vec<u8>>; 4],
}

/// A changed map or buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Map(usize, Option<Headers>),
    Buffer(usize, Option<Vec<u8>>),
}

impl View {
    pub(super) fn of(stream: &dyn Stream) -> View {
        let map = |map: MapType| stream.header_map(map).ok().map(copy);
        let buffer = |buffer: BufferType| {
            stream.buffer(buffer).map(|buffer| {
                let mut bytes = vec![0; buffer.len()];
                buffer.copy_to(0, &mut bytes);
                bytes
            })
        };
        View { maps: MAPS.map(map), buffers: BUFFERS.map(buffer) }
    }

    /// Replaces the view with a newer one and returns the changes.
    pub(super) fn become_view(&mut self, new: View) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, (old, new)) in self.maps.iter().zip(&new.maps).enumerate() {
            if old != new {
                changes.push(Change::Map(index, new.clone()));
            }
        }
        for (index, (old, new)) in self.buffers.iter().zip(&new.buffers).enumerate() {
            if old != new {
                changes.push(Change::Buffer(index, new.clone()));
            }
        }
        *self = new;
        changes
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Map(index, map) => self.maps[*index].clone_from(map),
            Change::Buffer(index, bytes) => self.buffers[*index].clone_from(bytes),
        }
    }
}

impl Change {
    /// Approximate memory use in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Change::Map(_, map) => map.as_ref().map_or(0, |map| map.iter().map(|(n, v)| n.len() + v.len() + 12).sum()),
            Change::Buffer(_, bytes) => bytes.as_ref().map_or(0, Vec::len),
        }
    }
}

fn copy(map: &dyn HeaderMap) -> Headers {
    let mut copy = Headers::new();
    map.for_each(&mut |name, value| copy.add(name, value));
    copy
}
