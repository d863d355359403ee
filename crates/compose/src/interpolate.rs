//! Variables in a text: `$V`, `${V}`, `${V:-d}` and their kin.
//!
//! Substitution follows compose-go's `template` package, including that a default may hold braces and further
//! variables, that a default is evaluated even when it is not used, and that the leftmost operator wins.

use turnout_report::redact::MASK;

/// What a variable refers to.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Nesting of defaults inside defaults that is followed. Bounds recursion.
const MAX_NESTING: usize = 64;

/// Bytes that the substitution of one text may yield. Bounds what many references to one long value amount to.
const MAX_OUTPUT: usize = 8 << 20;

/// Bytes that may be looked up and copied for all texts of one file. Far more than what comes out may be: a default is
/// evaluated even when it is not used, so that a text can do much work and yield nothing.
const MAX_WORK: usize = 256 << 20;

/// What the substitution in the texts of one file has cost so far.
#[derive(Debug, Default)]
pub struct Work(usize);

impl Work {
    fn add(&mut self, bytes: usize) -> Result<(), TemplateError> {
        self.0 = self.0.saturating_add(bytes);
        if self.0 > MAX_WORK { Err(TemplateError::TooMuch) } else { Ok(()) }
    }
}

/// Why a text cannot be interpolated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `${` that is followed by no valid reference. Holds the text around it.
    #[error("invalid interpolation format: {0}")]
    Invalid(String),
    /// `${V:?m}` without a value.
    #[error("required variable {name} is missing a value{}", if reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Required {
        /// Which variable, without `$` and braces.
        name: String,
        /// The author's message; may be empty.
        reason: String,
    },
    /// Defaults nested beyond reason.
    #[error("defaults are nested deeper than {MAX_NESTING} levels")]
    TooDeep,
    /// A result beyond reason.
    #[error("the text grows beyond {MAX_OUTPUT} bytes")]
    TooLong,
    /// Values that hold values, beyond what any file needs.
    #[error("more than {MAX_WORK} bytes of variables are looked up")]
    TooMuch,
}

impl TemplateError {
    /// The same without anything of the text but names of variables, for a text that is taken for a secret.
    #[must_use]
    pub(super) fn of_secret(self) -> TemplateError {
        match self {
            TemplateError::Invalid(_) => TemplateError::Invalid(MASK.to_owned()),
            TemplateError::Required { name, reason } if !reason.is_empty() => {
                TemplateError::Required { name, reason: MASK.to_owned() }
            }
            other => other,
        }
    }
}

/// Replaces every variable in `text`. Names of plain references without a value go to `unset`; `work` goes on from that of
/// the texts before.
///
/// # Errors
///
/// See [`TemplateError`].
pub fn substitute(
    text: &str,
    lookup: &Lookup<'_>,
    unset: &mut dyn FnMut(&str),
    work: &mut Work,
) -> Result<String, TemplateError> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    Substitution { lookup, unset, work }.expand(text, 0)
}

struct Substitution<'a> {
    lookup: &'a Lookup<'a>,
    unset: &'a mut dyn FnMut(&str),
    work: &'a mut Work,
}

impl Substitution<'_> {
    fn expand(&mut self, text: &str, depth: usize) -> Result<String, TemplateError> {
        if depth > MAX_NESTING {
            return Err(TemplateError::TooDeep);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut line = LastBrace::default();
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
            } else if let Some(body) = rest.strip_prefix("${") {
                let end = line.after(text, text.len() - rest.len());
                let reference = braced(body, end.saturating_sub(text.len() - body.len()))
                    .ok_or_else(|| TemplateError::Invalid(shorten(text)))?;
                let value = self.evaluate(&reference, depth)?;
                out.push_str(&value);
                rest = &body[reference.length..];
            } else {
                let name = name_of(&rest[1..]);
                if name.is_empty() {
                    out.push('$');
                } else {
                    out.push_str(&self.plain(name)?);
                }
                rest = &rest[1 + name.len()..];
            }
            if out.len() > MAX_OUTPUT {
                return Err(TemplateError::TooLong);
            }
        }
        out.push_str(rest);
        if out.len() > MAX_OUTPUT { Err(TemplateError::TooLong) } else { Ok(out) }
    }

    /// The value that is used, and the argument where that is.
    fn evaluate(&mut self, reference: &Reference<'_>, depth: usize) -> Result<String, TemplateError> {
        let Some((operator, argument)) = reference.operator else {
            return self.plain(reference.name);
        };
        let argument = self.expand(argument, depth + 1)?;
        let value = self.look_up(reference.name)?;
        let present = match operator.strip_prefix(':') {
            Some(_) => value.as_deref().is_some_and(|v| !v.is_empty()),
            None => value.is_some(),
        };
        Ok(match (operator.trim_start_matches(':'), present) {
            ("-", false) | ("+", true) => argument,
            ("?", false) => return Err(TemplateError::Required { name: reference.name.to_owned(), reason: argument }),
            _ => value.unwrap_or_default(),
        })
    }

    fn plain(&mut self, name: &str) -> Result<String, TemplateError> {
        let value = self.look_up(name)?;
        Ok(value.unwrap_or_else(|| {
            (self.unset)(name);
            String::new()
        }))
    }

    fn look_up(&mut self, name: &str) -> Result<Option<String>, TemplateError> {
        let value = (self.lookup)(name);
        self.work.add(value.as_deref().map_or(0, str::len))?;
        Ok(value)
    }
}

