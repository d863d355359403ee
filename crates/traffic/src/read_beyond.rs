//! From JSON to [`Beyond`].

use crate::{
    beyond::{Beyond, By, Digest, Fallback, Mirror, OWN_COOKIES, Pin, Preview, Sticky},
    bounds,
    mistake::quoted,
    reading::{Fields, Reading},
    spot::Prefix,
    table::Colour,
    tree::Tree,
};

/// The keys of a route that are read here.
pub(crate) const KEYS: [&str; 6] = ["sticky", "pins", "preview", "mirror", "fallback", "health"];

impl Reading {
    /// Those keys of a route. None: one of them is mistaken.
    pub(crate) fn beyond(&mut self, fields: &Fields<'_>) -> Option<Beyond> {
        let sticky = match fields.get("sticky") {
            None => Some(Sticky::default()),
            Some(_) => self.one_of(fields, "sticky", &[("address", Sticky::Address), ("cookie", Sticky::Cookie)], &[]),
        };
        let pins = self.pins(fields);
        let object = |key: &str| fields.get(key).map(|tree| (fields.at(key), tree));
        let preview = match object("preview") {
            Some((path, tree)) => self.preview(&path, tree).map(Some),
            None => Some(None),
        };
        let mirror = match object("mirror") {
            Some((path, tree)) => self.mirror(&path, tree).map(Some),
            None => Some(None),
        };
        let fallback = match object("fallback") {
            Some((path, tree)) => self.fallback(&path, tree).map(Some),
            None => Some(None),
        };
        let health = self.each_once(fields, "health", bounds::PATHS, Prefix::read);
        Some(Beyond {
            sticky: sticky?,
            pins: pins?,
            preview: preview?,
            mirror: mirror?,
            fallback: fallback?,
            health: health?,
        })
    }

    /// Whether each colour that is named is one of the route's, and one only.
    pub(crate) fn names_colours(&mut self, fields: &Fields<'_>, beyond: &Beyond, colours: &[Colour]) {
        for (key, name) in beyond.named() {
            let message = match colours.iter().filter(|colour| colour.name == name).count() {
                1 => continue,
                0 => format!("{} is no colour of this route", quoted(name)),
                _ => format!("{} are several colours of this route: name one that stands there once", quoted(name)),
            };
            self.wrong(format!("{}.{key}", fields.path()), message);
        }
    }

    fn pins(&mut self, fields: &Fields<'_>) -> Option<Vec<Pin>> {
        let Some(tree) = fields.get("pins") else { return Some(Vec::new()) };
        let list = self.list(&fields.at("pins"), tree, 1, bounds::PINS)?;
        let mut pins = Vec::new();
        for (index, tree) in list.iter().enumerate() {
            pins.extend(self.pin(&format!("{}[{index}]", fields.at("pins")), tree));
        }
        (pins.len() == list.len()).then_some(pins)
    }

    fn pin(&mut self, path: &str, tree: &Tree) -> Option<Pin> {
        let fields = self.fields(path, tree, &["header", "cookie", "value", "colour"], &[])?;
        let by = match (fields.get("header"), fields.get("cookie")) {
            (Some(_), None) => self.token(&fields, "header").map(By::Header),
            (None, Some(_)) => self.token(&fields, "cookie").map(By::Cookie),
            _ => {
                self.wrong(path, "needs either `header` or `cookie`");
                None
            }
        };
        if let Some(By::Cookie(name)) = &by
            && name.starts_with(OWN_COOKIES)
        {
            self.wrong(fields.at("cookie"), format!("{} is a name of turnout-proxy's own", quoted(name)));
            return None;
        }
        let value = self.required_text(&fields, "value").map(str::to_owned);
        let in_cookie = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
        if let Some(value) = &value
            && (value.is_empty() || value.len() > bounds::PIN_VALUE || !value.bytes().all(in_cookie))
        {
            let most = bounds::PIN_VALUE;
            let rule =
                format!("from 1 to {most} characters of ASCII, without space, \", comma, semicolon and backslash");
            self.wrong(fields.at("value"), format!("{} is no value for a pin: {rule}", quoted(value)));
            return None;
        }
        let colour = self.colour_name(&fields);
        Some(Pin { by: by?, value: value?, colour: colour? })
    }

    /// A name of a header or a cookie.
    fn token(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let text = self.required_text(fields, key)?;
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !text.is_empty() && text.len() <= bounds::NAME && text.bytes().all(inner) {
            return Some(text.to_owned());
        }
        self.wrong(fields.at(key), format!("{} is no name of a {key}", quoted(text)));
        None
    }

    fn colour_name(&mut self, fields: &Fields<'_>) -> Option<String> {
        self.required_text(fields, "colour").and_then(|name| self.name(&fields.at("colour"), name))
    }

    fn preview(&mut self, path: &str, tree: &Tree) -> Option<Preview> {
        let fields = self.fields(path, tree, &["colour", "sha256"], &[])?;
        let colour = self.colour_name(&fields);
        // Who writes the secret there instead must not find it in a log.
        let text = self.required_text(&fields, "sha256");
        let sha256 = text.and_then(|text| {
            Digest::read(text).map_err(|message| self.wrong(fields.at("sha256"), format!("its value {message}"))).ok()
        });
        Some(Preview { colour: colour?, sha256: sha256? })
    }

    fn mirror(&mut self, path: &str, tree: &Tree) -> Option<Mirror> {
        let fields = self.fields(path, tree, &["colour", "percent"], &[])?;
        let (colour, percent) = (self.colour_name(&fields), self.required_number(&fields, "percent", 1, 100));
        Some(Mirror { colour: colour?, percent: percent? })
    }

    fn fallback(&mut self, path: &str, tree: &Tree) -> Option<Fallback> {
        let fields = self.fields(path, tree, &["colour", "paths"], &[])?;
        let colour = self.colour_name(&fields);
        self.required(&fields, "paths")?;
        let paths = self.each_once(&fields, "paths", bounds::PATHS, Prefix::read);
        Some(Fallback { colour: colour?, paths: paths? })
    }
}
