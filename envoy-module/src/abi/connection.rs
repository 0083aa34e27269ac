//! One TCP connection in Envoy, as a filter may use it.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use super::AttributeId;
use super::functions::envoy;
use super::types::{EnvoyBuffer, ModuleBuffer};

/// The data of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// From the client.
    Read,
    /// To the client.
    Write,
}

/// A filter's connection in Envoy. Its methods do nothing after Envoy has destroyed the filter. Bytes that a method returns
/// are Envoy's, and are to be copied at once.
pub struct NetworkFilter(Cell<*mut c_void>);

macro_rules! call {
    ($self:ident.$name:ident($($argument:expr),*)) => {
        match (envoy().$name, $self.0.get()) {
            (Some(function), filter) if !filter.is_null() => Some(function(filter, $($argument),*)),
            _ => None,
        }
    };
}

// The safety comments below rely on this: the pointer is that of a living filter, as `forget` is called when Envoy destroys
// it, and values are not sent to other threads. Slices given to Envoy outlive the call, which copies them.
impl NetworkFilter {
    pub(super) fn new(filter: *mut c_void) -> NetworkFilter {
        NetworkFilter(Cell::new(filter))
    }

    /// Forgets the connection, which Envoy has destroyed.
    pub fn forget(&self) {
        self.0.set(ptr::null_mut());
    }

    /// Length of the data.
    pub fn len(&self, flow: Flow) -> usize {
        // SAFETY: see above.
        let length = unsafe {
            match flow {
                Flow::Read => call!(self.network_filter_get_read_buffer_size()),
                Flow::Write => call!(self.network_filter_get_write_buffer_size()),
            }
        };
        length.unwrap_or(0)
    }

    /// Visits the pieces of the data in order.
    pub fn for_each_chunk(&self, flow: Flow, visit: &mut dyn FnMut(&[u8])) {
        // SAFETY: see above; there is room for as many pieces as there are, and the visitor has no way to change them.
        unsafe {
            let count = match flow {
                Flow::Read => call!(self.network_filter_get_read_buffer_chunks_size()),
                Flow::Write => call!(self.network_filter_get_write_buffer_chunks_size()),
            };
            let mut chunks = vec![EnvoyBuffer::EMPTY; count.unwrap_or(0)];
            let found = match flow {
                _ if chunks.is_empty() => None,
                Flow::Read => call!(self.network_filter_get_read_buffer_chunks(chunks.as_mut_ptr())),
                Flow::Write => call!(self.network_filter_get_write_buffer_chunks(chunks.as_mut_ptr())),
            };
            if found == Some(true) {
                chunks.into_iter().for_each(|chunk| visit(chunk.bytes()));
            }
        }
    }

    /// Replaces all of the data.
    pub fn replace(&self, flow: Flow, data: &[u8]) {
        let length = self.len(flow);
        let data = ModuleBuffer::new(data);
        // SAFETY: see above.
        unsafe {
            match flow {
                Flow::Read => {
                    call!(self.network_filter_drain_read_buffer(length));
                    call!(self.network_filter_append_read_buffer(data));
                }
                Flow::Write => {
                    call!(self.network_filter_drain_write_buffer(length));
                    call!(self.network_filter_append_write_buffer(data));
                }
            }
        }
    }

    /// Resumes reading. Envoy may run any hook of the connection before this returns.
    pub fn continue_reading(&self) {
        // SAFETY: see above.
        unsafe { call!(self.network_filter_continue_reading()) };
    }

    /// Closes the connection after what it has to write. Envoy may run any hook of it before this returns.
    pub fn close(&self, details: &str) {
        const FLUSH_WRITE: i32 = 0;
        // SAFETY: see above.
        unsafe { call!(self.network_filter_close_with_details(FLUSH_WRITE, ModuleBuffer::new(details.as_bytes()))) };
    }

    /// Address and port of the client, or those that it connected to.
    pub fn address(&self, of_client: bool) -> Option<(&[u8], u32)> {
        let (mut address, mut port) = (EnvoyBuffer::EMPTY, 0);
        // SAFETY: see above; both results are written if the function returns true.
        unsafe {
            let found = match of_client {
                true => call!(self.network_filter_get_remote_address(&mut address, &mut port)),
                false => call!(self.network_filter_get_local_address(&mut address, &mut port)),
            };
            found?.then(|| (address.bytes(), port))
        }
    }

    /// A text attribute.
    pub fn attribute_string(&self, id: AttributeId) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: see above; the result is written if the function returns true.
        unsafe {
            let found = call!(self.network_filter_get_attribute_string(id as i32, &mut value))?;
            found.then(|| value.bytes())
        }
    }

    /// A number attribute.
    pub fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        let mut value = 0;
        // SAFETY: as above.
        unsafe { call!(self.network_filter_get_attribute_int(id as i32, &mut value))? }.then_some(value)
    }
}
