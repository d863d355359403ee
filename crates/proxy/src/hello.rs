//! A TLS client's first words: the host that it names, and what it wants to speak. Pure.

/// Bytes of them that are looked at: keys of today are larger than those of yesterday, and no client sends as many.
pub(crate) const BYTES: usize = 32 << 10;

/// What the bytes that came are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hello {
    /// Not all of them.
    More,
    /// All, and the host, in small letters and without a dot at its end.
    Names(Option<String>),
    /// No first words of TLS.
    Other,
}

/// Reads the first bytes of a connection. Whoever needs more of them says so.
pub(crate) fn read(bytes: &[u8]) -> Hello {
    let Some(words) = words(bytes) else { return Hello::Other };
    match words.as_slice() {
        [1, high, middle, low, rest @ ..] => {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            match rest.get(..length) {
                Some(body) => name(body).map_or(Hello::Other, Hello::Names),
                None if length < BYTES => Hello::More,
                None => Hello::Other,
            }
        }
        [] | [1, ..] => Hello::More,
        _ => Hello::Other,
    }
}

/// What the records hold up to the end of the first message, as far as they came. None: they are no records of a handshake.
fn words(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut words = Vec::new();
    loop {
        // Early data may follow at once, in records of other kinds (RFC 8446, 2.3).
        if is_whole(&words) {
            return Some(words);
        }
        match bytes {
            [] => return Some(words),
            [0x16, 3, _, high, low, rest @ ..] => {
                let length = usize::from(*high) << 8 | usize::from(*low);
                // RFC 8446, 5.1; and an empty one would never end.
                if !(1..=16 << 10).contains(&length) {
                    return None;
                }
                match rest.split_at_checked(length) {
                    Some((record, further)) => {
                        words.extend_from_slice(record);
                        bytes = further;
                    }
                    None => {
                        words.extend_from_slice(rest);
                        return Some(words);
                    }
                }
            }
            [0x16, 3, ..] | [0x16] => return Some(words),
            _ => return None,
        }
    }
}

/// Whether there is all of a message: its kind, its length in three bytes, and so many more.
fn is_whole(words: &[u8]) -> bool {
    words.get(1..).is_some_and(|words| sized(words, 3).is_some())
}

