//! The stream of a shadow.

use std::borrow::Cow;
use std::sync::Arc;

use dynvm::abi::types::{BufferType, MapType, Status};
use dynvm::host::{AbsentMap, Buffer, HeaderMap, PropertyError, PropertyPath, Stream};

use super::replayed::{Replayed, bytes_of};
use crate::rollout::snapshot::{BUFFERS, MAPS, View};

/// Holds received data and the shadow's modifications. Requests of the plugin (continue, close,
/// local response) are compared, not executed.
pub(super) struct ShadowStream {
    pub(super) view: View,
    pub(super) replayed: Arc<Replayed>,
}

fn map_index(map: MapType) -> Option<usize> {
    MAPS.iter().position(|known| *known == map)
}

fn buffer_index(buffer: BufferType) -> Option<usize> {
    BUFFERS.iter().position(|known| *known == buffer)
}

impl Stream for ShadowStream {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        map_index(map)
            .and_then(|index| self.view.maps[index].as_ref())
            .map(|map| map as &dyn HeaderMap)
            .ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        map_index(map)
            .and_then(|index| self.view.maps[index].as_mut())
            .map(|map| map as &mut dyn HeaderMap)
            .ok_or(AbsentMap::Empty)
    }

    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        self.view.buffers[buffer_index(buffer)?].as_ref().map(|buffer| buffer as &dyn Buffer)
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        self.view.buffers[buffer_index(buffer)?].as_mut().map(|buffer| buffer as &mut dyn Buffer)
    }

    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        match self.replayed.property(path.as_bytes()) {
            Some((Status::Ok, results)) => {
                bytes_of(&results).map(|bytes| Cow::Owned(bytes.to_vec())).ok_or(PropertyError::Internal)
            }
            Some((Status::SerializationFailure, _)) => Err(PropertyError::NotSerializable),
            Some((Status::InternalFailure, _)) => Err(PropertyError::Internal),
            _ => Err(PropertyError::NotFound),
        }
    }

    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        self.replayed.set_property(path.as_bytes(), value);
        Ok(())
    }
}
