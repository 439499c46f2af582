//! Reads our own pages: forms and links, as a browser without script sees them.

use std::iter::Peekable;
use std::str::CharIndices;

/// A form on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// The URL to which it is sent, as it is written.
    pub action: String,
    /// The fields that are sent if nothing is changed, without buttons: hidden fields, texts, ticked boxes, chosen
    /// options.
    pub fields: Vec<(String, String)>,
    /// Its boxes: name, value, and whether it is ticked.
    pub boxes: Vec<(String, String, bool)>,
    /// Its buttons that have a name: name and value.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    /// Whether it has a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// Returns the first value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Sets the value of the first field with this name, or adds the field.
    pub fn fill(&mut self, name: &str, value: &str) {
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Unticks a box.
    pub fn untick(&mut self, name: &str, value: &str) {
        self.fields.retain(|(field, old)| field != name || old != value);
    }

    /// Whether it has a button with this name and value.
    pub fn has_button(&self, name: &str, value: &str) -> bool {
        self.buttons.iter().any(|(button, own)| button == name && own == value)
    }

    /// Returns the fields that are sent, as pairs.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// Returns all forms of a page.
pub fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    let mut select = None;
    for tag in tags(html) {
        match tag.name.as_str() {
            "form" => {
                forms.push(Form { action: tag.attribute("action").unwrap_or_default(), ..Form::default() });
                open = true;
            }
            "/form" => open = false,
            "/select" => select = None,
            "select" => select = tag.attribute("name"),
            _ => {}
        }
        if let (true, Some(form)) = (open, forms.last_mut()) {
            read_field(form, &tag, select.as_deref());
        }
    }
    forms
}

fn read_field(form: &mut Form, tag: &Tag, select: Option<&str>) {
    let value = tag.attribute("value").unwrap_or_default();
    match (tag.name.as_str(), tag.attribute("name")) {
        ("input", Some(name)) => match tag.attribute("type").as_deref() {
            Some("checkbox" | "radio") => {
                let ticked = tag.attribute("checked").is_some();
                form.boxes.push((name.clone(), value.clone(), ticked));
                if ticked {
                    form.fields.push((name, value));
                }
            }
            _ => form.fields.push((name, value)),
        },
        ("button", Some(name)) => form.buttons.push((name, value)),
        ("option", _) if tag.attribute("selected").is_some() => {
            form.fields.extend(select.map(|name| (name.to_owned(), value)));
        }
        _ => {}
    }
}

/// Returns the URLs of all links on a page.
pub fn links(html: &str) -> Vec<String> {
    tags(html).into_iter().filter(|tag| tag.name == "a").filter_map(|tag| tag.attribute("href")).collect()
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    }
}

/// Returns the tags of a page. The text of the page has to be escaped, as that of our pages is.
fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        if character != '<' {
            continue;
        }
        let name: String =
            html[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '!')).collect();
        for _ in name.chars() {
            rest.next();
        }
        tags.push(Tag { attributes: attributes(&mut rest), name: name.to_ascii_lowercase() });
    }
    tags
}

fn attributes(rest: &mut Peekable<CharIndices<'_>>) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    loop {
        while rest.next_if(|(_, c)| c.is_whitespace() || *c == '/').is_some() {}
        let mut name = String::new();
        while let Some((_, c)) = rest.next_if(|(_, c)| !c.is_whitespace() && !matches!(c, '=' | '>' | '/')) {
            name.push(c);
        }
        let mut value = String::new();
        if rest.next_if(|(_, c)| *c == '=').is_some() {
            let quote = rest.next_if(|(_, c)| matches!(c, '"' | '\'')).map(|(_, quote)| quote);
            while let Some((_, c)) = rest.next_if(|(_, c)| match quote {
                Some(quote) => *c != quote,
                None => !c.is_whitespace() && *c != '>',
            }) {
                value.push(c);
            }
            if quote.is_some() {
                rest.next();
            }
        }
        if name.is_empty() {
            rest.next_if(|(_, c)| *c == '>');
            return attributes;
        }
        attributes.push((name.to_ascii_lowercase(), unescape(&value)));
    }
}

fn unescape(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escaped, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ] {
        plain = plain.replace(escaped, character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{forms, links};

    #[test]
    fn a_form_sends_what_a_browser_would_send() {
        let page = r#"<!doctype html><form method="post" action="/a?b=1&amp;c=2"><input type=hidden name="csrf" value="x&#34;y">
            <input type="checkbox" name="scope" value="one" checked><input type="checkbox" name="scope" value="two">
            <select name="class.t"><option value="read">r</option><option value="write" selected>w</option></select>
            <button name="decision" value="deny">No</button></form><a href="/out?a&amp;b">out</a><form action="/2"></form>"#;
        let forms = forms(page);
        assert_eq!(forms.len(), 2);
        assert_eq!(forms[0].action, "/a?b=1&c=2");
        assert_eq!(forms[0].pairs(), [("csrf", "x\"y"), ("scope", "one"), ("class.t", "write")]);
        assert!(forms[0].has_button("decision", "deny") && !forms[0].has_button("decision", "approve"));
        assert_eq!(links(page), ["/out?a&b"]);
    }
}
