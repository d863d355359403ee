//! The rules of which the tables are made: what kind of value an attribute may have.

use turnout_yaml::Value;

/// What a value must be.
pub(super) enum Rule {
    /// A scalar (or null) of one of these kinds.
    Scalar(Kinds),
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Text of a form; `example` describes it for the hint.
    Pattern {
        matches: fn(&str) -> bool,
        example: &'static str,
    },
    /// An integer within bounds.
    Range {
        least: i64,
        most: i64,
    },
    List {
        item: &'static Rule,
        unique: bool,
    },
    /// A mapping with known keys.
    Object(&'static Object),
    /// A mapping whose keys the user chooses. Without `strict`, other names are let through unchecked.
    Named {
        name: fn(&str) -> bool,
        value: &'static Rule,
        strict: bool,
    },
    /// The first rule that admits the kind of value.
    Either(&'static [Rule]),
}

/// A mapping with known keys.
pub(super) struct Object {
    /// Keys and their rules.
    pub(super) fields: &'static [(&'static str, Rule)],
    /// An object whose keys are allowed, too.
    pub(super) base: Option<&'static Object>,
    /// Keys that must be there.
    pub(super) required: &'static [&'static str],
    /// Whether `x-*` is allowed.
    pub(super) extensions: bool,
    /// Whether any other key is allowed.
    pub(super) open: bool,
}

impl Object {
    /// Only these keys and `x-*`.
    pub(super) const fn extensible(fields: &'static [(&'static str, Rule)]) -> Object {
        Object { fields, base: None, required: &[], extensions: true, open: false }
    }

    /// Only these keys.
    pub(super) const fn closed(fields: &'static [(&'static str, Rule)]) -> Object {
        Object { fields, base: None, required: &[], extensions: false, open: false }
    }

    /// These keys, and any other.
    pub(super) const fn open(fields: &'static [(&'static str, Rule)]) -> Object {
        Object { fields, base: None, required: &[], extensions: true, open: true }
    }

    /// The same with keys that must be there.
    pub(super) const fn requires(self, required: &'static [&'static str]) -> Object {
        Object { required, ..self }
    }

    /// The same with the keys of another object besides.
    pub(super) const fn over(self, base: &'static Object) -> Object {
        Object { base: Some(base), ..self }
    }

    /// Every key with its rule.
    pub(super) fn all_fields(&self) -> impl Iterator<Item = &'static (&'static str, Rule)> {
        self.fields.iter().chain(self.base.into_iter().flat_map(|base| base.fields))
    }
}

/// A set of kinds of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NULL: Kinds = Kinds(1);
    pub(super) const BOOL: Kinds = Kinds(2);
    /// Numbers without a fraction, `1.0` among them.
    pub(super) const INTEGER: Kinds = Kinds(4);
    pub(super) const NUMBER: Kinds = Kinds(4 | 8);
    pub(super) const STRING: Kinds = Kinds(16);
    pub(super) const LIST: Kinds = Kinds(32);
    pub(super) const MAP: Kinds = Kinds(64);

    pub(super) const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Whether the set has all kinds of another.
    pub(super) fn has(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set has the value's kind.
    pub(super) fn admit(self, value: &Value) -> bool {
        let bit = match value {
            Value::Null => 1,
            Value::Bool(_) => 2,
            Value::Int(_) | Value::Uint(_) => 4,
            Value::Float(number) if number.fract() == 0.0 => 4,
            Value::Float(_) => 8,
            Value::Str(_) => 16,
            Value::Seq(_) => 32,
            Value::Map(_) => 64,
            // YAML dates are no JSON value: no rule takes them.
            Value::Time(_) => 128,
        };
        self.0 & bit != 0
    }

    /// `boolean or string`, `boolean, number or string`.
    pub(super) fn names(self) -> String {
        let number = if self.0 & 8 == 0 { (4, "integer") } else { (8, "number") };
        let all = [(2, "boolean"), number, (32, "list"), (64, "mapping"), (1, "null"), (16, "string")];
        let names: Vec<&str> = all.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect();
        match names.as_slice() {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        }
    }
}

impl Rule {
    /// Kinds of value that the rule admits.
    pub(super) fn kinds(&self) -> Kinds {
        match self {
            Rule::Scalar(kinds) => *kinds,
            Rule::Enum(_) | Rule::Pattern { .. } => Kinds::STRING,
            Rule::Range { .. } => Kinds::INTEGER,
            Rule::List { .. } => Kinds::LIST,
            Rule::Object(_) | Rule::Named { .. } => Kinds::MAP,
            Rule::Either(rules) => rules.iter().fold(Kinds(0), |kinds, rule| kinds.or(rule.kinds())),
        }
    }
}
