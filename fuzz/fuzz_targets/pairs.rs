//! The encoding of header maps: the reader does not panic on any bytes, and reads back what the writer writes.
#![no_main]

use dynvm::header_pairs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(headers) = header_pairs::decode(data) {
        // Some plugins write lengths of 64 bits; the host writes 32.
        let encoded = header_pairs::encode(&headers);
        assert_eq!(header_pairs::encoded_len(&headers), encoded.len());
        assert_eq!(header_pairs::decode(&encoded), Some(headers));
    }
});
