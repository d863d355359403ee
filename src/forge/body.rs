//! From the body's bytes to JSON: as it is, or out of a form's one field `payload`. Piece by piece.

use super::Refusal;

/// In which form a body brings its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// The body is the JSON.
    Json,
    /// The JSON is the value of the form's field `payload`.
    Form,
}

/// Reads the headers that say what the body is.
///
/// # Errors
/// 415 for a media type, character set or content encoding that is not read.
pub fn media(content_type: Option<&[u8]>, content_encoding: Option<&[u8]>) -> Result<Media, Refusal> {
    if content_encoding.is_some_and(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::unsupported("compressed bodies are not read; send it without Content-Encoding"));
    }
    let wanted = "Content-Type must be application/json or application/x-www-form-urlencoded";
    let text = content_type.and_then(|value| std::str::from_utf8(value).ok());
    let text = text.ok_or_else(|| Refusal::unsupported(wanted))?;
    let mut parts = text.split(';').map(str::trim);
    let media = match parts.next().unwrap_or_default() {
        json if json.eq_ignore_ascii_case("application/json") => Media::Json,
        form if form.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Media::Form,
        _ => return Err(Refusal::unsupported(wanted)),
    };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
        {
            return Err(Refusal::unsupported("the body's charset must be UTF-8"));
        }
    }
    Ok(media)
}

/// The one field that is looked for.
const FIELD: &[u8] = b"payload";

/// Takes the value of the field `payload` out of a form that arrives in pieces. Other fields are passed over. What a
/// `%XX` or `+` stands for: application/x-www-form-urlencoded, decoded once.
#[derive(Debug, Default)]
pub struct Form {
    at: At,
    /// The field's name as far as it may still be [`FIELD`]; one byte more means that it is another one.
    name: Vec<u8>,
    /// First digit after a `%`, or that one must come.
    percent: Option<Option<u8>>,
    seen: bool,
    fault: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Name,
    Payload,
    Other,
}

impl Form {
    /// Reads the next piece and puts what it holds of the value into `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            if self.fault.is_some() {
                return;
            }
            match (self.at, byte) {
                (_, b'&') => self.end_field(),
                (At::Name, b'=') => self.end_name(),
                (At::Other, _) => {}
                (At::Name, _) => {
                    if let Some(byte) = self.decoded(*byte)
                        && self.name.len() <= FIELD.len()
                    {
                        self.name.push(byte);
                    }
                }
                (At::Payload, _) => out.extend(self.decoded(*byte)),
            }
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// 400 for a form without exactly one `payload`, and for a `%` without its digits.
    pub fn finish(mut self) -> Result<(), Refusal> {
        if self.fault.is_none() {
            self.end_field();
        }
        match self.fault {
            Some(fault) => Err(Refusal::malformed(fault)),
            None if !self.seen => Err(Refusal::malformed("the form has no field payload")),
            None => Ok(()),
        }
    }

    fn end_name(&mut self) {
        self.whole();
        self.at = match self.name == FIELD {
            true if self.seen => {
                self.fault.get_or_insert("the form has more than one field payload");
                At::Other
            }
            true => {
                self.seen = true;
                At::Payload
            }
            false => At::Other,
        };
        self.name.clear();
    }

    fn end_field(&mut self) {
        if self.at == At::Name {
            self.end_name();
        }
        self.whole();
        self.at = At::Name;
    }

    /// No `%` may be left without its digits.
    fn whole(&mut self) {
        if self.percent.take().is_some() {
            self.malformed();
        }
    }

    fn malformed(&mut self) {
        self.fault.get_or_insert("the form has a % that no two hexadecimal digits follow");
    }

    /// The byte that this one stands for or completes.
    fn decoded(&mut self, byte: u8) -> Option<u8> {
        let digit = || char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (self.percent.take(), byte) {
            (None, b'%') => self.percent = Some(None),
            (None, b'+') => return Some(b' '),
            (None, other) => return Some(other),
            (Some(first), _) => match (first, digit()) {
                (_, None) => self.malformed(),
                (None, Some(first)) => self.percent = Some(Some(first)),
                (Some(first), Some(second)) => return Some(first << 4 | second),
            },
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (content_type, expected) in [
            ("application/json", Ok(Media::Json)),
            ("Application/JSON; charset=UTF-8", Ok(Media::Json)),
            ("application/json;charset=\"utf-8\"", Ok(Media::Json)),
            ("application/x-www-form-urlencoded", Ok(Media::Form)),
            ("application/json; charset=utf-16", Err(415)),
            ("application/jsonx", Err(415)),
            ("text/plain", Err(415)),
            ("", Err(415)),
        ] {
            let media = media(Some(content_type.as_bytes()), None).map_err(|refusal| refusal.status);
            assert_eq!(media, expected, "{content_type}");
        }
        assert_eq!(media(None, None).unwrap_err().status, 415);
        assert_eq!(media(Some(b"application/json"), Some(b"gzip")).unwrap_err().status, 415);
        assert!(media(Some(b"application/json"), Some(b"identity")).is_ok());
    }

    fn payload(pieces: &[&[u8]]) -> Result<String, u16> {
        let (mut form, mut out) = (Form::default(), Vec::new());
        pieces.iter().for_each(|piece| form.feed(piece, &mut out));
        form.finish().map_err(|refusal| refusal.status)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn forms() {
        for (body, expected) in [
            (&b"payload=%7B%22a%22%3A+%22%2B%C3%A9%22%7D"[..], Ok("{\"a\": \"+é\"}")),
            (b"x=1&payload={}&y", Ok("{}")),
            (b"pay%6coad={}", Ok("{}")),
            (b"payload=a=b", Ok("a=b")),
            (b"x=%zz&payload={}", Ok("{}")),
            (b"payloads={}&payload=1", Ok("1")),
            (b"payload={}&payload={}", Err(400)),
            (b"payload={}&pay%6coad={}", Err(400)),
            (b"x={}", Err(400)),
            (b"", Err(400)),
            (b"payload", Ok("")),
            (b"payload=%7", Err(400)),
            (b"payload=%7&x=1", Err(400)),
            (b"payload=%", Err(400)),
            (b"payload=%zz", Err(400)),
            (b"pay%=%7Bload", Err(400)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(payload(&[body]), expected, "{}", String::from_utf8_lossy(body));
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(payload(&bytes), expected, "in single bytes: {}", String::from_utf8_lossy(body));
        }
    }
}