/// A reference in braces, taken apart.
struct Reference<'t> {
    name: &'t str,
    /// Operator and what follows it.
    operator: Option<(&'t str, &'t str)>,
    /// Bytes from after `${` to after its `}`.
    length: usize,
}

/// Takes apart what follows `${`; `limit` is the offset after the last `}` of the line.
fn braced(body: &str, limit: usize) -> Option<Reference<'_>> {
    let name = name_of(body);
    if name.is_empty() {
        return None;
    }
    let after = &body[name.len()..];
    if after.starts_with('}') {
        return Some(Reference { name, operator: None, length: name.len() + 1 });
    }
    let operator = [":?", ":-", ":+", "?", "-", "+"].into_iter().find(|op| after.starts_with(op))?;
    let start = name.len() + operator.len();
    if limit <= start {
        return None;
    }
    let end = closing(&body[..limit]).unwrap_or(limit - 1);
    Some(Reference { name, operator: Some((operator, body.get(start..end)?)), length: end + 1 })
}

/// Offset of the `}` that closes a reference whose `${` was just read. Braces inside are counted; the byte after an
/// opening one is not looked at, so `{}` counts as opened only (as in compose-go).
pub fn closing(body: &str) -> Option<usize> {
    let mut open = 1_u32;
    let mut bytes = body.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            b'{' => {
                open += 1;
                bytes.next();
            }
            _ => {}
        }
    }
    None
}

/// The variable name that `text` begins with; may be empty.
fn name_of(text: &str) -> &str {
    let end = text
        .bytes()
        .enumerate()
        .find(|&(i, b)| !(b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit())))
        .map_or(text.len(), |(i, _)| i);
    &text[..end]
}

/// Offset after the last `}` of the line that an offset lies in; each line is searched once.
#[derive(Default)]
struct LastBrace {
    line_end: usize,
    after_brace: usize,
}

impl LastBrace {
    fn after(&mut self, text: &str, at: usize) -> usize {
        if at >= self.line_end {
            self.line_end = text[at..].find('\n').map_or(text.len(), |n| at + n);
            self.after_brace = text[at..self.line_end].rfind('}').map_or(0, |n| at + n + 1);
        }
        self.after_brace
    }
}

fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "SET" | "_s1" => Some("v".into()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("$SET".into()),
            _ => None,
        }
    }

    fn run(text: &str) -> Result<String, TemplateError> {
        substitute(text, &env, &mut |_| {}, &mut Work::default())
    }

    #[test]
    fn every_form_with_unset_empty_and_set() {
        for (form, unset, empty, set) in [
            ("${V}", Some(""), Some(""), Some("v")),
            ("$V", Some(""), Some(""), Some("v")),
            ("${V:-d}", Some("d"), Some("d"), Some("v")),
            ("${V-d}", Some("d"), Some(""), Some("v")),
            ("${V:+r}", Some(""), Some(""), Some("r")),
            ("${V+r}", Some(""), Some("r"), Some("r")),
            ("${V:?m}", None, None, Some("v")),
            ("${V?m}", None, Some(""), Some("v")),
        ] {
            for (name, want) in [("NOPE", unset), ("EMPTY", empty), ("SET", set)] {
                let text = form.replace('V', name);
                match want {
                    Some(want) => assert_eq!(run(&text).as_deref(), Ok(want), "{text}"),
                    None => {
                        let want = TemplateError::Required { name: name.into(), reason: "m".into() };
                        assert_eq!(run(&text), Err(want), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn details_that_compose_has() {
        for (text, want) in [
            ("a$$b", "a$b"),
            ("$$SET", "$SET"),
            ("$$$SET", "$v"),
            ("$1 5$ $é $", "$1 5$ $é $"),
            ("$SET.x", "v.x"),
            ("$_s1", "v"),
            ("${U:-a:-b}", "a:-b"),
            ("${U:-{\"a\": \"b\"}}", "{\"a\": \"b\"}"),
            ("${U:-{}}", "{}"),
            ("${U:-{a}", "{a"),
            ("${U:-${SET}}", "v"),
            ("${U:-${W:-x}}y", "xy"),
            ("${U:-a}-${SET}", "a-v"),
            ("${U:-a}${W+b}c", "ac"),
            ("${SET:+${EMPTY:-z}}", "z"),
            ("$DOLLAR", "$SET"),
            ("${U:-}", ""),
            ("${U-a b}\n${U-c}", "a b\nc"),
            ("${U:-$$x}", "$x"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in
            ["${}", "${1A}", "${ SET}", "${SET!}", "${SET:x}", "${SET", "${U:-a\nb}", "a ${U:-x b", "${SET:-${}}"]
        {
            assert!(matches!(run(text), Err(TemplateError::Invalid(_))), "{text}: {:?}", run(text));
        }
        let nested = TemplateError::Required { name: "X".into(), reason: "m".into() };
        assert_eq!(run("${SET:-${X:?m}}"), Err(nested), "an unused default is evaluated");
        let deep = format!("{}x{}", "${A:-".repeat(5000), "}".repeat(5000));
        assert_eq!(run(&deep), Err(TemplateError::TooDeep));
        let long = "x".repeat(1 << 20);
        let with_long = |text: &str, work: &mut Work| substitute(text, &|_| Some(long.clone()), &mut |_| {}, work);
        assert_eq!(with_long(&"$A".repeat(100), &mut Work::default()), Err(TemplateError::TooLong));
        // What comes to nothing has its price, in one text and in all of a file.
        for text in ["${A+}", "${A+${A:+}}"] {
            assert_eq!(with_long(&text.repeat(300), &mut Work::default()), Err(TemplateError::TooMuch), "{text}");
            let (mut work, mut texts) = (Work::default(), 0);
            while with_long(text, &mut work).is_ok() {
                texts += 1;
            }
            assert!((60..=260).contains(&texts), "{text}: {texts}");
        }
    }

    /// What just fits is substituted, and a byte or a level more is refused.
    #[test]
    fn bounds_are_where_they_are_said_to_be() {
        let nested = |levels: usize| format!("{}x{}", "${A:-".repeat(levels), "}".repeat(levels));
        assert_eq!(run(&nested(MAX_NESTING)).as_deref(), Ok("x"));
        assert_eq!(run(&nested(MAX_NESTING + 1)), Err(TemplateError::TooDeep));

        let mut work = Work::default();
        assert_eq!(
            [work.add(MAX_WORK), work.add(1), work.add(1)],
            [Ok(()), Err(TemplateError::TooMuch), Err(TemplateError::TooMuch)]
        );

        let most = "x".repeat(MAX_OUTPUT);
        for (text, length) in
            [("$A", MAX_OUTPUT), ("y$A", MAX_OUTPUT + 1), ("$A$B", MAX_OUTPUT), ("$A${C}y", MAX_OUTPUT + 2)]
        {
            // B is nothing, and C one byte.
            let lookup = |name: &str| match name {
                "A" => Some(most.clone()),
                "C" => Some("c".to_owned()),
                _ => None,
            };
            let told = substitute(text, &lookup, &mut |_| {}, &mut Work::default()).map(|text| text.len());
            let fits = length <= MAX_OUTPUT;
            assert_eq!(told, if fits { Ok(length) } else { Err(TemplateError::TooLong) }, "{text}");
        }
        // The bound is passed by what comes after the last variable.
        for (rest, fits) in [(0, true), (1, true), (2, false), (9, false)] {
            let short = |_: &str| Some("x".repeat(MAX_OUTPUT - 1));
            let told = substitute(&format!("$A{}", ".".repeat(rest)), &short, &mut |_| {}, &mut Work::default());
            assert_eq!(told.is_ok(), fits, "{rest}");
        }
    }

    #[test]
    fn of_a_secret_only_names_are_told() {
        let required = |reason: &str| TemplateError::Required { name: "X".into(), reason: reason.into() };
        for (error, told) in [
            (required("hunter2"), "required variable X is missing a value: [redacted]"),
            (required(""), "required variable X is missing a value"),
            (TemplateError::Invalid("hunter2${".into()), "invalid interpolation format: [redacted]"),
            (TemplateError::TooDeep, "defaults are nested deeper than 64 levels"),
        ] {
            assert_eq!(error.of_secret().to_string(), told);
        }
    }

    #[test]
    fn unset_names_are_reported() {
        let mut names = Vec::new();
        substitute("$A ${B} ${C:-x} $SET", &env, &mut |n| names.push(n.to_owned()), &mut Work::default()).unwrap();
        assert_eq!(names, ["A", "B"]);
    }

    /// A template taken apart: what the model works on, which never sees the text.
    #[derive(Debug, Clone)]
    enum Part {
        Text(String),
        Dollar,
        Plain(&'static str),
        Braced(&'static str, Option<(&'static str, Vec<Part>)>),
    }

    fn any_parts() -> impl Strategy<Value = Vec<Part>> {
        let name = || prop::sample::select(vec!["SET", "EMPTY", "NOPE", "DOLLAR", "_s1"]);
        let leaf = prop_oneof![
            "[ .,/:é|#?+-]{0,4}".prop_map(Part::Text),
            Just(Part::Dollar),
            name().prop_map(Part::Plain),
            name().prop_map(|name| Part::Braced(name, None)),
        ];
        let part = leaf.prop_recursive(4, 24, 4, move |inner| {
            let operator = prop::sample::select(vec![":-", "-", ":+", "+", ":?", "?"]);
            (name(), operator, prop::collection::vec(inner, 0..4))
                .prop_map(|(name, operator, argument)| Part::Braced(name, Some((operator, argument))))
        });
        prop::collection::vec(part, 0..5)
    }

    fn written(parts: &[Part]) -> String {
        let one = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Dollar => "$$".to_owned(),
            Part::Plain(name) => format!("${name}"),
            Part::Braced(name, None) => format!("${{{name}}}"),
            Part::Braced(name, Some((operator, argument))) => format!("${{{name}{operator}{}}}", written(argument)),
        };
        parts.iter().map(one).collect()
    }

    /// What the parts mean, by the table of the specification; `Err` holds variable and message.
    fn meant(parts: &[Part]) -> Result<String, (String, String)> {
        let mut out = String::new();
        for part in parts {
            match part {
                Part::Text(text) => out += text,
                Part::Dollar => out += "$",
                Part::Plain(name) | Part::Braced(name, None) => out += &env(name).unwrap_or_default(),
                Part::Braced(name, Some((operator, argument))) => {
                    let argument = meant(argument)?;
                    out += &match (*operator, env(name).as_deref()) {
                        (":-", None | Some("")) | ("-", None) => argument,
                        (":+", None | Some("")) | ("+", None) => String::new(),
                        (":+" | "+", Some(_)) => argument,
                        (":?", None | Some("")) | ("?", None) => return Err(((*name).to_owned(), argument)),
                        (_, Some(value)) => value.to_owned(),
                        (other, None) => unreachable!("{other}"),
                    };
                }
            }
        }
        Ok(out)
    }

    proptest! {
        #[test]
        fn any_template_means_what_its_parts_mean(parts in any_parts()) {
            let want = meant(&parts).map_err(|(name, reason)| TemplateError::Required { name, reason });
            prop_assert_eq!(run(&written(&parts)), want, "{}", written(&parts));
        }

        #[test]
        fn lines_have_nothing_to_do_with_one_another(lines in prop::collection::vec("[${}SETU:?+\\- ]{0,20}", 1..5)) {
            let whole = run(&lines.join("\n"));
            let each: Result<Vec<String>, TemplateError> = lines.iter().map(|line| run(line)).collect();
            match each {
                Ok(each) => prop_assert_eq!(whole, Ok(each.join("\n"))),
                Err(_) => prop_assert!(whole.is_err()),
            }
        }

        #[test]
        fn text_without_a_dollar_is_itself(text in "[^$]{0,80}") {
            prop_assert_eq!(run(&text), Ok(text));
        }

        #[test]
        fn doubling_dollars_protects_any_text(text in ".{0,80}") {
            prop_assert_eq!(run(&text.replace('$', "$$")), Ok(text));
        }

        #[test]
        fn nothing_panics(text in "[${}a:?+\\- \n]{0,60}") {
            let _ = run(&text);
        }
    }
}
