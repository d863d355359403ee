//! What a client of TLS says first, and how an answer to it is known. No TLS is spoken: whether somebody there does, is asked.

/// The first bytes that are wanted of an answer: the head of a record, and of what it holds.
pub(crate) const ANSWER: usize = 6;

/// The record of a client's first words, for TLS 1.0 to 1.3, with the name of the server if there is one.
///
/// No share of a key: a server of TLS 1.3 asks for one, which is an answer. And nothing in it is chosen by chance, since no
/// connection comes of it.
pub(crate) fn client(server_name: Option<&str>) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = server_name {
        let entry = [&[0][..], &with_length(name.as_bytes())].concat();
        extensions.extend(extension(0x0000, &with_length(&entry)));
    }
    extensions.extend(extension(0x000a, &with_length(&words(GROUPS))));
    extensions.extend(extension(0x000b, &[1, 0]));
    extensions.extend(extension(0x000d, &with_length(&words(SIGNATURES))));
    extensions.extend(extension(0x0017, &[]));
    extensions.extend(extension(0x002b, &[8, 3, 4, 3, 3, 3, 2, 3, 1]));
    extensions.extend(extension(0x0033, &with_length(&[])));
    extensions.extend(extension(0xff01, &[0]));
    let mut body = vec![3, 3];
    body.extend([0x74; 32]);
    body.push(0); // no session
    body.extend(with_length(&words(CIPHERS)));
    body.extend([1, 0]); // no compression
    body.extend(with_length(&extensions));
    let hello = [&[1, 0][..], &with_length(&body)].concat();
    [&[0x16, 3, 1][..], &with_length(&hello)].concat()
}

/// What servers of today and of the last ten years take.
const CIPHERS: &[u16] = &[
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0x009c,
    0x009d, 0x002f, 0x0035,
];
const GROUPS: &[u16] = &[0x001d, 0x0017, 0x0018, 0x0019];
const SIGNATURES: &[u16] =
    &[0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201];

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// With two bytes of length before it. All that is written here is far shorter than they can say.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(content)].concat()
}

/// Whether an answer to [`client`] is one of TLS: a server's first words, or that it does not like ours.
pub(crate) fn is_answered(answer: &[u8]) -> bool {
    matches!(answer, [0x16, 3, 0..=4, _, _, 2, ..] | [0x15, 3, 0..=4, 0, 2, 1 | 2, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_hold_what_they_say() {
        for name in [None, Some("shop.example.org")] {
            let record = client(name);
            let length = |at: usize| usize::from(record[at]) << 8 | usize::from(record[at + 1]);
            assert_eq!(length(3), record.len() - 5);
            assert_eq!((record[5], record[6], length(7)), (1, 0, record.len() - 9));
            let ciphers = 9 + 2 + 32 + 1;
            let extensions = ciphers + 2 + length(ciphers) + 2;
            assert_eq!(length(extensions), record.len() - extensions - 2);
            let mut at = extensions + 2;
            while at < record.len() {
                at += 4 + length(at + 2);
            }
            assert_eq!(at, record.len());
            let named = record.windows(16).any(|window| window == b"shop.example.org");
            assert_eq!(named, name.is_some());
        }
    }

    #[test]
    fn an_answer_of_tls_is_told_from_others() {
        for (answer, expected) in [
            (&[0x16, 3, 3, 0, 90, 2][..], true),
            (&[0x16, 3, 1, 0, 90, 2, 0], true),
            (&[0x15, 3, 3, 0, 2, 2, 40], true),
            (&[0x15, 3, 1, 0, 2, 1, 112], true),
            // A client's words come back: an echo is no server.
            (&[0x16, 3, 1, 0, 90, 1], false),
            (&[0x16, 3, 3, 0, 90], false),
            (b"HTTP/1.1 400 Bad Request", false),
            (b"", false),
        ] {
            assert_eq!(is_answered(answer), expected, "{answer:?}");
        }
    }
}
