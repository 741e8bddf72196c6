//! A reader of JSON for those who know what is coming: objects, lists, strings and whole numbers.

/// What is wrong, and where.
pub type Result<T> = std::result::Result<T, String>;

pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Reader { text, at: 0 }
    }

    /// `{"key": value, …}`: `member` is handed each key and reads its value. No key may come twice.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        let mut keys = std::collections::BTreeSet::new();
        self.sequence(b'{', b'}', |reader| {
            let key = reader.string()?;
            reader.expect(b':')?;
            member(reader, &key)?;
            if !keys.insert(key) {
                return reader.wrong("a key that came before");
            }
            Ok(())
        })
    }

    /// `[1, 2, …]`.
    pub fn integers(&mut self) -> Result<Vec<usize>> {
        let mut items = Vec::new();
        self.sequence(b'[', b']', |reader| {
            items.push(reader.integer()?);
            Ok(())
        })?;
        Ok(items)
    }

    pub fn string(&mut self) -> Result<String> {
        self.expect(b'"')?;
        let mut string = String::new();
        loop {
            match self.character()? {
                '"' => return Ok(string),
                '\\' => string.push(self.escaped()?),
                '\0'..='\x1f' => return self.wrong("a control character in a string"),
                plain => string.push(plain),
            }
        }
    }

    /// Nothing but space may be left.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wrong("more than one value"),
        }
    }

    fn sequence(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(open)?;
        if self.peek() != Some(close) {
            item(self)?;
            while self.peek() == Some(b',') {
                self.at += 1;
                item(self)?;
            }
        }
        self.expect(close)
    }

    fn integer(&mut self) -> Result<usize> {
        self.peek();
        let rest = &self.text[self.at..];
        let digits = &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()];
        // No sign, no leading zero; a fraction or an exponent is left over, and nothing that may follow.
        match digits.parse() {
            Ok(value) if digits == "0" || !digits.starts_with('0') => {
                self.at += digits.len();
                Ok(value)
            }
            _ => self.wrong("no whole number that fits"),
        }
    }

    fn escaped(&mut self) -> Result<char> {
        Ok(match self.character()? {
            same @ ('"' | '\\' | '/') => same,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut units = vec![self.unit()?];
                // What is beyond 16 bits comes as a pair.
                if (0xd800..0xdc00).contains(&units[0]) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    units.push(self.unit()?);
                }
                match char::decode_utf16(units).next() {
                    Some(Ok(character)) => character,
                    _ => return self.wrong("half a surrogate pair"),
                }
            }
            _ => return self.wrong("an unknown escape"),
        })
    }

    fn unit(&mut self) -> Result<u16> {
        let digits = self.text.get(self.at..self.at + 4).filter(|four| four.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(digits) = digits else { return self.wrong("no four hexadecimal digits") };
        self.at += 4;
        u16::from_str_radix(digits, 16).map_err(|error| error.to_string())
    }

    fn character(&mut self) -> Result<char> {
        match self.text[self.at..].chars().next() {
            Some(character) => {
                self.at += character.len_utf8();
                Ok(character)
            }
            None => self.wrong("the end inside a string"),
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.peek() != Some(byte) {
            return self.wrong(&format!("no '{}'", byte as char));
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is not space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, what: &str) -> Result<T> {
        Err(format!("{what} at byte {} of the header", self.at))
    }
}

/// A string as JSON writes it.
pub fn quoted(string: &str) -> String {
    let escaped = |character| match character {
        '"' | '\\' => format!("\\{character}"),
        '\0'..='\x1f' => format!("\\u{:04x}", character as u32),
        plain => plain.to_string(),
    };
    format!("\"{}\"", string.chars().map(escaped).collect::<String>())
}
