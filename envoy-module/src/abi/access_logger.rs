//! One entry of an access log in Envoy.

use std::ffi::c_void;

use dynvm::host::{HeaderMap as _, Headers};

use super::AttributeId;
use super::functions::envoy;
use super::http_filter::HeaderKind;
use super::types::{EnvoyBuffer, EnvoyHeader};

/// A stream that is being logged. Lives during the hook that logs it.
pub struct LogEntry(*mut c_void);

macro_rules! call {
    ($self:ident.$name:ident($($argument:expr),*)) => {
        match envoy().$name {
            Some(function) => Some(function($self.0, $($argument),*)),
            None => None,
        }
    };
}

// The safety comments below rely on this: the value exists only during the hook, on its thread.
impl LogEntry {
    pub(super) fn new(entry: *mut c_void) -> LogEntry {
        LogEntry(entry)
    }

    /// A copy of a header map; empty if there is none.
    pub fn headers(&self, kind: HeaderKind) -> Headers {
        let mut headers = Headers::new();
        // SAFETY: see above; there is room for as many lines as there are.
        unsafe {
            let count = call!(self.access_logger_get_headers_size(kind as i32)).unwrap_or(0);
            let mut lines = vec![EnvoyHeader::EMPTY; count];
            if count > 0 && call!(self.access_logger_get_headers(kind as i32, lines.as_mut_ptr())) == Some(true) {
                lines.iter().for_each(|line| headers.add(line.name.bytes(), line.value.bytes()));
            }
        }
        headers
    }

    /// A copy of a text attribute.
    pub fn attribute_string(&self, id: AttributeId) -> Option<Vec<u8>> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: see above; the result is written if the function returns true.
        unsafe {
            let found = call!(self.access_logger_get_attribute_string(id as i32, &mut value))?;
            found.then(|| value.bytes().to_vec())
        }
    }

    /// A number attribute.
    pub fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        let mut value = 0;
        // SAFETY: as above.
        unsafe { call!(self.access_logger_get_attribute_int(id as i32, &mut value))? }.then_some(value)
    }

    /// A boolean attribute.
    pub fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        let mut value = false;
        // SAFETY: as above.
        unsafe { call!(self.access_logger_get_attribute_bool(id as i32, &mut value))? }.then_some(value)
    }
}
