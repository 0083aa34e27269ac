//! The encoding of header maps: the reader does not panic on any bytes, and reads back what the writer writes.
#![no_main]

use dynvm::header_pairs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(headers) = pairs::decode(data) {
        // Some plugins write lengths of 64 bits; the host writes 32.
        let encoded = pairs::encode(&headers);
        assert_eq!(pairs::encoded_len(&headers), encoded.len());
        assert_eq!(pairs::decode(&encoded), Some(headers));
    }
});
