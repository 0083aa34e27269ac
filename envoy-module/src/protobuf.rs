//! Reads the few serialized protocol buffers that plugins pass to their host.

/// The bytes of a field, of its last occurrence. `None` if the message lacks it or is malformed.
pub fn field(bytes: &[u8], number: u64) -> Option<&[u8]> {
    let fields = fields(bytes)?;
    fields.into_iter().rev().find(|(of, _)| *of == number).map(|(_, value)| value)
}

/// The fields of a serialized protocol buffer; those that are numbers have no bytes. `None`: it is not one.
pub fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                &[][..]
            }
            1 => bytes.split_off(..8).map(|_| &[][..])?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                bytes.split_off(..length)?
            }
            5 => bytes.split_off(..4).map(|_| &[][..])?,
            _ => return None,
        };
        fields.push((tag >> 3, value));
    }
    (fields.iter().all(|(number, _)| *number > 0) && !fields.is_empty()).then_some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
