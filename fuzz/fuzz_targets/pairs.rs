//! The codec of header maps: no bytes make it panic, and what it writes it reads back.
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