/// The first so many bytes, with so many bytes of length before them; and the rest.
fn sized(bytes: &[u8], of: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(of)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

/// Whether all first words that came offer this protocol by ALPN (RFC 7301, 3.1), and no other one.
pub(crate) fn offers_only(bytes: &[u8], protocol: &[u8]) -> bool {
    let offered = || {
        let words = words(bytes)?;
        let (body, _) = sized(words.get(1..)?, 3)?;
        let mut extensions = extensions(body)?;
        while !extensions.is_empty() {
            let (kind, rest) = extensions.split_at_checked(2)?;
            let (content, rest) = sized(rest, 2)?;
            extensions = rest;
            if kind == [0, 16] {
                let (list, _) = sized(content, 2)?;
                let (first, others) = sized(list, 1)?;
                return Some(first == protocol && others.is_empty());
            }
        }
        None
    };
    offered().unwrap_or(false)
}

/// The extensions of a whole hello; empty where there are none. None: it is no hello.
fn extensions(body: &[u8]) -> Option<&[u8]> {
    let (_, rest) = body.split_at_checked(2 + 32)?;
    let (_, rest) = sized(rest, 1)?;
    let (_, rest) = sized(rest, 2)?;
    let (_, rest) = sized(rest, 1)?;
    if rest.is_empty() { Some(rest) } else { Some(sized(rest, 2)?.0) }
}

/// The host that a whole hello names (RFC 6066, 3), if it does. None: it is no hello.
fn name(body: &[u8]) -> Option<Option<String>> {
    let mut extensions = extensions(body)?;
    while !extensions.is_empty() {
        let (kind, rest) = extensions.split_at_checked(2)?;
        let (content, rest) = sized(rest, 2)?;
        extensions = rest;
        if kind == [0, 0] {
            let (list, _) = sized(content, 2)?;
            let (kind, rest) = list.split_first()?;
            let (name, _) = sized(rest, 2)?;
            let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if *kind != 0 || name.is_empty() || name.len() > 255 || !name.iter().all(fits) {
                return None;
            }
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            return Some(Some(name.strip_suffix('.').unwrap_or(&name).to_owned()));
        }
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use openssl::ssl::{SslConnector, SslMethod};

    use super::*;

    /// What a real client says first.
    fn real(name: &str) -> Vec<u8> {
        offering(name, b"")
    }

    fn offering(name: &str, protocols: &[u8]) -> Vec<u8> {
        #[derive(Debug)]
        struct Sink(Vec<u8>);
        impl std::io::Read for Sink {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::WouldBlock.into())
            }
        }
        impl std::io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        if !protocols.is_empty() {
            connector.set_alpn_protos(protocols).unwrap();
        }
        let connector = connector.build();
        match connector
            .configure()
            .unwrap()
            .use_server_name_indication(!name.is_empty())
            .connect(name, Sink(Vec::new()))
        {
            Err(openssl::ssl::HandshakeError::WouldBlock(middle)) => middle.get_ref().0.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_name_is_found_however_the_words_are_cut() {
        let hello = real("Shop.example.org");
        let names = Hello::Names(Some("shop.example.org".to_owned()));
        assert_eq!(read(&hello), names);
        for length in 0..hello.len() {
            assert_eq!(read(&hello[..length]), Hello::More, "{length}");
        }
        // In records of seven bytes each.
        let words = &hello[5..];
        let records = words
            .chunks(7)
            .flat_map(|piece| [&[0x16, 3, 1, 0, u8::try_from(piece.len()).unwrap()][..], piece].concat());
        assert_eq!(read(&records.collect::<Vec<u8>>()), names);
        // With early data behind it, after a record that old devices on the way want to see.
        let early = [&hello[..], &[0x14, 3, 3, 0, 1, 1, 0x17, 3, 3, 0, 2, 7, 7]].concat();
        for length in hello.len()..=early.len() {
            assert_eq!(read(&early[..length]), names, "{length}");
        }
        let broken_off = [&[0x16, 3, 1, 0, 7], &words[..7], &[0x17, 3, 3, 0, 2, 7, 7]].concat();
        assert_eq!(read(&broken_off), Hello::Other);
        assert_eq!(read(&real("")), Hello::Names(None));
    }

    #[test]
    fn what_a_client_wants_to_speak_is_told() {
        for (protocols, expected) in [
            (&b"\x0aacme-tls/1"[..], true),
            (b"\x02h2\x08http/1.1", false),
            (b"\x0aacme-tls/1\x08http/1.1", false),
            (b"", false),
        ] {
            let hello = offering("a.example", protocols);
            assert_eq!(offers_only(&hello, b"acme-tls/1"), expected, "{protocols:?}");
            assert_eq!(read(&hello), Hello::Names(Some("a.example".to_owned())));
            // Not before they are all there.
            assert!((0..hello.len()).all(|length| !offers_only(&hello[..length], b"acme-tls/1")));
        }
    }

    #[test]
    fn what_is_none_is_told() {
        let hello = real("a.example");
        for (at, byte) in [(0, 0x17), (0, b'G'), (1, 2), (3, 0x7f), (5, 2), (6, 1)] {
            let mut wrong = hello.clone();
            wrong[at] = byte;
            assert_eq!(read(&wrong), Hello::Other, "{at}");
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), Hello::Other);
        // Whatever stands there: no fault, and an end.
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let mut wrong = hello.clone();
            for _ in 0..3 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = usize::try_from(seed % u64::try_from(wrong.len()).unwrap()).unwrap();
                wrong[at] = u8::try_from(seed >> 32 & 0xff).unwrap();
            }
            let _ = (read(&wrong), offers_only(&wrong, b"acme-tls/1"));
        }
    }
}
