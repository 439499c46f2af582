//! Just enough HTML to press a button: finds the form of a page, and encodes what a browser would send for it.

use url::form_urlencoded;

/// A form as it stands in a page.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Form {
    /// The URL to which it is sent, relative to the page. If it is empty, the page itself.
    pub(crate) action: String,
    /// Whether it is sent with POST; otherwise its fields become the query.
    pub(crate) posts: bool,
    controls: Vec<Control>,
}

#[derive(Debug, Default, PartialEq)]
struct Control {
    name: String,
    value: String,
    kind: Kind,
}

#[derive(Debug, Default, PartialEq)]
enum Kind {
    /// Sent only if pressed.
    Button,
    /// Sent as it is.
    #[default]
    Field,
    /// Sent with the text that a person types.
    Password,
}

impl Form {
    /// Returns the main form of a page: one that asks for a password or a decision, or else one that is sent with POST,
    /// or else any. Other forms on the page sign out or change the language.
    pub(crate) fn find(page: &str) -> Option<Self> {
        let forms: Vec<Self> = page.split("<form").skip(1).map(Self::parse).collect();
        let importance = |form: &Self| (form.signs_in() || form.decides(), form.posts);
        forms.into_iter().rev().max_by_key(importance)
    }

    fn parse(text: &str) -> Self {
        let text = text.split("</form").next().unwrap_or_default();
        let (head, rest) = text.split_once('>').unwrap_or((text, ""));
        let mut form = Self {
            action: attribute(head, "action").unwrap_or_default(),
            posts: attribute(head, "method").is_some_and(|method| method.eq_ignore_ascii_case("post")),
            controls: Vec::new(),
        };
        for tag in rest.split('<') {
            form.add(tag.split('>').next().unwrap_or_default());
        }
        form
    }

    /// Adds a tag. `tag` is the text between `<` and `>`.
    fn add(&mut self, tag: &str) {
        let (element, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        match element.to_ascii_lowercase().as_str() {
            "button" => self.controls.extend(Control::parse(attributes, "submit")),
            "input" => self.controls.extend(Control::parse(attributes, "text")),
            "select" => self
                .controls
                .push(Control { name: attribute(attributes, "name").unwrap_or_default(), ..Control::default() }),
            // The options of a `select` follow it directly.
            "option" if attribute(attributes, "selected").is_some() => {
                if let Some(select) = self.controls.last_mut() {
                    select.value = attribute(attributes, "value").unwrap_or_default();
                }
            }
            _ => {}
        }
    }

    /// Whether it asks for a decision.
    fn decides(&self) -> bool {
        self.controls.iter().any(|control| control.kind == Kind::Button && control.name == "decision")
    }

    /// Whether it asks for a password.
    pub(crate) fn signs_in(&self) -> bool {
        self.controls.iter().any(|control| control.kind == Kind::Password)
    }

    /// Returns the fields as `application/x-www-form-urlencoded`: with name and password filled in, and with the button
    /// `decision=approve` pressed if there is one, or else the first button.
    pub(crate) fn filled_in(&self, username: &str, password: &str) -> String {
        let mut buttons = self.controls.iter().filter(|control| control.kind == Kind::Button);
        let approve = buttons.clone().find(|button| button.name == "decision" && button.value == "approve");
        let pressed = approve.or_else(|| buttons.next());
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        for control in &self.controls {
            let value = match control.kind {
                Kind::Button if !pressed.is_some_and(|pressed| std::ptr::eq(pressed, control)) => {
                    continue;
                }
                Kind::Password => password,
                Kind::Field if control.name == "username" => username,
                Kind::Button | Kind::Field => &control.value,
            };
            if !control.name.is_empty() {
                encoded.append_pair(&control.name, value);
            }
        }
        encoded.finish()
    }
}

impl Control {
    fn parse(attributes: &str, default_type: &str) -> Option<Self> {
        let checked = attribute(attributes, "checked").is_some();
        let kind = attribute(attributes, "type").unwrap_or_else(|| default_type.to_owned());
        let (kind, unset) = match kind.to_ascii_lowercase().as_str() {
            "button" | "reset" => return None,
            // A box that nobody ticked is not sent.
            "checkbox" | "radio" if !checked => return None,
            "checkbox" | "radio" => (Kind::Field, "on"),
            "password" => (Kind::Password, ""),
            "submit" => (Kind::Button, ""),
            _ => (Kind::Field, ""),
        };
        Some(Self {
            name: attribute(attributes, "name").unwrap_or_default(),
            value: attribute(attributes, "value").unwrap_or_else(|| unset.to_owned()),
            kind,
        })
    }
}

/// Returns the value of an attribute; empty for one without a value.
fn attribute(mut attributes: &str, name: &str) -> Option<String> {
    loop {
        attributes = attributes.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '/');
        if attributes.is_empty() {
            return None;
        }
        let ends = |letter: char| letter.is_whitespace() || letter == '=' || letter == '/';
        let (key, rest) = attributes.split_at(attributes.find(ends).unwrap_or(attributes.len()));
        let (value, rest) = match rest.trim_start().strip_prefix('=') {
            Some(valued) => value_and_rest(valued.trim_start()),
            None => ("", rest),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(unescape(value));
        }
        // An attribute without a name (`="x"`) must not stop the walk.
        attributes = rest;
    }
}

