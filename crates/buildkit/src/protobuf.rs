//! The little of protobuf that progress messages and sessions need: fields in, fields out. Pure.

/// Value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// Number, boolean or enum.
    Varint(u64),
    /// Text, bytes or an embedded message.
    Bytes(&'a [u8]),
    /// Four or eight raw bytes.
    Fixed(&'a [u8]),
}

/// The fields of a message in order; ends at the first damaged one.
pub fn fields(message: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let (key, after) = varint(rest)?;
        let (field, after) = match key & 7 {
            0 => {
                let (value, after) = varint(after)?;
                (Field::Varint(value), after)
            }
            1 => after.split_at_checked(8).map(|(b, after)| (Field::Fixed(b), after))?,
            2 => {
                let (length, after) = varint(after)?;
                let (body, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                (Field::Bytes(body), after)
            }
            5 => after.split_at_checked(4).map(|(b, after)| (Field::Fixed(b), after))?,
            _ => return None,
        };
        rest = after;
        Some((key >> 3, field))
    })
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Appends a number.
pub fn put_varint(out: &mut Vec<u8>, number: u64, value: u64) {
    push(out, number << 3);
    push(out, value);
}

/// Appends text, bytes or a message.
pub fn put_bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    push(out, number << 3 | 2);
    push(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn push(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut message = Vec::new();
        put_varint(&mut message, 1, 300);
        put_bytes(&mut message, 15, b"text");
        put_varint(&mut message, 2, u64::MAX);
        put_bytes(&mut message, 3, &[7; 200]);
        let read: Vec<_> = fields(&message).collect();
        assert_eq!(
            read,
            [
                (1, Field::Varint(300)),
                (15, Field::Bytes(b"text")),
                (2, Field::Varint(u64::MAX)),
                (3, Field::Bytes(&[7; 200]))
            ]
        );
    }

    #[test]
    fn damage_ends_the_message() {
        for bytes in [&[0x0a, 5, 1][..], &[0xff; 11], &[0x0b], &[0x09, 1], &[0x08]] {
            assert_eq!(fields(bytes).count(), 0, "{bytes:?}");
        }
    }
}
