//! Serialized header maps (Proxy-Wasm spec, "Serialization").
//!
//! Numbers are little endian: the number of pairs as u32, for each pair the lengths of name and
//! value as u32, then for each pair the name, a NUL, the value, a NUL.
//!
//! The Rust SDK up to 0.2.2 writes lengths as `usize`, which has 64 bits in a native plugin.
//! [`decode`] therefore tries u32 first, and u64 only if that reading does not account for every
//! byte. Maps with 64-bit lengths never pass the first reading: it sees only half of the lengths,
//! so it ends before the last byte.

use crate::host::{HeaderMap, Headers};

/// Size limit of a serialized map for [`decode`], in bytes; the same as in proxy-wasm-cpp-host.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Limit of pairs for [`decode`]; the same as in proxy-wasm-cpp-host.
pub const MAX_PAIRS: usize = 1024;

/// Size of a serialized map in bytes.
pub fn encoded_len(map: &dyn HeaderMap) -> usize {
    let mut len = 4;
    map.for_each(&mut |name, value| len += 8 + name.len() + 1 + value.len() + 1);
    len
}

/// Serializes a map into a slice of exactly [`encoded_len`] bytes.
///
/// # Panics
///
/// If the slice has another length.
pub fn encode_into(map: &dyn HeaderMap, target: &mut [u8]) {
    let count = map.len();
    let (head, mut strings) = target.split_at_mut(4 + 8 * count);
    let (number, mut lengths) = head.split_at_mut(4);
    number.copy_from_slice(&(count as u32).to_le_bytes());
    map.for_each(&mut |name, value| {
        let (mine, rest) = std::mem::take(&mut lengths).split_at_mut(8);
        mine[..4].copy_from_slice(&(name.len() as u32).to_le_bytes());
        mine[4..].copy_from_slice(&(value.len() as u32).to_le_bytes());
        lengths = rest;
        for part in [name, value] {
            let (mine, rest) = std::mem::take(&mut strings).split_at_mut(part.len() + 1);
            mine[..part.len()].copy_from_slice(part);
            mine[part.len()] = 0;
            strings = rest;
        }
    });
    assert!(strings.is_empty(), "the slice is as long as the encoding");
}

/// Serializes a map into a new vector.
pub fn encode(map: &dyn HeaderMap) -> Vec<u8> {
    let mut bytes = vec![0; encoded_len(map)];
    encode_into(map, &mut bytes);
    bytes
}

/// Deserializes a map. `None` if the bytes are too long, have too many pairs, are truncated, lack a
/// NUL, or have a remainder.
///
/// Hostcalls treat `None` as an empty map and report no error to the plugin, as proxy-wasm-cpp-host
/// does.
pub fn decode(bytes: &[u8]) -> Option<Headers> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    decode_with::<4>(bytes).or_else(|| decode_with::<8>(bytes))
}

/// Deserializes with numbers of `WIDTH` bytes. Each length is compared with the remaining bytes, so
/// forged numbers cause no large allocation.
fn decode_with<const WIDTH: usize>(bytes: &[u8]) -> Option<Headers> {
    let number = |bytes: &[u8]| -> Option<usize> {
        let mut wide = [0; 8];
        wide[..WIDTH].copy_from_slice(bytes);
        usize::try_from(u64::from_le_bytes(wide)).ok()
    };
    let count = number(bytes.get(..WIDTH)?)?;
    if count > MAX_PAIRS {
        return None;
    }
    let (lengths, mut strings) = bytes[WIDTH..].split_at_checked(count * 2 * WIDTH)?;
    let mut take = |length: usize| -> Option<&[u8]> {
        let (string, rest) = strings.split_at_checked(length.checked_add(1)?)?;
        strings = rest;
        string.strip_suffix(b"\0")
    };
    let mut headers = Headers::new();
    for pair in lengths.chunks_exact(2 * WIDTH) {
        let (name, value) = pair.split_at(WIDTH);
        headers.add(take(number(name)?)?, take(number(value)?)?);
    }
    strings.is_empty().then_some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for map in [
            Headers::new(),
            Headers::from([(":path", "/"), ("empty", ""), ("", "nameless"), (":path", "again")]),
            Headers::from([(&b"bin"[..], &b"\0\xff\0"[..])]),
        ] {
            assert_eq!(decode(&encode(&map)), Some(map));
        }
    }

    #[test]
    fn lengths_of_64_bits_are_read_when_32_do_not_fit() {
        let mut bytes = Vec::new();
        for number in [2u64, 1, 2, 3, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(b"a\0bc\0def\0\0");
        assert_eq!(decode(&bytes), Some(Headers::from([("a", "bc"), ("def", "")])));
    }

    #[test]
    fn what_is_not_a_map_is_refused() {
        let good = encode(&Headers::from([("name", "value")]));
        for end in 0..good.len() {
            assert_eq!(decode(&good[..end]), None, "cut at {end}");
        }
        let mut trailing = good.clone();
        trailing.push(0);
        assert_eq!(decode(&trailing), None);
        let mut no_nul = good.clone();
        *no_nul.last_mut().unwrap() = b'x';
        assert_eq!(decode(&no_nul), None);
        assert_eq!(decode(&[0xff; 64]), None);
        assert_eq!(decode(&vec![0; MAX_BYTES + 1]), None);
        let many: Headers = (0..=MAX_PAIRS).map(|_| ("a", "b")).collect();
        assert_eq!(decode(&encode(&many)), None);
    }
}