fn value_and_rest(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// Resolves character references: the numeric ones, and the names that templates use.
fn unescape(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let resolved = piece.split_once(';').and_then(|(name, rest)| Some((character(name)?, rest)));
        match resolved {
            Some((letter, rest)) => {
                whole.push(letter);
                whole.push_str(rest);
            }
            None => {
                whole.push('&');
                whole.push_str(piece);
            }
        }
    }
    whole
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "apos" => Some('\''),
        "gt" => Some('>'),
        "lt" => Some('<'),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let hexadecimal = number.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
            char::from_u32(hexadecimal.unwrap_or_else(|| number.parse()).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_sends_what_a_browser_would_send() {
        let cases = [
            // Sign-in, with the token that ties it to this browser.
            (
                r#"<form method="post" action="/login"><input type=hidden name=csrf value='a&amp;b&#x2F;'>
                   <input name="username"><input type="password" name="password" required><button>Sign in</button></form>"#,
                "csrf=a%26b%2F&username=bench&password=p+w",
            ),
            // Consent: only what is ticked, only the button that is pressed.
            (
                r#"<form method=POST><input type=checkbox name=scope value=mcp:read checked>
                   <input type=checkbox name=scope value=mcp:write><button name="decision" value="deny">No</button>
                   <button type="submit" name="decision" value="approve">Yes</button></form>"#,
                "scope=mcp%3Aread&decision=approve",
            ),
            // A choice from a list, and a box without a value.
            (
                r#"<form method="post"><select name="class.1"><option value="read">R</option><option value="write" selected>W</option></select>
                   <input type="checkbox" name="remember" checked><button type="button" name="help" value="1">?</button></form>"#,
                "class.1=write&remember=on",
            ),
            // No such button: the first one is pressed.
            (
                r#"<form method="post"><button name="go" value="1">Go</button><button name="no" value="1">No</button></form>"#,
                "go=1",
            ),
        ];
        for (page, sent) in cases {
            assert_eq!(Form::find(page).unwrap().filled_in("bench", "p w"), sent, "{page}");
        }
    }

    #[test]
    fn the_form_that_a_person_came_for_is_found_among_others() {
        let language = r#"<form action="/language"><button>日本語</button></form>"#;
        let sign_out = r#"<form method="post" action="/logout"><button type="submit">Sign out</button></form>"#;
        let consent = r#"<form method="post" action="/consent?a=1&amp;b=2"><button name="decision" value="deny">No</button></form>"#;
        let cases = [
            ([language, sign_out, consent], "/consent?a=1&b=2"),
            ([consent, sign_out, language], "/consent?a=1&b=2"),
            ([language, sign_out, ""], "/logout"),
            ([language, "", ""], "/language"),
        ];
        for (page, action) in cases {
            assert_eq!(Form::find(&page.concat()).unwrap().action, action, "{page:?}");
        }
        assert_eq!(Form::find("<p>nothing to fill in</p>"), None);
    }

    #[test]
    fn odd_attributes_end() {
        for attributes in ["=", "= =", "a=\"", "a = b", "/", "a==b", "\"", "a'b"] {
            assert_eq!(attribute(attributes, "name"), None, "{attributes}");
        }
    }
}
