//! `working-tree-encoding`: UTF-8 in git, something else in the work tree. As git does it with glibc's iconv.
//!
//! Known here are the encodings that are asked for in practice, those that UTF-8 holds in full (and Latin-1): their
//! conversion has one right result. Others are refused by name.

/// An encoding of the work tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Units of two bytes.
    Utf16(Order),
    /// Units of four bytes.
    Utf32(Order),
    /// One byte a character, the first 256.
    Latin1,
    /// One byte a character, the first 128.
    Ascii,
}

/// How the bytes of a unit lie, and whether the text begins with a mark that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    big: bool,
    mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Written, and demanded: its own order counts when read.
    Demanded,
    /// Not written, and refused: the name says the order already.
    Refused,
}

const MARK: char = '\u{feff}';

impl Encoding {
    /// The encoding of this name; none for UTF-8, and the name again where it is not known.
    pub(super) fn named(name: &str) -> Option<Result<Self, String>> {
        let upper = name.to_ascii_uppercase();
        // Git takes the dash of UTF names for optional.
        let upper = match upper.strip_prefix("UTF") {
            Some(rest) => format!("UTF-{}", rest.trim_start_matches('-')),
            None => upper,
        };
        let order = |big, mark| Order { big, mark };
        Some(Ok(match upper.as_str() {
            "UTF-8" => return None,
            // Without a word on the order glibc writes that of the machine; all that turnout runs on are little-endian.
            "UTF-16" | "UTF-16LE-BOM" => Self::Utf16(order(false, Mark::Demanded)),
            // git writes this one and cannot read it; here it goes both ways.
            "UTF-16BE-BOM" => Self::Utf16(order(true, Mark::Demanded)),
            "UTF-16LE" => Self::Utf16(order(false, Mark::Refused)),
            "UTF-16BE" => Self::Utf16(order(true, Mark::Refused)),
            "UTF-32" => Self::Utf32(order(false, Mark::Demanded)),
            "UTF-32LE" => Self::Utf32(order(false, Mark::Refused)),
            "UTF-32BE" => Self::Utf32(order(true, Mark::Refused)),
            "ISO-8859-1" | "ISO8859-1" | "ISO_8859-1" | "LATIN1" | "LATIN-1" | "L1" => Self::Latin1,
            "US-ASCII" | "ASCII" | "ANSI_X3.4-1968" => Self::Ascii,
            _ => return Some(Err(name.to_owned())),
        }))
    }

    /// UTF-8 as this encoding has it; none where it cannot say all of the text, or the text is no UTF-8.
    pub(super) fn write(self, text: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(text).ok()?;
        let one_byte =
            |limit: u32| text.chars().map(|c| u8::try_from(c as u32).ok().filter(|_| (c as u32) < limit)).collect();
        match self {
            Self::Latin1 => one_byte(256),
            Self::Ascii => one_byte(128),
            Self::Utf16(order) => {
                let mut units = [0; 2];
                Some(
                    order
                        .marked(text)
                        .flat_map(|c| {
                            c.encode_utf16(&mut units).iter().flat_map(|unit| order.two(*unit)).collect::<Vec<_>>()
                        })
                        .collect(),
                )
            }
            Self::Utf32(order) => Some(order.marked(text).flat_map(|c| order.four(c as u32)).collect()),
        }
    }

    /// Text in this encoding as UTF-8; none where it is not in this encoding.
    pub(super) fn read(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Latin1 => Some(bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()),
            Self::Ascii => bytes.is_ascii().then(|| bytes.to_vec()),
            Self::Utf16(order) => {
                let (pairs, []) = bytes.as_chunks::<2>() else { return None };
                let (big, rest) = order.found(pairs, [0xfe, 0xff], [0xff, 0xfe])?;
                let units =
                    rest.iter().map(|pair| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
                char::decode_utf16(units).collect::<Result<String, _>>().ok().map(String::into_bytes)
            }
            Self::Utf32(order) => {
                let (fours, []) = bytes.as_chunks::<4>() else { return None };
                let (big, rest) = order.found(fours, [0, 0, 0xfe, 0xff], [0xff, 0xfe, 0, 0])?;
                let unit = |four: &[u8; 4]| if big { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) };
                rest.iter().map(|four| char::from_u32(unit(four))).collect::<Option<String>>().map(String::into_bytes)
            }
        }
    }
}

impl Order {
    fn marked(self, text: &str) -> impl Iterator<Item = char> {
        (self.mark == Mark::Demanded).then_some(MARK).into_iter().chain(text.chars())
    }

    fn two(self, unit: u16) -> [u8; 2] {
        if self.big { unit.to_be_bytes() } else { unit.to_le_bytes() }
    }

    fn four(self, unit: u32) -> [u8; 4] {
        if self.big { unit.to_be_bytes() } else { unit.to_le_bytes() }
    }

    /// The order of what is read and the units after the mark.
    fn found<const N: usize>(self, units: &[[u8; N]], big: [u8; N], little: [u8; N]) -> Option<(bool, &[[u8; N]])> {
        let marked = match units.split_first() {
            Some((first, rest)) if *first == big => Some((true, rest)),
            Some((first, rest)) if *first == little => Some((false, rest)),
            _ => None,
        };
        match self.mark {
            Mark::Demanded => marked,
            Mark::Refused if marked.is_some() => None,
            Mark::Refused => Some((self.big, units)),
        }
    }
}
